"""Estimators in stages, from the panel to the depth: knobs, what is missing, and a depth sequence that is taken up."""

import os
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import catalogue as contract
from bl_ext.dev.fathom.inference.contract import client, depth_sequence
from bl_ext.dev.fathom.inference.contract.job import JobError, validate
from bl_ext.dev.fathom.panels import catalogue, estimate, parts
from bl_ext.dev.fathom.scene import estimation as estimate_module
from bl_ext.dev.fathom.scene import settings, source
from bl_ext.dev.fathom.scene.settings import Settings

WORKER = Path(__file__).resolve().parents[1] / "inference" / "support" / "worker.py"
LABELS = {"monst3r": "MonST3R's network", "depthcrafter": "DepthCrafter's UNet"}


@pytest.fixture
def learned(empty_file, inference_python, monkeypatch, tmp_path):
    """The session knows the worker's estimators, those for tests among them; the data folder is empty."""
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(client, "MAIN", WORKER)
    catalogue.learn(contract.answer(contract.ask(inference_python)))
    yield
    catalogue.forget()


class Texts:
    """A layout that keeps the text of what is drawn."""

    def __init__(self):
        self.texts, self.buttons = [], []

    def __getattr__(self, name):
        return lambda *_, **__: self

    def label(self, *, text, **_):
        self.texts.append(text)

    def operator(self, name, **_):
        self.buttons.append(SimpleNamespace(name=name))
        return self.buttons[-1]


def plate(clip):
    return source.from_file(clip / "plate.1001.png")


def test_what_is_lacking_is_told_for_what_is_asked(learned, inference_python):
    scene = bpy.context.scene
    scene.fathom.estimator = "stereodiff"

    def lacking():
        return {
            name
            for name, label in LABELS.items()
            for requirement in catalogue.facts_in(scene).missing_requirements
            if label in requirement.what
        }

    def shown():
        layout = Texts()
        panel = SimpleNamespace(layout=layout)
        context = SimpleNamespace(scene=scene, region=SimpleNamespace(width=9999))
        estimate._Settings.draw(panel, context)
        return layout.texts

    assert lacking() == {"monst3r", "depthcrafter"} and "StereoDiff works at 1024 px" in shown()
    scene.fathom_stereodiff.stage = "1"
    assert lacking() == {"monst3r"} and "StereoDiff works at 512 px" in shown()
    layout = Texts()
    parts.draw_requirements(layout, catalogue.facts_in(scene), None, width=9999)
    assert layout.texts[0].endswith("(MonST3R)).") and not any("terminal" in text for text in layout.texts)
    assert layout.texts[-1] == catalogue.facts("stereodiff").licence
    button, *others = layout.buttons
    assert "fathom.get_quick_depth" in [other.name for other in others], "any clip has that in the meantime"
    assert (button.name, button.names) == ("fathom.get_weights", "monst3r")
    scene.fathom_stereodiff.stage = "both"
    scene.fathom_stereodiff.stage1_from = "//depth/v001"
    assert lacking() == {"depthcrafter"}
    scene.fathom.estimator = "parallax"
    assert catalogue.facts_in(scene).missing_requirements == ()


def test_a_depth_sequence_is_chosen_as_a_folder(learned):
    group = bpy.context.scene.fathom_stereodiff
    folder = group.bl_rna.properties["stage1_from"]
    assert (folder.name, folder.subtype) == ("Stage 1 From", "DIR_PATH")
    assert group.bl_rna.properties["stage"].type == "ENUM" and group.stage == "both"


def test_a_scene_with_the_defaults_makes_a_job_without_parameters(learned, clip, tmp_path):
    bpy.context.scene.fathom.estimator = "stereodiff"
    job = settings.make_job(plate(clip), settings.from_scene(bpy.context.scene), output=tmp_path / "out")
    assert (job.estimator, job.parameters) == ("stereodiff", {})


def test_the_job_has_the_scenes_cuts(learned, clip, tmp_path):
    kept = bpy.context.scene.fathom

    def cuts():
        job = settings.make_job(plate(clip), settings.from_scene(bpy.context.scene), output=tmp_path / "out")
        return validate(job).cuts

    assert cuts() == "auto"
    kept.cut_frames = "1003, 1005"
    assert cuts() == "auto"
    kept.cuts = "NONE"
    assert cuts() == "none"
    kept.cuts = "FRAMES"
    assert cuts() == "1003, 1005"
    kept.cut_frames = "1003, 9999"
    with pytest.raises(JobError, match="no cut at frame 9999"):
        cuts()
    kept.cut_frames = ""
    with pytest.raises(JobError, match="is empty: list the first frames of new shots"):
        cuts()


