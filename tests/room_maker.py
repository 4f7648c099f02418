"""Clips with a camera solve of a scene that is known exactly, solved by Blender's own solver.

A camera moves through a room of a floor and a back wall, which the maps of the depth show, and tracked points lie on
both. Tests say ``import room_maker``, as `depth_maker`.
"""

from dataclasses import dataclass

import bpy
import depth_maker
import numpy as np
from mathutils import Matrix

SIZE = (320, 180)
"""Of the plate."""


@dataclass(frozen=True)
class Room:
    """The scene and the camera that filmed it; axes are Blender's."""

    focal: float = 1.0
    """In widths of the image."""
    k1: float = 0.0
    first: int = 1001
    count: int = 20
    turns_only: bool = False
    floor: float = -1.5
    wall: float = 14.0

    @property
    def frames(self):
        return range(self.first, self.first + self.count)

    def pose(self, frame):
        """Camera-to-world at a source frame."""
        n = frame - self.first
        turn = np.radians(90.0)
        up = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])  # looks along y
        yaw = 0.006 * n
        side = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        matrix = np.eye(4)
        matrix[:3, :3] = side @ up
        matrix[:3, 3] = 0 if self.turns_only else (0.12 * n, 0.05 * n, 0.02 * n)
        return matrix

    def rays(self, places):
        """Rays (x, y, -1) in the camera's space through places [N, 2] of the image as filmed."""
        width, height = SIZE
        x = (places[:, 0] - 0.5) / self.focal
        y = (places[:, 1] - 0.5) * height / width / self.focal
        u, v = x.copy(), y.copy()
        for _ in range(60 if self.k1 else 0):
            factor = 1 + self.k1 * (u * u + v * v)
            u, v = x / factor, y / factor
        return np.stack([u, v, -np.ones_like(u)], axis=1)

    def distances(self, rays, frame):
        """Z of what is seen along `rays`."""
        pose = self.pose(frame)
        world = rays @ pose[:3, :3].T
        eye = pose[:3, 3]
        with np.errstate(divide="ignore"):
            floor = (self.floor - eye[2]) / world[:, 2]
            wall = (self.wall - eye[1]) / world[:, 1]
        return np.minimum(np.where(floor > 0, floor, np.inf), wall)

    def project(self, points, frame):
        """Places [N, 2] in the image as filmed of points [N, 3] of the world, and their Z."""
        pose = self.pose(frame)
        seen = (points - pose[:3, 3]) @ pose[:3, :3]
        z = -seen[:, 2]
        x, y = seen[:, 0] / z, seen[:, 1] / z
        factor = 1 + self.k1 * (x * x + y * y)
        width, height = SIZE
        return np.stack([0.5 + self.focal * x * factor, 0.5 + self.focal * y * factor * width / height], axis=1), z

    def inverse(self, frame, width, height):
        """1/Z of a map [H, W], first row on top."""
        x, y = (np.arange(width) + 0.5) / width, 1 - (np.arange(height) + 0.5) / height
        places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        return (1 / self.distances(self.rays(places), frame)).reshape(height, width)

    def points(self, count=40, seed=0):
        """Points on what is seen in the middle frame."""
        places = np.random.default_rng(seed).uniform((0.1, 0.08), (0.9, 0.75), (count, 2))
        middle = self.first + self.count // 2
        pose, rays = self.pose(middle), self.rays(places)
        return (rays * self.distances(rays, middle)[:, None]) @ pose[:3, :3].T + pose[:3, 3]


def load_clip(folder):
    """The movie clip of the plate beside a depth folder."""
    return bpy.data.movieclips.load(str(min((folder.parent / "plate").iterdir())))


def track(clip, room, points, *, frames=None):
    """Give a clip a track for each point, with markers where it lies in the image, by the clip's Frame Offset."""
    lens = clip.tracking.camera
    lens.sensor_width, lens.focal_length, lens.k1 = 36.0, 36.0 * room.focal, room.k1
    for index, point in enumerate(points):
        made = clip.tracking.tracks.new(name=f"point {index}", frame=1)
        seen = []
        for frame in frames or room.frames:
            (place,), z = room.project(point[None], frame)
            if z[0] > 0 and np.all((place > 0.02) & (place < 0.98)):
                number = frame - room.first + 1 - clip.frame_offset
                made.markers.insert_frame(number, co=place)
                seen.append(number)
        if 1 not in seen and seen:
            made.markers.delete_frame(1)


