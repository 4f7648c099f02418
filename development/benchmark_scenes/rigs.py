"""Cameras and things that move: a place for each frame, as key frames."""

from __future__ import annotations

from collections.abc import Callable

import bpy
from mathutils import Matrix, Vector

CameraPath = Callable[[float], tuple[Vector, Vector]]
"""From a time of 0 to 1, the camera's place and what it looks at."""
SENSOR = 36.0
"""Width of all cameras' sensors in millimeters."""


def begin(frames: int) -> bpy.types.Scene:
    """Empty Blender's file; its scene, 24 frames a second, over frames 1 to `frames`."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)  # unlike factory settings, keeps extensions
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end, scene.render.fps = 1, frames, 24
    return scene


def times(frames: int) -> list[tuple[int, float]]:
    """Each frame's number and its time from 0 to 1."""
    return [(frame, (frame - 1) / max(1, frames - 1)) for frame in range(1, frames + 1)]


def camera(scene: bpy.types.Scene, frames: int, path: CameraPath, *, lens: float) -> bpy.types.Object:
    """A camera of a lens in millimeters on a path."""
    data = bpy.data.cameras.new("Camera")
    data.lens, data.sensor_width, data.clip_end = lens, SENSOR, 500.0
    obj = bpy.data.objects.new("Camera", data)
    obj.rotation_mode = "QUATERNION"
    scene.collection.objects.link(obj)
    scene.camera = obj
    for frame, t in times(frames):
        position, aim = path(t)
        obj.location = position
        obj.rotation_quaternion = (aim - position).to_track_quat("-Z", "Y")
        obj.keyframe_insert("location", frame=frame)
        obj.keyframe_insert("rotation_quaternion", frame=frame)
    return obj


def animate(obj: bpy.types.Object, frames: int, path: Callable[[float], Matrix]) -> None:
    """Move an object: `path` gives its place, relative to its parent if it has one, at a time from 0 to 1."""
    obj.rotation_mode = "QUATERNION"
    for frame, t in times(frames):
        obj.location, obj.rotation_quaternion, _ = path(t).decompose()
        obj.keyframe_insert("location", frame=frame)
        obj.keyframe_insert("rotation_quaternion", frame=frame)
