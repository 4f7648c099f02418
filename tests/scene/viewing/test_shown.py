"""Which map lies where in each editor, for finished depth and for what is being estimated."""

import math
from dataclasses import replace
from types import SimpleNamespace

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.job import Source
from bl_ext.dev.fathom.operators.orientation import ByPoints
from bl_ext.dev.fathom.scene import (
    current_run,
    depth_list,
    depth_strip,
    disk_status,
    output,
    places,
    shot_list,
    source,
)
from bl_ext.dev.fathom.scene.plate import plate_image
from bl_ext.dev.fathom.scene.problems import Problem
from bl_ext.dev.fathom.scene.versions import strips_of, times_of
from bl_ext.dev.fathom.scene.viewing import image_editor, shown
from disk_watch import watched
from drawing import look

from tests.footage_maker import numbered, streams

SEQUENCER = SimpleNamespace(type="SEQUENCE_EDITOR")
SQUARE = shown.SQUARE


@pytest.fixture
def scene(empty_file, tmp_path):
    """Two versions of the depth of a sequence, frames 1 to 5, shown; its strip begins at frame 11."""
    disk_status.stop()
    first = depth_maker.make(tmp_path / "one", plate_size=(48, 32))
    second = depth_maker.make(tmp_path / "two", shots=[(1, 2, "done"), (3, 5, "refused")])
    for folder in (second, first):
        bpy.ops.fathom.load_depth(directory=str(folder))
    names = ["second", "first"]
    for item, name in zip(empty_file.fathom.depths, names):
        item.name = name
    plates = sorted((tmp_path / "one" / "plate").iterdir())
    strip = strips_of(empty_file.sequence_editor_create()).new_image("street", str(plates[0]), 1, 11)
    for plate in plates[1:]:
        strip.elements.append(plate.name)
    empty_file.render.resolution_x, empty_file.render.resolution_y = 48, 32
    empty_file.fathom.view.show = True
    yield empty_file
    current_run.end_current()
    disk_status.stop()


def seen(space, scene):
    shown.in_editor(space, scene)
    look()
    with watched() as touched:
        found = shown.in_editor(space, scene)
    assert touched == [], "drawing looks at no file"
    return found


def of_plate(scene, name):
    """Let the second depth be of the first one's plate."""
    item = scene.fathom.depths[name]
    plate = scene.fathom.depths["first"]
    item.plate = bpy.path.abspath(plate.folder).removesuffix("depth") + "plate/plate.0001.png"
    places.ask(item.plate)


def test_nothing_is_shown_unless_asked_for(scene):
    scene.fathom.view.show = False
    assert seen(SEQUENCER, scene) == shown.Shown()


def test_the_sequencer_shows_the_frame_of_the_strip(scene, tmp_path):
    scene.frame_current = 13
    (picture,) = seen(SEQUENCER, scene).pictures
    assert picture.path == tmp_path / "one" / "depth" / "disparity.0003.exr"
    assert picture.corners == ((-24, -16), (24, -16), (24, 16), (-24, 16)) and picture.crop == (0, 0, 1, 1)
    values = depth_sequence.load(tmp_path / "one" / "depth").shots[0].range
    assert (picture.low, picture.high) == (values.p1, values.p99)
    assert "first" in picture.label and "frame 3" in picture.label
    scene.frame_current = 5
    found = seen(SEQUENCER, scene)
    assert not found.pictures and "No strip under the playhead" in found.note


def test_a_trimmed_strip_shows_the_frames_that_it_plays(scene):
    strip = strips_of(scene.sequence_editor)[0]
    strip.frame_offset_start = 2
    scene.frame_current = 13
    assert seen(SEQUENCER, scene).pictures[0].path.name == "disparity.0003.exr"
    scene.frame_current = 12
    assert not seen(SEQUENCER, scene).pictures
    scene.frame_current = 13
    strip.use_reverse_frames = True
    assert not seen(SEQUENCER, scene).pictures, "it plays other frames"
    strip.use_reverse_frames = False
    assert seen(SEQUENCER, scene).pictures
    strips = strips_of(scene.sequence_editor)
    names = strips.bl_rna.functions["new_effect"].parameters
    first = "input1" if "input1" in names else "seq1"
    length = {"length": 5} if "length" in names else {"frame_end": 16}
    strips.new_effect("faster", "SPEED", 5, frame_start=11, **length, **{first: strip})
    assert not seen(SEQUENCER, scene).pictures


