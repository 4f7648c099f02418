"""Depth fitted to a camera solve: its distances are the solve's, in all that is built, or it is declined."""

from dataclasses import replace
from types import SimpleNamespace

import bpy
import depth_maker
import numpy as np
import pytest
import room_maker
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.depth_sequence import Range
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import camera_fit, depth_list, nodes, solved_tracks
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import mesh as meshes
from bl_ext.dev.fathom.scene.problems import Problem
from bl_ext.dev.fathom.scene.viewing import shown
from drawing import look
from geometry_tools import attribute, evaluated
from room_maker import Room


def listed(folder, scene, offset=0):
    depth = depths.load(folder, frame_offset=offset)
    depth_list.remember(scene, depth)
    return depth, depth.done_shots[0]


def relative(inverse):
    """Disparity of which only a scale and a shift are missing: 1/Z = 0.2 d + 0.03."""
    return (inverse - 0.03) / 0.2


def share_off(found, room, clip, *, values=None):
    """How far the fitted distances of whole maps are from the room's, at most, as a share."""
    off = []
    for frame in (1001, 1010, 1020):
        inverse = room.inverse(frame, 32, 18)
        scale, shift = (np.interp(frame, *zip(*((key[0], key[i]) for key in found.fit.keys))) for i in (1, 2))
        z = 1 / (scale * (values or (lambda each: each))(inverse) + shift)
        off.append(np.abs(z * inverse / room_maker.unit(clip, room) - 1).max())
    return max(off)


@pytest.mark.parametrize("k1", [0.0, -0.15])
@pytest.mark.parametrize(("quantity", "values"), [("inverse_depth", None), ("relative_disparity", relative)])
def test_distances_are_the_solves(tmp_path, empty_file, quantity, values, k1):
    room = Room(k1=k1)
    folder, clip = room_maker.make(tmp_path, room, quantity=quantity, values=values)
    depth, shot = listed(folder, empty_file)
    found = camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    assert share_off(found, room, clip, values=values) < 0.005
    assert found.notes == () and found.tracks.inlier.sum() > 20
    entry = empty_file.fathom.depths[0].fits[0]
    assert (entry.clip, entry.first_frame, entry.last_frame) == (clip, 1001, 1020)
    assert entry.residual == pytest.approx(found.tracks.residual, rel=1e-3)
    assert depth_list.load(empty_file).fit_of(shot).keys[0][1] == pytest.approx(found.fit.keys[0][1])


@pytest.mark.parametrize("where", ["markers", "offset"])
def test_tracks_that_are_nowhere_do_not_count(tmp_path, empty_file, where):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    depth, shot = listed(folder, empty_file)
    for track in list(solved_tracks.camera_object(clip).tracks)[::2]:
        if where == "offset":
            track.offset = (float("nan"), 1e38)
        for marker in track.markers if where == "markers" else ():
            marker.co = (float("nan"), 1e30)
    assert share_off(camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file), room, clip) < 0.005


def test_a_fifth_of_the_tracks_in_the_air_does_not_matter(tmp_path, empty_file):
    room = Room()
    points = room.points(50)
    middle = room.pose(1010)[:3, 3]
    points[::5] = middle + 0.4 * (points[::5] - middle)
    folder, clip = room_maker.make(tmp_path, room, points=points)
    depth, shot = listed(folder, empty_file)
    found = camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    assert share_off(found, room, clip) < 0.01
    wild = {f"point {number}" for number in range(0, 50, 5)}
    item = empty_file.fathom.depths[0].fits[0]
    assert {track.name for track in item.tracks if not track.is_inlier} >= wild & {track.name for track in item.tracks}
    assert {track.name for track in camera_fit.worst_tracks(item)} <= wild
    by_error = sorted(item.tracks, key=lambda track: track.error, reverse=True)
    assert [track.name for track in camera_fit.worst_tracks(item, 4)] == [track.name for track in by_error[:4]]
    assert camera_fit.wild_tracks(item) == [track.name for track in item.tracks if not track.is_inlier]
    assert camera_fit.select_tracks(clip, wild) == 10
    assert {track.name for track in clip.tracking.tracks if track.select} == wild


