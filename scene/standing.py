"""The camera of the artist's scene that what is built stands under: one that moves as the clip's camera solve does.

*Setup Tracking Scene* makes one with a Camera Solver constraint; *Constraint to F-Curve* bakes it into keys; the
*Orientation* panel moves, turns and scales it or its parent. Whatever did, the path of the right camera is the solve's
but for one place, turn and size, and depth in units of the solve stands right as its child.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import bpy
import numpy as np

from ..inference.contract.camera import SENSOR_WIDTH, Camera
from ..inference.contract.depth_sequence import Shot
from . import lookup, tags
from .camera import find_camera, given_focal_length, hang, lens_at
from .depth import Depth, distances, find_disparity_image
from .plate import plate_size
from .problems import Problem
from .solved_camera import VIEW, lens_of_clip
from .solved_tracks import Floats, camera_object, clip_offset, has_solve, read_solve, signature, source_shift

_LOOKS = 5
"""Frames at which a camera that is moved otherwise than by the solve's constraint is compared with it."""
_TURN = math.radians(0.3)
_SHIFT = 0.02
"""How far turns, and places as a share of the path's length, may differ."""
_SAME_LENS = 0.005
"""How far focal lengths, as a share, and shifts, in widths of the image, may differ."""
_FEWEST = 2
"""Poses that tell one path from another."""
_STILL = 1e-6
"""Length of a path, in its own units, that is none."""


class Standing(NamedTuple):
    """A camera of the scene, and the length of one unit of the depth's distances in the camera's own space."""

    camera: bpy.types.Object
    size: float


