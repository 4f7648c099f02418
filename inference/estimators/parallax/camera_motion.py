"""Whether the camera moves enough for parallax: measured on tracks, before anything expensive starts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import UnsupportedShot
from .tracks import Tracks, key_frames
from .turning import Turning, fit

HINT = "Use Video Depth Anything for this shot, or Quick for a draft."
SHORTEST = 12
_SPANS = (20, 16, 12, 9, 7, 5, 4, 3)  # frames over which motion is measured: as many as tracks last
_STARTS = 8
_LEAST_PARALLAX = 1.0  # pixels at 640
_STILL = 1.0  # pixels at 640: points this close to a rotating camera's prediction show no parallax
_STILL_SHARE = 0.15  # real shots with a moving camera have at most .03
_STILL_SPREAD = 0.25
_BELOW_SHARE = 0.4
_ASIDE, _UNDER = 40.0, 10.0  # pixels at 640: what counts as below a point
_LEAST_TRACKS = 40
_LASTING = 0.33  # of the tracks; points that outlast most others are far away or flat, without parallax
_LEAST_SHARP = 0.75  # smallest deviation that counts, in pixels of the plate
_FLAT = 4.0  # pixels at 640 from a rotating camera's prediction: the camera moves before something flat
_CELLS = 8


@dataclass(frozen=True)
class Motion:
    """Measures of the camera's motion from tracks; medians over several starts, lengths in pixels at 640.

    Attributes
    ----------
    parallax : float
        75th percentile of the points' deviations from the dominant homography. A camera that stands still, rotates or
        zooms moves all points by a homography.
    moved : float
        Motion of points between the compared frames.
    zoom : float
        Change of scale.
    still_share, still_spread : float
        Share of the points without parallax, and share of the image's cells that have such points.
    still_below : float
        Share of the other points with still ones below them. Before a locked camera, objects move behind static ground;
        to a moving camera, the ground at the bottom of the image moves most.
    tracks : int
        Points that last over the compared frames.
    span : int
        Distance of the compared frames: smaller for a fast camera, where tracks are shorter.
    turning : Turning or None
        The rotating and zooming camera that fits the whole shot best; None where too few tracks link its frames.
    """

    parallax: float
    moved: float
    zoom: float
    still_share: float
    still_spread: float
    still_below: float
    tracks: int
    span: int
    turning: Turning | None

    @property
    def from_turning(self) -> float:
        """As `parallax`, but the deviation from a camera that only rotates and zooms, over the whole shot."""
        return float(np.percentile(self.turning.missed, 75)) if self.turning is not None else np.inf


def measure(tracks: Tracks, *, width: int, height: int) -> Motion:
    """Measure a shot's motion.

    Parameters
    ----------
    tracks : Tracks
    width, height : int
        Of the frames.
    """
    count, scale = len(tracks), 640 / max(width, height)
    center = np.array([width - 1, height - 1]) / 2 * scale
    for span in (min(span, count - 1) for span in _SPANS):
        starts = np.unique(np.linspace(0, count - 1 - span, _STARTS).astype(int))
        pairs = [tracks.moved(int(start), int(start) + span) for start in starts]
        lasting = int(np.median([len(before) for before, _ in pairs]))
        parallax, moved, zoom, share, spread, below = _compared(pairs, scale, center)
        alive = float(np.median([len(tracks.at(int(start))[0]) for start in starts]))
        if lasting >= _LEAST_TRACKS and (parallax >= _LEAST_PARALLAX or lasting >= _LASTING * alive):
            break
    return Motion(
        parallax=parallax,
        moved=moved,
        zoom=zoom,
        still_share=share,
        still_spread=spread,
        still_below=below,
        tracks=lasting,
        span=span,
        turning=fit(tracks, key_frames(tracks, long_side=max(width, height)), width=width, height=height),
    )


def _compared(
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]], scale: float, center: NDArray[np.float64]
) -> tuple[float, ...]:
    """Medians of `_compare` over several pairs of frames; neutral values where none can be compared."""
    rows = []
    for before, after in pairs:
        enough = len(before) >= _LEAST_TRACKS
        found = (
            _compare(before.astype(np.float64) * scale, after.astype(np.float64) * scale, center) if enough else None
        )
        rows.append(found or (np.nan,) * 6)
    table = np.array(rows, float)
    nothing = bool(np.all(np.isnan(table[:, 0])))
    middle = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0) if nothing else np.nanmedian(table, axis=0)
    return tuple(float(v) for v in middle)


def _compare(before: NDArray[np.float64], after: NDArray[np.float64], center: NDArray[np.float64]) -> tuple | None:
    """The first six measures of `Motion` for two frames; None where no homography is found."""
    homography, _ = cv2.findHomography(before, after, cv2.RANSAC, _STILL, maxIters=2000, confidence=0.999)
    if homography is None:
        return None
    turned, zoom = _nearest_rotation(homography, center)
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


def _nearest_rotation(homography: NDArray[np.float64], center: NDArray[np.float64]) -> tuple[NDArray, float]:
    """The homography of a rotating and zooming camera that is nearest to `homography`, and its zoom.

    It has the form K2 R K1^-1 (Hartley and Zisserman 8.4.2); focal length and zoom are searched for.
    """
    best: tuple[float, NDArray, float] = (np.inf, np.eye(3), 1.0)
    corners = center + center * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1], [0, 0]])
    wanted = cv2.perspectiveTransform(corners[None], homography)[0]
    # the zoom is the change of scale at the image center
    linear = homography[:2, :2] - np.outer(
        cv2.perspectiveTransform(center[None, None], homography)[0, 0], homography[2, :2]
    )
    depth = float(homography[2] @ [*center, 1])
    zoom = float(np.sqrt(abs(np.linalg.det(linear))) / max(abs(depth), 1e-9))
    zooms = np.unique([1.0, *(zoom * np.linspace(0.97, 1.03, 7))])
    for focal in 640 * np.geomspace(0.4, 6, 28):
        for ratio in zooms:
            first = np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]])
            second = np.array([[focal * ratio, 0, center[0]], [0, focal * ratio, center[1]], [0, 0, 1]])
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


def require_parallax(motion: Motion, *, frames: int, long_side: int, matted: bool = False) -> None:
    """Raise `UnsupportedShot` with the measured reason where the camera does not move enough.

    Parameters
    ----------
    motion : Motion
    frames : int
        Number of frames of the shot.
    long_side : int
        Of the frames.
    matted : bool
        Whether mattes exclude a part of the frames.
    """
    if frames < SHORTEST:
        raise UnsupportedShot(f"The shot has {frames} frames and parallax needs at least {SHORTEST}.", HINT)
    if motion.tracks < _LEAST_TRACKS:
        also = "; or its mattes leave too little of it" if matted else ""
        raise UnsupportedShot(
            f"Only {motion.tracks} points can be followed over {motion.span} frames and parallax needs "
            f"{_LEAST_TRACKS}: the image is too blurred, dark or empty, or changes too much between frames{also}.",
            HINT,
        )
    # over the whole shot a zoom or a rotation adds up, and so does parallax
    sharp = max(_LEAST_PARALLAX, _LEAST_SHARP * 640 / long_side)
    for deviates, least in ((motion.parallax, _LEAST_PARALLAX), (motion.from_turning, sharp)):
        if deviates < least:
            raise UnsupportedShot(
                f"The shot has no parallax, {_behavior(motion)}: points deviate by {deviates:.1f} pixels from one "
                f"common motion, and {least:.1f} are needed.",
                HINT,
            )
    if (
        motion.still_share >= _STILL_SHARE
        and motion.still_spread >= _STILL_SPREAD
        and motion.still_below >= _BELOW_SHARE
    ):
        raise UnsupportedShot(
            f"The shot has no parallax, {_behavior(motion)} and only objects in the scene move: "
            f"{motion.still_share:.0%} of the points, over {motion.still_spread:.0%} of the image and also below the "
            "moving objects, have no parallax.",
            HINT,
        )


def _behavior(motion: Motion) -> str:
    turning = motion.turning
    if turning is not None and turning.zooms:
        if motion.from_turning > _FLAT:
            return "all tracked points are in one plane"
        return turning.words()
    if motion.moved < _STILL or motion.still_share >= _STILL_SHARE:
        return "the camera stands still or only turns" if motion.moved >= _STILL else "the camera stands still"
    return "the camera turns without moving"
