"""Fit the depth of a shot to the camera solve of its clip, so that its distances are the solve's.

The solve's tracks are points with a known distance from the solved camera in every frame that has both; the depth maps
have a value at the tracks' markers. Both belong to the clip as it was filmed, lens distortion and all, so nothing is
undistorted here. `track_fit` brings the two together.

The result lies on the scene's list beside the depth, and what is built from that shows it at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import compress

import bpy
import numpy as np

from ..inference.contract.depth_sequence import Shot
from ..inference.contract.untrusted import readable
from . import depth_list, lens_map, lookup, shot_list, track_fit
from .camera import build_camera, find_camera, given_focal_length
from .compositing import show_fit
from .depth import Depth, Fit, find_disparity_image, require_own
from .fog import build_fog
from .map_samples import bilinear, read_map
from .mesh import build_mesh
from .plate import plate_size
from .problems import Problem
from .solved_camera import lens_of_clip
from .solved_tracks import Solve, SolvedTrack, camera_object, read_solve, signature
from .track_fit import FEWEST, Samples, TrackFit

_LEAST_ERROR, _ERRORS = 1.0, 3.0
"""Pixels up to which a track's average error is fine, and how many times the median error it may have beyond that."""
_LEAST_PARALLAX = 0.2
"""Degrees between the first and the last look at most points, below which a solve knows no distances."""
_WORST = 8
_BEYOND = 1e6
"""Error of a track that the fit puts beyond infinity."""


@dataclass(frozen=True, kw_only=True)
class CameraFit:
    """A shot's fit, how its tracks agree with it, and what was left out in a sentence each."""

    fit: Fit
    shot: Shot
    names: tuple[str, ...]
    tracks: TrackFit
    notes: tuple[str, ...]


def fit_to_solve(
    depth: Depth,
    shot: Shot,
    clip: bpy.types.MovieClip,
    *,
    scene: bpy.types.Scene,
    spacing: int = 0,
    undistorted: bool = False,
) -> CameraFit:
    """Fit a shot's depth to a clip's camera solve and put the fit beside the depth on the scene's list.

    What is built from the shot has its distances at once: mesh, fog and compositor by inputs of their node groups,
    Fathom's own camera by the unit of its path.

    Parameters
    ----------
    clip : MovieClip
        The clip that the depth is of, with a solve.
    spacing : int
        As of `track_fit.fit`.
    undistorted : bool
        Whether the depth is of images whose lens distortion was taken out, unlike the clip's.

    Raises
    ------
    Problem
        There is no such solve, it is of other frames or another clip, it has no parallax or too few tracks, or the
        depth does not agree with it. Nothing is changed then.
    """
    require_own(scene, "scene")
    depth.require_done(shot)
    _require_same_images(depth, clip)
    solve = read_solve(clip)
    if undistorted:
        lens = lens_of_clip(clip)
        tracks = (replace(track, places=lens_map.undistorted(lens, track.places)) for track in solve.tracks)
        solve = replace(solve, tracks=tuple(tracks))
    found = fit(depth, shot, solve, spacing=spacing)
    found = replace(found, fit=replace(found.fit, is_undistorted=undistorted))
    entry = depth_list.listed_entry(scene, depth)
    _write(entry, found, clip, depth.sequence.fingerprint)
    show(scene, depth_list.placed(scene, depth), shot)
    return found


def remove_fit(scene: bpy.types.Scene, depth: Depth, shot: Shot) -> None:
    """Give a shot its own distances again; Problem where it has no fit."""
    require_own(scene, "scene")
    entry = depth_list.listed_entry(scene, depth)
    places = [i for i, each in enumerate(entry.fits) if each.first_frame == shot.first_frame]
    if not places:
        raise Problem(f"The depth of {depth.name} is not fitted to a camera solve here.")
    for index in reversed(places):
        entry.fits.remove(index)
    show(scene, depth_list.placed(scene, depth), shot)


def show(scene: bpy.types.Scene, depth: Depth, shot: Shot) -> None:
    """Let everything that was built of a shot have the distances that the depth has now."""
    image = find_disparity_image(depth)
    if image is None:
        return
    camera = find_camera(depth, shot, scene)
    if camera is not None:
        focal_length = given_focal_length(camera)
        build_camera(depth, shot, scene=scene, focal_length=focal_length, plate=False, scene_camera=False)
    for kind in ("mesh", "subject", "fog"):
        for thing in lookup.tagged(kind, image=image, shot=shot.first_frame, form="MESH"):
            if thing.parent is None or thing.parent.type != "CAMERA":
                continue
            if kind != "fog":
                build_mesh(depth, shot, thing.parent, plate=False, part="subject" if kind == "subject" else None)
            else:
                build_fog(depth, shot, thing.parent)
    show_fit(depth, shot)