def test_what_is_built_follows_at_once_and_back(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room, quantity="relative_disparity", values=relative)
    depth, shot = listed(folder, empty_file)
    camera = cameras.build_camera(depth, shot, scene=empty_file, focal_length=36.0)
    mesh = meshes.build_mesh(depth, shot, camera)
    before = attribute(evaluated(mesh, empty_file, 1005).data, meshes.DEPTH_ATTRIBUTE, 1)
    camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    found = attribute(evaluated(mesh, empty_file, 1005).data, meshes.DEPTH_ATTRIBUTE, 1).reshape(162, 92)[1:-1, 1:-1]
    wanted = room_maker.unit(clip, room) / room.inverse(1005, 160, 90)[::-1].T
    assert np.abs(found / wanted - 1).max() < 0.005
    camera_fit.remove_fit(empty_file, depth_list.load(empty_file), shot)
    again = attribute(evaluated(mesh, empty_file, 1005).data, meshes.DEPTH_ATTRIBUTE, 1)
    assert np.allclose(again, before, rtol=1e-5)
    with pytest.raises(Problem, match="is not fitted"):
        camera_fit.remove_fit(empty_file, depth_list.load(empty_file), shot)


def test_changes_over_time_are_keyed(tmp_path, empty_file):
    room = Room()

    def disparity(frame, width, height):
        return room.inverse(frame, width, height) / (0.3 + 0.01 * (frame - 1001))

    folder = depth_maker.make(
        tmp_path, size=(160, 90), plate_size=room_maker.SIZE, frames=room.frames, disparity=disparity
    )
    clip = room_maker.load_clip(folder)
    room_maker.track(clip, room, room.points())
    room_maker.solve(clip)
    depth, shot = listed(folder, empty_file, offset=100)
    camera = cameras.build_camera(depth, shot, scene=empty_file, focal_length=36.0)
    mesh = meshes.build_mesh(depth, shot, camera)
    found = camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file, spacing=5)
    assert [key[0] for key in found.fit.keys] == [1001, 1006, 1010, 1015, 1020]
    for frame in (1003, 1018):
        seen = attribute(evaluated(mesh, empty_file, frame + 100).data, meshes.DEPTH_ATTRIBUTE, 1).reshape(162, 92)
        wanted = room_maker.unit(clip, room) / room.inverse(frame, 160, 90)[::-1].T
        assert np.abs(seen[1:-1, 1:-1] / wanted - 1).max() < 0.01
    camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    path = nodes.modifier_input_path(mesh.modifiers[0], "Solve Scale")
    assert not any(curves.find(path, index=0) for curves in nodes.curves_of(mesh))


def test_fathoms_own_path_is_in_the_solves_units(tmp_path, empty_file):
    room = Room()

    def camera(frames):
        return depth_maker.dolly(frames, width=320, height=180, focal_length=320.0)

    folder, clip = room_maker.make(tmp_path, room, values=lambda each: 4 * each, camera=camera)
    depth, shot = listed(folder, empty_file)
    own = cameras.build_camera(depth, shot, scene=empty_file)
    empty_file.frame_set(1020)
    before = own.matrix_world.translation.copy()
    found = camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    empty_file.frame_set(1020)
    assert np.allclose(own.matrix_world.translation, before / found.fit.keys[0][1], rtol=1e-4)


def test_frames_are_the_sources_whatever_start_and_offset_the_clip_has(tmp_path, empty_file):
    room = Room()
    folder = depth_maker.make(
        tmp_path, size=(160, 90), plate_size=room_maker.SIZE, frames=room.frames, disparity=room.inverse
    )
    clip = room_maker.load_clip(folder)
    clip.frame_start, clip.frame_offset = 77, 3
    room_maker.track(clip, room, room.points(), frames=range(1004, 1021))
    room_maker.solve(clip, 1, 17)
    assert solved_tracks.clip_offset(clip) == 77 - 1004
    depth, shot = listed(folder, empty_file)
    found = camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    off = [found.tracks.fitted[found.tracks.inlier] / found.tracks.distance[found.tracks.inlier] - 1]
    assert np.abs(off).max() < 0.005 and found.tracks.inlier.mean() > 0.8


