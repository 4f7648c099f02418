"""Building what is asked for of a shot, one after the other: for scripts and the command line."""

from __future__ import annotations

from collections.abc import Iterable

import bpy

from ..inference.contract.depth_sequence import Shot
from . import standing
from .camera import build_camera, camera_at, cut_between_cameras, find_camera, fit_render_size
from .depth import Depth, require_own
from .fog import build_fog
from .mesh import build_mesh
from .versions import strips_of

BUILDERS = ("camera", "mesh", "points", "fog")
"""What `build` knows."""


def build(
    what: Iterable[str],
    depth: Depth,
    shot: Shot,
    *,
    scene: bpy.types.Scene,
    focal_length: float | None = None,
    scene_camera: bool = True,
    plate: bool = True,
) -> list[str]:
    """Build some of `BUILDERS`; the camera always, because everything hangs on it. Returns the objects' names.

    Depth that was made with or fitted to a camera solve stands under the scene's camera that follows it, unless a
    `focal_length` is given; see `standing.take`. `focal_length`, `scene_camera` and `plate` are as for
    `camera.build_camera`; see `look_through` for several shots.
    """
    what = set(what)
    camera = None if focal_length else standing.take(depth, shot, scene, scene_camera=scene_camera)
    if camera is None:
        how = {"focal_length": focal_length, "scene_camera": scene_camera, "plate": plate}
        camera = build_camera(depth, shot, scene=scene, **how)
    built = [camera.name]
    if what & {"mesh", "points"}:
        built.append(build_mesh(depth, shot, camera, points="points" in what, plate=plate).name)
    if "fog" in what:
        built.append(build_fog(depth, shot, camera).name)
    return built


def look_through(scene: bpy.types.Scene, depth: Depth) -> str | None:
    """Let the scene look through the cameras of a clip's shots; where several are built, markers cut between them.

    Nothing is done where depth of a camera solve stands under the scene's own camera, see `standing`. Returns one
    sentence where markers of the artist's have the scene look through another camera all the same.
    """
    if standing.is_looked_through(depth, scene):
        return None
    cameras = {shot.first_frame: find_camera(depth, shot, scene) for shot in depth.sequence.done_shots}
    built = [camera for camera in cameras.values() if camera is not None]
    if not built:
        return None
    if len(built) > 1:
        cut_between_cameras(depth, scene)
    wanted = cameras.get(depth.shot_at(scene.frame_current).first_frame) or built[0]
    scene.camera = wanted
    seen = camera_at(scene, scene.frame_current)
    if seen == wanted or seen in built:
        return None
    return (
        f"Markers on the timeline switch to {seen.name} here, so the scene does not look through {wanted.name}: move "
        "or delete them."
    )


def renders_strips(scene: bpy.types.Scene) -> bool:
    """Whether a render of the scene shows the strips of its Sequencer, and nothing of what is built in it."""
    editor = scene.sequence_editor
    if editor is None or not scene.render.use_sequencer:
        return False
    seen = (strip for strip in strips_of(editor) if strip.type != "SOUND" and not strip.mute)
    return any(not editor.channels[strip.channel].mute for strip in seen)


def fit_scene(
    scene: bpy.types.Scene,
    depth: Depth,
    *,
    frame_range: bool = True,
    render_size: bool = True,
    frame_rate: bool = True,
) -> None:
    """Give a scene the clip's frames (start and end, the playhead among them), size, and rate where that is known."""
    require_own(scene, "scene")
    if render_size:
        fit_render_size(scene, depth)
    sequence = depth.sequence
    if frame_range:
        scene.frame_start = sequence.first_frame + depth.frame_offset
        scene.frame_end = sequence.last_frame + depth.frame_offset
        if not scene.frame_start <= scene.frame_current <= scene.frame_end:
            scene.frame_set(scene.frame_start)
    if frame_rate and sequence.source.fps:
        scene.render.fps = max(1, round(sequence.source.fps))
        scene.render.fps_base = scene.render.fps / sequence.source.fps
