"""Exports of depth that is a camera solve's: they stand where the mesh stands in the artist's scene."""

import bpy
import depth_maker
import numpy as np
import pytest
import room_maker
from bl_ext.dev.fathom.inference.contract.client import WorkerError
from bl_ext.dev.fathom.scene import blender_files, build, camera_fit, depth_list, export
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene.camera import build_camera, find_rig
from geometry_tools import vertices
from room_maker import Room

from tests.marks import rest_slow


def fitted(folder, clip, scene):
    depth = depths.load(folder, frame_offset=-1000)
    depth_list.remember(scene, depth)
    camera_fit.fit_to_solve(depth, depth.done_shots[0], clip, scene=scene)
    return depth_list.load(scene), depth.done_shots[0]


def wanted(depth, scene, folder, **values):
    return export.wanted(depth, {"directory": str(folder), "format": "PLY"} | values, scene=scene)


def points_of(path):
    bpy.ops.wm.ply_import(filepath=str(path))
    thing = next(each for each in bpy.data.objects if each.name.startswith("plate_points"))
    return np.array([thing.matrix_world @ vertex.co for vertex in thing.data.vertices])


@pytest.mark.parametrize("case", rest_slow([(-0.2, "relative_disparity", True), (0.0, "inverse_depth", False)]))
def test_points_and_camera_stand_in_the_scene(tmp_path, empty_file, inference_python, monkeypatch, case):
    k1, quantity, follows = case
    monkeypatch.setenv("FATHOM_PYTHON", str(inference_python))
    room = Room(k1=k1)
    values = (lambda each: 3.0 * each + 0.4) if quantity == "relative_disparity" else None
    folder, clip = room_maker.make(tmp_path, room, quantity=quantity, values=values)
    filmed = room_maker.add_camera(clip, room, empty_file, follows=follows)
    depth, shot = fitted(folder, clip, empty_file)
    bpy.context.scene.render.resolution_x, bpy.context.scene.render.resolution_y = room_maker.SIZE
    made = wanted(depth, empty_file, tmp_path / "out", frames="1010")
    placed = made.placements[0]
    assert placed.camera.pixel_aspect == pytest.approx(1) and placed.world is None
    export.write(made)
    (path,) = (tmp_path / "out").glob("*.ply")
    found = points_of(path)
    mesh = bpy.data.objects[build.build({"mesh"}, depth, shot, scene=empty_file)[-1]]
    assert mesh.parent == filmed
    grid = vertices(mesh, empty_file, 10)
    nearest = np.array([np.linalg.norm(grid - point, axis=1).min() for point in found[::37]])
    assert len(found) > 10_000 and nearest.max() < 2e-3
    # the room itself, in its own units: a floor and a wall
    off = np.minimum(np.abs(found[:, 2] - room.floor), np.abs(found[:, 1] - room.wall))
    assert np.percentile(off, 99) < 0.02 * room.wall
    made = wanted(depth, empty_file, tmp_path / "camera", format="CHAN")
    (camera,) = blender_files.write_cameras(depth, made, "usd", scene=empty_file)
    bpy.ops.wm.usd_import(filepath=str(camera))
    theirs = next(each for each in bpy.data.objects if each.type == "CAMERA" and each != filmed)
    for frame in (1001, 1015):
        empty_file.frame_set(frame - 1000)
        expected = filmed.matrix_world.copy()
        empty_file.frame_set(frame)
        assert np.allclose(theirs.matrix_world.translation, expected.translation, atol=1e-4)


def test_without_a_camera_of_the_scene_it_is_the_solve_s_own(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    depth, _ = fitted(folder, clip, empty_file)
    placed = wanted(depth, empty_file, tmp_path / "out").placements[0]
    solved = np.array(clip.tracking.objects[0].reconstruction.cameras[4].matrix)[:3, 3]
    pose = next(pose for pose in placed.camera.poses if pose.frame == 1005)
    x, y, z = (row[3] for row in pose.camera_to_world[:3])
    assert np.allclose((x, z, -y), solved, atol=1e-5) and placed.scale == placed.path_scale == 1
    assert wanted(depth, empty_file, tmp_path / "out", format="EXR").placements[0].camera is None


def dolly(frames):
    return depth_maker.dolly(frames, width=320, height=180, focal_length=320)


def test_fathom_s_own_camera_when_that_is_what_is_built(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room, camera=dolly)
    depth, shot = fitted(folder, clip, empty_file)
    build_camera(depth, shot, scene=empty_file)
    find_rig(depth, shot, empty_file).location = (0, 0, 2)
    placed = wanted(depth, empty_file, tmp_path / "out").placements[0]
    assert placed.camera is None and placed.world[2][3] == pytest.approx(2)
    assert placed.path_scale == pytest.approx(1 / depth.fit_of(shot).middle[0])
    assert placed.line == depth.fit_of(shot).keys


@pytest.mark.slow
def test_an_error_of_the_worker_is_one_sentence(tmp_path, empty_file, inference_python, monkeypatch):
    monkeypatch.setenv("FATHOM_PYTHON", str(inference_python))
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    depth, _ = fitted(folder, clip, empty_file)
    made = wanted(depth, empty_file, tmp_path / "out", format="EXR", with_confidence=True)
    with pytest.raises(WorkerError, match="gives no confidence"):
        export.write(made)
