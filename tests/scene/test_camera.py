"""The camera: what it shows is what the estimator's camera saw."""

import dataclasses

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import plate as plates
from bl_ext.dev.fathom.scene.problems import Problem
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

SIZE = (60, 37)
FRAMES = range(3, 9)


def filmed(frames, **more):
    return depth_maker.dolly(frames, width=60, height=37, focal_length=70.0, principal_point=(27.0, 21.5), **more)


@pytest.fixture
def depth(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, size=(30, 19), plate_size=SIZE, frames=FRAMES, camera=filmed)
    return depths.load(folder, frame_offset=100)


def project(camera, point):
    """Where the contract's camera sees a point of its world at each frame: pixels [N, 2] and Z [N]."""
    seen = []
    for pose in camera.poses:
        x, y, z, _ = np.linalg.inv(np.array(pose.camera_to_world)) @ [*point, 1.0]
        cx, cy = camera.principal_point
        seen.append((camera.focal_length * x / z + cx, camera.focal_length * y / z + cy, z))
    return np.array(seen)


def in_blender(point):
    return Vector((point[0], point[2], -point[1]))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_static_point_is_seen_where_the_camera_saw_it(depth, empty_file, scale, capfd):
    scene, shot = empty_file, depth.sequence.shots[0]
    camera = cameras.build_camera(depth, shot, scene=scene)
    rig = cameras.find_rig(depth, shot, scene)
    assert camera.parent == rig
    rig.location, rig.rotation_euler = (1, 2, 3), (0.1, 0.2, 0.3)
    rig[cameras.SCALE] = scale
    rig.update_tag()
    cameras.fit_render_size(scene, depth)
    assert (scene.render.resolution_x, scene.render.resolution_y) == SIZE
    point = (0.4, -0.3, 5.0)
    for frame, (x, y, z) in zip(FRAMES, project(shot.camera, point)):
        scene.frame_set(frame + 100)
        world = rig.matrix_world @ in_blender(point)
        seen = world_to_camera_view(scene, camera, world)
        assert np.allclose((seen.x * 60 - 0.5, (1 - seen.y) * 37 - 0.5), (x, y), atol=1e-3)
        assert seen.z == pytest.approx(scale * z, rel=1e-5)
    assert tuple(rig.matrix_world.to_scale()) == pytest.approx((scale,) * 3)
    assert "Dependency cycle" not in "".join(capfd.readouterr())
    found = depths.distances(depth, shot)
    assert camera.data.clip_start < scale * found.near_limit < scale * found.far_limit < camera.data.clip_end


@pytest.mark.parametrize(
    ("unit", "length", "scale"), [("metres", 1.0, 1.0), ("metres", 0.01, 100.0), (None, 0.01, 1.0)]
)
def test_depth_in_meters_starts_at_true_scale(depth, empty_file, unit, length, scale):
    empty_file.unit_settings.scale_length = length
    metric = dataclasses.replace(depth, sequence=dataclasses.replace(depth.sequence, unit=unit))
    shot = metric.sequence.shots[0]
    cameras.build_camera(metric, shot, scene=empty_file)
    assert cameras.find_rig(metric, shot, empty_file)[cameras.SCALE] == pytest.approx(scale)


def test_the_path_is_keyed_on_every_frame_linear_and_held(depth, empty_file):
    camera = cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file)
    at = {}
    for frame in (50, 103, 104, 108, 300):
        empty_file.frame_set(frame)
        at[frame] = np.array(camera.matrix_world)
    empty_file.frame_set(103, subframe=0.5)
    between = np.array(camera.matrix_world)
    assert np.allclose(at[50], at[103]) and np.allclose(at[300], at[108])
    assert not np.allclose(at[103], at[108])
    assert np.allclose(between[:3, 3], (at[103] + at[104])[:3, 3] / 2, atol=1e-6)


