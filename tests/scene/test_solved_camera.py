"""Cameras that Blender knows: of a solve, through each lens, and of the scene, whatever moves them."""

import json

import bpy
import numpy as np
import pytest
import solve_maker
from bl_ext.dev.fathom.inference.contract import camera_files, distortion
from bl_ext.dev.fathom.inference.contract.job import Source
from bl_ext.dev.fathom.scene import settings, solved_camera, source
from bl_ext.dev.fathom.scene.problems import Problem
from bl_ext.dev.fathom.scene.solved_camera import WORLD, Choice
from bl_ext.dev.fathom.scene.source import Plate
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector


def plate(width, height, *, first=1, last=10, start=1):
    """A plate that no file has."""
    made = Source(kind="movie", path="/shots/street.mov", width=width, height=height)
    return Plate(source=made, first_frame=first, last_frame=last, scene_start=start)


def projected(camera, pose, points):
    """Pixels [K, 2] of points [K, 3] of Blender's world, as the contract defines a camera."""
    matrix = np.array(pose.camera_to_world)
    local = (np.asarray(points) @ np.array(WORLD)[:3, :3] - matrix[:3, 3]) @ matrix[
        :3, :3
    ]  # WORLD's inverse is its transpose
    assert (local[:, 2] > 0).all()
    fx, fy, cx, cy = camera.intrinsics(pose)
    x, y = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    x, y = distortion.distort(camera.distortion_model, camera.distortion, x, y, unit=camera.half_side / fx)
    return np.stack([fx * x + cx, fy * y + cy], axis=1)


def markers(clip, frame):
    """Where the tracks of a clip with points in space are at one of its own frames: those points, and pixels."""
    width, height = clip.size
    kept = [(track, track.markers.find_frame(frame)) for track in clip.tracking.tracks if track.has_bundle]
    co = np.array([marker.co for _, marker in kept])
    return np.array([track.bundle for track, _ in kept]), np.stack(
        [co[:, 0] * width - 0.5, (1 - co[:, 1]) * height - 0.5], axis=1
    )


# ------------------------------------------------------------------------------------------------------------- a solve


@pytest.mark.parametrize(
    ("lens", "more"),
    [
        ("POLYNOMIAL", {}),
        ("DIVISION", {"principal_point": (4.0, -3.0)}),
        ("NUKE", {"aspect": 1.6, "principal_point": (4.0, -3.0)}),
        ("BROWN", {"principal_point": (4.0, -3.0), "aspect": 0.8}),
    ],
)
def test_every_lens_shows_the_tracked_points_where_they_are(empty_file, tmp_path, lens, more):
    """Blender's solver undistorts the markers: by another lens they would not agree on one scene."""
    clip = solve_maker.make(tmp_path, lens=lens, **more)
    found = solved_camera.of_clip(clip)
    assert found.error < 1e-3 and found.missing == ()
    assert (found.camera.width, found.camera.height) == solve_maker.SIZE
    assert (found.camera.distortion_model, found.camera.distortion) == (
        solve_maker.LENSES[lens][1][0],
        pytest.approx(solve_maker.LENSES[lens][1][1]),
    )
    assert [pose.frame for pose in found.camera.poses] == list(range(1001, 1025))
    for pose in found.camera.poses[::7]:
        points, pixels = markers(clip, pose.frame - 1000)
        assert len(points) == 50
        np.testing.assert_allclose(projected(found.camera, pose, points), pixels, atol=0.01)


def test_the_solved_path_is_the_true_one_up_to_a_similarity(empty_file, tmp_path):
    found = solved_camera.of_clip(solve_maker.make(tmp_path))
    places = np.array([np.array(pose.camera_to_world)[:3, 3] for pose in found.camera.poses])
    true = np.array([matrix.translation for matrix in solve_maker.poses()])
    steps, wanted = (np.linalg.norm(np.diff(path, axis=0), axis=1) for path in (places, true))
    np.testing.assert_allclose(steps / steps.sum(), wanted / wanted.sum(), rtol=1e-3)


