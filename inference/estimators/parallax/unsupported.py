"""Shots that parallax does not support: measured on tracks before anything expensive starts, and on the solve after it.

First whether the camera moves at all. Then how much of the image a solve explains: a solve that follows a moving object
instead of the scene has points with small errors, but all on the object, and a wrong camera path. It shows in the cells
of the image that have tracks but no static points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import UnsupportedShot
from ...contract.hints import setting
from .calibration import RIGHT
from .tracks import Tracks, key_frames
from .triangulate import place, static_errors
from .turning import Turning, fit
from .view import Views

CHECK_CAMERA = (
    "Check that the camera is this clip's, that it begins with the clip's first frame, and its focal length and "
    f"distortion; or leave it out ({setting('camera')}), so that the camera is solved."
)
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
_LEAST_OBSERVATIONS = 60
_LEAST_BASELINE = 0.03
_LEAST_SHARP = 0.75  # smallest deviation that counts, in pixels of the plate
_LEAST_BETTER = 0.3  # of the observations explained better by a solve; real shots with a moving camera have .6 and more
# median error of a solve, in pixels at 640, or of the plate where that is more, as tracks in a small one are no better;
# scenes have .4 to 1.3 at 640, a long walk in a crowd 1.8, a cat 2.1 and more
_MOST_MISSED, _MISSED_OF_PLATE = 2.0, 0.9
# median error that an input camera may have, in pixels at 640 and as a share of the points' ways, whichever is more: a
# true camera of a rendered street has .4 and 1 %, a hand-held one that a depth sensor measured 3.7 and 4 %; reversed,
# of another clip, five frames late, or with a focal length that is off by a quarter it is 7 to 90 %
_CONTRADICTS, _OF_WAY = 1.0, 0.06
_DOUBTFUL, _DOUBTFUL_OF_WAY = 0.8, 0.02  # likewise, above which there is a warning
_BETTER = 2.0, 0.5  # by this factor, and by so many pixels at 640 on top
_ZOOMS = 1.03
_FLAT = 4.0  # pixels at 640 from a rotating camera's prediction: the camera moves before something flat
_TURNS = 0.5  # degrees
_FOCAL_RANGE = (0.4, 2.5)  # plausible focal lengths of a solve, as shares of the longer side
_FROM_TAG = 1.25  # factor by which one may be beyond that which the files name
_GIVEN_RANGE = (0.2, 40.0)  # valid known focal lengths: from the widest rectilinear lens to a telescope
_CELLS = 8
_EXPLAINED_CELLS = 8  # along the longer side
_EXPLAINED_LASTING = 4  # shortest tracks that count, in frames
_FOLLOWED = 3  # fewest such tracks of a cell that counts
_FITS, _MOSTLY = 3.0, 0.7  # pixels at 640 from a static point, within which this share of a track's observations lies
_LEAST = 0.5  # of the cells; frames of correct solves have .52 to 1, those that follow an object .15 to .3
_MOST_FRAMES = 0.05  # share of a shot's frames that may have less, with a warning
_MOST_CONTRADICTED = 0.1  # of the depth, by neighboring frames; good clips have .01, a fence before a lawn .18
_LEAST_CONFIRMED, _LEAST_CONFIRMED_OF_GUESS = 0.04, 0.12
"""Confirmed share of the image. Nothing else vouches for a guessed focal length: 30 frames of a night street in its own
reflections, most of whose depth is a guess, have .07, an avenue with coarse depth .07, 60 frames of the street .13, and
other usable clips .23 and more."""
_LEAST_CONFIDENT = 0.5  # mean confidence, below which there is a warning; a fence before a lawn has .48
_PART_FRAMES, _PART_SHARE = 2 * SHORTEST, 0.5  # frames and share of a shot, of which a part is worth solving by itself


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
    if turning is not None and turning.zoom > _ZOOMS:
        if motion.from_turning > _FLAT:
            return "all tracked points are in one plane"
        return _zooms(turning)
    if motion.moved < _STILL or motion.still_share >= _STILL_SHARE:
        return "the camera stands still or only turns" if motion.moved >= _STILL else "the camera stands still"
    return "the camera turns without moving"


def _zooms(turning: Turning) -> str:
    what = "only turns" if turning.turn > _TURNS else "stands still"
    return f"the lens zooms by a factor of {turning.zoom:.2f} and the camera {what}"


def refuse_poor_fit(views: Views, turning: Turning) -> None:
    """Raise `UnsupportedShot` where a solve explains the shot hardly better than a camera that does not move, or badly.

    A solve has a free depth for each point, so it also fits the images of a rotating and zooming camera, with a wrong
    path. But then it fits them no better. And it finds some path for a subject that moves and fills the image, but
    half of the points are then far from where a rigid scene would have them.

    Parameters
    ----------
    views : Views
    turning : Turning
        Fitted to tracks undistorted as for the views.
    """
    _, missed = place(turning.ids, turning.frames, turning.xy, views)
    unit = 640 / max(views.width, views.height)
    missed *= unit
    middle, most = float(np.median(missed)), max(_MOST_MISSED, _MISSED_OF_PLATE * unit)
    if middle > most:
        raise UnsupportedShot(
            "The camera solve explains too little: half of the tracked points are more than "
            f"{middle:.1f} pixels from where a scene that stands still would have them, and at most "
            f"{most:.1f} are allowed. Something that moves or bends fills much of the image.",
            f"{HINT} Or provide {setting('mattes')} of what moves.",
        )
    times, by = _BETTER
    better = float(np.mean(turning.missed > times * missed + by))
    if better < _LEAST_BETTER:
        how = _zooms(turning) if turning.zoom > _ZOOMS else "the camera turns without moving"
        raise UnsupportedShot(
            f"The shot has too little parallax, {how}: a moving camera explains only {better:.0%} of the points "
            f"better, and {_LEAST_BETTER:.0%} are needed.",
            HINT,
        )


def misfit(tracks: Tracks, views: Views) -> tuple[float, float]:
    """How far an input camera is from explaining a shot's tracks.

    Parameters
    ----------
    tracks : Tracks
        Undistorted, at the size of the views.
    views : Views

    Returns
    -------
    missed : float
        Median distance, in pixels at 640, of the observations of lasting tracks from where the camera sees the static
        point that fits them best. Points that would be behind a camera are taken for infinitely far: a reversed path
        has the same epipolar lines, and all points behind it.
    moved : float
        Median length of their ways over the image, in the same unit.
    """
    every = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    kept = np.bincount(tracks.ids)[tracks.ids] >= _EXPLAINED_LASTING
    if not kept.any():
        return 0.0, 0.0
    _, ids = np.unique(tracks.ids[kept], return_inverse=True)
    frames, xy, count = every[kept], tracks.xy[kept].astype(np.float64), int(ids.max()) + 1
    _, missed = place(ids, frames, xy, views)
    behind = np.bincount(ids, np.isinf(missed), minlength=count)[ids] > 0
    rays = np.einsum(
        "nij,nj->ni", views.to_world[frames], np.column_stack([(xy - views.center) / views.focal, np.ones(len(xy))])
    )
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    away = np.stack([np.bincount(ids, rays[:, axis], minlength=count) for axis in range(3)], axis=1)[ids]
    at = np.einsum("nij,nj->ni", views.world_to_camera[frames, :, :3], away)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(at[:, 2] > 0, np.linalg.norm(views.project(at) - xy, axis=1), np.inf)
    order = np.lexsort((frames, ids))
    ends = np.flatnonzero(np.diff(ids[order], append=count))
    starts = np.concatenate([[0], ends[:-1] + 1])
    moved = np.linalg.norm(xy[order][ends] - xy[order][starts], axis=1)
    unit = 640 / max(views.width, views.height)
    return unit * float(np.median(np.where(behind, far, missed))), unit * float(np.median(moved))


def require_fit(tracks: Tracks, views: Views) -> None:
    """Raise `UnsupportedShot` for an input camera that contradicts the plate; as `misfit`."""
    missed, moved = misfit(tracks, views)
    most = max(_CONTRADICTS, _OF_WAY * moved)
    if missed > most:
        raise UnsupportedShot(
            f"The camera does not fit the plate: half of the tracked points are more than {missed:.1f} pixels of "
            f"640 from where it would see a scene that stands still, and at most {most:.1f} are allowed.",
            CHECK_CAMERA,
        )


def fits_badly(tracks: Tracks, views: Views) -> tuple[str, ...]:
    """A warning about an input camera that explains the plate less well than solves do; as `misfit`."""
    missed, moved = misfit(tracks, views)
    if missed <= max(_DOUBTFUL, _DOUBTFUL_OF_WAY * moved):
        return ()
    return (
        f"The camera fits the plate badly: half of the tracked points are more than {missed:.1f} pixels of 640 from "
        "where it would see a scene that stands still. Depth may be wrong; check the camera's lens and frames.",
    )


def check_known_lens(focal: float, *, long_side: int) -> None:
    """Raise `UnsupportedShot` for an impossible known focal length, in pixels."""
    share = focal / long_side
    if not _GIVEN_RANGE[0] <= share <= _GIVEN_RANGE[1]:
        raise UnsupportedShot(
            f"The known focal length is {share:.2f} image widths, and lenses have {_GIVEN_RANGE[0]:.1f} to "
            f"{_GIVEN_RANGE[1]:.0f}.",
            f"Check the unit of the {setting('focal_length')} (pixels of the plate, or millimeters with the "
            f"{setting('sensor_width')}), or leave it out.",
        )


def plausible_focals(tagged: float | None = None) -> tuple[float, float]:
    """The range of plausible focal lengths of a solve, in image widths, where the files name one or none (`tagged`)."""
    if tagged is None:
        return _FOCAL_RANGE
    return min(_FOCAL_RANGE[0], tagged / _FROM_TAG), max(_FOCAL_RANGE[1], tagged * _FROM_TAG)


def check_solved_lens(views: Views, *, tagged: float | None = None) -> None:
    """Raise `UnsupportedShot` where a solve found an impossible focal length; `tagged` as in `plausible_focals`."""
    share = views.focal / max(views.width, views.height)
    least, most = plausible_focals(tagged)
    if not least < share < most:
        raise UnsupportedShot(
            f"The camera solve failed: it found a focal length of {share:.2f} image widths, "
            f"and lenses have {least:.2g} to {most:.2g}.",
            f"Set the {setting('focal_length')} if you know it. {HINT}",
        )


def refuse_weak_points(views: Views) -> None:
    """Raise `UnsupportedShot` where too few points were triangulated, or the baseline is too small."""
    observed = len(views.seen) / len(views)
    if observed < _LEAST_OBSERVATIONS:
        raise UnsupportedShot(
            f"Only {observed:.0f} static points per frame fit the camera path, and {_LEAST_OBSERVATIONS} are needed.",
            HINT,
        )
    depths = np.concatenate([views.sparse(frame)[1][:, 2] for frame in range(len(views))])
    depth = float(np.median(depths))
    positions = views.positions
    reach = 2 * float(np.linalg.norm(positions - np.median(positions, axis=0), axis=1).max())
    if reach < _LEAST_BASELINE * depth:
        raise UnsupportedShot(
            f"The camera moves by {reach / depth:.1%} of the distance to the scene, "
            f"and parallax needs {_LEAST_BASELINE:.0%}.",
            HINT,
        )


def fit_static_points(views: Views, tracks: Tracks) -> NDArray[np.bool_]:
    """For each track [I], by its id, whether most of its observations fit a static point at any distance.

    Parameters
    ----------
    views : Views
    tracks : Tracks
        Undistorted, at the size of the views.
    """
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    missed = static_errors(tracks.ids, frames, tracks.xy, views)
    close = tracks.ids[missed < _FITS * max(views.width, views.height) / 640]
    count = np.bincount(tracks.ids)
    return np.asarray(np.bincount(close, minlength=len(count)) >= _MOSTLY * count)


def explained(views: Views, tracks: Tracks) -> NDArray[np.float64]:
    """For each frame, the share of the image's cells with tracks in which most tracks fit a static point.

    The point may be as far away as it likes: what is too far to be triangulated is explained as well.

    Parameters
    ----------
    views : Views
    tracks : Tracks
        Undistorted, at the size of the views.
    """
    lasts = np.bincount(tracks.ids) >= _EXPLAINED_LASTING
    static = lasts & fit_static_points(views, tracks)
    shares = np.ones(len(views))
    for frame in range(len(views)):
        ids, xy = tracks.at(frame)
        followed, fitting = (_filled(xy[of[ids]], views) for of in (lasts, static))
        cells = followed >= _FOLLOWED
        if cells.any():
            shares[frame] = float(np.mean(2 * fitting[cells] >= followed[cells]))
    return shares


def _filled(xy: NDArray[np.floating], views: Views) -> NDArray[np.int64]:
    """The number of points [K, 2] in each cell [C]."""
    size = max(views.width, views.height) / _EXPLAINED_CELLS
    column, row = np.clip(xy // size, 0, _EXPLAINED_CELLS - 1).astype(np.int64).T
    return np.bincount(row * _EXPLAINED_CELLS + column, minlength=_EXPLAINED_CELLS**2)


def unexplained(shares: NDArray[np.float64], numbers: Sequence[int]) -> UnsupportedShot | None:
    """Why a solve is wrong that leaves most of the image unexplained in more than a few frames; None if it does not.

    Parameters
    ----------
    shares : float64 [N]
        Of `explained`.
    numbers : sequence of int
        The frames' source numbers.
    """
    weak = np.flatnonzero(shares < _LEAST)
    if len(weak) <= _MOST_FRAMES * len(shares):
        return None
    return UnsupportedShot(
        f"The camera solve follows a moving object, or too little of the scene: in {len(weak)} frames "
        f"({_spans(weak, numbers)}) static points cover only {np.median(shares[weak]):.0%} of the image, "
        f"and {_LEAST:.0%} are needed.",
        f"{HINT} Or provide {setting('mattes')} of the moving objects, or leave these frames out.",
        supported=supported_part(shares >= _LEAST, numbers),
    )


def supported_part(good: NDArray[np.bool_], numbers: Sequence[int]) -> tuple[int, int] | None:
    """The longest range of good frames, as its first and last source number, where it is a large part of the shot.

    Parameters
    ----------
    good : bool [N]
    numbers : sequence of int
        The frames' source numbers.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]])))
    first, end = max(edges.reshape(-1, 2).tolist(), key=lambda part: part[1] - part[0], default=(0, 0))
    if end - first == len(good) or end - first < max(_PART_FRAMES, _PART_SHARE * len(good)):
        return None
    return numbers[first], numbers[end - 1]


