"""What is built stands under the scene's camera that follows the solve, where the solve's points are."""

from dataclasses import replace

import bpy
import depth_maker
import numpy as np
import pytest
import room_maker
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.camera import Camera
from bl_ext.dev.fathom.scene import (
    build,
    camera_fit,
    depth_list,
    lens_map,
    missing_files,
    solved_camera,
    solved_tracks,
    source,
    standing,
)
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene.problems import Problem
from bpy_extras.object_utils import world_to_camera_view
from geometry_tools import evaluated, vertices
from mathutils import Matrix, Vector
from room_maker import Room

from tests.marks import rest_slow


def fitted(folder, clip, scene):
    depth = depths.load(folder, frame_offset=-1000)
    depth_list.remember(scene, depth)
    camera_fit.fit_to_solve(depth, depth.done_shots[0], clip, scene=scene)
    return depth_list.load(scene), depth.done_shots[0]


def at_places(mesh, scene, frame, places):
    """World positions [N, 3] of a mesh of 160x90 samples at places of the image, between its vertices."""
    grid = vertices(mesh, scene, frame).reshape(162, 92, 3)[1:-1, 1:-1]
    x, y = places[:, 0] * 160 - 0.5, places[:, 1] * 90 - 0.5
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    a, b = (x - i)[:, None], (y - j)[:, None]
    lower = grid[i, j] * (1 - a) + grid[i + 1, j] * a
    upper = grid[i, j + 1] * (1 - a) + grid[i + 1, j + 1] * a
    return lower * (1 - b) + upper * b


def of_mesh(names):
    return bpy.data.objects[next(name for name in names if name.endswith("Mesh"))]


@pytest.mark.parametrize("k1", [0.0, -0.2])
@pytest.mark.parametrize("follows", rest_slow([True, False]))
def test_the_mesh_lies_on_the_points_and_under_their_markers(tmp_path, empty_file, k1, follows):
    room = Room(k1=k1)
    folder, clip = room_maker.make(tmp_path, room)
    camera = room_maker.add_camera(clip, room, empty_file, follows=follows)
    depth, shot = fitted(folder, clip, empty_file)
    mesh = of_mesh(build.build({"mesh"}, depth, shot, scene=empty_file))
    assert mesh.parent == camera and empty_file.camera == camera
    mesh.modifiers[0].show_viewport = True
    empty_file.render.resolution_x, empty_file.render.resolution_y = room_maker.SIZE
    points = room.points()
    for frame in (1001, 1010, 1020):
        places, z = room.project(points, frame)
        seen = np.all((places > 0.05) & (places < 0.95), axis=1) & (
            np.abs(room.distances(room.rays(places), frame) / z - 1) < 0.01
        )
        found = at_places(mesh, empty_file, frame - 1000, places[seen])
        assert seen.sum() > 20
        assert np.linalg.norm(found - points[seen], axis=1).max() < 0.02 * z[seen].max()
        straight, _ = Room().project(points[seen], frame)
        for point, place in zip(found, straight):
            view = world_to_camera_view(empty_file, camera, Vector(point))
            assert np.hypot((view[0] - place[0]) * 320, (view[1] - place[1]) * 180) < 0.5