def test_a_shot_beside_it_in_its_folder_is_another(empty_file, tmp_path):
    """Shots of one folder may differ in a number alone, and have the same frames."""
    folder = depth_maker.make(tmp_path, plate_name="sh010.{:04d}.png")
    strips = strips_of(empty_file.sequence_editor_create())
    for shot, start in (("sh010", 1), ("sh020", 6)):
        for frame in range(1, 6):
            depth_maker.write_png(tmp_path / "plate" / f"{shot}.{frame:04d}.png", np.zeros((16, 24, 3), np.uint8))
        strip = strips.new_image(shot, str(tmp_path / "plate" / f"{shot}.0002.png"), 1, start)
        for frame in range(3, 6):
            strip.elements.append(f"{shot}.{frame:04d}.png")
    plate = depth_sequence.located(depth_sequence.load(folder), folder).source
    assert [shown.strip_of(plate, empty_file, now=frame) for frame in (2, 7)] == [strips["sh010"], None]
    strips["sh020"].channel = 2
    bpy.ops.fathom.load_depth(directory=str(folder))
    (strip,) = depth_strip.add(depth_list.load(empty_file), empty_file)
    assert strip.channel == 3 and times_of(strip).left == 0, "in step with its plate, and not with what is above it"


def test_depth_lies_where_the_strip_does(scene):
    strip = strips_of(scene.sequence_editor)[0]
    transform, crop = strip.transform, strip.crop
    transform.scale_x, transform.scale_y, transform.rotation = 0.5, 2.0, math.pi / 2
    transform.offset_x, transform.offset_y = 3.0, -4.0
    scene.frame_current = 12
    (picture,) = seen(SEQUENCER, scene).pictures
    # scaled to 24x64, turned a quarter to the left, shifted
    expected = ((3 + 32, -4 - 12), (3 + 32, -4 + 12), (3 - 32, -4 + 12), (3 - 32, -4 - 12))
    assert np.allclose(picture.corners, expected)
    transform.rotation, transform.scale_x, transform.scale_y = 0.0, 1.0, 1.0
    crop.min_x, crop.max_y = 12, 8
    (picture,) = seen(SEQUENCER, scene).pictures
    assert np.allclose(picture.crop, (0.25, 0, 1, 0.75))
    assert np.allclose(picture.corners, ((-9, -20), (27, -20), (27, 4), (-9, 4)))


def test_it_is_wiped_against_the_plate_or_another_version(scene):
    view = scene.fathom.view
    scene.frame_current = 12
    view.arrangement, view.wipe = "WIPE", 0.25
    (picture,) = seen(SEQUENCER, scene).pictures
    assert np.allclose(picture.corners, ((-12, -16), (24, -16), (24, 16), (-12, 16))) and not picture.is_whole
    assert np.allclose(picture.crop, (0.25, 0, 1, 1))
    view.wipe = 1.0
    assert seen(SEQUENCER, scene) == shown.Shown(), "nothing is left of it, and nothing is wrong"
    view.wipe = 0.25
    of_plate(scene, "second")
    view.other = "second"
    left, right = seen(SEQUENCER, scene).pictures
    assert left.path.parent.parent.name == "two" and np.allclose(left.crop, (0, 0, 0.25, 1))
    assert right == picture
    assert (left.low, left.high) != (right.low, right.high) or left.path != right.path
    view.arrangement = "BESIDE"
    left, right = seen(SEQUENCER, scene).pictures
    assert left.corners[0] == (-24, -16) and right.corners[0][0] > 24 and right.crop == (0, 0, 1, 1)
    view.arrangement = "OVER"
    assert len(seen(SEQUENCER, scene).pictures) == 1


def test_a_frame_without_depth_says_why(scene):
    of_plate(scene, "second")
    scene.fathom.active_depth = 0
    scene.frame_current = 14
    found = seen(SEQUENCER, scene)
    assert not found.pictures and found.note.endswith("has no depth. The camera stands still.")


def test_the_clip_editor_shows_the_frame_of_its_clip(scene, tmp_path):
    plates = sorted((tmp_path / "one" / "plate").iterdir())
    clip = bpy.data.movieclips.load(str(plates[0]))
    clip.frame_start, clip.frame_offset = 101, 1
    space = SimpleNamespace(
        type="CLIP_EDITOR", clip=clip, show_stable=False, clip_user=SimpleNamespace(frame_current=102)
    )
    scene.frame_current = 104  # Blender shows the frame that was played last, of whichever scene
    (picture,) = seen(space, scene).pictures
    assert picture.path.name == "disparity.0003.exr" and picture.corners == SQUARE
    depth, scene.frame_current = depth_list.load(scene), 3
    shown.require_in_step(depth, space, scene)
    scene.frame_current = 2
    with pytest.raises(Problem, match=r"shows frame 3 of .* is that of frame 2: set the clip's Start Frame"):
        shown.require_in_step(depth, space, scene)
    space.show_stable, clip.tracking.stabilization.use_2d_stabilization = True, True
    assert not seen(space, scene).pictures, "the clip is shown where depth does not fit"
    space.clip = None
    found = seen(space, scene)
    assert not found.pictures and "does not show the clip" in found.note