@pytest.mark.parametrize("beside", ["", ".."])
def test_frames_are_the_sources_where_the_clips_path_is_relative(tmp_path, empty_file, beside):
    """As Blender writes it: ``//`` and a folder look like a server's share."""
    folder, clip = room_maker.make(tmp_path, Room())
    depth, shot = listed(folder, empty_file, offset=clip.frame_start - 1001)
    images = tmp_path / depth.source.path
    bpy.ops.wm.save_as_mainfile(filepath=str(images / beside / "shot.blend"), relative_remap=True)
    clip = bpy.data.movieclips[clip.name]
    clip.filepath = bpy.path.relpath(bpy.path.abspath(clip.filepath))
    assert clip.filepath in ("//plate.1001.png", f"//{images.name}/plate.1001.png")
    assert solved_tracks.clip_offset(clip) == clip.frame_start - 1001
    found = camera_fit.fit_to_solve(depth, shot, clip, scene=bpy.context.scene)
    assert found.notes == () and solved_tracks.shows_plate(clip, depth.source)
    user = SimpleNamespace(frame_current=clip.frame_start + 2)
    space = SimpleNamespace(type="CLIP_EDITOR", clip=clip, show_stable=False, clip_user=user)
    bpy.context.scene.fathom.view.show = True
    shown.in_editor(space, bpy.context.scene)
    look()
    (picture,) = shown.in_editor(space, bpy.context.scene).pictures
    assert picture.path.name == "disparity.1003.exr"


def test_a_partial_solve_says_what_it_leaves_out(tmp_path, empty_file):
    room = Room()
    folder = depth_maker.make(
        tmp_path, size=(160, 90), plate_size=room_maker.SIZE, frames=room.frames, disparity=room.inverse
    )
    clip = room_maker.load_clip(folder)
    room_maker.track(clip, room, room.points(), frames=range(1001, 1013))
    room_maker.solve(clip, 1, 12)
    depth, shot = listed(folder, empty_file)
    found = camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    assert found.notes == ("8 of the shot's frames have no solved camera",)
    assert share_off(found, room, clip) < 0.005


def test_an_unsolved_clip_is_declined(tmp_path, empty_file):
    room = Room()
    folder = depth_maker.make(tmp_path, plate_size=room_maker.SIZE, frames=room.frames)
    clip = room_maker.load_clip(folder)
    depth, shot = listed(folder, empty_file)
    with pytest.raises(Problem, match="has no camera solve: track it in the Movie Clip Editor"):
        camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    with pytest.raises(Problem, match="No camera solve of plate is in this file"):
        solved_tracks.find_clip(depth, empty_file)
    assert len(empty_file.fathom.depths[0].fits) == 0


def test_a_camera_that_only_turns_is_declined(tmp_path, empty_file):
    room = Room(turns_only=True)
    folder = depth_maker.make(
        tmp_path, size=(160, 90), plate_size=room_maker.SIZE, frames=room.frames, disparity=room.inverse
    )
    clip = room_maker.load_clip(folder)
    room_maker.track(clip, room, room.points())
    room_maker.solve(clip, 1, 20, tripod=True)
    depth, shot = listed(folder, empty_file)
    with pytest.raises(Problem, match="turns without moving"):
        camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)


def test_other_frames_and_another_shape_are_declined(tmp_path, empty_file):
    room = Room()
    _, clip = room_maker.make(tmp_path / "one", room)
    other = depth_maker.make(tmp_path / "two", frames=range(1, 4), plate_size=room_maker.SIZE)
    depth, shot = listed(other, empty_file)
    with pytest.raises(Problem, match=r"is of frames 1001-1020, and the shot has 1-3"):
        camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    square = depth_maker.make(tmp_path / "three", frames=room.frames, plate_size=(200, 200))
    depth, shot = listed(square, empty_file)
    with pytest.raises(Problem, match="is of images of 320x180, and the depth of plate of 200x200"):
        camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)


