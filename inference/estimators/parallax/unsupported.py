"""Shots that parallax does not do: measured on tracks before anything expensive starts, and on the solve after it.

First whether the camera moves at all. Then how much of the picture a solve explains: one that follows a subject instead
of the scene looks sound by itself; its points fit, only they all lie on the subject, and depth around it is of a camera
that never was. What gives it away is where its points are missing: tracks last all over the picture, and those outside
the subject fit none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import Refused
from .tracks import Tracks, key_frames
from .triangulate import place
from .turning import Turning, fit
from .view import Views

CURE = "Use Quick for this shot, or DepthCrafter or StereoDiff."
SHORTEST = 12
_SPANS = (20, 16, 12, 9, 7, 5, 4, 3)  # frames over which motion is compared: as many as tracks last
_STARTS = 8
_LEAST_PARALLAX = 1.0  # pixels at 640
_STILL = 1.0  # pixels at 640: a point that far from a rotating camera's prediction stands still
_STILL_SHARE = 0.15  # real shots with a moving camera have at most .03
_STILL_SPREAD = 0.25
_BELOW_SHARE = 0.4
_ASIDE, _UNDER = 40.0, 10.0  # pixels at 640: what counts as below a point
_LEAST_TRACKS = 40
_LASTING = 0.33  # of the tracks; what outlasts most others is far away and may be flat: it shows no parallax
_LEAST_OBSERVATIONS = 60
_LEAST_BASELINE = 0.03
_LEAST_SHARP = 0.75  # of the plate's own pixels, below which no deviation counts
_LEAST_BETTER = (
    0.3  # of the observations that a solve explains better; real shots with a moving camera have .6 and more
)
_BETTER = 2.0, 0.5  # times as near, and by so many pixels at 640 nearer
_ZOOMS = 1.03
_FLAT = 4.0  # pixels at 640 from what a turning camera shows: it moves before something flat
_TURNS = 0.5  # degrees
FOCAL_RANGE = (0.4, 2.5)
"""Of lenses, as shares of the longer side: what a solve may find."""
_GIVEN_RANGE = (0.2, 40.0)  # what may be given: from the widest lens that draws straight lines to a telescope
_CELLS = 8
_EXPLAINED_CELLS = 8  # along the longer side
_EXPLAINED_LASTING = 4  # frames that a track must last to be explained by anything
_FOLLOWED = 3  # such tracks make a cell count,
_EXPLAINED = 2  # and so many static points in it explain it
_LEAST = 0.5  # of the cells; frames of sound solves have .6 and more, those that follow a subject .2 to .45
_MOST_FRAMES = 0.05  # share of a shot's frames that may have less, with a warning


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
    span : int
        How many frames are compared: fewer where tracks live shorter, since the camera moves fast.
    turning : Turning or None
        The camera that only turns and zooms and comes nearest to the whole shot; None where nothing links its frames.
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
        """As `parallax`, but from what a camera that only turns and zooms shows over the whole shot."""
        return float(np.percentile(self.turning.missed, 75)) if self.turning is not None else np.inf


def measure(tracks: Tracks, *, width: int, height: int) -> Motion:
    """Measure a shot's motion.

    Parameters
    ----------
    tracks : Tracks
    width, height : int
        Of the pictures.
    """
    count, scale = len(tracks), 640 / max(width, height)
    centre = np.array([width - 1, height - 1]) / 2 * scale
    for span in (min(span, count - 1) for span in _SPANS):
        starts = np.unique(np.linspace(0, count - 1 - span, _STARTS).astype(int))
        pairs = [tracks.moved(int(start), int(start) + span) for start in starts]
        lasting = int(np.median([len(before) for before, _ in pairs]))
        parallax, moved, zoom, share, spread, below = _compared(pairs, scale, centre)
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
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]], scale: float, centre: NDArray[np.float64]
) -> tuple[float, ...]:
    """Medians of what `_compare` tells of several pairs of frames; of nothing where none can be compared."""
    rows = []
    for before, after in pairs:
        enough = len(before) >= _LEAST_TRACKS
        found = (
            _compare(before.astype(np.float64) * scale, after.astype(np.float64) * scale, centre) if enough else None
        )
        rows.append(found or (np.nan,) * 6)
    table = np.array(rows, float)
    nothing = bool(np.all(np.isnan(table[:, 0])))
    middle = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0) if nothing else np.nanmedian(table, axis=0)
    return tuple(float(v) for v in middle)


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


def refuse_without_parallax(motion: Motion, *, frames: int, long_side: int, matted: bool = False) -> None:
    """Raise `Refused` with the measured reason where the camera does not move enough.

    Parameters
    ----------
    motion : Motion
    frames : int
        How many the shot has.
    long_side : int
        Of the pictures.
    matted : bool
        Whether mattes leave out a part of the pictures.
    """
    if frames < SHORTEST:
        raise Refused(f"The shot has {frames} frames and parallax needs at least {SHORTEST}.", CURE)
    if motion.tracks < _LEAST_TRACKS:
        also = "; or its mattes leave too little of it" if matted else ""
        raise Refused(
            f"Only {motion.tracks} points can be followed over {motion.span} frames and parallax needs "
            f"{_LEAST_TRACKS}: the picture is too blurred, dark or empty, or changes too much between frames{also}.",
            CURE,
        )
    # over the whole shot a zoom or a turn adds up, and so does the parallax of a camera that moves
    sharp = max(_LEAST_PARALLAX, _LEAST_SHARP * 640 / long_side)
    for deviates, least in ((motion.parallax, _LEAST_PARALLAX), (motion.from_turning, sharp)):
        if deviates < least:
            raise Refused(
                f"The shot has no parallax, {_behaviour(motion)}: points deviate by {deviates:.1f} pixels from one "
                f"common motion and {least:.1f} are needed.",
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
    turning = motion.turning
    if turning is not None and turning.zoom > _ZOOMS:
        if motion.from_turning > _FLAT:
            return "all that can be followed lies in one plane"
        return _zooms(turning)
    if motion.moved < _STILL or motion.still_share >= _STILL_SHARE:
        return "the camera stands still or only turns" if motion.moved >= _STILL else "the camera stands still"
    return "the camera turns without moving"


def _zooms(turning: Turning) -> str:
    what = "only turns" if turning.turn > _TURNS else "stands still"
    return f"the lens zooms by a factor of {turning.zoom:.2f} and the camera {what}"


def refuse_no_better(views: Views, turning: Turning) -> None:
    """Raise `Refused` where a solve explains the shot hardly better than a camera that does not move.

    A solve has a depth for each point to play with, so it follows any picture that a turning and zooming camera makes,
    with a path that never was. What tells is that it comes nowhere nearer for it.

    Parameters
    ----------
    views : Views
    turning : Turning
        Fitted to tracks that are straightened as for the views.
    """
    _, missed = place(turning.ids, turning.frames, turning.xy, views)
    missed *= 640 / max(views.width, views.height)
    times, by = _BETTER
    better = float(np.mean(turning.missed > times * missed + by))
    if better < _LEAST_BETTER:
        how = _zooms(turning) if turning.zoom > _ZOOMS else "the camera turns without moving"
        raise Refused(
            f"The shot has too little parallax, {how}: a moving camera explains only {better:.0%} of the points better "
            f"than that, and {_LEAST_BETTER:.0%} are needed.",
            CURE,
        )


def refuse_given_lens(focal: float, *, long_side: int) -> None:
    """Raise `Refused` where no lens has the given focal length, in pixels."""
    share = focal / long_side
    if not _GIVEN_RANGE[0] <= share <= _GIVEN_RANGE[1]:
        raise Refused(
            f"The given focal length is {share:.2f} picture widths, and lenses have {_GIVEN_RANGE[0]:.1f} to "
            f"{_GIVEN_RANGE[1]:.0f}.",
            "Check its unit (pixels of the plate, or millimetres with the sensor's width), or leave it to be found.",
        )


def refuse_found_lens(views: Views) -> None:
    """Raise `Refused` where no lens has the focal length that a solve found."""
    share = views.focal / max(views.width, views.height)
    if not FOCAL_RANGE[0] < share < FOCAL_RANGE[1]:
        raise Refused(
            f"The camera solve failed: it found a focal length of {share:.2f} picture widths, "
            f"and lenses have {FOCAL_RANGE[0]} to {FOCAL_RANGE[1]}.",
            f"Give the lens's focal length if you know it. {CURE}",
        )


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


def explained(views: Views, tracks: Tracks) -> NDArray[np.float64]:
    """For each frame, the share of the picture's cells with tracks in which there are static points, too.

    Parameters
    ----------
    views : Views
    tracks : Tracks
        Straightened, at the size of the views.
    """
    lasts = np.bincount(tracks.ids) >= _EXPLAINED_LASTING
    shares = np.ones(len(views))
    for frame in range(len(views)):
        ids, xy = tracks.at(frame)
        followed = _filled(xy[lasts[ids]], views) >= _FOLLOWED
        static = _filled(views.project(views.sparse(frame)[1]), views) >= _EXPLAINED
        if followed.any():
            shares[frame] = float(np.mean(static[followed]))
    return shares


def _filled(xy: NDArray[np.floating], views: Views) -> NDArray[np.int64]:
    """How many of the points [K, 2] lie in each cell [C]."""
    size = max(views.width, views.height) / _EXPLAINED_CELLS
    column, row = np.clip(xy // size, 0, _EXPLAINED_CELLS - 1).astype(np.int64).T
    return np.bincount(row * _EXPLAINED_CELLS + column, minlength=_EXPLAINED_CELLS**2)


def refuse_unexplained(shares: NDArray[np.float64], numbers: Sequence[int]) -> None:
    """Raise `Refused` where a solve leaves most of the picture unexplained for more than a moment.

    Parameters
    ----------
    shares : float64 [N]
        Of `explained`.
    numbers : sequence of int
        The frames' source numbers.
    """
    weak = np.flatnonzero(shares < _LEAST)
    if len(weak) > _MOST_FRAMES * len(shares):
        raise Refused(
            f"The camera solve follows something that moves, or too little: in {len(weak)} frames "
            f"({_spans(weak, numbers)}) static points were found in {np.median(shares[weak]):.0%} of the picture only, "
            f"and {_LEAST:.0%} are needed.",
            f"{CURE} Or give mattes of what moves, or leave these frames out.",
        )


def doubts(shares: NDArray[np.float64], numbers: Sequence[int]) -> tuple[str, ...]:
    """Warnings of the frames in which little of the picture is explained."""
    weak = np.flatnonzero(shares < _LEAST)
    if not len(weak):
        return ()
    return (
        f"Depth of {_spans(weak, numbers)} may be wrong: the camera solve explains only "
        f"{shares.min():.0%} of the picture there; mattes of what moves help.",
    )


def guessed_lens(views: Views) -> tuple[str, ...]:
    """A warning where the tracks left the focal length to what lenses usually have."""
    if not views.lens_guessed:
        return ()
    share = views.focal / max(views.width, views.height)
    return (
        f"The camera's motion hardly tells the focal length, so a likely one was taken ({share:.1f} picture widths): "
        "near and far may be stretched against each other; give the lens if you know it.",
    )


def _spans(frames: NDArray[np.intp], numbers: Sequence[int]) -> str:
    """``1-5, 9`` for frame indices, ascending; after three stretches only the whole is told."""
    stretches = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    if len(stretches) > 3:
        return f"between {numbers[int(frames[0])]} and {numbers[int(frames[-1])]}"
    return ", ".join(
        str(numbers[int(s[0])]) if len(s) == 1 else f"{numbers[int(s[0])]}-{numbers[int(s[-1])]}" for s in stretches
    )