def test_the_job_says_what_the_scene_does(learned, clip, tmp_path):
    scene = bpy.context.scene
    scene.fathom.estimator = "stereodiff"
    group = scene.fathom_stereodiff
    group.stage1_from, group.refine_sigma, group.reach = "//depth/street/v001", 1.5, 3
    group.spacing, group.latent_sharing = "trailing", True
    with pytest.raises(JobError, match="is not saved, so there is no folder for //depth/street/v001"):
        settings.make_job(plate(clip), settings.from_scene(scene), output=tmp_path / "out")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    job = settings.make_job(plate(clip), settings.from_scene(bpy.context.scene), output=tmp_path / "out")
    assert job.parameters == {
        "stage1_from": str(tmp_path / "depth" / "street" / "v001"),
        "refine_sigma": 1.5,
        "reach": 3,
        "spacing": "trailing",
        "latent_sharing": True,
    }


def test_a_depth_of_the_scene_is_refined(learned, worker, clip, tmp_path):
    from tests.inference.support.estimators.brightness import MODEL
    from tests.inference.support.stored import put_in_place

    put_in_place(MODEL, {"unet.safetensors": b"the weights of Brightness"})
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    kept = bpy.context.scene.fathom
    kept.output, kept.estimator = "//depth", "running_mean"
    arguments = {"filepath": str(clip / "plate.1001.png")}
    assert bpy.ops.fathom.estimate_video_depth(**arguments) == {"FINISHED"}
    given = Path(bpy.path.abspath(kept.depths[0].folder))
    kept.estimator = "staged"
    bpy.context.scene.fathom_staged.stage1_from = bpy.path.relpath(str(given)) + "/"
    assert bpy.ops.fathom.estimate_video_depth(**arguments) == {"FINISHED"}
    refined = depth_sequence.load(given.parent / "v002")
    assert (refined.estimator, refined.parameters["stage1_from"]) == ("staged", str(given))
    assert refined.quantity == "inverse_depth"
    assert bpy.ops.fathom.estimate_video_depth(**arguments) == {"FINISHED"}
    assert not (given.parent / "v003").exists(), "it was there already"


@pytest.mark.slow
def test_the_first_stage_runs_without_the_weights_of_the_second(learned, worker, clip, tmp_path):
    scene = bpy.context.scene
    scene.fathom.estimator, scene.fathom.output = "staged", str(tmp_path / "depth")
    arguments = {"filepath": str(clip / "plate.1001.png")}
    with pytest.raises(RuntimeError, match="Weights are missing"):
        bpy.ops.fathom.estimate_video_depth(**arguments)
    scene.fathom_staged.stage = "1"
    assert bpy.ops.fathom.estimate_video_depth(**arguments) == {"FINISHED"}
    assert len(scene.fathom.depths) == 1


def test_a_result_is_estimated_again_where_what_it_was_made_from_is_newer(worker, clip, tmp_path):
    how = Settings(estimator="running_mean")
    given = estimate_module.estimate(plate(clip), root=tmp_path / "given", settings=how).folder
    wanted = Settings(estimator="staged", parameters={"stage": "1", "stage1_from": str(given)})
    made = estimate_module.estimate(plate(clip), root=tmp_path / "made", settings=wanted).folder
    _, place = estimate_module.prepare(plate(clip), wanted, root=tmp_path / "made")
    assert (place.folder, place.standing) == (made, "finished")
    status = (made / "depth.json").stat()
    later = status.st_mtime_ns + 3 * 10**9  # some disks keep two seconds
    os.utime(given / "depth.json", ns=(status.st_atime_ns, later))
    assert estimate_module.prepare(plate(clip), wanted, root=tmp_path / "made")[1].standing == "new"


def test_the_panel_says_at_which_size_depth_is_found():
    facts = contract.EstimatorFacts(name="parallax", label="Parallax", default_size=640, depth_size=320)
    assert estimate._about_size(0, facts) == "Parallax works at 640 px and finds depth itself at 320 px at most"
    assert estimate._about_size(960, facts) == "Parallax finds depth itself at 320 px at most"
    assert estimate._about_size(960, contract.EstimatorFacts(name="other", label="Other", default_size=640)) == ""
