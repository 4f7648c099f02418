"""The camera of a shot: the input camera's path, or one solved from tracks."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import UnsupportedShot
from ...common.files import load_arrays, save_arrays
from ...contract.camera import Camera
from ..base import Shot
from . import camera_motion, given_camera, unsupported
from .features import with_features
from .lens import Lens, SolveError
from .solve_process import solve_apart
from .tracks import Tracks, follow, key_frames, selected, without
from .triangulate import triangulate
from .unsupported import explained, fit_static_points
from .view import Views, load_views, of_camera, undistort

_TRACKS, _VIEWS = "tracks.npz", "views.npz"
_TRACK_SHARE = 0.3  # of the time until the camera is known
_MUCH_STATIC, _MOSTLY_STATIC = 0.67, 0.85  # of the observations; a cat has .63, a walk past people .74, a street .91
_MARGIN = 0.008  # of the long side, around a matte


def camera_path(shot: Shot, progress: Callable[[str, float], None]) -> Views:
    """Cameras of all frames and static points, at the working size; saved in the shot's scratch folder.

    An input camera with poses is used as it is, in its own units; for a solved one, the unit of length is the median
    distance of the static points.

    Parameters
    ----------
    shot : Shot
    progress : callable
        Called with the current step and the share, 0..1, that is done.

    Raises
    ------
    UnsupportedShot
    """
    kept = shot.scratch / _VIEWS
    if kept.exists():
        return load_views(kept)
    tracks = tracks_of(shot, lambda done: progress("Tracking points", _TRACK_SHARE * done))
    tracks = static_tracks(shot, tracks)
    views = _given(shot, tracks) if shot.camera and shot.camera.poses else _solved(shot, tracks, progress)
    views.save(kept)
    progress("Solving the camera", 1.0)
    return views


def tracks_of(shot: Shot, progress: Callable[[float], None] = lambda done: None) -> Tracks:
    """The shot's tracks, with lens distortion; saved in its scratch folder."""
    kept = shot.scratch / _TRACKS
    if kept.exists():
        return Tracks(**load_arrays(kept))
    count = len(shot.frames)

    def step(done: int) -> None:
        shot.check()
        progress(done / count)

    tracks = follow(lambda index: shot.frames[index], count, aside=_matted(shot), step=step)
    save_arrays(kept, starts=tracks.starts, ids=tracks.ids, xy=tracks.xy)
    return tracks


def static_tracks(shot: Shot, tracks: Tracks) -> Tracks:
    """The observations that may be of the static scene: those away from mattes."""
    aside = _matted(shot)
    return tracks if aside is None else without(tracks, aside)


