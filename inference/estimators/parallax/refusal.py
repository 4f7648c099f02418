"""Does the camera move at all? Measured on tracks before anything expensive starts, and on the solve after it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import Refused
from .tracks import Tracks
from .view import Views

CURE = "Use DepthCrafter or StereoDiff for this shot."
SHORTEST = 12
_SPAN = 20  # frames over which motion is compared
_STARTS = 8
_LEAST_PARALLAX = 1.0  # pixels at 640
_STILL = 1.0  # pixels at 640: a point that far from a rotating camera's prediction stands still
_STILL_SHARE = 0.4
_STILL_SPREAD = 0.6
_ONE_MOTION = 0.6
_LEAST_TRACKS = 40
_LEAST_OBSERVATIONS = 60
_LEAST_BASELINE = 0.03
_FOCAL_RANGE = (0.4, 2.5)  # shares of the longer side
_CELLS = 8


@dataclass(frozen=True)
class Motion:
    """What the tracks tell about the camera; medians over several starts, lengths in pixels at 640.

    Attributes
    ----------
    parallax : float
        Three quarters of the points deviate by less from the one homography that most follow. A camera that only
        rotates or zooms moves all points by a homography, and so does one that stands still.
    moved : float
        How far points move between the compared frames.
    zoom : float
        By how much distances in the picture change.
    still_share, still_spread : float
        Share of the points that follow a rotating camera, and share of the picture's cells that have such points.
    one_motion : float
        Share of the other points that a camera moving in one direction would move as they do.
    revisited : float
        Share of the cells with moving points that show still points at another time.
    tracks : int
        Points that last over the compared frames.
    """

    parallax: float
    moved: float
    zoom: float
    still_share: float
    still_spread: float
    one_motion: float
    revisited: float
    tracks: int


def measure(tracks: Tracks, *, width: int, height: int) -> Motion:
    """Measure a shot's motion."""
    count = len(tracks)
    span = min(_SPAN, count - 1)
    scale = 640 / max(width, height)
    centre = np.array([width - 1, height - 1]) / 2 * scale
    rows, still_cells, moving_cells = [], [], []
    for start in np.unique(np.linspace(0, count - 1 - span, _STARTS).astype(int)):
        before, after = (xy.astype(np.float64) * scale for xy in tracks.moved(int(start), int(start) + span))
        if len(before) < _LEAST_TRACKS:
            rows.append((np.nan,) * 6 + (len(before),))
            continue
        homography, _ = cv2.findHomography(before, after, cv2.RANSAC, _STILL, maxIters=2000, confidence=0.999)
        if homography is None:
            rows.append((np.nan,) * 6 + (len(before),))
            continue
        turned, zoom = _nearest_rotation(homography, centre)
        residual = _residual(homography, before, after)
        parallax = float(np.percentile(np.linalg.norm(residual, axis=1), 75))
        aside = _residual(turned, before, after)
        still = np.linalg.norm(aside, axis=1) < _STILL
        cells = np.minimum((before / (640 / _CELLS)).astype(int), _CELLS - 1) @ [1, _CELLS]
        still_cells.append(set(cells[still]))
        moving_cells.append(set(cells[~still]))
        spread = len(still_cells[-1]) / len(set(cells))
        moved = float(np.median(np.linalg.norm(after - before, axis=1)))
        rows.append((parallax, moved, zoom, still.mean(), spread, _one_motion(after, aside, still), len(before)))
    table = np.array(rows, float)
    if np.all(np.isnan(table[:, 0])):
        return Motion(0, 0, 1, 0, 0, 1, 0, int(np.median(table[:, 6])))
    parallax, moved, zoom, share, spread, one, lasting = np.nanmedian(table, axis=0)
    ever_still = set().union(*still_cells)
    ever_moving = set().union(*moving_cells)
    revisited = len(ever_still & ever_moving) / max(len(ever_moving), 1)
    return Motion(
        float(parallax),
        float(moved),
        float(zoom),
        float(share),
        float(spread),
        float(one),
        float(revisited),
        int(lasting),
    )


def _residual(homography: NDArray[np.float64], before: NDArray, after: NDArray) -> NDArray[np.float64]:
    return after - cv2.perspectiveTransform(before[None], homography)[0]


def _nearest_rotation(homography: NDArray[np.float64], centre: NDArray[np.float64]) -> tuple[NDArray, float]:
    """The homography nearest to one given that a camera causes by turning and zooming, and its zoom.

    Such a homography is K2 R K1^-1 (Hartley and Zisserman 8.4.2); focal length and zoom are searched for.
    """
    best: tuple[float, NDArray, float] = (np.inf, np.eye(3), 1.0)
    corners = centre + centre * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1], [0, 0]])
    wanted = cv2.perspectiveTransform(corners[None], homography)[0]
    # the zoom is the change of distances at the picture's middle
    linear = homography[:2, :2] - np.outer(
        cv2.perspectiveTransform(centre[None, None], homography)[0, 0], homography[2, :2]
    )
    depth = float(homography[2] @ [*centre, 1])
    zoom = float(np.sqrt(abs(np.linalg.det(linear))) / max(abs(depth), 1e-9))
    zooms = np.unique([1.0, zoom, *(zoom * np.linspace(0.9, 1.1, 11))])
    for focal in 640 * np.array([0.45, 0.6, 0.8, 1.0, 1.3, 1.8, 2.5, 4.0]):
        for ratio in zooms:
            first = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
            second = np.array([[focal * ratio, 0, centre[0]], [0, focal * ratio, centre[1]], [0, 0, 1]])
            left, _, right = np.linalg.svd(np.linalg.inv(second) @ homography @ first)
            rotation = left @ right
            if np.linalg.det(rotation) < 0:
                rotation = -rotation
            candidate = second @ rotation @ np.linalg.inv(first)
            there = cv2.perspectiveTransform(corners[None], candidate)[0]
            missed = float(np.abs(there - wanted).max())
            if missed < best[0]:
                best = (missed, candidate, float(ratio))
    return best[1], best[2]


