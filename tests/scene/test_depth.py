"""Loading a depth sequence, its frames on the timeline, its images."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.depth_sequence import DepthSequence
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import plate as plates
from hypothesis import given, settings
from hypothesis import strategies as st


def test_scene_frames_are_source_frames_plus_offset(tmp_path, empty_file):
    shots = [(1, 3, "done"), (4, 5, "refused"), (6, 8, "done")]
    depth = depths.load(depth_maker.make(tmp_path, frames=range(1, 9), shots=shots), frame_offset=100)
    first, refused, last = depth.sequence.shots
    assert [depth.source_frame(f) for f in (0, 101, 105, 108, 999)] == [1, 1, 5, 8, 8]
    assert [depth.shot_at(f) for f in (0, 103, 104, 105, 106, 999)] == [first, first, refused, refused, last, last]
    assert depth.frames_shown(first) == (None, 3)
    assert depth.frames_shown(refused) == (4, 5)
    assert depth.frames_shown(last) == (6, None)
    assert depth.done_shot_at(107) == last
    with pytest.raises(depths.DepthError, match=r"Frames 4-5 of plate have no depth: The camera stands still;"):
        depth.done_shot_at(104)
    with pytest.raises(depths.DepthError, match="camera stands still"):
        depths.distances(depth, refused)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), min_size=1, max_size=5),
    start=st.integers(0, 20),
    offset=st.integers(-30, 30),
    scene_frame=st.integers(-60, 120),
)
@settings(max_examples=200, deadline=None)
def test_a_setup_shows_exactly_the_frames_of_its_shot(lengths, start, offset, scene_frame):
    shots, at = [], start
    for length, gap in lengths:
        shots.append(SimpleNamespace(first_frame=at, last_frame=at + length - 1, status="done"))
        at += length + gap
    sequence = SimpleNamespace(shots=shots)
    sequence.shot_at = lambda frame: DepthSequence.shot_at(sequence, frame)
    depth = depths.Depth(folder=None, sequence=sequence, frame_offset=offset)
    for shot in shots:
        first, last = depth.frames_shown(shot)
        frame = scene_frame - offset
        shown = (first is None or frame >= first) and (last is None or frame <= last)
        assert shown == (depth.shot_at(scene_frame) is shot)


def test_what_cannot_be_loaded_is_said_in_a_sentence(tmp_path, empty_file):
    with pytest.raises(depths.DepthError, match=r"nothing does not exist: it was moved"):
        depths.load(tmp_path / "nothing")
    with pytest.raises(depths.DepthError, match=r"contains no depth\.json, so it is not a depth sequence"):
        depths.load(tmp_path)
    folder = depth_maker.make(tmp_path, confidence=depth_maker.slanted)
    (folder / "disparity.0003.exr").unlink()
    with pytest.raises(depths.DepthError, match=r"frame 3 \(disparity\.0003\.exr\) is missing"):
        depths.load(folder)
    (folder / "confidence.0002.exr").unlink()
    with pytest.raises(depths.DepthError, match=r"frame 2 \(confidence\.0002\.exr\) and 1 more is missing"):
        depths.load(folder / "depth.json")
    depth_sequence.save(replace(depth_sequence.load(folder), shots=()), folder)
    with pytest.raises(depths.DepthError, match=r"depth\.json lists no shots; estimate the clip again"):
        depths.load(folder)


def test_disparity_image_is_a_sequence_of_data_and_made_once(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, confidence=depth_maker.slanted)
    image = depths.disparity_image(depths.load(folder))
    assert (image.source, image.colorspace_settings.name, image.name) == ("SEQUENCE", "Non-Color", "plate Depth")
    assert bpy.path.abspath(image.filepath) == str(folder / "disparity.0001.exr")
    again = depths.load(folder, frame_offset=9)
    assert depths.disparity_image(again) == image == depths.find_disparity_image(again)
    confidence = depths.confidence_image(again)
    assert confidence == depths.confidence_image(again) != image
    other = depths.load(depth_maker.make(tmp_path / "other"))
    assert depths.find_disparity_image(other) is None
    assert depths.disparity_image(other) != image
    assert depths.confidence_image(other) is None


def test_paths_are_relative_once_the_file_is_saved_and_survive_a_move(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path / "here")
    depth = depths.load(folder)
    assert depths.disparity_image(depth).filepath == str(folder / "disparity.0001.exr")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "here" / "shot.blend"))
    image, plate = depths.disparity_image(depth), plates.plate_image(depth)
    assert (image.filepath, plate.filepath) == ("//depth/disparity.0001.exr", "//plate/plate.0001.png")
    bpy.ops.wm.save_mainfile()
    shutil.move(tmp_path / "here", tmp_path / "there")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "there" / "shot.blend"))
    moved = depths.load("//depth")
    assert moved.folder == tmp_path / "there" / "depth"
    assert depths.disparity_image(moved) == bpy.data.images["plate Depth"]
    assert plates.plate_image(moved) == bpy.data.images["plate Plate"]
    assert len(bpy.data.images) == 2


def test_distances_suit_the_shot(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path / "a"))
    found = depths.distances(depth, depth.sequence.shots[0])
    spread = depth.sequence.shots[0].range
    assert (found.p1, found.p99, found.scale) == (spread.p1, spread.p99, 1.0)
    assert found.far_limit == pytest.approx(4 / spread.p1)
    sky = depths.load(depth_maker.make(tmp_path / "b", disparity=lambda n, w, h: depth_maker.slanted(n, w, h) - 0.4))
    found = depths.distances(sky, sky.sequence.shots[0])
    assert found.far_limit == pytest.approx(200 / found.p99)
    flat = depths.load(
        depth_maker.make(
            tmp_path / "c", disparity=lambda n, w, h: 0 * depth_maker.slanted(n, w, h), quantity="relative_disparity"
        )
    )
    found = depths.distances(flat, flat.sequence.shots[0])
    assert found.p99 > found.p1
    assert 0 < found.near_limit < found.near < found.far < found.far_limit


@pytest.mark.parametrize("offset", [2**31 - 1, -(2**31)])
def test_a_frame_offset_beyond_every_timeline_is_one_sentence(tmp_path, empty_file, offset):
    folder = depth_maker.make(tmp_path)
    bpy.ops.fathom.load_depth(directory=str(folder))
    empty_file.fathom.depths[0].frame_offset = offset
    for operator in (bpy.ops.fathom.add_compositing_fog, bpy.ops.fathom.fit_scene, bpy.ops.fathom.check_files):
        with pytest.raises(RuntimeError, match="leads beyond Blender's timeline"):
            operator()