def _matted(shot: Shot) -> Callable[[int], NDArray[np.bool_]] | None:
    """The mask of what a frame's matte covers, with a margin: hair, blur and shadow at its edge move along."""
    mattes = shot.mattes
    if mattes is None:
        return None
    wide = 2 * max(1, round(_MARGIN * max(shot.frames.width, shot.frames.height))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    return lambda index: cv2.dilate(np.asarray(mattes[index], np.uint8), kernel) > 0


def undistorted_tracks(tracks: Tracks, views: Views) -> Tracks:
    """Undistorted tracks."""
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    return replace(tracks, xy=views.straight(tracks.xy, frames))


def _solved(shot: Shot, tracks: Tracks, progress: Callable[[str, float], None]) -> Views:
    frames = shot.frames
    lens = _lens(shot)
    undistorted = tracks
    if lens.focal is not None:
        given_camera.check_known_lens(lens.focal, long_side=max(lens.width, lens.height))
        center, distortion = np.array(lens.center), np.array(lens.distortion)
        undistorted = replace(tracks, xy=undistort(tracks.xy, focal=lens.focal, center=center, distortion=distortion))
    motion = camera_motion.measure(undistorted, width=frames.width, height=frames.height)
    camera_motion.require_parallax(
        motion,
        frames=len(frames),
        long_side=max(frames.width, frames.height),
        matted=shot.mattes is not None,
    )
    progress("Solving the camera", _TRACK_SHARE)
    keys = key_frames(undistorted, long_side=max(lens.width, lens.height))
    linked = with_features(tracks, keys, frames.__getitem__, aside=_matted(shot), check=shot.check)
    try:
        views = _without_what_moves(shot, linked, lens, _solve(shot, linked, lens))
    except SolveError as error:
        good = np.zeros(len(frames), bool)
        if error.solved is not None:
            good[error.solved[0] : error.solved[1] + 1] = True
        part = unsupported.supported_part(good, frames.numbers)
        raise UnsupportedShot(str(error), unsupported.HINT, supported=part) from error
    shares = explained(views, undistorted_tracks(tracks, views))
    reason = unsupported.unexplained(shares, frames.numbers)
    if reason is not None and reason.supported is not None:
        raise reason  # before what is measured over all frames: it would be about these
    if motion.turning is not None:
        unsupported.refuse_poor_fit(views, motion.turning)
    if lens.focal is None:
        unsupported.check_solved_lens(views, tagged=shot.lens_tag[0] if shot.lens_tag is not None else None)
    unsupported.refuse_weak_points(views)
    if reason is not None:
        raise reason
    depths = np.concatenate([views.sparse(frame)[1][:, 2] for frame in range(len(views))])
    return views.scaled(1 / float(np.median(depths)))


def _solve(shot: Shot, tracks: Tracks, lens: Lens) -> Views:
    return solve_apart(
        tracks,
        lens,
        seed=shot.seed,
        # of its own: a farm may give two computers one shot
        folder=shot.scratch / f"solve.{secrets.randbelow(10**9):09d}",
        check=shot.check,
        limit=(120.0 + 4.0 * len(shot.frames)) * (4 if lens.focal is None else 3),  # for as many mappings
    )


def _without_what_moves(shot: Shot, tracks: Tracks, lens: Lens, views: Views) -> Views:
    """The camera solved again from what fits its static points, where much does not, and that explains more.

    A mapper leaves out single observations. Somebody near who moves is a static point to it in one part of his track,
    which it keeps, and in that part of the shot the path follows him. Where less than two thirds fit, nothing tells
    whether they are of the scene or of what moves.
    """
    straight = undistorted_tracks(tracks, views)
    static = fit_static_points(views, straight)[tracks.ids]
    if not _MUCH_STATIC < np.mean(static) < _MOSTLY_STATIC:
        return views
    try:
        again = _solve(shot, selected(tracks, static), lens)
    except SolveError:
        return views
    more = np.mean(explained(again, undistorted_tracks(tracks, again))) > np.mean(explained(views, straight))
    return again if more else views


def _lens(shot: Shot) -> Lens:
    width, height = shot.frames.width, shot.frames.height
    camera = shot.camera
    if camera is None:
        widths, deviation = shot.lens_tag or (None, None)
        return Lens(
            width=width,
            height=height,
            focal=None,
            center=((width - 1) / 2, (height - 1) / 2),
            tagged=None if widths is None else widths * max(width, height),
            deviation=deviation,
        )
    k1, k2, *others = (*camera.distortion, 0.0, 0.0)
    if any(camera.distortion) and (camera.distortion_model != "polynomial" or any(others)):
        raise UnsupportedShot(
            "A camera is solved through a lens with distortion only by the polynomial model's k1 and k2.",
            "Undistort the plate first, or provide the camera's path with its lens.",
        )
    return Lens(
        width=width, height=height, focal=camera.focal_length, center=camera.principal_point, distortion=(k1, k2)
    )


def _given(shot: Shot, tracks: Tracks) -> Views:
    camera: Camera = shot.camera  # type: ignore[assignment]  # the caller has looked
    views = of_camera(camera, shot.frames.numbers)
    undistorted = undistorted_tracks(tracks, views)
    placed = triangulate(undistorted, views)
    try:
        given_camera.require_fit(undistorted, views)
        unsupported.refuse_weak_points(placed)
    except UnsupportedShot as refused:
        # a camera that does not move is a reason that no other path would change
        motion = camera_motion.measure(tracks, width=shot.frames.width, height=shot.frames.height)
        longer = max(shot.frames.width, shot.frames.height)
        camera_motion.require_parallax(motion, frames=len(shot.frames), long_side=longer)
        raise UnsupportedShot(refused.reason, given_camera.CHECK_CAMERA) from refused
    return placed
