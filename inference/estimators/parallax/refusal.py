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
_STILL_SHARE = 0.15  # real shots with a moving camera have at most .03
_STILL_SPREAD = 0.25
_BELOW_SHARE = 0.4
_ASIDE, _UNDER = 40.0, 10.0  # pixels at 640: what counts as below a point
_LEAST_TRACKS = 40
_LEAST_OBSERVATIONS = 60
_LEAST_BASELINE = 0.03
FOCAL_RANGE = (0.4, 2.5)
"""Of lenses, as shares of the longer side."""
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
    still_below : float
        Share of the other points that have still ones below them. Before a locked camera things move behind ground
        that does not; to a moving camera the ground at the bottom of the picture moves most, whatever is far away.
    tracks : int
        Points that last over the compared frames.
    """

    parallax: float
    moved: float
    zoom: float
    still_share: float
    still_spread: float
    still_below: float
    tracks: int


def measure(tracks: Tracks, *, width: int, height: int) -> Motion:
    """Measure a shot's motion."""
    count = len(tracks)
    span = min(_SPAN, count - 1)
    scale = 640 / max(width, height)
    centre = np.array([width - 1, height - 1]) / 2 * scale
    rows = []
    for start in np.unique(np.linspace(0, count - 1 - span, _STARTS).astype(int)):
        before, after = (xy.astype(np.float64) * scale for xy in tracks.moved(int(start), int(start) + span))
        found = _compare(before, after, centre) if len(before) >= _LEAST_TRACKS else None
        rows.append((*(found or (np.nan,) * 6), len(before)))
    table = np.array(rows, float)
    lasting = int(np.median(table[:, 6]))
    if np.all(np.isnan(table[:, 0])):
        return Motion(parallax=0, moved=0, zoom=1, still_share=0, still_spread=0, still_below=0, tracks=lasting)
    parallax, moved, zoom, share, spread, below = (float(v) for v in np.nanmedian(table[:, :6], axis=0))
    return Motion(
        parallax=parallax,
        moved=moved,
        zoom=zoom,
        still_share=share,
        still_spread=spread,
        still_below=below,
        tracks=lasting,
    )


def _compare(before: NDArray[np.float64], after: NDArray[np.float64], centre: NDArray[np.float64]) -> tuple | None:
    """The figures of `Motion`, but the last, for two frames; None where no homography is found."""
    homography, _ = cv2.findHomography(before, after, cv2.RANSAC, _STILL, maxIters=2000, confidence=0.999)
    if homography is None:
        return None
    turned, zoom = _nearest_rotation(homography, centre)
    parallax = np.percentile(np.linalg.norm(_residual(homography, before, after), axis=1), 75)
    still = np.linalg.norm(_residual(turned, before, after), axis=1) < _STILL
    cells = np.minimum((before / (640 / _CELLS)).astype(int), _CELLS - 1) @ [1, _CELLS]
    spread = len(set(cells[still])) / len(set(cells))
    aside = np.abs(before[~still, None, 0] - before[None, still, 0]) < _ASIDE
    under = before[None, still, 1] - before[~still, None, 1] > _UNDER
    below = float((aside & under).any(axis=1).mean()) if not still.all() else 0.0
    moved = np.median(np.linalg.norm(after - before, axis=1))
    return parallax, moved, zoom, still.mean(), spread, below


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
    zooms = np.unique([1.0, *(zoom * np.linspace(0.97, 1.03, 7))])
    for focal in 640 * np.geomspace(0.4, 6, 28):
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
        raise Refused(
            f"The shot has no parallax, {_behaviour(motion)}: points deviate by {motion.parallax:.1f} pixels from one "
            f"common motion and {_LEAST_PARALLAX:.1f} are needed.",
            CURE,
        )
    if (
        motion.still_share >= _STILL_SHARE
        and motion.still_spread >= _STILL_SPREAD
        and motion.still_below >= _BELOW_SHARE
    ):
        raise Refused(
            f"The shot has no parallax, {_behaviour(motion)} and only things before it move: {motion.still_share:.0%} "
            f"of the points, over {motion.still_spread:.0%} of the picture and among and below those that move, show "
            "none at all.",
            CURE,
        )


def _behaviour(motion: Motion) -> str:
    if abs(motion.zoom - 1) > 0.03:
        return f"the camera zooms (by {motion.zoom:.2f}) without moving"
    if motion.moved < _STILL or motion.still_share >= _STILL_SHARE:
        return "the camera stands still or only turns" if motion.moved >= _STILL else "the camera stands still"
    return "the camera turns without moving"


def refuse_weak_solve(views: Views) -> None:
    """Raise `Refused` where the solved camera is not to be trusted."""
    share = views.focal / max(views.width, views.height)
    if not FOCAL_RANGE[0] < share < FOCAL_RANGE[1]:
        raise Refused(
            f"The camera solve failed: it found a focal length of {share:.2f} picture widths, "
            f"and lenses have {FOCAL_RANGE[0]} to {FOCAL_RANGE[1]}.",
            f"Give the lens's focal length if you know it. {CURE}",
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