def solve(clip, first=1, last=20, *, tripod=False):
    """Solve the clip's camera, as Solve Camera Motion does."""
    held = next(each for each in clip.tracking.objects if each.is_camera)
    held.keyframe_a, held.keyframe_b = first, last
    clip.tracking.settings.use_tripod_solver = tripod
    in_clip_editor(clip, bpy.ops.clip.solve_camera)


def in_clip_editor(clip, operator, **how):
    """Call an operator of the Movie Clip Editor that shows a clip."""
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    before = area.type
    area.type = "CLIP_EDITOR"
    area.spaces.active.clip = clip
    area.spaces.active.clip_user.frame_current = bpy.context.scene.frame_current
    region = next(each for each in area.regions if each.type == "WINDOW")
    try:
        with bpy.context.temp_override(window=window, area=area, region=region, space_data=area.spaces.active):
            return operator(**how)
    finally:
        area.type = before


def make(folder, room, *, quantity="inverse_depth", values=None, size=(160, 90), points=None, **how):
    """A depth of the room, and the clip of its plate, tracked and solved; returns the depth's folder and the clip.

    `values` makes the maps' values of 1/Z.
    """
    made = depth_maker.make(
        folder,
        size=size,
        plate_size=SIZE,
        frames=room.frames,
        quantity=quantity,
        disparity=lambda frame, width, height: (values or (lambda each: each))(room.inverse(frame, width, height)),
        **how,
    )
    clip = load_clip(made)
    track(clip, room, room.points() if points is None else points)
    solve(clip, 1, room.count)
    return made, clip


def unit(clip, room):
    """Length of one unit of the room in units of the clip's solve."""
    cameras = {each.frame: np.array(each.matrix)[:3, 3] for each in clip.tracking.objects[0].reconstruction.cameras}
    first, last = min(cameras), max(cameras)
    path = room.pose(room.first + last - 1)[:3, 3] - room.pose(room.first + first - 1)[:3, 3]
    return np.linalg.norm(cameras[last] - cameras[first]) / np.linalg.norm(path)


def room_in_solve(clip, room):
    """The 4x4 similarity from the room's space to the solve's."""
    first = clip.tracking.objects[0].reconstruction.cameras[0]
    solved, own = np.array(first.matrix), room.pose(room.first + first.frame - 1)
    size = unit(clip, room)
    matrix = np.eye(4)
    matrix[:3, :3] = size * solved[:3, :3] @ own[:3, :3].T
    matrix[:3, 3] = solved[:3, 3] - matrix[:3, :3] @ own[:3, 3]
    return matrix


def add_camera(clip, room, scene, *, follows=True):
    """A camera that follows the solve by its constraint or, baked, by keys, oriented so that the world is the room."""
    lens = clip.tracking.camera
    data = bpy.data.cameras.new("Solved")
    data.sensor_width, data.lens = lens.sensor_width, lens.focal_length
    camera = bpy.data.objects.new("Solved", data)
    scene.collection.objects.link(camera)
    scene.camera = camera
    place = Matrix(np.linalg.inv(room_in_solve(clip, room)).tolist())
    if follows:
        constraint = camera.constraints.new("CAMERA_SOLVER")
        constraint.use_active_clip, constraint.clip = False, clip
        camera.matrix_basis = place
    else:
        camera.rotation_mode = "QUATERNION"
        for each in clip.tracking.objects[0].reconstruction.cameras:
            frame = each.frame + clip.frame_start - 1
            camera.location, camera.rotation_quaternion, _ = (place @ each.matrix).decompose()
            camera.scale = (1, 1, 1)
            camera.keyframe_insert("location", frame=frame)
            camera.keyframe_insert("rotation_quaternion", frame=frame)
    return camera