def test_building_again_updates_and_doubles_nothing(depth, empty_file, tmp_path):
    shot = depth.sequence.shots[0]
    camera = cameras.build_camera(depth, shot, scene=empty_file)
    rig = cameras.find_rig(depth, shot, empty_file)
    rig.location.x, rig[cameras.SCALE], camera.name = 5, 2.0, "renamed"
    counts = [len(c) for c in (bpy.data.objects, bpy.data.cameras, bpy.data.actions, bpy.data.images)]
    later = depths.load(depth.folder, frame_offset=7)
    assert cameras.build_camera(later, shot, scene=empty_file) == camera == cameras.find_camera(depth, shot, empty_file)
    assert [len(c) for c in (bpy.data.objects, bpy.data.cameras, bpy.data.actions, bpy.data.images)] == counts
    assert len(camera.data.background_images) == 1
    assert (rig.location.x, rig[cameras.SCALE]) == (5, 2.0)
    empty_file.frame_set(10)
    now = np.array(camera.matrix_basis)
    empty_file.frame_set(50)
    assert not np.allclose(now, np.array(camera.matrix_basis))
    other = bpy.data.scenes.new("other")
    assert cameras.build_camera(later, shot, scene=other) != camera


def test_plate_is_the_background(depth, empty_file):
    camera = cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file)
    shown = camera.data.background_images[0]
    assert camera.data.show_background_images and shown.show_background_image
    assert shown.image == plates.plate_image(depth)
    user = shown.image_user
    assert (user.frame_start, user.frame_duration, user.frame_offset) == (104, 5, 3)
    assert empty_file.camera == camera


def test_an_image_that_the_artist_put_behind_the_camera_is_not_covered(depth, empty_file):
    shot = depth.sequence.shots[0]
    camera = cameras.build_camera(depth, shot, scene=empty_file)
    (shown,) = camera.data.background_images
    shown.image = own = bpy.data.images.new("clean plate", *SIZE)
    cameras.build_camera(depth, shot, scene=empty_file)
    assert [each.image for each in camera.data.background_images] == [own]
    camera.data.show_background_images, camera.data.background_images[0].alpha = False, 0.5
    bpy.data.images.remove(own)
    cameras.build_camera(depth, shot, scene=empty_file)
    assert [each.image for each in camera.data.background_images] == [plates.plate_image(depth)]
    (shown,) = camera.data.background_images
    assert camera.data.show_background_images and shown.alpha == 1
    camera.data.show_background_images, shown.alpha, shown.source = False, 0.5, "MOVIE_CLIP"
    cameras.build_camera(depth, shot, scene=empty_file)
    assert not camera.data.show_background_images and (shown.alpha, shown.source) == (0.5, "MOVIE_CLIP")
    camera.data.background_images.clear()
    cameras.build_camera(depth, shot, scene=empty_file)
    assert [each.image for each in camera.data.background_images] == [plates.plate_image(depth)]


@pytest.mark.parametrize("files", [1, 3])
def test_the_plate_of_a_single_frame_is_the_background_too(tmp_path, empty_file, files):
    folder = depth_maker.make(tmp_path, plate_size=SIZE, frames=range(3, 3 + files), camera=filmed)
    depth = depths.load(folder, frame_offset=100)
    only = dataclasses.replace(depth.sequence, last_frame=3, shots=depth.sequence.shots[:1])
    depth = dataclasses.replace(depth, sequence=only)
    camera = cameras.build_camera(depth, only.shots[0], scene=empty_file)
    shown = camera.data.background_images[0]
    user, frame = shown.image_user, 103 - shown.image_user.frame_start + 1
    # Blender shows a background within its user's range, or where the image has no frames
    assert shown.image.source == "FILE" if files == 1 else 0 <= frame <= user.frame_duration
    assert frame + user.frame_offset == 3 or files == 1


def test_focal_length_alone_gives_a_locked_camera(depth, empty_file):
    camera = cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file, focal_length=50.0)
    data = camera.data
    assert (data.lens, data.sensor_width, data.sensor_fit) == (50.0, 36.0, "HORIZONTAL")
    assert (data.shift_x, data.shift_y) == (0, 0)
    assert camera.animation_data is None or camera.animation_data.action is None
    empty_file.frame_set(105)
    assert np.allclose(camera.matrix_world @ Vector((0, 0, -1)), (0, 1, 0), atol=1e-6)
    assert np.allclose(camera.matrix_world.to_3x3() @ Vector((0, 1, 0)), (0, 0, 1), atol=1e-6)
    with_path = cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file)
    assert with_path == camera and camera.animation_data.action is not None
    again = cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file, focal_length=50.0)
    assert again.animation_data.action is None and len(bpy.data.actions) == 0
    with pytest.raises(Problem, match="above 0"):
        cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file, focal_length=0.0)


def test_without_camera_and_focal_length_it_says_so(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path))
    with pytest.raises(Problem, match=r"gave no camera for frames 1-5 of plate; give a focal length"):
        cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file)
    assert len(bpy.data.objects) == 0


