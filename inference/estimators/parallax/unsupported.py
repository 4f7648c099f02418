"""Solves and depth that are wrong or doubtful: what refuses a shot after its solve, and what warns of it.

First of all, how much of the image a solve explains: a solve that follows a moving object instead of the scene has
points with small errors, but all on the object, and a wrong camera path. It shows in the cells of the image that have
tracks but no static points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...common.failures import UnsupportedShot
from ...contract.hints import setting
from .calibration import RIGHT
from .camera_motion import HINT, SHORTEST
from .tracks import Tracks
from .triangulate import place, static_errors
from .turning import Turning
from .view import Views

_LEAST_OBSERVATIONS = 60
_LEAST_BASELINE = 0.03
_LEAST_BETTER = 0.3  # of the observations explained better by a solve; real shots with a moving camera have .6 and more
# median error of a solve, in pixels at 640, or of the plate where that is more, as tracks in a small one are no better;
# scenes have .4 to 1.3 at 640, a long walk in a crowd 1.8, a cat 2.1 and more
_MOST_MISSED, _MISSED_OF_PLATE = 2.0, 0.9
_BETTER = 2.0, 0.5  # by this factor, and by so many pixels at 640 on top
_FOCAL_RANGE = (0.4, 2.5)  # plausible focal lengths of a solve, as shares of the longer side
_FROM_TAG = 1.25  # factor by which one may be beyond that which the files name
_EXPLAINED_CELLS = 8  # along the longer side
_EXPLAINED_LASTING = 4  # shortest tracks that count, in frames
_FOLLOWED = 3  # fewest such tracks of a cell that counts
_FITS, _MOSTLY = 3.0, 0.7  # pixels at 640 from a static point, within which this share of a track's observations lies
_LEAST = 0.5  # of the cells; frames of correct solves have .52 to 1, those that follow an object .15 to .3
_MOST_FRAMES = 0.05  # share of a shot's frames that may have less, with a warning
_MOST_CONTRADICTED = 0.1  # of the depth, by neighboring frames; good clips have .01, a fence before a lawn .18
_LEAST_CONFIRMED, _LEAST_CONFIRMED_OF_GUESS = 0.04, 0.06
"""Confirmed share of the image. Nothing else vouches for a guessed focal length. The avenue with coarse depth, whose
AbsRel is .24, has .08, 30 frames of a night street between its own reflections .11, other usable clips .22 and more."""
_LEAST_CONFIDENT = 0.5  # mean confidence, below which there is a warning; a fence before a lawn has .48
_PART_FRAMES, _PART_SHARE = 2 * SHORTEST, 0.5  # frames and share of a shot, of which a part is worth solving by itself


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
        far = (
            f"are more than {middle:.1f} pixels from where a scene that stands still would have them, and at most "
            f"{most:.1f} are allowed"
        )
        raise UnsupportedShot(
            "The camera solve explains too little: half of the tracked points "
            f"{far if np.isfinite(middle) else 'have no place in a scene that stands still'}. "
            "Something that moves or bends fills much of the image.",
            f"{HINT} Or provide {setting('mattes')} of what moves.",
        )
    times, by = _BETTER
    better = float(np.mean(turning.missed > times * missed + by))
    if better < _LEAST_BETTER:
        how = turning.words() if turning.zooms else "the camera turns without moving"
        raise UnsupportedShot(
            f"The shot has too little parallax, {how}: a moving camera explains only {better:.0%} of the points "
            f"better, and {_LEAST_BETTER:.0%} are needed.",
            HINT,
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