def test_an_image_editor_gets_the_plate_in_step(scene, tmp_path):
    from bl_ext.dev.fathom.scene import depth_list

    user = SimpleNamespace(use_cyclic=True, use_auto_refresh=False, frame_offset=0, frame_start=0, frame_duration=0)
    user.frame_current = 0
    space = SimpleNamespace(type="IMAGE_EDITOR", image=None, image_user=user)
    depth = depth_list.load(scene)
    assert image_editor.show(space, depth)
    assert user.use_auto_refresh and space.image.source == "SEQUENCE"
    assert not image_editor.show(space, depth)
    user.frame_start, user.frame_offset = 1, 0
    with pytest.raises(Problem, match=r"shows frame 3 of .* is that of frame 4: press View Depth here"):
        scene.frame_current, user.frame_start = 4, 2
        shown.require_in_step(depth, space, scene)
    assert image_editor.show(space, depth) and user.frame_offset == 1, "in step again, though it is shown already"
    shown.require_in_step(depth, space, scene)
    scene.frame_current = 4
    (picture,) = seen(space, scene).pictures
    assert picture.path.name == "disparity.0004.exr" and picture.corners == SQUARE
    space.image = bpy.data.images.new("other", 4, 4)
    assert not seen(space, scene).pictures
    for file in (tmp_path / "one" / "plate").iterdir():
        file.unlink()
    space.image = None
    assert image_editor.show(space, depth), "the maps themselves, where the plate is missing"
    assert space.image.colorspace_settings.name == "Non-Color"
    assert seen(space, scene).pictures[0].path.name == "disparity.0004.exr"


def test_a_click_in_an_image_that_is_out_of_step_ends_with_a_message(scene):
    """What is clicked in one frame would be measured in another."""
    user = SimpleNamespace(use_cyclic=False, use_auto_refresh=True, frame_offset=0, frame_start=2, frame_duration=100)
    user.frame_current = 0
    space = SimpleNamespace(type="IMAGE_EDITOR", image=plate_image(depth_list.load(scene)), image_user=user)
    region = SimpleNamespace(type="WINDOW", x=0, y=0, view2d=SimpleNamespace(region_to_view=lambda x, y: (x, y)))
    area = SimpleNamespace(type="IMAGE_EDITOR", spaces=SimpleNamespace(active=space), regions=[region])
    workspace = SimpleNamespace(status_text_set=lambda text: None)
    context = SimpleNamespace(scene=scene, area=area, space_data=space, workspace=workspace)
    event, messages, done = SimpleNamespace(type="LEFTMOUSE", value="PRESS", mouse_x=0.5, mouse_y=0.5), [], []
    operator = type("Points", (ByPoints,), {"count": 1, "depth": -1, "points": "", "bl_label": "Points"})()
    operator.report, operator.options = lambda kinds, text: messages.append(text), SimpleNamespace(is_invoke=False)
    operator.execute = done.append
    scene.frame_current = 4
    assert operator.invoke(context, event) == {"CANCELLED"} and "shows frame 3" in messages.pop()
    operator._clicked = []
    assert operator.modal(context, event) == {"CANCELLED"} and "shows frame 3" in messages.pop() and not done
    user.frame_start = 1
    operator.modal(context, event)
    assert done and not messages


@pytest.mark.parametrize(
    ("now", "settings", "expected"),
    [
        (4, {"frame_start": 2}, 3),
        (5, {"frame_start": 1, "frame_offset": -2}, 3),
        (5, {"frame_start": 1, "frame_duration": 2}, 2),
        (8, {"frame_start": 1, "frame_duration": 5, "use_cyclic": True}, 3),
        (4, {"use_auto_refresh": False, "frame_current": 2}, 2),
        (4, {"frame_current": 5}, 5),
    ],
)
def test_an_image_that_was_chosen_by_hand_is_seen_at_the_frames_that_it_shows(scene, now, settings, expected):
    """As Blender plays it: it begins at frame 1 and ends after 100, wherever the depth lies."""
    user = {"use_cyclic": False, "use_auto_refresh": True, "frame_offset": 0, "frame_start": 1, "frame_duration": 100}
    user = SimpleNamespace(**{**user, "frame_current": 0, **settings})
    space = SimpleNamespace(type="IMAGE_EDITOR", image=plate_image(depth_list.load(scene)), image_user=user)
    scene.frame_current = now
    (picture,) = seen(space, scene).pictures
    assert picture.path.name == f"disparity.{expected:04d}.exr"