def test_the_solve_of_another_clip_is_declined(tmp_path, empty_file):
    room = Room()
    _, clip = room_maker.make(tmp_path / "one", room)
    rng = np.random.default_rng(3)
    field = np.kron(rng.uniform(0.05, 0.5, (9, 16)), np.ones((10, 10)))
    other = depth_maker.make(
        tmp_path / "two",
        frames=room.frames,
        size=(160, 90),
        plate_size=room_maker.SIZE,
        disparity=lambda frame, width, height: field,
    )
    depth, shot = listed(other, empty_file)
    with pytest.raises(Problem, match="do not agree on what is near"):
        camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)


def test_muted_and_weightless_tracks_and_those_with_a_large_error_are_left_out(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    tracks = clip.tracking.tracks
    tracks["point 1"].weight = 0.0
    for marker in tracks["point 2"].markers:
        marker.mute = True
    depth, shot = listed(folder, empty_file)
    camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    used = {track.name for track in empty_file.fathom.depths[0].fits[0].tracks}
    assert "point 0" in used and not used & {"point 1", "point 2"}


def test_a_missing_map_is_said(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    depth, shot = listed(folder, empty_file)
    (folder / "disparity.1005.exr").unlink()
    with pytest.raises(Problem, match="The depth map of frame 1005 of plate is missing"):
        camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)


def test_depth_of_another_estimate_in_the_same_folder_has_no_fit(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    depth, shot = listed(folder, empty_file)
    camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    empty_file.fathom.depths[0].fits[0].job = "another"
    assert depth_list.load(empty_file).fit_of(shot) is None
    empty_file.fathom.depths[0].fits[0].job = depth.sequence.fingerprint
    empty_file.fathom.depths[0].fits[0].keys[0].scale = float("nan")  # somebody else's file
    assert depth_list.load(empty_file).fits == ()


def test_depth_of_the_same_job_done_again_in_the_same_folder_has_no_fit_where_its_values_are_others(
    tmp_path, empty_file
):
    """As with newer weights, or after the clip was rendered again: the fit's scale is in the first one's units."""
    folder, clip = room_maker.make(tmp_path, Room(), quantity="relative_disparity", values=relative)
    depth, shot = listed(folder, empty_file)
    camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    made = depth_sequence.load(folder)
    depth_sequence.save(replace(made, seconds=99.0), folder)
    assert depth_list.load(empty_file).fit_of(shot) is not None, "the same values"
    values = shot.range
    twice = Range(minimum=2 * values.minimum, maximum=2 * values.maximum, p1=2 * values.p1, p99=2 * values.p99)
    depth_sequence.save(replace(made, shots=(replace(made.shots[0], range=twice),)), folder)
    assert depth_list.load(empty_file).fit_of(shot) is None


def test_a_plate_that_was_undistorted(tmp_path, empty_file):
    room = Room(k1=-0.15)
    straight = Room()
    _, clip = room_maker.make(tmp_path / "filmed", room)
    other = depth_maker.make(
        tmp_path / "straight",
        size=(160, 90),
        plate_size=room_maker.SIZE,
        frames=room.frames,
        disparity=straight.inverse,
    )
    depth, shot = listed(other, empty_file)
    found = camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file, undistorted=True)
    assert share_off(found, straight, clip) < 0.005
    assert depth_list.load(empty_file).fit_of(shot).is_undistorted


@pytest.mark.parametrize("name", ["real_tracks_no_solve_missing_footage_2.79", "redkitchen_solved_camera"])
def test_files_with_tracks_or_a_camera_and_no_solve_are_declined(tmp_path, footage, name):
    file = footage / "blender" / f"{name}.blend"
    if not file.is_file():
        pytest.skip("this test file is not there")
    bpy.ops.wm.open_mainfile(filepath=str(file))
    scene = bpy.context.scene
    clip = bpy.data.movieclips[0]
    depth, shot = listed(depth_maker.make(tmp_path, frames=range(1, 4)), scene)
    with pytest.raises(Problem, match="No camera solve of"):
        solved_tracks.find_clip(depth, scene, clip)
    with pytest.raises(Problem, match=r"has no camera solve: track it|is of images of"):
        camera_fit.fit_to_solve(depth, shot, clip, scene=scene)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