@pytest.mark.parametrize(("start", "offset"), [(1, 0), (101, 0), (1, 5), (1, -4), (50, 3)])
def test_frames_are_the_files_whatever_start_frame_and_offset(empty_file, tmp_path, start, offset):
    clip = solve_maker.make(tmp_path, frames=range(1, 13))
    clip.frame_start, clip.frame_offset = start, offset
    shown = source.from_clip(clip)
    found = solved_camera.of_clip(clip, shown)
    # the solve's frame 1 is what the clip shows at its Start Frame
    wanted = {1001 + offset + i for i in range(12)} & set(range(shown.first_frame, shown.last_frame + 1))
    assert {pose.frame for pose in found.camera.poses} == wanted
    assert set(found.missing) == set(range(shown.first_frame, shown.last_frame + 1)) - wanted
    first = found.camera.poses[0]
    at = start + first.frame - 1001 - offset  # the frame of the timeline that shows it
    own = clip.tracking.reconstruction.cameras.find_frame(frame=at - start + 1)
    np.testing.assert_allclose(
        np.array(first.camera_to_world)[:3, 3], np.array(WORLD.inverted() @ own.matrix)[:3, 3], atol=1e-6
    )


def test_frames_that_are_not_solved_are_named_and_have_no_pose(empty_file, tmp_path):
    found = solved_camera.of_clip(solve_maker.make(tmp_path, frames=range(6, 19)))
    assert [pose.frame for pose in found.camera.poses] == list(range(1006, 1019))
    assert found.missing == (*range(1001, 1006), *range(1019, 1025))


def test_a_clip_without_a_solve_is_declined(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path, solve=False)
    with pytest.raises(Problem, match="is not solved: track points"):
        solved_camera.of_clip(clip)
    assert not solved_camera.clip_of_plate(source.from_clip(clip)).tracking.reconstruction.is_valid


def test_the_solve_of_a_tracked_object_does_not_count(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path)
    clip.tracking.objects.new("cup")
    clip.tracking.objects.active = clip.tracking.objects["cup"]
    assert len(solved_camera.of_clip(clip).camera.poses) == 24


def test_a_solve_at_another_resolution_is_brought_to_the_plates(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path, lens="NUKE", principal_point=(4.0, -3.0))
    large = plate(512, 288, last=24)
    found, own = solved_camera.of_clip(clip, large), solved_camera.of_clip(clip)
    assert (found.camera.width, found.camera.height) == (512, 288)
    assert [pose.frame for pose in found.camera.poses] == list(range(1, 25))  # the movie's first is the sequence's
    points, pixels = markers(clip, 9)
    there = projected(found.camera, found.camera.poses[8], points)
    np.testing.assert_allclose((there + 0.5) / 4 - 0.5, pixels, atol=0.01)
    np.testing.assert_allclose(projected(own.camera, own.camera.poses[8], points), pixels, atol=0.01)


@pytest.mark.parametrize("folder", ["plate", "proxies"])
def test_a_plate_that_begins_after_its_clip_has_the_poses_of_its_frames(empty_file, tmp_path, folder):
    """Of a strip that was given some of the files, and of a clip at another resolution with the same numbers."""
    clip = solve_maker.make(tmp_path / folder)
    files = tuple(f"plate.{number}.png" for number in range(1010, 1025))
    made = Source(kind="sequence", path=str(tmp_path / "plate"), files=files, width=128, height=72)
    later = Plate(source=made, first_frame=1010, last_frame=1020, scene_start=1)
    found, own = solved_camera.of_clip(clip, later), solved_camera.of_clip(clip)
    assert found.camera.poses == tuple(pose for pose in own.camera.poses if 1010 <= pose.frame <= 1020)
    assert solved_camera.shows(clip, later) == (folder == "plate")


def test_proxies_change_nothing(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path)
    before = solved_camera.of_clip(clip).camera
    clip.use_proxy = clip.proxy.build_50 = True
    assert solved_camera.of_clip(clip).camera == before


