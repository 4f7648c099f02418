"""Make Mattes, from a press to the mattes that an estimate takes: the real worker, with a network of the tests' own."""

import os
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import client, environment, environment_setup, events, made_mattes
from bl_ext.dev.fathom.inference.contract.catalogue import MissingRequirement
from bl_ext.dev.fathom.operators import mattes as operators
from bl_ext.dev.fathom.scene import current_run, matte_making, preferences, source, weights
from bl_ext.dev.fathom.scene.settings import Settings
from bl_ext.dev.fathom.scene.versions import strips_of
from drawing import Recorder

PACKAGES = MissingRequirement(what="Mattes need onnxruntime.", hint="Run: install mattes", kind="packages")
WEIGHTS = MissingRequirement(what="The network is missing.", hint="Run: models download", kind="weights")


@pytest.fixture
def scene(worker, empty_file, clip, tmp_path, monkeypatch):
    """A strip of the clip's frames 1001 to 1006 at 11 to 16; the worker has a network."""
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEST_MATTES", "0")
    files = sorted(clip.iterdir())
    editor = empty_file.sequence_editor_create()
    strip = strips_of(editor).new_image("street", str(files[0]), 1, 11)
    for file in files[1:]:
        strip.elements.append(file.name)
    editor.active_strip = strip
    empty_file.fathom.output = str(tmp_path / "depth")
    yield empty_file
    weights.forget()


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_one_press_makes_the_mattes_and_uses_them(scene, tmp_path):
    assert bpy.ops.fathom.make_mattes() == {"FINISHED"}
    folder = tmp_path / "depth" / "plate" / "mattes" / "v001"
    assert Path(bpy.path.abspath(scene.fathom.mattes)) == folder
    assert names(folder) == [*(f"matte.{number}.exr" for number in range(1001, 1007)), "mattes.json"]
    image = bpy.data.images.load(str(folder / "matte.1003.exr"))
    assert tuple(image.size) == (64, 48)
    scene.fathom.estimator = "running_mean"
    assert bpy.ops.fathom.estimate_video_depth() == {"FINISHED"}
    assert Path(scene.fathom.depths[0].folder).parent == folder.parents[1], "beside the clip's depth"


def test_those_that_are_there_are_used_as_they_are(scene, tmp_path, monkeypatch):
    bpy.ops.fathom.make_mattes()
    folder = Path(scene.fathom.mattes)
    (folder / "matte.1002.exr").write_bytes(b"retouched")
    scene.fathom.mattes = ""
    monkeypatch.setattr(client, "matte", lambda *_arguments, **_options: 1 / 0)
    assert bpy.ops.fathom.make_mattes() == {"FINISHED"}
    assert Path(scene.fathom.mattes) == folder
    monkeypatch.undo()
    monkeypatch.setattr(client, "MAIN", Path(__file__).parents[1] / "inference" / "support" / "worker.py")


@pytest.mark.slow
def test_a_range_or_a_newer_clip_makes_others(scene, clip, request):
    bpy.ops.fathom.make_mattes()
    scene.fathom.use_range, scene.fathom.range_start, scene.fathom.range_end = True, 12, 14
    bpy.ops.fathom.make_mattes()
    assert scene.fathom.mattes.endswith("v002") and names(scene.fathom.mattes)[0] == "matte.1002.exr"
    scene.fathom.use_range = False
    bpy.ops.fathom.make_mattes()
    assert scene.fathom.mattes.endswith("v001"), "those of the whole clip are there"
    file = min(clip.iterdir())
    written = file.stat().st_mtime_ns
    request.addfinalizer(lambda: os.utime(file, ns=(written, written)))
    os.utime(file, ns=(written + 10**12,) * 2)
    bpy.ops.fathom.make_mattes()
    assert scene.fathom.mattes.endswith("v003"), "the clip is newer than the first"
    bpy.ops.fathom.make_mattes(new_version=True)
    assert scene.fathom.mattes.endswith("v004")