def test_unsupported_shots_and_missing_plates_build_nothing(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, shots=[(1, 2, "refused"), (3, 5, "done")], camera=filmed)
    depth = depths.load(folder)
    refused, done = depth.sequence.shots
    with pytest.raises(depths.DepthError, match="Frames 1-2 of plate have no depth"):
        cameras.build_camera(depth, refused, scene=empty_file)
    (tmp_path / "plate" / "plate.0001.png").unlink()
    with pytest.raises(plates.PlateError):
        cameras.build_camera(depth, done, scene=empty_file)
    assert len(bpy.data.objects) == 0
    camera = cameras.build_camera(depth, done, scene=empty_file, plate=False)
    assert camera.name == "plate Camera 3-5" and len(camera.data.background_images) == 0


def test_distortion_is_kept_on_the_camera(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=lambda frames: filmed(frames, distortion=(0.1, -0.02)))
    depth = depths.load(folder)
    camera = cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file)
    assert tuple(camera.data[cameras.DISTORTION]) == (0.1, -0.02)
    cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file, focal_length=30.0)
    assert cameras.DISTORTION not in camera.data


def test_a_lens_that_zooms_and_shifts_is_keyed(tmp_path, empty_file):
    def zooming(frames):
        camera = filmed(frames, distortion=(0.1, 0.0))
        poses = tuple(
            dataclasses.replace(
                pose, focal_length=camera.focal_length * (1 + i / 10), principal_point=(camera.width / 2 + i, 20.0)
            )
            for i, pose in enumerate(camera.poses)
        )
        return dataclasses.replace(camera, poses=poses, distortion_model="division")

    depth = depths.load(depth_maker.make(tmp_path, camera=zooming))
    shot = depth.sequence.shots[0]
    for _ in range(2):  # building again replaces the keys
        camera = cameras.build_camera(depth, shot, scene=empty_file)
        assert cameras.DISTORTION not in camera.data
        for pose in shot.camera.poses:
            empty_file.frame_set(pose.frame)
            focal, _, cx, _ = shot.camera.intrinsics(pose)
            assert camera.data.lens / camera.data.sensor_width == pytest.approx(focal / shot.camera.width, rel=1e-5)
            middle = (shot.camera.width - 1) / 2
            assert camera.data.shift_x == pytest.approx((middle - cx) / shot.camera.width, abs=1e-6)
    assert len(bpy.data.actions) == 2
    cameras.build_camera(depth, shot, scene=empty_file, focal_length=30.0)
    empty_file.frame_set(shot.last_frame)
    assert camera.data.lens == pytest.approx(30.0) and len(bpy.data.actions) == 0


def test_another_aspect_is_told(depth, empty_file):
    empty_file.render.resolution_x, empty_file.render.resolution_y = 100, 100
    assert "set it to 60x37" in cameras.render_size_problem(empty_file, depth)
    cameras.fit_render_size(empty_file, depth)
    assert cameras.render_size_problem(empty_file, depth) is None


def test_markers_cut_between_the_shots_cameras(tmp_path, empty_file):
    shots = [(1, 2, "done"), (3, 4, "refused"), (5, 6, "done")]
    folder = depth_maker.make(tmp_path, frames=range(1, 7), shots=shots, camera=filmed)
    depth = depths.load(folder)
    first, _, last = depth.sequence.shots
    built = [cameras.build_camera(depth, shot, scene=empty_file) for shot in (first, last)]
    cameras.cut_between_cameras(depth, empty_file)
    cameras.cut_between_cameras(depths.load(folder, frame_offset=10), empty_file)
    assert sorted((m.frame, m.camera.name) for m in empty_file.timeline_markers) == [
        (11, built[0].name),
        (15, built[1].name),
    ]
    for frame, camera in ((12, built[0]), (16, built[1])):
        empty_file.frame_set(frame)
        assert empty_file.camera == camera


def test_the_rig_is_found_from_what_hangs_under_it(depth, empty_file):
    camera = cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file)
    below = bpy.data.objects.new("below", None)
    below.parent = camera
    rig = cameras.find_rig(depth, depth.sequence.shots[0], empty_file)
    assert cameras.rig_above(below) == cameras.rig_above(rig) == rig
    assert cameras.rig_above(None) is None and cameras.rig_above(bpy.data.objects.new("other", None)) is None
