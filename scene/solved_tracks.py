"""The points of a clip's camera solve and the path of the camera that saw them, by source frame."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from ..inference.contract import numbering
from ..inference.contract.job import Source
from ..inference.contract.numbering import NumberingError
from .depth import Depth
from .problems import Problem
from .viewing import shown

Floats = NDArray[np.float64]
_LEAST_DETERMINANT = 1e-12
"""Of a pose; that of a rotation and a translation is 1."""


@dataclass(frozen=True, kw_only=True)
class SolvedTrack:
    """A track with a solved point.

    Attributes
    ----------
    name : str
    point : [3] float
        In the solve's space.
    error : float
        Its average reprojection error in pixels.
    frames : [N] int
        Source frames.
    places : [N, 2] float
        Where it was seen, from the image's lower left corner, in widths and heights of the image as filmed.
    """

    name: str
    point: Floats
    error: float
    frames: NDArray[np.int64]
    places: Floats


@dataclass(frozen=True, kw_only=True)
class Solve:
    """A camera solve: its camera by source frame, as a 4x4 camera-to-world in Blender's axes, and its tracks."""

    clip: str
    poses: dict[int, Floats]
    tracks: tuple[SolvedTrack, ...]
    is_tripod: bool = False


def read_solve(clip: bpy.types.MovieClip) -> Solve:
    """The camera solve of a clip; Problem where it has none."""
    held = camera_object(clip)
    shift = source_shift(clip)
    poses = {camera.frame + shift: np.array(camera.matrix, float) for camera in held.reconstruction.cameras}
    if not held.reconstruction.is_valid or not poses:
        raise Problem(
            f"The clip {clip.name} has no camera solve: track it in the Movie Clip Editor and press Solve Camera "
            "Motion."
        )
    if any(not np.all(np.isfinite(pose)) or abs(np.linalg.det(pose)) < _LEAST_DETERMINANT for pose in poses.values()):
        raise Problem(f"The camera solve of {clip.name} has poses that are no positions: solve the camera again.")
    found = (_read_track(track, shift) for track in held.tracks if track.has_bundle and track.weight > 0)
    tracks = (track for track in found if np.all(np.isfinite(track.point)) and np.isfinite(track.error))
    settings = clip.tracking.settings
    return Solve(clip=clip.name, poses=poses, tracks=tuple(tracks), is_tripod=settings.use_tripod_solver)


def signature(clip: bpy.types.MovieClip) -> str:
    """What tells a clip's camera solve from any other, as the next one of the same clip; empty where it has none."""
    digest = hashlib.sha256()
    for camera in camera_object(clip).reconstruction.cameras:
        digest.update(np.array([camera.frame, *(value for row in camera.matrix for value in row)], "<f4").tobytes())
    return digest.hexdigest()[:16] if has_solve(clip) else ""


def has_solve(clip: bpy.types.MovieClip) -> bool:
    """Whether a clip has a camera solve."""
    return camera_object(clip).reconstruction.is_valid and len(camera_object(clip).reconstruction.cameras) > 0


def source_shift(clip: bpy.types.MovieClip) -> int:
    """Source frame less the number that the clip's markers and cameras have it by, which counts from 1.

    Problem where the images of the clip are not numbered.
    """
    first = 1
    if clip.source == "SEQUENCE":
        try:
            first = numbering.frame_number(bpy.path.basename(clip.filepath))
        except NumberingError as error:
            raise Problem(f"The images of the clip {clip.name} cannot be numbered: {error}") from error
    return first - 1 + clip.frame_offset


def clip_offset(clip: bpy.types.MovieClip) -> int:
    """Scene frame less source frame of a clip, as its Start Frame and Frame Offset have it."""
    return clip.frame_start - 1 - source_shift(clip)


def find_clip(
    depth: Depth, scene: bpy.types.Scene, preferred: bpy.types.MovieClip | None = None
) -> bpy.types.MovieClip:
    """The clip whose solve a depth is to be fitted to: one that shows its plate and is solved, else what is preferred.

    Problem where there is none, or several that are alike.
    """
    if preferred is not None and has_solve(preferred):
        return preferred
    solved = [clip for clip in bpy.data.movieclips if has_solve(clip)]
    same = [clip for clip in solved if shows_plate(clip, depth.source)]
    found = same or ([scene.active_clip] if scene.active_clip in solved else solved)
    if len(found) == 1:
        return found[0]
    if found:
        raise Problem(
            f"Several clips have a camera solve ({', '.join(clip.name for clip in found[:4])}): show the one to fit to "
            "in the Movie Clip Editor."
        )
    name = preferred.name if preferred is not None else depth.name
    raise Problem(
        f"No camera solve of {name} is in this file: track the clip in the Movie Clip Editor and press Solve Camera "
        "Motion."
    )


def shows_plate(clip: bpy.types.MovieClip, plate: Source) -> bool:
    """Whether a clip is of a depth's plate."""
    return shown.is_of(plate, clip.filepath, is_movie=clip.source == "MOVIE", owner=clip)


def camera_object(clip: bpy.types.MovieClip) -> bpy.types.MovieTrackingObject:
    """What of a clip's tracking is the camera's; other objects move by themselves."""
    return next(each for each in clip.tracking.objects if each.is_camera)


def _read_track(track: bpy.types.MovieTrackingTrack, shift: int) -> SolvedTrack:
    """A track with its markers that are enabled."""
    count = len(track.markers)
    frames, places, mute = np.empty(count, np.int32), np.empty(2 * count, np.float32), np.empty(count, bool)
    track.markers.foreach_get("frame", frames)
    track.markers.foreach_get("co", places)
    track.markers.foreach_get("mute", mute)
    seen = places.reshape(-1, 2).astype(float) + np.array(track.offset)
    used = ~mute & np.all(np.isfinite(seen), axis=1)
    return SolvedTrack(
        name=track.name,
        point=np.array(track.bundle, float),
        error=track.average_error,
        frames=frames[used].astype(np.int64) + shift,
        places=seen[used],
    )
