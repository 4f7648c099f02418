"""Estimate Video Depth: what it makes, where it puts it, and what it says when it cannot."""

from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import client, depth_sequence
from bl_ext.dev.fathom.scene import estimation, source
from bl_ext.dev.fathom.scene.settings import Settings
from bl_ext.dev.fathom.scene.versions import strips_of

from tests.footage_maker import numbered, streams

pytestmark = pytest.mark.usefixtures("empty_file")


def run(folder, output, **arguments):
    arguments = {"estimator": "running_mean", "filepath": str(folder / "plate.1001.png"), **arguments}
    return bpy.ops.fathom.estimate_video_depth(output=str(output), **arguments)


def folders(output: Path) -> list[str]:
    return sorted(path.parent.name for path in output.glob("*/*/depth.json"))


def listed() -> list:
    return list(bpy.context.scene.fathom.depths)


def test_it_estimates_and_lists_the_depth(worker, clip, tmp_path):
    assert run(clip, tmp_path / "depth") == {"FINISHED"}
    assert folders(tmp_path / "depth") == ["v001"]
    (item,) = listed()
    sequence = depth_sequence.load(item.folder)
    assert (sequence.first_frame, sequence.last_frame, sequence.estimator) == (1001, 1006, "running_mean")
    assert (item.estimator, item.summary) == ("running_mean", "frames 1001-1006, 64 x 48")
    assert not (Path(item.folder) / ".fathom").exists()


def test_the_operator_equals_the_function(worker, clip, tmp_path):
    run(clip, tmp_path / "operator", seed=3, frames="1002-1005")
    plate = source.from_file(clip / "plate.1001.png", "1002-1005")
    depth = estimation.estimate(plate, root=tmp_path / "function", settings=Settings(estimator="running_mean", seed=3))
    made = Path(listed()[0].folder)
    assert depth.frame_offset == listed()[0].frame_offset
    names = sorted(path.name for path in depth.folder.glob("*.exr"))
    assert len(names) == 8 and names == sorted(path.name for path in made.glob("*.exr"))
    assert all((made / name).read_bytes() == (depth.folder / name).read_bytes() for name in names)


def test_the_scene_says_how(worker, clip, tmp_path):
    kept = bpy.context.scene.fathom
    kept.estimator, kept.seed, kept.output = "running_mean", 5, str(tmp_path / "depth")
    kept.use_focal_length, kept.focal_length, kept.sensor_width = True, 18.0, 36.0
    bpy.ops.fathom.estimate_video_depth(filepath=str(clip / "plate.1001.png"), parameters='{"mode": "b"}')
    sequence = depth_sequence.load(listed()[0].folder)
    assert (sequence.seed, sequence.parameters["mode"]) == (5, "b")
    assert sequence.shots[0].camera.focal_length == pytest.approx(32.0)  # 18 mm of 36 mm on 64 pixels


def test_cuts_of_the_call_win_over_the_scenes(worker, clip, tmp_path):
    bpy.context.scene.fathom.cuts = "NONE"
    for cuts, first in (("", [1001]), ("1004, 1006", [1001, 1004, 1006]), ("auto", [1001])):
        run(clip, tmp_path, cuts=cuts)
        newest = depth_sequence.load(listed()[-1].folder)
        assert [shot.first_frame for shot in newest.shots] == first
    assert folders(tmp_path) == ["v001", "v002", "v003"]


def test_the_same_estimate_is_found_again_and_another_gets_the_next_version(worker, clip, tmp_path):
    run(clip, tmp_path)
    made = (Path(listed()[0].folder) / "depth.json").stat().st_mtime_ns
    assert run(clip, tmp_path) == {"FINISHED"}
    assert folders(tmp_path) == ["v001"] and len(listed()) == 1
    assert (Path(listed()[0].folder) / "depth.json").stat().st_mtime_ns == made
    run(clip, tmp_path, seed=1)
    assert folders(tmp_path) == ["v001", "v002"] and len(listed()) == 2
    run(clip, tmp_path, seed=1, new_version=True)
    assert folders(tmp_path) == ["v001", "v002", "v003"]
    assert (Path(listed()[0].folder) / "depth.json").stat().st_mtime_ns == made


def test_an_unfinished_estimate_goes_on_in_its_folder(worker, clip, tmp_path):
    job, place = estimation.prepare(
        source.from_file(clip / "plate.1001.png"), Settings(estimator="running_mean"), root=tmp_path
    )
    assert place.standing == "new"
    steps = client.estimate(job, python=worker)
    while not (place.folder / "disparity.1002.exr").exists():
        next(steps)
    steps.close()
    if not (place.folder / "depth.json").exists():
        _, again = estimation.prepare(
            source.from_file(clip / "plate.1001.png"), Settings(estimator="running_mean"), root=tmp_path
        )
        assert (again.standing, again.folder) == ("unfinished", place.folder)
    run(clip, tmp_path)
    assert folders(tmp_path) == ["v001"]