def test_what_does_not_belong_to_the_plate_is_declined(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path)
    with pytest.raises(Problem, match="another aspect than street"):
        solved_camera.of_clip(clip, plate(512, 300, last=24))
    with pytest.raises(Problem, match=r"has the frames 1-24 and none of the frames 40-50"):
        solved_camera.of_clip(clip, plate(128, 72, first=40, last=50))
    with pytest.raises(Problem, match="size of street is not known"):
        solved_camera.of_clip(clip, plate(None, None, last=24))


def test_the_clip_of_a_plate_is_the_one_of_its_file(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path / "a", frames=range(1, 13))
    solve_maker.make(tmp_path / "b", solve=False)
    shown = source.from_file(tmp_path / "a")
    assert solved_camera.clip_of_plate(shown) == clip
    again = bpy.data.movieclips.load(str(tmp_path / "a" / "plate.1001.png"))  # not solved, so not meant
    assert solved_camera.clip_of_plate(shown) == clip
    bpy.data.movieclips.remove(again)
    copy = clip.copy()
    with pytest.raises(Problem, match=r"Several clips of .* have a camera solve"):
        solved_camera.clip_of_plate(shown)
    bpy.data.movieclips.remove(copy)
    with pytest.raises(Problem, match="No movie clip of this file shows"):
        solved_camera.clip_of_plate(plate(10, 10))
    assert solved_camera.clip_of_plate(plate(10, 10), named=clip) == clip


# -------------------------------------------------------------------------------------------------- the scene's camera


def scene_camera(scene, width=160, height=90):
    """A camera under a turned and scaled parent, that moves, zooms and shifts by keys."""
    scene.render.resolution_x, scene.render.resolution_y = width, height
    parent = bpy.data.objects.new("crane", None)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    for thing in (parent, camera):
        scene.collection.objects.link(thing)
    camera.parent = parent
    parent.rotation_euler, parent.scale, parent.location = (0.1, 0.2, 0.3), (2, 2, 2), (1, -2, 0.5)
    camera.rotation_euler = (1.4, 0.1, 0.2)
    for frame, at, lens, shift in ((1, (0, 0, 1), 30, 0.0), (10, (1, 0.5, 1.2), 45, 0.1)):
        camera.location, camera.data.lens, camera.data.shift_x, camera.data.shift_y = at, lens, shift, -shift
        camera.keyframe_insert("location", frame=frame)
        for name in ("lens", "shift_x", "shift_y"):
            camera.data.keyframe_insert(name, frame=frame)
    scene.camera = camera
    return camera


def assert_sees(scene, camera, found, size):
    """The camera shows points where Blender itself does."""
    width, height = size
    for pose in found.camera.poses:
        scene.frame_set(pose.frame)
        ahead = [(0.3, 0.2, -3.0), (-0.5, 0.1, -5.0), (0.1, -0.4, -2.0)]
        points = [camera.matrix_world.normalized() @ Vector(at) for at in ahead]
        seen = [world_to_camera_view(scene, camera, point) for point in points]
        wanted = [(each.x * width - 0.5, (1 - each.y) * height - 0.5) for each in seen]
        np.testing.assert_allclose(projected(found.camera, pose, points), wanted, atol=0.02)


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("size", [(160, 90), (90, 160)])
def test_a_camera_of_the_scene_is_what_blender_sees(empty_file, fit, size):
    camera = scene_camera(empty_file, *size)
    camera.data.sensor_fit, camera.data.sensor_height = fit, 20.0
    empty_file.frame_set(4)
    found = solved_camera.of_scene_camera(camera, empty_file, plate(*size))
    assert empty_file.frame_current == 4
    assert found.missing == () and len(found.camera.poses) == 10
    lenses = [found.camera.intrinsics(pose)[0] for pose in found.camera.poses]
    assert lenses[-1] / lenses[0] == pytest.approx(1.5, rel=1e-5)
    assert_sees(empty_file, camera, found, size)


