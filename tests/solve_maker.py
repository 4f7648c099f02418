"""Movie clips whose camera Blender's own solver has solved, from tracks of a known scene through a known lens.

Tests say ``import solve_maker``. A solve from exact tracks is exact, where the lens here is Blender's: its solver
undistorts the tracks by itself.
"""

import bpy
import depth_maker
import numpy as np
from bl_ext.dev.fathom.inference.contract import distortion
from mathutils import Euler, Matrix

SIZE = (128, 72)
FOCAL, SENSOR = 30.0, 36.0
_TANGENTIAL = {"nuke_p1": 0.02, "nuke_p2": -0.01}
_NUKE = _TANGENTIAL if "nuke_p1" in bpy.types.MovieTrackingCamera.bl_rna.properties else {}  # from 5.2
LENSES = {
    "POLYNOMIAL": ({"k1": -0.12, "k2": 0.03, "k3": 0.01}, ("polynomial", (-0.12, 0.03, 0.01))),
    "DIVISION": ({"division_k1": -0.1, "division_k2": 0.02}, ("division", (-0.1, 0.02))),
    "NUKE": ({"nuke_k1": -0.1, "nuke_k2": 0.03, **_NUKE}, ("nuke", (-0.1, 0.03, *(_NUKE.values() or (0.0, 0.0))))),
    "BROWN": (
        {"brown_k1": -0.12, "brown_k2": 0.03, "brown_p1": 0.01, "brown_p2": -0.006},
        ("brown", (-0.12, 0.03, 0.0, 0.0, 0.006, 0.01)),
    ),
}
"""Blender's properties and the contract's model of lenses, by Blender's name of the model."""


def poses(count=24):
    """Camera-to-world matrices by Blender's axes: sideways past the points, while it turns."""
    return [
        Matrix.Translation((0.06 * (i - 12), 0.3 * np.sin(i / 8), 0.02 * i - 0.3))
        @ Euler((np.pi / 2 + 0.01 * np.sin(i / 3), 0.004 * i, 0.05 - 0.006 * i)).to_matrix().to_4x4()
        for i in range(count)
    ]


def points(count=50):
    """Points [count, 3] before the camera."""
    return np.random.default_rng(0).uniform([-1.6, 5, -0.9], [1.6, 9, 0.9], (count, 3))


def make(folder, *, lens="POLYNOMIAL", bends=True, principal_point=(0.0, 0.0), aspect=1.0, frames=None, solve=True):
    """A clip of images ``plate.1001.png`` and on, with tracks and, with `solve`, its solved camera.

    `frames` are the clip's own, from 1, that have tracks; the images are of all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = poses()
    for number in range(len(path)):
        depth_maker.write_png(folder / f"plate.{1001 + number}.png", depth_maker.smooth_image(number, *SIZE))
    clip = bpy.data.movieclips.load(str(folder / "plate.1001.png"))
    camera = clip.tracking.camera
    camera.sensor_width, camera.focal_length = SENSOR, FOCAL
    camera.pixel_aspect, camera.distortion_model = aspect, lens
    settings, (model, coefficients) = LENSES[lens]
    for name, value in settings.items() if bends else ():
        setattr(camera, name, value)
    center = np.array(SIZE) / 2 + principal_point
    camera.principal_point_pixels = center
    unit = max(SIZE[0], SIZE[1] / aspect) / 2 / camera.focal_length_pixels
    scale = camera.focal_length_pixels * np.array([1.0, aspect])
    first = (frames or range(1, len(path) + 1))[0]
    tracks = [clip.tracking.tracks.new(name=f"point {i}", frame=first) for i in range(len(points()))]
    for frame in frames or range(1, len(path) + 1):
        pose = np.array(path[frame - 1])
        local = (points() - pose[:3, 3]) @ pose[:3, :3]
        x, y = local[:, 0] / -local[:, 2], local[:, 1] / local[:, 2]  # y down, as the contract's
        if bends:
            x, y = distortion.distort(model, coefficients, x, y, unit=unit)
        for track, marker in zip(tracks, (np.stack([x, -y], axis=1) * scale + center) / SIZE, strict=True):
            track.markers.insert_frame(frame, co=marker)
    if solve:
        solve_camera(clip, *((frames or range(1, len(path) + 1))[i] for i in (0, -1)))
    return clip


def solve_camera(clip, first, last):
    """Press Solve Camera Motion, with these key frames."""
    clip.tracking.objects[0].keyframe_a, clip.tracking.objects[0].keyframe_b = first, last
    clip.tracking.settings.use_keyframe_selection = False
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    kind, area.type = area.type, "CLIP_EDITOR"
    try:
        area.spaces.active.clip = clip
        region = next(region for region in area.regions if region.type == "WINDOW")
        with bpy.context.temp_override(window=window, area=area, region=region):
            bpy.ops.clip.solve_camera()
        area.spaces.active.clip = None
    finally:
        area.type = kind