def test_a_relative_output_lies_beside_the_file(worker, clip, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    run(clip, "//depth")
    assert folders(tmp_path / "depth") == ["v001"]
    assert listed()[0].folder.startswith("//depth")


def test_the_active_strip_is_estimated_where_it_lies(worker, clip, tmp_path):
    editor = bpy.context.scene.sequence_editor_create()
    strip = strips_of(editor).new_image(name="street", filepath=str(clip / "plate.1001.png"), channel=1, frame_start=10)
    for number in range(1002, 1007):
        strip.elements.append(f"plate.{number}.png")
    editor.active_strip = strip
    bpy.ops.fathom.estimate_video_depth(estimator="running_mean", output=str(tmp_path))
    (item,) = listed()
    assert item.frame_offset == 10 - 1001
    editor.active_strip = None
    bpy.ops.fathom.estimate_video_depth(estimator="running_mean", output=str(tmp_path), strip="street")
    assert len(listed()) == 1 and folders(tmp_path) == ["v001"]


@pytest.mark.slow
def test_the_streams_of_one_movie_are_clips_of_their_own(worker, tmp_path):
    path = streams(tmp_path / "cameras.mov", [[numbered(100 * k + n) for n in range(4)] for k in (0, 1)])
    strip = strips_of(bpy.context.scene.sequence_editor_create()).new_movie("cameras", str(path), 1, 1)
    for index in (0, 1, 0, 1):
        strip.stream_index = index
        bpy.ops.fathom.estimate_video_depth(estimator="running_mean", output=str(tmp_path / "depth"), strip="cameras")
    bpy.ops.fathom.estimate_video_depth(
        estimator="running_mean", output=str(tmp_path / "other"), filepath=str(path), stream=1
    )
    made = [depth_sequence.load(item.folder).source for item in listed()]
    assert [source.stream for source in made] == [0, 1, 1]
    assert len({item.folder for item in listed()}) == 3
    assert {source.path for source in made} == {str(path)}


def test_a_movie_clip_is_estimated(worker, clip, tmp_path):
    movie_clip = bpy.data.movieclips.load(str(clip / "plate.1001.png"))
    bpy.ops.fathom.estimate_video_depth(estimator="running_mean", output=str(tmp_path), clip=movie_clip.name)
    sequence = depth_sequence.load(listed()[0].folder)
    assert (sequence.first_frame, sequence.last_frame) == (1001, 1006)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"filepath": "/nowhere/plate.1001.png"}, "/nowhere"),
        ({"filepath": "", "strip": "lost"}, "no strip 'lost'"),
        ({"filepath": "", "clip": "lost"}, "no movie clip 'lost'"),
        ({"filepath": ""}, "No strip is active"),
        ({"frames": "990-1003"}, "shows the frames 1001-1006"),
        ({"frames": "all"}, "is no range of frames"),
        ({"size": 7}, "at least 64 pixels"),
        ({"parameters": "{"}, "not valid JSON"),
        ({"parameters": "[1]"}, "no JSON object"),
        ({"parameters": '{"trouble": "crash"}'}, "something went wrong inside|fathom.log"),
        ({"parameters": '{"refused": -1}'}, "It shows nothing of use"),
        ({"estimator": "unheard_of"}, "no estimator 'unheard_of'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(worker, clip, tmp_path, arguments, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        run(clip, tmp_path, **arguments)
    assert not folders(tmp_path) and not listed()


def test_the_next_press_is_about_another_strip():
    properties = bpy.ops.fathom.estimate_video_depth.get_rna_type().properties
    remembered = {p.identifier for p in properties if not p.is_skip_save} - {"rna_type"}
    assert not remembered


def test_the_scene_that_asked_gets_the_depth_whatever_it_is_called_by_then(worker, clip, tmp_path):
    from bl_ext.dev.fathom.operators.estimate import FATHOM_OT_estimate_video_depth as operator

    asking = bpy.context.scene
    run(clip, tmp_path)
    plate = source.from_file(clip / "plate.1001.png")
    kept = SimpleNamespace(
        _scene=asking.session_uid,
        _plate=plate,
        _folder=Path(listed()[0].folder),
        _run=None,
        _job=None,
        _list=operator._list,
        report=lambda *_arguments: None,
    )
    asking.fathom.depths.clear()
    asking.name = "renamed meanwhile"
    other = bpy.data.scenes.new("another")
    with bpy.context.temp_override(scene=other):
        operator.finish(kept, bpy.context)
    assert len(asking.fathom.depths) == 1 and not other.fathom.depths


def test_an_unsaved_file_needs_a_folder(worker, clip):
    with pytest.raises(RuntimeError, match=r"This file is not saved.*save the file, or choose an output folder"):
        run(clip, "//depth")
    with pytest.raises(RuntimeError, match="No output folder is chosen"):
        bpy.context.scene.fathom.output = ""
        run(clip, "")


def test_without_an_environment_the_cure_is_named(clip, tmp_path, monkeypatch):
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    with pytest.raises(
        RuntimeError, match=r"inference environment .* is not installed yet: press Install Dependencies in"
    ):
        run(clip, tmp_path / "depth")
    assert not (tmp_path / "depth").exists() and not (tmp_path / "home").exists()


def test_a_color_strip_is_refused(worker, tmp_path):
    editor = bpy.context.scene.sequence_editor_create()
    arguments = {"name": "blue", "type": "COLOR", "channel": 1, "frame_start": 1}
    length = {"length": 10} if bpy.app.version >= (5, 0, 0) else {"frame_end": 10}
    editor.active_strip = strips_of(editor).new_effect(**arguments, **length)
    with pytest.raises(RuntimeError, match="blue"):
        bpy.ops.fathom.estimate_video_depth(output=str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"parameters": "[" * 100_000}, "are not valid JSON"),
        ({"parameters": '{"a":' * 5000 + "1" + "}" * 5000}, "are not valid JSON|nested deeper"),
        ({"parameters": '{"a": ' + "9" * 5000 + "}"}, "are not valid JSON"),
        ({"frames": "9" * 5000}, "is no range of frames"),
        ({"frames": "1-" + "9" * 5000}, "is no range of frames"),
    ],
)
def test_endless_arguments_are_one_sentence(clip, tmp_path, arguments, said):
    with pytest.raises(RuntimeError, match=said) as caught:
        bpy.ops.fathom.estimate_video_depth(filepath=str(clip / "plate.1001.png"), output=str(tmp_path), **arguments)
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 1000