def find(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> Standing | None:
    """The scene's camera that a shot's depth belongs under; None where there is none, or the depth is of no solve.

    Problem where the depth is of a solve, but of an earlier one, or at other frames than the clip, or the camera has
    another lens.
    """
    clip = clip_of(depth, shot)
    if clip is None:
        return _given(depth, shot, scene)
    _require_as_filmed(clip, depth)
    changed = solved_since(depth, shot)
    if changed is not None:
        raise Problem(changed)
    return _following(clip, depth, scene)


def take(depth: Depth, shot: Shot, scene: bpy.types.Scene, *, scene_camera: bool = True) -> bpy.types.Object | None:
    """The camera of `find`, with what was built of the shot moved under it; None where Fathom's own is to be built.

    Where the depth is of a clip's solve and no camera of the scene follows that, one is added. `scene_camera`: the
    scene looks through it from now on. Raises as `find`, and nothing is changed then.
    """
    stands, clip = find(depth, shot, scene), clip_of(depth, shot)
    if stands is None and clip is not None:
        stands = Standing(add_camera(clip, scene), 1.0)
        stands.camera.data.clip_end = max(stands.camera.data.clip_end, 10.0 * distances(depth, shot).far_limit)
    if stands is None:
        return None
    move(depth, shot, scene, stands)
    if scene_camera or scene.camera is None:
        scene.camera = stands.camera
    return stands.camera


def is_looked_through(depth: Depth, scene: bpy.types.Scene) -> bool:
    """Whether the scene looks through a camera of the artist's, and depth is of a solve that such a camera follows."""
    if scene.camera is None or tags.text(scene.camera, tags.KIND) == "camera":
        return False
    return any(clip_of(depth, shot) is not None for shot in depth.sequence.done_shots)


def clip_of(depth: Depth, shot: Shot) -> bpy.types.MovieClip | None:
    """The clip whose solve a shot's distances are of, by a fit or because the solve was given to the estimate."""
    fit, camera = depth.fit_of(shot), shot.camera
    if fit is not None:
        return bpy.data.movieclips.get(fit.clip)
    origin = camera.origin if camera is not None else ""
    return bpy.data.movieclips.get(origin.removeprefix("SOLVE ")) if origin.startswith("SOLVE ") else None


def solved_since(depth: Depth, shot: Shot) -> str | None:
    """That the clip whose solve a shot's distances are of was solved again since: a new solve has units of its own.

    None where it was not, or nobody knows.
    """
    clip, fit = clip_of(depth, shot), depth.fit_of(shot)
    if clip is None or not has_solve(clip):
        return None
    if fit is not None:
        is_other = fit.solve not in ("", signature(clip))
        return f"{clip.name} was solved again since the depth was fitted to it: fit it again." if is_other else None
    if _is_solves_path(clip, shot):
        return None
    return (
        f"{clip.name} was solved again since the depth of frames {shot.first_frame}-{shot.last_frame} was estimated "
        "with its solve: estimate it again, or fit it to the solve as it is now."
    )


def lens_of(depth: Depth, shot: Shot, camera: bpy.types.Object) -> Camera | None:
    """The lens whose distortion a shot's images have, where the coefficients on the camera do not tell all of it.

    None for Fathom's own camera with a plain radial lens, for a plate that was undistorted, and where no lens is known.
    """
    fit, known = depth.fit_of(shot), shot.camera
    if tags.text(camera, tags.KIND) != "camera" and fit is not None:
        clip = bpy.data.movieclips.get(fit.clip)
        return None if clip is None or fit.is_undistorted else lens_of_clip(clip)
    if known is None or given_focal_length(camera) is not None:
        return None
    is_plain = known.distortion_model == "polynomial" and not any(known.distortion[2:])
    return None if is_plain and tags.text(camera, tags.KIND) == "camera" else known


def move(depth: Depth, shot: Shot, scene: bpy.types.Scene, stands: Standing | None) -> None:
    """Hang what was built of a shot under a camera of the scene, or of a solve's depth under Fathom's own again (None).

    What the artist has hung elsewhere stays there.
    """
    image = find_disparity_image(depth)
    own = find_camera(depth, shot, scene)
    if stands is not None:
        target = stands.camera
        target.pop(tags.SIZE, None)
        if abs(stands.size - 1) > 1e-6:
            target[tags.SIZE] = [stands.size]
    else:
        target = own if _is_of_solve(depth, shot) else None
    if image is None or target is None:
        return
    for kind in ("mesh", "subject", "fog"):
        for thing in lookup.tagged(kind, image=image, shot=shot.first_frame, form="MESH"):
            hangs_here = thing.parent is None or thing.parent in (own, target) or thing.parent.type == "CAMERA"
            if lookup.is_in(thing, scene) and hangs_here:
                hang(thing, target)


def _is_of_solve(depth: Depth, shot: Shot) -> bool:
    origin = shot.camera.origin if shot.camera is not None else ""
    return depth.fit_of(shot) is not None or origin.startswith(("SOLVE ", "CAMERA "))


def add_camera(clip: bpy.types.MovieClip, scene: bpy.types.Scene) -> bpy.types.Object:
    """Add a camera that follows a clip's solve, with its lens, as Setup Tracking Scene does.

    Raises Problem where the clip has no solve.
    """
    read_solve(clip)
    data = bpy.data.cameras.new("Camera")
    camera = bpy.data.objects.new("Camera", data)
    scene.collection.objects.link(camera)
    constraint = camera.constraints.new("CAMERA_SOLVER")
    constraint.use_active_clip, constraint.clip = False, clip
    lens = clip.tracking.camera
    data.sensor_fit, data.sensor_width = "HORIZONTAL", lens.sensor_width
    data.lens_unit, data.lens = "MILLIMETERS", lens.focal_length
    _, data.shift_x, data.shift_y = _lens_of_solve(clip)
    background = data.background_images.new()
    background.source, background.clip, background.frame_method = "MOVIE_CLIP", clip, "FIT"
    background.clip_user.use_render_undistorted = True
    background.alpha = 1.0
    data.show_background_images = True
    return camera


def world_scale(camera: bpy.types.Object) -> float:
    """Length in the world of one unit of a camera's own space."""
    return float(np.mean(camera.matrix_world.to_scale()))


# ---------------------------------------------------------------------------------------------------------- the camera


def _require_as_filmed(clip: bpy.types.MovieClip, depth: Depth) -> None:
    offset = clip_offset(clip)
    if depth.frame_offset != offset:
        raise Problem(
            f"The camera solve of {clip.name} shows frame {depth.sequence.first_frame} of the plate at frame "
            f"{depth.sequence.first_frame + offset} of the scene, and the depth at "
            f"{depth.sequence.first_frame + depth.frame_offset}: set the depth's Frame Offset to {offset}."
        )
    if abs(clip.tracking.camera.pixel_aspect - 1) > 1e-3:
        raise Problem(
            f"The pixels of {clip.name} are not square (Pixel Aspect {clip.tracking.camera.pixel_aspect:g}): export "
            "the plate with square pixels, and solve and estimate that."
        )


def _following(clip: bpy.types.MovieClip, depth: Depth, scene: bpy.types.Scene) -> Standing | None:
    cameras = [scene.camera, *(thing for thing in scene.objects if thing != scene.camera)]
    # one that lies in a collection's instance alone is none of the scene's
    cameras = [each for each in cameras if each is not None and each.type == "CAMERA" and lookup.is_in(each, scene)]
    found = next((Standing(each, 1.0) for each in cameras if _follows(each, clip, scene)), None)
    if found is None and scene.camera is not None and tags.text(scene.camera, tags.KIND) != "camera":
        size = _size_of_path(scene.camera, clip, depth, scene)
        found = None if size is None else Standing(scene.camera, size)
    if found is None:
        return None
    lens = found.camera.data
    if not _is_lens(lens, clip.size, _lens_of_solve(clip)):
        raise Problem(
            f"The lens of {found.camera.name} is not that of the solve of {clip.name}, {_lens_text(clip)}: set it to "
            "that, or press Setup Tracking Scene again."
        )
    return found


def _is_solves_path(clip: bpy.types.MovieClip, shot: Shot) -> bool:
    """Whether the camera path of a shot that was estimated with a clip's solve is that of the solve as it is now."""
    cameras = camera_object(clip).reconstruction.cameras
    try:
        shift = source_shift(clip)
    except Problem:  # its images have no numbers: `_require_as_filmed` says so
        return True
    there = {camera.frame + shift: camera for camera in cameras}
    own = [pose for pose in (shot.camera.poses if shot.camera is not None else ()) if pose.frame in there]
    if len(own) < _FEWEST:
        return True
    own = [own[i] for i in np.unique(np.linspace(0, len(own) - 1, _LOOKS).astype(int))]
    path = [np.array(pose.camera_to_world) for pose in own]
    now = [np.array(there[pose.frame].matrix @ VIEW) for pose in own]
    if _is_still(path):
        return True
    size = similar(path, now)
    return size is not None and abs(size - 1) < _SHIFT


def _is_still(path: list[Floats]) -> bool:
    """Whether a camera only turns: then its path has no unit."""
    return bool(np.ptp([pose[:3, 3] for pose in path], axis=0).max() < _STILL)


def _follows(camera: bpy.types.Object, clip: bpy.types.MovieClip, scene: bpy.types.Scene) -> bool:
    """Whether a camera has the constraint that moves it as the clip's solve."""
    solvers = (each for each in camera.constraints if each.type == "CAMERA_SOLVER")
    for each in solvers:
        followed = scene.active_clip if each.use_active_clip else each.clip
        if followed == clip and not each.mute and each.influence == 1.0:
            return True
    return False


def _size_of_path(
    camera: bpy.types.Object, clip: bpy.types.MovieClip, depth: Depth, scene: bpy.types.Scene
) -> float | None:
    """`Standing.size` of a camera that moves as a clip's solve, however it is moved; None where it does not."""
    poses = {frame + depth.frame_offset: pose for frame, pose in read_solve(clip).poses.items()}
    frames = sorted(poses)
    frames = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, _LOOKS).astype(int))]
    with _returning(scene):
        worlds = [_world_at(camera, frame, scene) for frame in frames]
    size = similar([poses[frame] for frame in frames], worlds)
    return None if size is None else size / float(np.mean([np.linalg.norm(w[:3, :3], axis=0) for w in worlds]))