@pytest.mark.slow
def test_a_cancelled_run_is_resumed(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_MATTES", "0.3")
    run = current_run.Run

    class Cancelled(run):
        def advance(self):
            heard = super().advance()
            if any(isinstance(event, events.Progress) and event.fraction > 0.3 for event in heard):
                self.cancel()
            return heard

    monkeypatch.setattr(current_run, "Run", Cancelled)
    assert bpy.ops.fathom.make_mattes() == {"CANCELLED"}
    folder = tmp_path / "depth" / "plate" / "mattes" / "v001"
    assert names(folder) == [made_mattes.SCRATCH] and scene.fathom.mattes == ""
    monkeypatch.setattr(current_run, "Run", run)
    monkeypatch.setenv("TEST_MATTES", "0")
    assert bpy.ops.fathom.make_mattes() == {"FINISHED"}
    assert Path(scene.fathom.mattes) == folder and made_mattes.made(folder)


def test_without_the_network_nothing_is_downloaded_and_the_sentence_says_how(scene, monkeypatch, tmp_path):
    monkeypatch.delenv("TEST_MATTES")
    monkeypatch.setattr(preferences, "offline_reason", lambda: "Blender may not go online.")
    with pytest.raises(RuntimeError, match="robust-video-matting"):
        bpy.ops.fathom.make_mattes()
    with pytest.raises(RuntimeError, match="Blender may not go online"):
        bpy.ops.fathom.make_mattes(download=True, licenses="gpl-3.0-robust-video-matting")
    assert not (tmp_path / "depth").exists()


def test_what_is_missing_is_got_first_in_its_order(scene, clip, tmp_path, monkeypatch):
    happened = []

    def doing(what):
        def steps(*arguments, **options):
            happened.append((what, options.get("licences")))
            yield (events.Stage(name=what, label=what),)
            yield (events.Done(folder="", frames=0, seconds=0.0),) if what != "packages" else ()

        return steps

    monkeypatch.setattr(made_mattes, "missing", lambda *_arguments: (PACKAGES, WEIGHTS))
    monkeypatch.setattr(preferences, "install_offline_reason", lambda _state: None)
    monkeypatch.setattr(matte_making, "install", doing("packages"))
    monkeypatch.setattr(weights, "download", doing("weights"))
    monkeypatch.setattr(client, "matte", doing("mattes"))
    plate = source.from_file(clip / "plate.1001.png")
    heard = []
    folder = matte_making.make(plate, root=tmp_path / "depth", download=True, licences=["gpl"], on_event=heard.append)
    assert folder == tmp_path / "depth" / "plate" / "mattes" / "v001"
    assert happened == [("packages", None), ("weights", ["gpl"]), ("mattes", None)]
    assert sum(isinstance(event, events.Done) for event in heard) == 1


def test_the_packages_go_into_fathoms_own_environment_alone(worker, monkeypatch, tmp_path):
    monkeypatch.setattr(matte_making, "missing", lambda: (PACKAGES,))
    with pytest.raises(matte_making.Problem, match=r"Mattes need onnxruntime\. Run: install mattes"):
        list(matte_making.install())
    own = SimpleNamespace(problem=None, own="light")
    monkeypatch.setattr(preferences, "look", lambda: own)
    added = []
    monkeypatch.setattr(environment_setup, "add", lambda folder, locks: added.append((folder, locks)) or iter(()))
    list(matte_making.install())
    assert added == [(preferences.own_environment("light"), environment.MATTES)]


def test_the_dialog_shows_what_is_downloaded_and_its_license(scene, monkeypatch):
    monkeypatch.setattr(preferences, "offline_reason", lambda: None)
    dialog = type("Dialog", (), {"_facts": operators.FATHOM_OT_get_mattes._facts})()
    dialog.layout, dialog.packages, dialog.weights = Recorder(), True, True
    operators.FATHOM_OT_get_mattes.draw(dialog, bpy.context)
    texts = " ".join(dialog.layout.texts)
    assert "ONNX Runtime" in texts and "Robust Video Matting" in texts and "whether the weights are too" in texts
    assert dialog.layout.texts[-1] == "<accept>"
    with pytest.raises(RuntimeError, match="the license was not accepted: tick the box"):
        bpy.ops.fathom.get_mattes(weights=True)
    assert bpy.ops.fathom.get_mattes(weights=True, accept=True) == {"FINISHED"}, "nothing is missing with the stand-in"


def test_a_plate_with_cuts_and_a_root_that_is_a_file(scene, clip, tmp_path):
    plate = source.from_file(clip / "plate.1001.png")
    job, place = matte_making.prepare(plate, Settings(cuts="1004"), root=tmp_path / "depth")
    assert job.cuts == "1004" and place.standing == "new"
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError):
        bpy.ops.fathom.make_mattes(output=str(tmp_path / "file"))
