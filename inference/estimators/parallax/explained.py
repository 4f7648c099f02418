"""How much of the picture a camera solve explains, and what becomes of a shot where that is little.

A solve that follows a subject instead of the scene looks sound by itself: its points fit, only they all lie on the
subject, and depth around it is of a camera that never was. What gives it away is where its points are missing: tracks
last all over the picture, and those outside the subject fit none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..base import Refused
from .refusal import CURE
from .tracks import Tracks
from .view import Views

_CELLS = 8  # along the longer side
_LASTING = 4  # frames that a track must last to be explained by anything
_FOLLOWED = 3  # such tracks make a cell count,
_EXPLAINED = 2  # and so many static points in it explain it
_LEAST = 0.5  # of the cells; frames of sound solves have .6 and more, those that follow a subject .2 to .45
_MOST_FRAMES = 0.05  # share of a shot's frames that may have less, with a warning


def explained(views: Views, tracks: Tracks) -> NDArray[np.float64]:
    """For each frame, the share of the picture's cells with tracks in which there are static points, too.

    Parameters
    ----------
    views : Views
    tracks : Tracks
        Straightened, at the size of the views.
    """
    lasts = np.bincount(tracks.ids) >= _LASTING
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
    size = max(views.width, views.height) / _CELLS
    column, row = np.clip(xy // size, 0, _CELLS - 1).astype(np.int64).T
    return np.bincount(row * _CELLS + column, minlength=_CELLS**2)


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