def describe(found: CameraFit) -> str:
    """How well a fit agrees, in one sentence."""
    used, known = int(found.tracks.inlier.sum()), int(np.isfinite(found.tracks.distance).sum())
    return (
        f"Frames {found.shot.first_frame}-{found.shot.last_frame}: {used} of {known} tracks of {found.fit.clip} fit, "
        f"to {100 * found.tracks.residual:.1f} % of their distance"
    )


def entry_at(scene: bpy.types.Scene) -> bpy.types.PropertyGroup | None:
    """The fit, on the list, of the active depth's shot under the playhead; None where it has none. Panels ask."""
    listed = scene.fathom
    if not len(listed.depths):
        return None
    item = listed.depths[min(max(listed.active_depth, 0), len(listed.depths) - 1)]
    frame = scene.frame_current - item.frame_offset

    def away(shot) -> int:
        return max(shot.first_frame - frame, frame - shot.last_frame, 0)

    own = [fit for fit in item.fits if fit.job == item.job and len(fit.tracks)]
    nearest = min(own, key=away, default=None)
    shots = shot_list.known(scene)
    is_of_shot = nearest is None or not shots or min(shots, key=away).first_frame == nearest.first_frame
    return nearest if is_of_shot else None


def worst_tracks(item: bpy.types.PropertyGroup, most: int = _WORST) -> list[bpy.types.PropertyGroup]:
    """The tracks of a fit on the list that agree least with it, the worst first."""
    return nlargest(most, item.tracks, key=lambda track: track.error)


def wild_tracks(item: bpy.types.PropertyGroup) -> list[str]:
    """The names of the tracks of a fit on the list that do not agree with it."""
    fits = np.empty(len(item.tracks), bool)
    item.tracks.foreach_get("is_inlier", fits)
    return [track.name for track in compress(item.tracks, ~fits)]


def select_tracks(clip: bpy.types.MovieClip, names: set[str]) -> int:
    """Select tracks of a clip's camera by name, and those alone, one of them the active one; returns how many."""
    tracks = camera_object(clip).tracks
    chosen = [track for track in tracks if track.name in names]
    for track in tracks:
        track.select = track.name in names
    if chosen:
        tracks.active = chosen[0]
    return len(chosen)


def fit(depth: Depth, shot: Shot, solve: Solve, *, spacing: int = 0) -> CameraFit:
    """The fit of a shot's depth to a solve; nothing is changed. See `fit_to_solve`."""
    frames = sorted(frame for frame in solve.poses if shot.first_frame <= frame <= shot.last_frame)
    if not frames:
        raise Problem(
            f"The camera solve of {solve.clip} is of frames {min(solve.poses)}-{max(solve.poses)}, and the shot has "
            f"{shot.first_frame}-{shot.last_frame}: go to a shot that it covers, or correct the clip's Frame Offset."
        )
    tracks, notes = _reliable(solve)
    _require_parallax(solve, tracks, frames)
    samples, behind = _sampled(depth, solve, tracks, frames)
    if behind:
        notes.append(f"{behind} tracks lie behind the camera")
    missing = shot.last_frame - shot.first_frame + 1 - len(frames)
    if missing:
        notes.append(f"{missing} of the shot's frames have no solved camera")
    is_relative = depth.quantity_of(shot) == "relative_disparity"
    try:
        found = track_fit.fit(samples, len(tracks), with_shift=is_relative, spacing=spacing)
    except Problem as problem:
        raise Problem(f"{depth.name} cannot be fitted to the camera solve of {solve.clip}. {problem}") from problem
    keys = tuple(
        (int(frame), float(a), float(b)) for frame, a, b in zip(found.frames, found.scale, found.shift, strict=True)
    )
    made = Fit(first_frame=shot.first_frame, clip=solve.clip, keys=keys)
    names = tuple(track.name for track in tracks)
    return CameraFit(fit=made, shot=shot, names=names, tracks=found, notes=tuple(notes))


# -------------------------------------------------------------------------------------------------------- the checks


def _require_same_images(depth: Depth, clip: bpy.types.MovieClip) -> None:
    """Raise Problem where the clip's images have another shape than those that the depth is of."""
    width, height = plate_size(depth)
    clip_width, clip_height = clip.size
    if clip_width and clip_height and abs(width * clip_height / (height * clip_width) - 1) > 0.01:
        raise Problem(
            f"The camera solve of {clip.name} is of images of {clip_width}x{clip_height}, and the depth of "
            f"{depth.name} of {width}x{height}: choose the clip that the depth was estimated of."
        )