def test_only_the_sequencer_shows_the_scene_that_it_plays(scene):
    """From Blender 5.0 on it may be another than the window's, at another frame."""
    edit = bpy.data.scenes.new("edit")
    user = SimpleNamespace(use_cyclic=False, use_auto_refresh=True, frame_offset=0, frame_start=1, frame_duration=100)
    user.frame_current = 0
    space = SimpleNamespace(type="IMAGE_EDITOR", image=plate_image(depth_list.load(scene)), image_user=user)
    seen(space, scene)
    scene.frame_current, edit.frame_current = 2, 4
    (picture,) = shown.in_editor(space, scene, edit).pictures
    assert picture.path.name == "disparity.0002.exr"


def test_another_stream_of_a_movie_is_another_clip(empty_file, tmp_path):
    path = streams(tmp_path / "cameras.mov", [[numbered(n) for n in range(6)]] * 2)
    strip = strips_of(empty_file.sequence_editor_create()).new_movie("cameras", str(path), 1, 1)
    plates = [Source(kind="movie", path=str(path), stream=index) for index in (0, 1)]
    assert [shown.strip_of(each, empty_file) for each in plates] == [strip, None]
    strip.stream_index = 1
    assert [shown.strip_of(each, empty_file) for each in plates] == [None, strip]


def test_a_file_that_windows_saved_shows_its_plate(scene, tmp_path):
    """There Blender writes paths relative to the file with backslashes, and reads them everywhere."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    strip = strips_of(scene.sequence_editor)[0]
    strip.directory = "//one\\plate\\"
    clip = bpy.data.movieclips.load(str(tmp_path / "one" / "plate" / "plate.0001.png"))
    clip.filepath = "//one\\plate\\plate.0001.png"
    scene.frame_current = 13
    assert seen(SEQUENCER, scene).pictures[0].path.name == "disparity.0003.exr"
    space = SimpleNamespace(
        type="CLIP_EDITOR", clip=clip, show_stable=False, clip_user=SimpleNamespace(frame_current=2)
    )
    assert seen(space, scene).pictures[0].path.name == "disparity.0002.exr"
    for found in (source.from_clip(clip), source.from_strip(strip, scene)):
        assert found.source.path == str(tmp_path / "one" / "plate") and len(found.source.files) == 5
    assert output.root_folder("//one\\depth") == tmp_path / "one" / "depth"


def test_frames_are_shown_while_they_come_in(scene, tmp_path):
    plates = sorted((tmp_path / "one" / "plate").iterdir())
    folder = tmp_path / "three"
    folder.mkdir()
    plate = source.Plate(
        source=Source(kind="sequence", path=str(plates[0].parent), files=tuple(p.name for p in plates)),
        first_frame=1,
        last_frame=5,
        scene_start=11,
    )
    current_run.start("Estimating", (events for events in ()), None, shown.Target(folder, plate))
    scene.frame_current = 12
    found = seen(SEQUENCER, scene)
    assert not found.pictures and "has no depth yet" in found.note and "0 of 5 frames" in found.note
    for frame in (1, 2):
        depth_maker.write_map(folder / f"disparity.{frame:04d}.exr", np.linspace(frame, 10, 200).reshape(10, 20))
    disk_status.outdate()
    (picture,) = seen(SEQUENCER, scene).pictures
    assert picture.path == folder / "disparity.0002.exr" and "2 of 5 frames" in picture.label
    assert 1 < picture.low < 2 and 9 < picture.high < 10, "what is there so far"
    state = folder / depth_sequence.SCRATCH / depth_sequence.STATE
    state.parent.mkdir()
    state.write_text(
        '{"shots": [{"first_frame": 1, "last_frame": 2, "status": "done", "range": '
        '{"minimum": 0, "maximum": 20, "p1": 2.5, "p99": 19}}]}'
    )
    disk_status.outdate()
    (picture,) = seen(SEQUENCER, scene).pictures
    assert (picture.low, picture.high) == (2.5, 19), "a finished shot has its own"
    scene.fathom.view.follow_run = False
    assert seen(SEQUENCER, scene).pictures[0].path.parent.parent.name == "one", "the active depth"


def test_an_endless_reason_is_cut(scene, tmp_path):
    sequence = depth_sequence.load(tmp_path / "two" / "depth")
    shots = (sequence.shots[0], replace(sequence.shots[1], reason="x" * 5_000_000))
    depth_sequence.save(replace(sequence, shots=shots), tmp_path / "two" / "depth")
    disk_status.outdate()
    of_plate(scene, "second")
    scene.fathom.active_depth = 0
    scene.frame_current = 14
    assert 100 < len(seen(SEQUENCER, scene).note) < 400
    (_, listed) = shot_list.look(scene.fathom.depths[0])
    assert len(listed.reason) < 600
