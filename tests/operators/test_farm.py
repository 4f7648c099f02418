"""Clips sent to a render farm from Blender: what the farm gets, what is pending, and how it comes back."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract import client, depth_sequence, exit_codes
from bl_ext.dev.fathom.inference.contract.client import WorkerError
from bl_ext.dev.fathom.operators import command_line
from bl_ext.dev.fathom.panels import build as panel
from bl_ext.dev.fathom.panels import estimate as estimate_panel
from bl_ext.dev.fathom.scene import depth_list, farm, missing_files, preferences, source
from bl_ext.dev.fathom.scene.depth import DepthError
from bl_ext.dev.fathom.scene.farm import Farm, FarmError
from bl_ext.dev.fathom.scene.settings import Settings
from drawing import Recorder, look

PHASED = Settings(estimator="phased")


@pytest.fixture(autouse=True)
def home(worker, empty_file, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    farm.stop()


def run(worker, *arguments):
    """A command of the worker's, as a computer of the farm runs it."""
    command = [worker, "-I", "-u", client.MAIN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def do_all(worker, folder):
    run(worker, "estimate", "--planned", folder)
    run(worker, "merge", folder)


def test_what_was_sent_is_pending_until_it_is_merged(worker, clip, tmp_path):
    assert bpy.ops.fathom.submit(
        filepath=str(clip / "plate.1001.png"), output=str(tmp_path / "depth"), estimator="phased", target="openjd"
    ) == {"FINISHED"}
    (item,) = bpy.context.scene.fathom.depths
    folder = Path(item.folder)
    assert item.is_pending and item.name == "plate v001" and folder == tmp_path / "depth" / "plate" / "v001"
    template = tmp_path / "depth" / "farm" / "plate v001" / "template.yaml"
    assert str(folder) in template.read_text()
    with pytest.raises(DepthError, match="is on the render farm: it is loaded once it is merged"):
        depth_list.load(bpy.context.scene)
    with pytest.raises(RuntimeError, match="is on the render farm"):
        bpy.ops.fathom.build_depth_mesh()
    assert not any(missing_files.of_file()), "nothing is missing of what is not there yet"
    assert farm.look() == 0 and bpy.ops.fathom.check_farm() == {"FINISHED"}
    run(worker, "estimate", "--planned", folder)
    assert farm.look() == 0
    run(worker, "merge", folder)
    assert bpy.ops.fathom.check_farm() == {"FINISHED"}
    assert not item.is_pending and item.summary.startswith("frames 1001-1006")
    assert depth_list.load(bpy.context.scene).frame_offset == item.frame_offset
    # sent again, it is there already
    again = {"filepath": str(clip / "plate.1001.png"), "output": str(tmp_path / "depth"), "estimator": "phased"}
    assert bpy.ops.fathom.submit(**again) == {"FINISHED"}
    assert len(bpy.context.scene.fathom.depths) == 1 and not item.is_pending
    assert len(list((tmp_path / "depth" / "farm").iterdir())) == 1


@pytest.mark.slow
def test_several_clips_are_one_job(clip, tmp_path):
    plates = [source.from_file(clip / "plate.1001.png", frames) for frames in ("1001-1004", "1002-1006")]
    stages = []
    sent = farm.submit(
        [(plate, PHASED) for plate in plates],
        Farm(target="FLAMENCO", python="/farm/python", chunk_seconds=30.0, folder=tmp_path / "jobs"),
        root=tmp_path / "depth",
        on_event=stages.append,
    )
    assert [Path(job.output).name for job in sent.jobs] == ["v001", "v002"], "folders of their own"
    assert sent.bundle == tmp_path / "jobs" / "plate v001 and 1 more"
    assert (sent.bundle / "fathom-depth.js").is_file() and '"/farm/python"' in (sent.bundle / "job.json").read_text()
    farm.remember(bpy.context.scene, sent)
    assert [item.is_pending for item in bpy.context.scene.fathom.depths] == [True, True]
    fractions = [event.fraction for event in stages if event.event == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] <= 1.0


@pytest.mark.slow
def test_selected_strips_are_sent(clip, tmp_path):
    scene = bpy.context.scene
    scene.fathom.output, scene.fathom.estimator = str(tmp_path / "depth"), "phased"
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    for channel, count in ((1, 4), (2, 5)):
        strip = strips.new_image(f"s{count}", str(clip / "plate.1001.png"), channel, 1)
        for number in range(1002, 1001 + count):
            strip.elements.append(f"plate.{number}.png")
        strip.select = True
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    assert bpy.ops.fathom.submit(target="deadline") == {"FINISHED"}
    assert [item.is_pending for item in scene.fathom.depths] == [True, True]
    (bundle,) = (tmp_path / "depth" / "farm").iterdir()
    assert len(list(bundle.glob("clip.*/*.job"))) >= 6 and (bundle / "submit.txt").is_file()


def pending_in(root, *, name="depth"):
    """The list has a depth that a farm is making, of which one of two chunks is done; its entry."""
    folder = root / name
    job = depth_sequence.load(depth_maker.make(root / "made")).fingerprint
    scratch = folder / ".fathom"
    (scratch / "chunks").mkdir(parents=True)
    (scratch / "plan.json").write_text('{"chunks": [{}, {}]}')
    for note in ("000000.json", "000000.log", "000001.log"):
        (scratch / "chunks" / note).touch()
    place = depth_list.remember_pending(bpy.context.scene, folder, job=job, name="street", frame_offset=3)
    return bpy.context.scene.fathom.depths[place]


def merge(root, *, name="depth"):
    shutil.rmtree(root / name)
    shutil.move(root / "made" / "depth", root / name)


def test_the_timer_loads_what_is_merged_beside_blender(tmp_path, monkeypatch):
    item = pending_in(tmp_path)
    monkeypatch.setattr(farm._states, "of", farm._find)
    assert farm.known_state(item) == farm.State(done=1, chunks=2)
    layout = Recorder()
    panel._draw_pending(layout, item, width=4000)
    assert layout.texts[0] == ("For the render farm, which has done 1 of its 2 chunks. It is loaded once it is merged")
    assert [button.name for button in layout.buttons] == ["fathom.check_farm"]
    assert farm._timer() == farm._LOOK and item.is_pending
    merge(tmp_path)
    assert farm._timer() == farm._LOOK and not item.is_pending and item.summary
    assert depth_list.load(bpy.context.scene).frame_offset == 3
    assert farm._timer() is None, "nothing is pending any more"


def test_it_is_still_pending_in_a_file_that_is_opened_again(tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    pending_in(tmp_path)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    (item,) = bpy.context.scene.fathom.depths
    assert item.is_pending and item.folder == "//depth"
    merge(tmp_path)
    assert farm.look() == 1 and not item.is_pending


def test_another_depth_than_what_was_sent_stays_out(tmp_path):
    item = pending_in(tmp_path)
    item.job = "another"
    merge(tmp_path)
    assert farm.look() == 0 and item.is_pending
    with pytest.raises(DepthError, match="holds another estimate"):
        depth_list.receive(item)


def test_a_place_that_the_file_names_is_not_looked_at_unasked(tmp_path, monkeypatch):
    item = pending_in(tmp_path)
    merge(tmp_path)
    monkeypatch.setattr(farm.places, "_asked", set())
    assert farm.look() == 0 and item.is_pending
    assert bpy.ops.fathom.check_farm() == {"FINISHED"} and not item.is_pending


def test_what_cannot_be_sent_is_said_before_anything_is_planned(clip, tmp_path, monkeypatch):
    plate = source.from_file(clip / "plate.1001.png")
    monkeypatch.setattr(farm, "_is_installed", lambda target: True)
    if not bpy.app.online_access:
        with pytest.raises(FarmError, match=r"Blender may not go online, so no job is submitted: .* switch off Submit"):
            farm.submit([(plate, PHASED)], Farm(), root=tmp_path / "depth")
    with pytest.raises(FarmError, match="There is no farm opencue: choose one of OPENJD, FLAMENCO, DEADLINE"):
        farm.named("opencue")
    assert not (tmp_path / "depth").exists()
    with pytest.raises(WorkerError, match="nobody"):
        farm.submit([(plate, Settings(estimator="nobody"))], Farm(submits=False), root=tmp_path / "depth")
    assert not list((tmp_path / "depth").rglob("template.yaml"))


@pytest.mark.slow
def test_the_command_prints_where_depth_will_be(worker, clip, tmp_path, capsys):
    arguments = ["submit", clip / "plate.1001.png", "--output", tmp_path, "--estimator", "phased", "--farm", "flamenco"]
    assert command_line.main([*map(str, arguments), "--bundle", str(tmp_path / "jobs")]) == exit_codes.OK
    *_, folder, bundle = capsys.readouterr().out.splitlines()
    assert folder == str(tmp_path / "plate" / "v001") and bundle == str(tmp_path / "jobs" / "plate v001")
    do_all(worker, folder)
    assert depth_sequence.load(folder).estimator == "phased"


def test_the_farms_panel_has_what_the_farm_needs(monkeypatch):
    chosen = preferences.render_farm()
    context = SimpleNamespace(region=SimpleNamespace(width=4000))
    monkeypatch.setattr(farm, "known_client", lambda target: False if target in farm.CLIENTS else None)
    try:
        drawn = {}
        for target, _, _ in farm.TARGETS:
            chosen.target = target
            estimate_panel._Farm.draw(SimpleNamespace(layout=(layout := Recorder())), context)
            drawn[target] = layout.texts
    finally:
        chosen.property_unset("target")
    assert "<manager>" in drawn["FLAMENCO"] and "<manager>" not in drawn["OPENJD"]
    assert drawn["DEADLINE"][-1].startswith("The command deadlinecommand is not installed here")
    assert all("<chunk_minutes>" in texts for texts in drawn.values())


def test_the_farms_client_is_looked_for_beside_drawing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert farm.known_client("FLAMENCO") is None
    farm.known_client("DEADLINE")
    look()
    assert farm.known_client("DEADLINE") is False
    tool = tmp_path / "deadlinecommand"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert farm._is_installed("DEADLINE") and not farm._is_installed("OPENJD")
    assert Farm(target="DEADLINE").sends and not Farm(target="DEADLINE", submits=False).sends
    assert Farm(target="FLAMENCO", manager="http://farm").sends and not Farm(target="FLAMENCO").sends
