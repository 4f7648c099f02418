"""Depth over time: each pixel's median over the frames around, followed by flow and looked up by geometry.

Flow follows what moves, and what is blank, but of a fence it follows the bars and not what is seen between them. There
the camera tells where a static point is in other frames: what a frame's own depth says of its points is looked up in
them, and what they show in its pixels counts as well, since a frame whose depth is wrong looks up wrong points. All of
that counts by how alike the colors are.

Frames that each took such a median still differ where about half of what they saw was wrong, as at leaves and bars. The
median of these medians, by geometry alone, is steadier than one over as many frames at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...depth_maps import temporal
from . import calibration, pixel_paths, shot_data
from .shot_data import ShotData

_LOOKED_UP, _AGAIN = 8, 4  # frames to either side in which points are looked up, at first and once more
_BESIDE = 1.0  # pixels beside its own at which what is looked up counts 1/e, where learned depth knows what moves
_BEHIND = 0.3  # share of the weight at which what is behind outvotes the rest: the foreground is too fat, never that

Depth = Callable[[int], NDArray[np.float32]]
"""Frame to its inverse depth [H, W]."""


def stabilized(
    scene: ShotData, footings: Sequence[NDArray[np.float32]], frame: int, *, pause: Callable[[], None]
) -> NDArray[np.float32]:
    """A frame's depth over time, and how likely it is right.

    Parameters
    ----------
    scene : ShotData
    footings : sequence of float32 [K]
        By frame: the inverse depth of its dynamic objects, by label; 0 for what has none.
    frame : int
    pause : callable
        Called between steps; may raise to end the work.

    Returns
    -------
    float32 [2, H, W]
        Inverse depth and confidence, of stereo's size.
    """
    views = scene.views
    inverse_depth, support = shot_data.placed(scene, footings, frame), shot_data.support(scene, frame)
    gray, dynamic = scene.images.gray(frame).astype(np.uint8), shot_data.labels(scene, frame) > 0
    color, values, weights = scene.images.color(frame), [inverse_depth], [np.ones_like(inverse_depth)]
    for path in shot_data.paths(scene, frame):
        pause()
        direct = pixel_paths.direct_path(gray, scene.images.gray(path.frame).astype(np.uint8), path.frame)
        theirs, move = shot_data.placed(scene, footings, path.frame), views.relative(path.frame, frame)
        for each, counts in ((path.resized(views.width, views.height), 1.0), (direct, ~dynamic)):
            carried, valid = temporal.carry(theirs, each.there, move=move, matrix=views.matrix)
            alike = temporal.similarity(color, scene.images.color(path.frame), each.there)
            values.append(carried)
            weights.append((each.trust * valid * counts * alike).astype(np.float32))
    followed = len(values)
    for carried, alike in _elsewhere(
        scene, frame, lambda other: shot_data.placed(scene, footings, other), reach=_LOOKED_UP, pause=pause
    ):
        values.append(carried)
        weights.append(alike)
    every, counting = np.stack(values), np.stack(weights)
    steady = np.clip(temporal.settle(every, counting), *scene.limits)
    support = support * shot_data.resolved(scene, frame, np.minimum(inverse_depth, steady))
    agreeing = calibration.agreement(every[1:followed], counting[1:followed], steady)
    return np.stack([steady, calibration.confidence(support, agreeing)])


def once_more(
    scene: ShotData, stable: Depth, frame: int, *, pause: Callable[[], None]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A frame's depth over time, from frames that `stabilized` has been through; learned depth stays as it is.

    What moves, and was not found to, would sink into what is behind it, where learned depth has it in front.

    Parameters
    ----------
    scene : ShotData
    stable : callable
        Frame to what `stabilized` found.
    frame, pause
        As in `stabilized`.

    Returns
    -------
    inverse_depth, confidence : float32 [H, W]
    """
    inverse_depth, confidence = stable(frame)
    if scene.learned is not None:
        return inverse_depth, confidence
    around = list(_elsewhere(scene, frame, lambda other: stable(other)[0], reach=_AGAIN, pause=pause))
    values = np.stack([inverse_depth, *(carried for carried, _ in around)])
    weights = np.stack([np.ones_like(inverse_depth), *(alike for _, alike in around)])
    return np.clip(temporal.settle(values, weights, share=_BEHIND), *scene.limits), confidence


def _elsewhere(
    scene: ShotData, frame: int, depth: Depth, *, reach: int, pause: Callable[[], None]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The inverse depth that frames around have of what a frame's static pixels show, by geometry, and its weights."""
    mine, color, views = depth(frame), scene.images.color(frame), scene.views
    static = shot_data.labels(scene, frame) == 0
    # without learned depth, what moves and was not found to has no depth that many frames could outvote
    beside = np.inf if scene.learned is None else _BESIDE
    for other in range(max(0, frame - reach), min(len(views), frame + reach + 1)):
        if other == frame:
            continue
        pause()
        images, theirs, move = (color, scene.images.color(other)), depth(other), views.relative(frame, other)
        yield _static(temporal.looked_up(mine, theirs, images, move=move, matrix=views.matrix, beside=beside), static)
        if scene.learned is None:
            still = shot_data.labels(scene, other) == 0
            yield _static(temporal.shown(theirs, still, images, move=move, matrix=views.matrix), static)


def _static(
    found: tuple[NDArray[np.float32], NDArray[np.float32]], static: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What was found, without weight where the frame's own pixels move."""
    return found[0], found[1] * static