def _reliable(solve: Solve) -> tuple[list[SolvedTrack], list[str]]:
    """The tracks whose error is not far above that of the others, and a note on those that are left out."""
    if len(solve.tracks) < FEWEST:
        raise Problem(
            f"The camera solve of {solve.clip} has {len(solve.tracks)} solved tracks, which are too few to fit "
            "depth to: track more features and solve again."
        )
    usual = float(np.median([track.error for track in solve.tracks]))
    most = max(_LEAST_ERROR, _ERRORS * usual)
    kept = [track for track in solve.tracks if track.error <= most]
    left = len(solve.tracks) - len(kept)
    return kept, [f"{left} tracks have an error above {most:.1f} pixels"] if left else []


def _require_parallax(solve: Solve, tracks: list[SolvedTrack], frames: list[int]) -> None:
    """Raise Problem where the camera only turns: points of such a solve have no distances."""
    eyes = np.array([solve.poses[frame][:3, 3] for frame in frames])
    points = np.array([track.point for track in tracks])
    # From the camera that is farthest from the first to that which is farthest from it: about the longest baseline.
    one = eyes[np.argmax(np.linalg.norm(eyes - eyes[0], axis=1))]
    two = eyes[np.argmax(np.linalg.norm(eyes - one, axis=1))]
    a, b = points - one, points - two
    cosine = np.sum(a * b, axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    parallax = float(np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))))
    if solve.is_tripod or parallax < _LEAST_PARALLAX:
        raise Problem(
            f"The camera of the solve of {solve.clip} turns without moving, so its points have no distances that depth "
            "could be fitted to: set Scale, Distance and Floor under Orientation instead."
        )


# --------------------------------------------------------------------------------------------------------- the samples


def _sampled(depth: Depth, solve: Solve, tracks: list[SolvedTrack], frames: list[int]) -> tuple[Samples, int]:
    """What the maps say at the markers, and how many tracks lie behind the camera wherever they were seen."""
    track = np.concatenate([np.full(len(each.frames), i) for i, each in enumerate(tracks)])
    frame = np.concatenate([each.frames for each in tracks])
    place = np.concatenate([each.places for each in tracks])
    solved = np.isin(frame, frames)
    track, frame, place = track[solved], frame[solved], place[solved]
    points = np.array([each.point for each in tracks])[track]
    disparity, distance = np.full(len(track), np.nan), np.full(len(track), np.nan)

    def look(number: int) -> None:
        own = frame == number
        x, y, z, w = np.linalg.inv(solve.poses[number])[2]
        distance[own] = -(points[own] @ (x, y, z) + w)
        disparity[own] = bilinear(read_map(depth, number), place[own])

    with ThreadPoolExecutor(4) as pool:  # unpacking a map leaves Python alone
        list(pool.map(look, np.unique(frame).tolist()))
    ahead = distance > 0
    behind = len(np.setdiff1d(track[~ahead], track[ahead]))
    good = ahead & np.isfinite(disparity)
    samples = Samples(track=track, frame=frame, disparity=disparity, distance=distance)
    return samples.only(good), behind


# ---------------------------------------------------------------------------------------------------------- the list


def _write(entry: bpy.types.PropertyGroup, found: CameraFit, clip: bpy.types.MovieClip, job: str) -> None:
    """Put a fit into an entry of the list, in the place of the shot's earlier one."""
    for index in reversed([i for i, each in enumerate(entry.fits) if each.first_frame == found.shot.first_frame]):
        entry.fits.remove(index)
    item = entry.fits.add()
    item.job, item.clip, item.solve = readable(job), clip, signature(clip)
    item.is_undistorted = found.fit.is_undistorted
    item.first_frame, item.last_frame = found.shot.first_frame, found.shot.last_frame
    if found.shot.range is not None:
        item.far, item.near = found.shot.range.p1, found.shot.range.p99
    item.residual, item.notes = found.tracks.residual, readable("; ".join(found.notes))
    for frame, scale, shift in found.fit.keys:
        key = item.keys.add()
        key.frame, key.scale, key.shift = frame, scale, shift
    for i, name in enumerate(found.names):
        if not np.isfinite(found.tracks.distance[i]):
            continue  # nowhere in the shot where there is depth
        track = item.tracks.add()
        track.name, track.is_inlier = name, bool(found.tracks.inlier[i])
        track.distance = found.tracks.distance[i]
        track.fitted = found.tracks.fitted[i] if np.isfinite(found.tracks.fitted[i]) else 0.0
        track.error = min(found.tracks.error[i], _BEYOND)