def doubts(shares: NDArray[np.float64], numbers: Sequence[int]) -> tuple[str, ...]:
    """A warning about frames in which little of the image is explained."""
    weak = np.flatnonzero(shares < _LEAST)
    if not len(weak):
        return ()
    return (
        f"The depth of frames {_spans(weak, numbers)} may be wrong: the camera solve explains only "
        f"{shares.min():.0%} of the image there. Provide mattes of moving objects.",
    )


def inconsistent(share: float) -> tuple[str, ...]:
    """A warning where neighboring frames contradict each other on this share of the depth."""
    if share <= _MOST_CONTRADICTED:
        return ()
    return (
        f"Neighboring frames contradict each other on {share:.0%} of the depth, and much of it may be wrong: thin or "
        "blurred parts, reflections, or plain surfaces behind them. Check it before you build on it, or complete it by "
        "learned depth.",
    )


def require_measured(confirmed: float, *, lens_guessed: bool) -> None:
    """Raise `UnsupportedShot` where other frames confirm the depth of too small a share of the image."""
    least = _LEAST_CONFIRMED_OF_GUESS if lens_guessed else _LEAST_CONFIRMED
    where = " where the focal length is guessed" if lens_guessed else ""
    if confirmed < least:
        raise UnsupportedShot(
            f"Too little of the depth can be measured: other frames confirm it on {confirmed:.0%} of the image, "
            f"and {least:.0%} are needed{where}. The camera moves little for what it sees, or reflections, blur, "
            "flat colors or changing light fill the image.",
            f"Set the focal length if you know it. {HINT}" if lens_guessed else HINT,
        )


