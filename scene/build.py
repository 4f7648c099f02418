"""Building what is asked for of a shot, one after the other: for scripts and the command line."""

from __future__ import annotations

from collections.abc import Iterable

import bpy

from ..inference.depth_sequence import Shot
from .camera import build_camera, fit_render_size
from .depth import Depth
from .fog import build_fog
from .mesh import build_mesh

BUILDERS = ("camera", "mesh", "points", "fog")
"""What `build` knows."""


def build(
    what: Iterable[str], depth: Depth, shot: Shot, *, scene: bpy.types.Scene, focal_length: float | None = None
) -> list[str]:
    """Build some of `BUILDERS`; the camera always, because everything hangs on it.

    Parameters
    ----------
    what : names of builders
    depth : Depth
    shot : Shot
    scene : Scene
    focal_length : float or None
        As for `camera.build_camera`.

    Returns
    -------
    list of str
        Names of the objects.
    """
    what = set(what)
    camera = build_camera(depth, shot, scene=scene, focal_length=focal_length)
    built = [camera.name]
    if what & {"mesh", "points"}:
        built.append(build_mesh(depth, shot, camera, points="points" in what).name)
    if "fog" in what:
        built.append(build_fog(depth, shot, camera).name)
    return built


def fit_scene(scene: bpy.types.Scene, depth: Depth) -> None:
    """Give a new scene the clip's size, rate and frames, and a view that shows the plate as it is."""
    fit_render_size(scene, depth)
    sequence = depth.sequence
    scene.frame_start = sequence.first_frame + depth.frame_offset
    scene.frame_end = sequence.last_frame + depth.frame_offset
    scene.frame_set(scene.frame_start)
    if sequence.source.fps:
        scene.render.fps = max(1, round(sequence.source.fps))
        scene.render.fps_base = scene.render.fps / sequence.source.fps
    scene.view_settings.view_transform = "Standard"
