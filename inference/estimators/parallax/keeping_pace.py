"""What keeps pace with the camera: it has no parallax, as only what is infinitely far, and yet hides what is near.

Stereo and flow both take somebody whom the camera follows for something at the horizon, in every frame alike. Frames
from farther along the way tell otherwise: they show ground or a tree that this frame's camera would see in front of
anything far, and that is not there. So something stands before it, and as that is no static point, it moves.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ...depth_maps import temporal
from .dense_motion import DenseMotion, texture
from .view import Views

Votes = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]
"""Points [K, 2] in pixels, and whether each votes for standing still, and for moving."""
# other frames, from the one that is tested: those that may show what is hidden, as the background changes slowly behind
# what keeps pace; and those in which it is hidden as well: if they show it, it is depth that flickers, as between twigs
_AWAY = (-160, -120, -90, -60, -40, -25, -12, 12, 25, 40, 60, 90, 120, 160)
_BESIDE = (-3, -1, 1, 3)
_SURE = 0.02  # margin of a depth that contradicts another frame's
_CLEAR = 0.4  # its matching cost, at most
_PATCH, _TEXTURED = 5, 0.5  # pixels in which it has texture of its own, and how much: what is blank takes others' depth
_INSIDE, _EDGE = np.ones((5, 5), np.uint8), 0.7  # surroundings with nothing so much farther: rims are too fat
_NEARER = 2.0  # times as near as what the frame itself shows, at least
_STEPS = 3.0  # and nearer by at least so many times what parallax resolves
_AGREES = 0.2  # relative difference of inverse depth up to which other frames show the same
_FEWEST = 2  # frames that show it
_BLUR, _UNLIKE = 1.0, 18.0  # pixels; gray levels from which on colors are another surface's
_GROUP = np.ones((3, 2), np.uint8)  # smallest group of such pixels, rows and columns
_UNSURE = 0.4  # vote of other pixels that one frame contradicts: it counts beside such groups only
_AROUND, _DENSE = 0.08, 0.03  # of the width: surroundings; share of them that hides something near
_UPRIGHT = 0.1  # of the height: how far above and below these its other parts may be
_AS_FAR = 1.5  # times as near as that, at most: what may be the same thing


def keeping_pace(
    matched: Callable[[int], NDArray[np.float32]],
    color: Callable[[int], NDArray[np.uint8]],
    frame: int,
    views: Views,
    *,
    resolved: float,
) -> NDArray[np.float32]:
    """Where a frame shows something far that hides what is near.

    Parameters
    ----------
    matched : callable
        Frame to its inverse depth, margin and matching cost [3, H, W]; see `sgm.winners`.
    color : callable
        Frame to its image [H, W, 3].
    frame : int
    views : Views
        At the size of the images.
    resolved : float
        The inverse depth that parallax resolves.

    Returns
    -------
    float32 [H, W]
        Votes, 0..1.
    """
    inverse_depth = matched(frame)[0]
    least = np.maximum(_NEARER * inverse_depth, inverse_depth + np.float32(_STEPS * resolved))
    away, beside = ([frame + by for by in each if 0 <= frame + by < len(views)] for each in (_AWAY, _BESIDE))
    if len(away) < _FEWEST:
        return np.zeros_like(inverse_depth)
    flickers = np.zeros(inverse_depth.shape, bool)
    for other in beside:
        flickers |= _shown(matched(other), color(other), views, other, frame)[0] >= least
    flickers = cv2.dilate(flickers.astype(np.uint8), _INSIDE) > 0
    mine = cv2.GaussianBlur(color(frame), (0, 0), _BLUR).astype(np.float32)
    near, unlike = np.zeros((len(away), *mine.shape[:2]), np.float32), np.zeros((len(away), *mine.shape[:2]), bool)
    for index, other in enumerate(away):
        there, source = _shown(matched(other), color(other), views, other, frame)
        near[index] = np.where((there >= least) & ~flickers, there, 0)
        colors = cv2.GaussianBlur(color(other), (0, 0), _BLUR).astype(np.float32).reshape(-1, 3)[source]
        unlike[index] = np.mean((colors - mine) ** 2, axis=-1) > _UNLIKE**2
    middle = temporal.median(near, (near > 0).astype(np.float32))
    same = (near > 0) & (np.abs(near - middle) <= _AGREES * middle)
    hidden, seen = np.sum(same & unlike, axis=0), np.sum(same & ~unlike, axis=0)
    share = np.where(hidden > 2 * seen, hidden / np.maximum(hidden + seen, 1), 0)
    sure = cv2.morphologyEx(((share > 0) & (hidden >= _FEWEST)).astype(np.uint8), cv2.MORPH_OPEN, _GROUP)
    return np.asarray(np.where(sure > 0, share, _UNSURE * (share > 0)), np.float32)


def counted(
    votes: Votes, dense: DenseMotion, pace: NDArray[np.float32], inverse_depth: NDArray[np.float32]
) -> tuple[Votes, DenseMotion, NDArray[np.bool_]]:
    """The votes of a frame's points and pixels, with what `keeping_pace` says of them.

    Around what surely hides something near, whatever seems as far has no vote for standing still, and what hides it
    less surely counts: both may be the same thing, where few other frames show what is behind.

    Parameters
    ----------
    votes : Votes
    dense : DenseMotion
    pace : float32 [H, W]
        Of `keeping_pace`.
    inverse_depth : float32 [H, W]
        What the frame shows, if nothing moves.

    Returns
    -------
    votes : Votes
    dense : DenseMotion
    upright : bool [H, W]
        Where much surely hides something near, and above and below: what frames close by show there is no static scene.
    """
    (xy, still, moving), (height, width) = votes, pace.shape
    side = 2 * round(_AROUND * width / 2) + 1
    sure = np.where(pace > _UNSURE, pace, 0)
    share, claim = (cv2.blur(each, (side, side)) for each in (sure, sure * inverse_depth))
    around = share > _DENSE
    same = around & (inverse_depth * share <= _AS_FAR * claim)
    x, y = np.clip(np.rint(xy).astype(np.int64), 0, [width - 1, height - 1]).T
    counting = DenseMotion(
        np.where(same, 0, dense.still * (1 - sure)), np.maximum(dense.moving, np.where(same, pace, sure))
    )
    upright = cv2.dilate(around.astype(np.uint8), np.ones((round(_UPRIGHT * len(pace)), 1), np.uint8)) > 0
    return (xy, still & ~same[y, x], moving | (sure[y, x] > 0)), counting, upright


def _shown(
    matched: NDArray[np.float32], image: NDArray[np.uint8], views: Views, other: int, frame: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Another frame's sure inverse depth as a frame sees it, 0 where it shows nothing, and its pixel there."""
    theirs, margin, match = matched
    inner = cv2.erode(theirs, _INSIDE) > _EDGE * theirs
    inner &= texture(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), patch=_PATCH) > _TEXTURED
    sure = np.where((margin >= _SURE) & (match < _CLEAR) & inner, theirs, np.float32(0))
    return temporal.splatted(sure, move=views.relative(other, frame), matrix=views.matrix)
