"""A clip that Blender itself tracks and solves: its depth gets true distances, the mesh lies under the markers."""

import bpy
import depth_maker
import numpy as np
import pytest
import room_maker
from bl_ext.dev.fathom.scene import build, camera_fit, depth_list, lens_map
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene.solved_camera import lens_of_clip
from bpy_extras.object_utils import world_to_camera_view
from geometry_tools import vertices
from mathutils import Vector
from room_maker import Room

PLATE = (640, 360)
_TEXTURE = np.random.default_rng(4).uniform(0.05, 0.95, (256, 256))


def textured(places):
    """Gray values of a pattern in the plane, in patches of some sizes."""
    values = np.zeros(len(places))
    for size, weight in ((0.9, 0.35), (0.3, 0.4), (0.12, 0.25)):
        x, y = (places / size).T
        i, j = np.floor(x).astype(int), np.floor(y).astype(int)
        a, b = x - i, y - j
        a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
        four = [_TEXTURE[(i + di) % 256, (j + dj) % 256] for di in (0, 1) for dj in (0, 1)]
        values += weight * ((four[0] * (1 - b) + four[1] * b) * (1 - a) + (four[2] * (1 - b) + four[3] * b) * a)
    return np.clip(1.8 * (values - 0.5) + 0.5, 0, 1)


def samples(room, width, height):
    """Rays of an image, four samples a pixel."""
    for dx in (0.25, 0.75):
        for dy in (0.25, 0.75):
            x, y = (np.arange(width) + dx) / width, 1 - (np.arange(height) + dy) / height
            yield room.rays(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))


def filmed(room, rays_of_samples, frame, width, height):
    """What the camera sees [H, W, 3] uint8: floor and wall, each with the pattern."""
    total = np.zeros(width * height)
    for rays in rays_of_samples:
        pose = room.pose(frame)
        points = (rays * room.distances(rays, frame)[:, None]) @ pose[:3, :3].T + pose[:3, 3]
        on_floor = np.abs(points[:, 2] - room.floor) < 1e-6
        total += textured(np.where(on_floor[:, None], points[:, :2], points[:, [0, 2]] + 40.3)) / 4
    gray = np.round(255 * total).astype(np.uint8).reshape(height, width)
    return gray[..., None].repeat(3, axis=-1)


def track_and_solve(clip, room):
    """What a matchmover does with Blender's own tools: detect features, track them through the clip, and solve."""
    lens = clip.tracking.camera
    lens.sensor_width, lens.focal_length, lens.k1 = 36.0, 36.0 * room.focal, room.k1
    clip.tracking.settings.default_motion_model = "LocRotScale"
    bpy.context.scene.frame_set(1)
    room_maker.in_clip_editor(clip, bpy.ops.clip.detect_features, threshold=0.05, min_distance=35, margin=20)
    room_maker.in_clip_editor(clip, bpy.ops.clip.track_markers, backwards=False, sequence=True)
    room_maker.solve(clip, 1, room.count)


@pytest.mark.slow(seconds=15)
@pytest.mark.parametrize("k1", [0.0, -0.15])
def test_true_distances_and_the_mesh_under_the_markers(tmp_path, empty_file, k1):
    room = Room(k1=k1, first=1, count=16)
    rays = list(samples(room, *PLATE))  # the same in all frames
    folder = depth_maker.make(
        tmp_path,
        size=(160, 90),
        plate_size=PLATE,
        frames=room.frames,
        quantity="relative_disparity",
        disparity=lambda frame, width, height: 7 * room.inverse(frame, width, height) + 0.4,
        image=lambda frame, width, height: filmed(room, rays, frame, width, height),
    )
    clip = room_maker.load_clip(folder)
    track_and_solve(clip, room)
    assert clip.tracking.reconstruction.is_valid and clip.tracking.reconstruction.average_error < 0.5
    depth = depths.load(folder)
    depth_list.remember(empty_file, depth)
    found = camera_fit.fit_to_solve(depth, depth.done_shots[0], clip, scene=empty_file)
    assert found.tracks.inlier.sum() > 20
    unit = room_maker.unit(clip, room)
    for frame in (1, 8, 16):
        inverse = room.inverse(frame, 64, 36)
        ((_, scale, shift),) = found.fit.keys
        z = 1 / (scale * (7 * inverse + 0.4) + shift)
        assert np.abs(z * inverse / unit - 1).max() < 0.02
    depth = depth_list.load(empty_file)
    empty_file.render.resolution_x, empty_file.render.resolution_y = PLATE
    build.build({"mesh"}, depth, depth.done_shots[0], scene=empty_file)
    mesh = next(thing for thing in empty_file.objects if thing.type == "MESH")
    lens = lens_of_clip(clip)
    off = []
    for frame in (4, 12):
        grid = vertices(mesh, empty_file, frame).reshape(162, 92, 3)[1:-1, 1:-1]
        for track in clip.tracking.tracks:
            marker = track.markers.find_frame(frame)
            if not track.has_bundle or marker is None or marker.mute or track.average_error > 0.5:
                continue
            u, v = marker.co
            x, y = u * 160 - 0.5, v * 90 - 0.5
            if not (1 < x < 157 and 1 < y < 87):
                continue
            i, j = int(x), int(y)
            a, b = x - i, y - j
            point = (grid[i, j] * (1 - a) + grid[i + 1, j] * a) * (1 - b)
            point += (grid[i, j + 1] * (1 - a) + grid[i + 1, j + 1] * a) * b
            ((u, v),) = lens_map.undistorted(lens, np.array([[u, v]]))
            view = world_to_camera_view(empty_file, empty_file.camera, Vector(point))
            assert np.hypot((view[0] - u) * PLATE[0], (view[1] - v) * PLATE[1]) < 1.0
            off.append(np.linalg.norm(point - np.array(track.bundle)) / view[2])
    assert len(off) > 40 and np.median(off) < 0.01 and np.percentile(off, 90) < 0.04  # the tracker errs as well