def similar(path: list[Floats], other: list[Floats]) -> float | None:
    """The length of a path's unit in another's, where both are one but for place, turn and size; else None.

    Both are camera-to-world matrices at the same frames; scales in them do not count.
    """
    if not _turn_alike(path, other):
        return None
    whole = _turn_of(other[0]) @ _turn_of(path[0]).T
    steps = np.array([whole @ (each[:3, 3] - path[0][:3, 3]) for each in path])
    others_steps = np.array([each[:3, 3] - other[0][:3, 3] for each in other])
    length = float(np.sum(steps**2))
    size = float(np.sum(steps * others_steps)) / length if length > 0 else 0.0
    if not size > 0 or np.max(np.linalg.norm(others_steps - size * steps, axis=1)) > _SHIFT * size * length**0.5:
        return None
    return size


def _turn_of(matrix: Floats) -> Floats:
    return matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)


def _turn_alike(path: list[Floats], other: list[Floats]) -> bool:
    """Whether two paths turn in the same way, from wherever they begin."""
    whole = _turn_of(other[0]) @ _turn_of(path[0]).T if path else np.eye(3)
    cosines = [(np.trace(_turn_of(b).T @ whole @ _turn_of(a)) - 1) / 2 for a, b in zip(path, other)]
    return all(np.arccos(np.clip(cosine, -1, 1)) <= _TURN for cosine in cosines)