def test_pixels_of_a_render_need_not_be_square(empty_file):
    camera = scene_camera(empty_file)
    empty_file.render.pixel_aspect_x = 2.0
    found = solved_camera.of_scene_camera(camera, empty_file, plate(160, 90))
    assert found.camera.pixel_aspect == pytest.approx(2.0)
    assert_sees(empty_file, camera, found, (160, 90))
    squeezed = solved_camera.of_scene_camera(camera, empty_file, plate(320, 90))  # the same image with square pixels
    assert squeezed.camera.pixel_aspect == 1.0
    assert_sees(empty_file, camera, squeezed, (320, 90))


def test_frames_are_those_of_the_timeline(empty_file):
    camera = scene_camera(empty_file)
    found = solved_camera.of_scene_camera(camera, empty_file, plate(160, 90, first=1001, last=1010, start=1))
    plain = solved_camera.of_scene_camera(camera, empty_file, plate(160, 90))
    assert [pose.frame for pose in found.camera.poses] == list(range(1001, 1011))
    assert [p.camera_to_world for p in found.camera.poses] == [p.camera_to_world for p in plain.camera.poses]


def test_a_still_lens_needs_none_of_its_own_a_frame(empty_file):
    camera = scene_camera(empty_file)
    camera.data.animation_data_clear()
    found = solved_camera.of_scene_camera(camera, empty_file, plate(160, 90))
    assert {(pose.focal_length, pose.principal_point) for pose in found.camera.poses} == {(None, None)}


def test_a_camera_that_follows_a_solve_has_its_lens_and_its_gaps(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path, lens="BROWN", frames=range(6, 19))
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    empty_file.collection.objects.link(camera)
    empty_file.render.resolution_x, empty_file.render.resolution_y = solve_maker.SIZE
    camera.data.sensor_width, camera.data.lens = solve_maker.SENSOR, solve_maker.FOCAL
    constraint = camera.constraints.new("CAMERA_SOLVER")
    constraint.use_active_clip, constraint.clip = False, clip
    camera.location = (0, 0, 10)  # as Set Origin moves it
    shown = source.from_clip(clip)
    found = solved_camera.of_scene_camera(camera, empty_file, shown)
    own = solved_camera.of_clip(clip, shown)
    assert found.missing == own.missing != ()
    assert (found.camera.distortion_model, found.camera.distortion) == ("brown", own.camera.distortion)
    assert found.camera.focal_length == pytest.approx(own.camera.focal_length, rel=1e-5)
    shift = np.array(
        [
            np.array(a.camera_to_world) - np.array(b.camera_to_world)
            for a, b in zip(found.camera.poses, own.camera.poses)
        ]
    )
    np.testing.assert_allclose(shift[:, :3, 3], np.tile([0, -10, 0], (13, 1)), atol=1e-5)
    np.testing.assert_allclose(shift[:, :, :3], 0, atol=1e-5)


def test_cameras_that_no_lens_is_are_declined(empty_file):
    camera = scene_camera(empty_file)
    empty_file.render.frame_map_new = 200
    with pytest.raises(Problem, match="The Time Stretching of Scene moves depth and camera to other frames"):
        solved_camera.of_scene_camera(camera, empty_file, plate(160, 90))
    empty_file.render.frame_map_new = empty_file.render.frame_map_old
    with pytest.raises(Problem, match="has another aspect than the plate, 100x100"):
        solved_camera.of_scene_camera(camera, empty_file, plate(100, 100))
    camera.scale = (1, 1, 0)
    with pytest.raises(Problem, match="no usable position at frame 1"):
        solved_camera.of_scene_camera(camera, empty_file, plate(160, 90))
    camera.scale = (-1, 1, 1)
    with pytest.raises(Problem, match="mirrored or sheared at frame 1"):
        solved_camera.of_scene_camera(camera, empty_file, plate(160, 90))
    camera.scale = (1, 1, 1)
    camera.parent.scale = (3, 1, 1)
    with pytest.raises(Problem, match="mirrored or sheared at frame 1"):
        solved_camera.of_scene_camera(camera, empty_file, plate(160, 90))
    camera.data.type = "ORTHO"
    with pytest.raises(Problem, match="no perspective camera"):
        solved_camera.of_scene_camera(camera, empty_file, plate(160, 90))
    with pytest.raises(Problem, match="no perspective camera"):
        solved_camera.of_scene_camera(camera.parent, empty_file, plate(160, 90))