def _one_motion(after: NDArray[np.float64], aside: NDArray[np.float64], still: NDArray[np.bool_]) -> float:
    """Share of the points off the rotation that flee one common point, or one common direction.

    Once the camera's rotation is taken out, a moving camera in a still scene moves every point away from (or towards)
    one epipole; things that move on their own do not agree on one.
    """
    where, motion = after[~still], aside[~still]
    if len(where) < 20:
        return 1.0
    length = np.linalg.norm(motion, axis=1)
    lines = np.column_stack([motion[:, 1], -motion[:, 0], motion[:, 0] * where[:, 1] - motion[:, 1] * where[:, 0]])
    generator = np.random.default_rng(0)
    best = 0.0
    for _ in range(300):
        a, b = generator.choice(len(where), 2, replace=False)
        epipole = np.cross(lines[a], lines[b])
        if np.linalg.norm(epipole) < 1e-9:
            continue
        away = where * epipole[2] - epipole[:2]
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
        along = np.sum(away * motion, axis=1)
        aside_of = np.sqrt(np.maximum(length**2 - along**2, 0))
        fits = aside_of < np.maximum(1.5 * _STILL, 0.1 * length)
        best = max(best, float((fits & (along > 0)).mean()), float((fits & (along < 0)).mean()))
    return best


def refuse_without_parallax(motion: Motion, *, frames: int) -> None:
    """Raise `Refused` with the measured reason where the camera does not move enough."""
    if frames < SHORTEST:
        raise Refused(f"The shot has {frames} frames and parallax needs at least {SHORTEST}.", CURE)
    if motion.tracks < _LEAST_TRACKS:
        raise Refused(
            f"Only {motion.tracks} points can be followed over {min(_SPAN, frames - 1)} frames "
            f"and parallax needs {_LEAST_TRACKS}: the picture is too blurred, dark or empty.",
            CURE,
        )
    if motion.parallax < _LEAST_PARALLAX:
        if motion.moved < _STILL:
            what = "the camera stands still"
        elif abs(motion.zoom - 1) > 0.03:
            what = f"the camera zooms (by {motion.zoom:.2f}) without moving"
        else:
            what = "the camera turns without moving"
        raise Refused(
            f"The shot has no parallax, {what}: points deviate by {motion.parallax:.1f} pixels from one common motion "
            f"and {_LEAST_PARALLAX:.1f} are needed.",
            CURE,
        )
    standing = motion.still_share >= _STILL_SHARE and motion.still_spread >= _STILL_SPREAD
    if standing and (motion.one_motion < _ONE_MOTION or motion.revisited > 0.8):
        raise Refused(
            f"The camera does not move, only things in front of it do: {motion.still_share:.0%} of the points, "
            f"in {motion.still_spread:.0%} of the picture, show no parallax at all.",
            CURE,
        )


def refuse_weak_solve(views: Views) -> None:
    """Raise `Refused` where the solved camera is not to be trusted."""
    share = views.focal / max(views.width, views.height)
    if not _FOCAL_RANGE[0] < share < _FOCAL_RANGE[1]:
        raise Refused(
            f"The camera solve failed: it found a focal length of {share:.2f} picture widths, "
            f"which no lens for {_FOCAL_RANGE[0]} to {_FOCAL_RANGE[1]} has.",
            CURE,
        )
    refuse_weak_points(views)


def refuse_weak_points(views: Views) -> None:
    """Raise `Refused` where too little was triangulated, or from too small a motion."""
    observed = len(views.seen) / len(views)
    if observed < _LEAST_OBSERVATIONS:
        raise Refused(
            f"Only {observed:.0f} static points a frame fit the camera's path and {_LEAST_OBSERVATIONS} are needed.",
            CURE,
        )
    depths = np.concatenate([views.sparse(frame)[1][:, 2] for frame in range(len(views))])
    depth = float(np.median(depths))
    positions = views.positions
    reach = 2 * float(np.linalg.norm(positions - np.median(positions, axis=0), axis=1).max())
    if reach < _LEAST_BASELINE * depth:
        raise Refused(
            f"The camera moves by {reach / depth:.1%} of the distance to the scene "
            f"and parallax needs {_LEAST_BASELINE:.0%}.",
            CURE,
        )