def _given(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> Standing | None:
    """The camera of the scene that was given to the estimate: distances were the world's then.

    Where it was placed or scaled since, the depth goes with it. Problem where it moves in another way than it did, or
    has another lens. Where it did not move, one of that name that turns otherwise or has another lens is another.
    """
    origin = shot.camera.origin if shot.camera is not None else ""
    camera = scene.objects.get(origin.removeprefix("CAMERA ")) if origin.startswith("CAMERA ") else None
    if shot.camera is None or camera is None or camera.type != "CAMERA":
        return None
    poses = shot.camera.poses
    poses = tuple(poses[i] for i in np.unique(np.linspace(0, len(poses) - 1, _LOOKS).astype(int))) if poses else ()
    path, worlds, is_same_lens = [np.array(pose.camera_to_world) for pose in poses], [], True
    known, (width, height) = shot.camera, plate_size(depth)
    with _returning(scene):
        for pose in poses:
            worlds.append(_world_at(camera, pose.frame + depth.frame_offset, scene) @ np.array(VIEW))
            size, filmed = (width * known.pixel_aspect, height), lens_at(known, pose)
            is_same_lens = is_same_lens and _is_lens(camera.data, size, filmed)
    if len(path) < _FEWEST or _is_still(path):
        is_it = is_same_lens and _turn_alike(path, worlds)
        return Standing(camera, 1.0 / world_scale(camera)) if is_it else None
    size = similar(path, worlds)
    if size is not None and not is_same_lens:
        raise Problem(
            f"The lens of {camera.name} is another than when the depth of frames {shot.first_frame}-{shot.last_frame} "
            "was estimated with it: estimate it again, or set the lens to what it was."
        )
    if size is None:
        raise Problem(
            f"{camera.name} moves otherwise than when the depth of frames {shot.first_frame}-{shot.last_frame} was "
            "estimated with it: estimate it again, or set the depth's Frame Offset if that is not the clip's."
        )
    return Standing(camera, size / world_scale(camera))


def _world_at(camera: bpy.types.Object, frame: int, scene: bpy.types.Scene) -> Floats:
    scene.frame_set(frame)
    return np.array(camera.matrix_world, float)


@contextmanager
def _returning(scene: bpy.types.Scene) -> Iterator[None]:
    frame, subframe = scene.frame_current, scene.frame_subframe
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=subframe)


def _is_lens(lens: bpy.types.Camera, size: tuple[float, float], wanted: tuple[float, float, float]) -> bool:
    """Whether a camera whose image is of that size has a lens, as `camera.lens_at` describes it."""
    width, height = size
    is_tall = lens.sensor_fit == "VERTICAL" or (lens.sensor_fit == "AUTO" and height > width)
    fitted = lens.sensor_height if lens.sensor_fit == "VERTICAL" else lens.sensor_width
    share = height / width if is_tall else 1.0
    focal, *shifts = wanted
    is_alike = all(abs(own * share - shift) < _SAME_LENS for own, shift in zip((lens.shift_x, lens.shift_y), shifts))
    return lens.type == "PERSP" and is_alike and abs(lens.lens / fitted * share * SENSOR_WIDTH / focal - 1) < _SAME_LENS


def _lens_of_solve(clip: bpy.types.MovieClip) -> tuple[float, float, float]:
    """The lens of a clip's tracking camera, as `camera.lens_at` describes it."""
    lens, (width, height) = clip.tracking.camera, clip.size
    across, up = lens.principal_point_pixels
    focal = lens.focal_length / lens.sensor_width * SENSOR_WIDTH
    return focal, (0.5 * width - across) / width, (0.5 * height - up) / width


def _lens_text(clip: bpy.types.MovieClip) -> str:
    lens, (_, *shifts) = clip.tracking.camera, _lens_of_solve(clip)
    shifted = f" with Shift X {shifts[0]:.3f} and Y {shifts[1]:.3f}" if max(map(abs, shifts)) >= _SAME_LENS else ""
    return f"{lens.focal_length:.2f} mm on a sensor {lens.sensor_width:.2f} mm wide{shifted}"