# ------------------------------------------------------------------------------------------------------------ the job


def test_the_chosen_camera_goes_into_the_job(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path / "plates")
    shown = source.from_clip(clip)
    job = settings.make_job(shown, settings.Settings(camera=Choice(kind="SOLVE")), output=tmp_path / "out")
    assert job.camera == solved_camera.of_clip(clip, shown).camera and job.camera.origin == f"SOLVE {clip.name}"
    camera_files.save(job.camera, tmp_path / "camera.json")
    from_file = settings.Settings(camera=Choice(kind="FILE", name=str(tmp_path / "camera.json")))
    assert settings.make_job(shown, from_file, output=tmp_path / "out").fingerprint() == job.fingerprint()
    with pytest.raises(Problem, match="no movie clip gone"):
        settings.make_job(shown, settings.Settings(camera=Choice(kind="SOLVE", name="gone")), output=tmp_path)
    with pytest.raises(Problem, match="cannot be read"):
        gone = settings.Settings(camera=Choice(kind="FILE", name=str(tmp_path / "gone.json")))
        settings.make_job(shown, gone, output=tmp_path)


def test_a_timer_does_not_move_the_scene(empty_file):
    camera = scene_camera(empty_file)
    choice, shown, moved = Choice(kind="CAMERA", name=camera.name), plate(160, 90, first=3, last=7, start=3), []
    bpy.app.handlers.frame_change_post.append(lambda *_: moved.append(1))
    try:
        with pytest.raises(Problem, match="was not read yet"):
            solved_camera.known(choice, shown)
        assert not moved
        found = solved_camera.read(choice, shown)
        assert moved
        moved.clear()
        assert solved_camera.known(choice, shown) == found and not moved
    finally:
        bpy.app.handlers.frame_change_post.pop()


# ------------------------------------------------------------------------------------------------------ files of others


def test_the_keyed_camera_of_the_kitchen_is_the_true_one(empty_file, footage):
    bpy.ops.wm.open_mainfile(filepath=str(footage / "blender" / "redkitchen_solved_camera.blend"), load_ui=False)
    scene = bpy.context.scene
    truth = json.loads((footage / "gt" / "7scenes_redkitchen_50" / "camera.json").read_text())
    size = scene.render.resolution_x, scene.render.resolution_y
    found = solved_camera.of_scene_camera(scene.camera, scene, plate(*size, last=50))
    poses = np.array([frame["c2w_opencv"] for frame in truth["frames"]])
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    own = np.array([pose.camera_to_world for pose in found.camera.poses])
    np.testing.assert_allclose(np.linalg.norm(np.diff(own[:, :3, 3], axis=0), axis=1), steps, atol=1e-4)
    turns, wanted = (np.einsum("nji,njk->nik", each[:-1, :3, :3], each[1:, :3, :3]) for each in (own, poses))
    np.testing.assert_allclose(turns, wanted, atol=1e-3)
    assert found.camera.focal_length * truth["width"] / size[0] == pytest.approx(truth["fx"], rel=0.01)


def test_an_old_file_without_solve_and_footage_is_declined_in_sentences(empty_file, footage):
    name = "real_tracks_no_solve_missing_footage_2.79.blend"
    bpy.ops.wm.open_mainfile(filepath=str(footage / "blender" / name), load_ui=False)
    clip = bpy.data.movieclips[0]
    assert len(clip.tracking.tracks) > 90
    with pytest.raises(Problem, match="is not solved"):
        solved_camera.of_clip(clip, plate(1920, 1080))
    with pytest.raises(Problem, match="is missing"):
        source.from_clip(clip)