def unsure(confident: float) -> tuple[str, ...]:
    """A warning where much of the depth is wrong, by its mean confidence."""
    if confident >= _LEAST_CONFIDENT:
        return ()
    return (
        f"By the mean confidence, only about {confident:.0%} of the depth is within {RIGHT:.0%} of right; "
        "blur, flat colors, sky, reflections and thin parts cause that. Check the confidence before you build on it.",
    )


def guessed_lens(views: Views, *, tagged: bool = False) -> tuple[str, ...]:
    """A warning where the focal length is guessed: from usual lenses, or from the files' metadata (`tagged`)."""
    if not views.lens_guessed:
        return ()
    share = views.focal / max(views.width, views.height)
    used = "one close to that of the file's metadata" if tagged else "a likely one"
    return (
        f"The camera's motion hardly determines the focal length, so {used} is used ({share:.1f} image widths). "
        "Depth may be stretched along the view axis. Set the focal length if you know it.",
    )


def _spans(frames: NDArray[np.intp], numbers: Sequence[int]) -> str:
    """``1-5, 9`` for ascending frame indices; only the first and last frame for more than three ranges."""
    stretches = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    if len(stretches) > 3:
        return f"between {numbers[int(frames[0])]} and {numbers[int(frames[-1])]}"
    return ", ".join(
        str(numbers[int(s[0])]) if len(s) == 1 else f"{numbers[int(s[0])]}-{numbers[int(s[-1])]}" for s in stretches
    )