def test_a_camera_is_added_where_none_follows_the_solve(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    depth, shot = fitted(folder, clip, empty_file)
    names = build.build({"fog", "mesh"}, depth, shot, scene=empty_file)
    camera = empty_file.camera
    assert [each.type for each in camera.constraints] == ["CAMERA_SOLVER"] and camera.name in names
    empty_file.frame_set(7)
    assert np.allclose(camera.matrix_world, clip.tracking.reconstruction.cameras[6].matrix, atol=1e-5)
    assert camera.data.lens == pytest.approx(36.0) and camera.data.background_images[0].clip == clip
    assert build.build({"mesh"}, depth, shot, scene=empty_file)[0] == camera.name
    assert sum(thing.type == "CAMERA" for thing in empty_file.objects) == 1


def test_what_was_built_before_moves_there_and_back(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    bpy.ops.fathom.load_depth(directory=str(folder), frame_offset=-1000)
    bpy.ops.fathom.build_depth_mesh(focal_length=36.0)
    own, mesh = empty_file.camera, next(thing for thing in empty_file.objects if thing.type == "MESH")
    assert mesh.parent == own
    camera = room_maker.add_camera(clip, room, empty_file)
    bpy.ops.fathom.fit_to_camera_solve()
    bpy.ops.fathom.build_depth_mesh()
    assert mesh.parent == camera and empty_file.camera == camera
    assert sum(thing.type == "MESH" for thing in empty_file.objects) == 1
    bpy.ops.fathom.build_depth_mesh(under="OWN")
    assert mesh.parent == own and sum(thing.type == "MESH" for thing in empty_file.objects) == 1


def test_what_does_not_agree_is_said(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    camera = room_maker.add_camera(clip, room, empty_file)
    depth, shot = fitted(folder, clip, empty_file)
    camera.data.lens = 50.0
    with pytest.raises(Problem, match=r"The lens of Solved is not that of the solve of plate.1001.png, 36.00 mm"):
        standing.find(depth, shot, empty_file)
    camera.data.lens, camera.data.shift_y = 36.0, 0.1
    with pytest.raises(Problem, match=r"The lens of Solved is not that of the solve"):
        standing.find(depth, shot, empty_file)
    camera.data.shift_y = 0.0
    clip.frame_start = 11
    with pytest.raises(Problem, match="set the depth's Frame Offset to -990"):
        build.build({"mesh"}, depth, shot, scene=empty_file)
    clip.frame_start, clip.tracking.camera.pixel_aspect = 1, 1.5
    with pytest.raises(Problem, match="are not square"):
        standing.find(depth, shot, empty_file)
    assert not any(thing.type == "MESH" for thing in empty_file.objects)


def solve_again(clip, room):
    """Solve a clip without the tracks' last frames: the longest way of the camera is the unit of Blender's solves."""
    before = room_maker.unit(clip, room)
    for track in solved_tracks.camera_object(clip).tracks:
        for marker in track.markers:
            marker.mute = marker.frame > 14
    room_maker.solve(clip, 1, 14)
    assert abs(room_maker.unit(clip, room) / before - 1) > 0.05


def test_a_clip_that_was_solved_again_since_the_fit_is_said(tmp_path, empty_file):
    """The next solve has a unit of its own: what stands under its camera is too large or too small."""
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    camera = room_maker.add_camera(clip, room, empty_file)
    depth, shot = fitted(folder, clip, empty_file)
    mesh = of_mesh(build.build({"mesh"}, depth, shot, scene=empty_file))
    assert missing_files.of_file() == []
    solve_again(clip, room)
    sentence = "was solved again since the depth was fitted to it: fit it again"
    with pytest.raises(Problem, match=sentence):
        build.build({"mesh"}, depth, shot, scene=empty_file)
    assert [sentence in each for each in missing_files.of_file()] == [True]
    camera_fit.fit_to_solve(depth, shot, clip, scene=empty_file)
    assert missing_files.of_file() == [] and mesh.parent == camera
    assert standing.find(depth_list.load(empty_file), shot, empty_file) is not None


def test_a_clip_that_was_solved_again_since_the_estimate_is_said(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    made = depth_sequence.load(folder)
    given = solved_camera.of_clip(clip, source.from_shown(clip, empty_file)).camera
    filmed = replace(given.scaled(made.width, made.height), origin=f"SOLVE {clip.name}")
    depth_sequence.save(replace(made, shots=(replace(made.shots[0], camera=filmed),)), folder)
    depth = depths.load(folder, frame_offset=-1000)
    depth_list.remember(empty_file, depth)
    shot = depth.done_shots[0]
    assert standing.solved_since(depth, shot) is None
    build.build({"mesh"}, depth, shot, scene=empty_file)
    assert missing_files.of_file() == []
    solve_again(clip, room)
    sentence = "was solved again since the depth of frames 1001-1020 was estimated with its solve"
    with pytest.raises(Problem, match=sentence):
        standing.find(depth, shot, empty_file)
    assert [sentence in each for each in missing_files.of_file()] == [True]


def test_depth_of_a_given_camera_goes_with_it_and_not_with_another_move(tmp_path, empty_file):
    def filmed(frames):
        return replace(depth_maker.dolly(frames, width=24, height=16, focal_length=26.0), origin="CAMERA Matchmove")

    depth = depths.load(depth_maker.make(tmp_path, camera=filmed), frame_offset=10)
    shot = depth.done_shots[0]
    camera = bpy.data.objects.new("Matchmove", bpy.data.cameras.new("Matchmove"))
    camera.data.lens = 39.0  # 26 pixels of 24, on a sensor 36 mm wide
    rig = bpy.data.objects.new("Rig", None)
    camera.parent = rig
    for thing in (camera, rig):
        empty_file.collection.objects.link(thing)
    for pose in shot.camera.poses:
        world = solved_camera.WORLD @ Matrix(pose.camera_to_world) @ solved_camera.VIEW
        camera.location, camera.rotation_euler = world.translation, world.to_euler()
        for path in ("location", "rotation_euler"):
            camera.keyframe_insert(path, frame=pose.frame + 10)
    found = standing.find(depth, shot, empty_file)
    assert found.camera == camera and found.size == pytest.approx(1, rel=1e-4)
    rig.location, rig.rotation_euler, rig.scale = (1, 2, 3), (0.2, 0.4, 0.1), (3, 3, 3)
    found = standing.find(depth, shot, empty_file)
    assert found.size * standing.world_scale(camera) == pytest.approx(3, rel=1e-4), "a unit of the path is three now"
    with pytest.raises(Problem, match="Matchmove moves otherwise than when the depth of frames 1-5 was estimated"):
        standing.find(replace(depth, frame_offset=12), shot, empty_file)
    for name, value in (("lens", 50.0), ("shift_x", 0.05), ("shift_y", -0.05)):
        before = getattr(camera.data, name)
        setattr(camera.data, name, value)
        with pytest.raises(Problem, match="The lens of Matchmove is another than when the depth of frames 1-5 was"):
            standing.find(depth, shot, empty_file)
        setattr(camera.data, name, before)


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("size", rest_slow([(24, 16), (16, 24)]))
def test_a_lens_with_shifts_is_known_again_however_its_sensor_is_fitted(tmp_path, empty_file, fit, size):
    depth_maker.make(tmp_path, size=size)
    empty_file.render.resolution_x, empty_file.render.resolution_y = size
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    empty_file.collection.objects.link(camera)
    camera.data.sensor_fit, camera.data.shift_x, camera.data.shift_y = fit, 0.2, -0.1
    for frame in (1, 5):
        camera.location.x = 0.1 * frame
        camera.keyframe_insert("location", frame=frame)
    given = solved_camera.of_scene_camera(camera, empty_file, source.from_file(tmp_path / "plate")).camera
    depth = depths.load(depth_maker.make(tmp_path / "depth", size=size, camera=lambda _frames: given))
    shot = depth.done_shots[0]
    assert standing.find(depth, shot, empty_file).camera == camera
    camera.data.shift_x = 0.15
    with pytest.raises(Problem, match="The lens of Camera is another"):
        standing.find(depth, shot, empty_file)


@pytest.mark.parametrize("yaw", [0.0, 0.02])
def test_a_camera_that_only_turns_is_known_by_its_lens_and_turns(tmp_path, empty_file, yaw):
    def filmed(frames):
        camera = depth_maker.dolly(frames, width=24, height=16, focal_length=26.0, step=0.0, yaw=yaw)
        poses = (np.array(pose.camera_to_world) for pose in camera.poses)
        still = [np.block([[each[:3, :3], np.zeros((3, 1))], [each[3:]]]).tolist() for each in poses]
        poses = (replace(p, camera_to_world=tuple(map(tuple, rows))) for p, rows in zip(camera.poses, still))
        return replace(camera, poses=tuple(poses), origin="CAMERA Camera")

    depth = depths.load(depth_maker.make(tmp_path, camera=filmed))
    shot = depth.done_shots[0]
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))  # as each new file of Blender has one
    empty_file.collection.objects.link(camera)
    assert standing.find(depth, shot, empty_file) is None
    camera.data.lens = 39.0
    for pose in shot.camera.poses:
        world = solved_camera.WORLD @ Matrix(pose.camera_to_world) @ solved_camera.VIEW
        camera.rotation_euler = world.to_euler()
        camera.keyframe_insert("rotation_euler", frame=pose.frame)
    assert standing.find(depth, shot, empty_file).camera == camera
    if yaw:
        camera.animation_data_clear()
        assert standing.find(depth, shot, empty_file) is None


def test_a_camera_that_moves_otherwise_is_none_of_the_solve(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    camera = room_maker.add_camera(clip, room, empty_file, follows=False)
    depth, shot = fitted(folder, clip, empty_file)
    assert standing.find(depth, shot, empty_file).camera == camera
    camera.animation_data.action = None
    assert standing.find(depth, shot, empty_file) is None
    assert empty_file.frame_current == 1


def test_a_scaled_camera_with_keys(tmp_path, empty_file):
    """The camera's own scale counts for its children, and its keys have none of it."""
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    camera = room_maker.add_camera(clip, room, empty_file, follows=False)
    camera.scale = (3, 3, 3)
    depth, shot = fitted(folder, clip, empty_file)
    mesh = of_mesh(build.build({"mesh"}, depth, shot, scene=empty_file))
    points = room.points()
    places, z = room.project(points, 1010)
    seen = np.abs(room.distances(room.rays(places), 1010) / z - 1) < 0.01
    found = at_places(mesh, empty_file, 10, places[seen])
    assert np.linalg.norm(found - points[seen], axis=1).max() < 0.02 * z[seen].max()


def test_without_a_fit_fathoms_own_camera_is_built(tmp_path, empty_file):
    room = Room()
    folder, clip = room_maker.make(tmp_path, room)
    room_maker.add_camera(clip, room, empty_file)
    depth = depths.load(folder, frame_offset=-1000)
    assert standing.take(depth, depth.done_shots[0], empty_file) is None
    camera = cameras.build_camera(depth, depth.done_shots[0], scene=empty_file, focal_length=30.0)
    build.build({"mesh"}, depth, depth.done_shots[0], scene=empty_file, focal_length=30.0)
    assert next(thing for thing in empty_file.objects if thing.type == "MESH").parent == camera


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("polynomial", (-0.2, 0.05, -0.01)),
        ("division", (0.1, 0.02)),
        ("nuke", (0.05, 0.01, 0.002, -0.003)),
        ("brown", (-0.15, 0.03, 0.0, 0.0, 0.004, -0.002)),
    ],
)
def test_a_lens_map_is_exact_between_its_pixels(empty_file, model, coefficients):
    camera = Camera(
        width=1920, height=1080, focal_length=1600.0, principal_point=(980.0, 520.0), distortion_model=model,
        distortion=coefficients,
    )  # fmt: skip
    values = lens_map.displacement(camera).astype(float)
    places = np.random.default_rng(0).uniform(-0.01, 1.01, (500, 2))
    rows, columns = values.shape[:2]
    inside = (places + lens_map.MARGIN) / (1 + 2 * lens_map.MARGIN)
    x, y = inside[:, 0] * columns - 0.5, inside[:, 1] * rows - 0.5
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    a, b = (x - i)[:, None], (y - j)[:, None]
    moved = (values[j, i] * (1 - a) + values[j, i + 1] * a) * (1 - b) + (
        values[j + 1, i] * (1 - a) + values[j + 1, i + 1] * a
    ) * b
    off = (places + moved - lens_map.undistorted(camera, places)) * (1920, 1080)
    assert np.abs(off).max() < 0.01
    assert np.abs(values).max() * 1920 > 20


def test_a_lens_map_is_kept_in_the_file_and_used_again(tmp_path, empty_file):
    camera = Camera(width=320, height=180, focal_length=300.0, principal_point=(160, 90), distortion=(-0.2, 0.0))
    image = lens_map.lens_map(camera)
    before = np.array(image.pixels[:])
    assert lens_map.lens_map(camera) == image
    bpy.context.scene["keep"] = image
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    again = bpy.context.scene["keep"]
    assert np.array_equal(np.array(again.pixels[:]), before) and lens_map.lens_map(camera) == again
    assert lens_map.lens_map(Camera(width=320, height=180, focal_length=300.0, principal_point=(160, 90))) is None


def test_similar_paths_are_told_from_others():
    room, other = Room(), Room(turns_only=True)
    path = [room.pose(frame) for frame in room.frames]
    moved = np.array([[0, -2, 0, 5], [2, 0, 0, 1], [0, 0, 2, -3], [0, 0, 0, 1.0]])
    assert standing.similar(path, [moved @ each for each in path]) == pytest.approx(2.0)
    assert standing.similar(path, [other.pose(frame) for frame in room.frames]) is None
    bent = [each.copy() for each in path]
    bent[10][:3, 3] += 0.3
    assert standing.similar(path, bent) is None


def test_nothing_warns_in_the_node_groups(tmp_path, empty_file):
    room = Room(k1=-0.2)
    folder, clip = room_maker.make(tmp_path, room)
    depth, shot = fitted(folder, clip, empty_file)
    mesh = of_mesh(build.build({"mesh"}, depth, shot, scene=empty_file))
    evaluated(mesh, empty_file, 3)
    assert [each.message for each in getattr(mesh.modifiers[0], "node_warnings", ())] == []
