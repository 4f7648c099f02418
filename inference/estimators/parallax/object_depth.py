"""Temporally stable depth of dynamic objects: the median of an object's depth over many frames.

The ground below an object is read from a few pixels, so its depth jumps from frame to frame. The object's tracks link
it to the same object in other frames; the median over them is its depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tracks import Tracks

_REACH = 12  # frames to either side


def factors(
    load: Callable[[int], tuple[NDArray[np.float32], NDArray[np.int32]]],
    tracks: Tracks,
    moving: NDArray[np.bool_],
    *,
    check: Callable[[], None],
) -> list[NDArray[np.float32]]:
    """Factors on the inverse depth of each dynamic object of each frame.

    Parameters
    ----------
    load : callable
        Frame to inverse depth [H, W] and labels [H, W] of its objects, 0 elsewhere.
    tracks : Tracks
        At the size of the maps.
    moving : bool [M]
        Which observations of the tracks are dynamic.
    check : callable
        Called for each frame; may raise to end the work.

    Returns
    -------
    list of float32 arrays
        For each frame, by label; the first, for the static scene, is 1.
    """
    levels: list[NDArray[np.float64]] = []  # per frame, by label: the logarithm of the median inverse depth
    subject = np.zeros(len(tracks.ids), np.int32)  # per observation: the label that it lies in
    for frame in range(len(tracks)):
        check()
        inverse_depth, labels = load(frame)
        count = int(labels.max(initial=0)) + 1
        levels.append(
            np.array([0.0, *(np.log(np.median(inverse_depth[labels == k])) for k in range(1, count))], np.float64)
        )
        part = slice(tracks.starts[frame], tracks.starts[frame + 1])
        height, width = labels.shape
        x, y = np.clip(np.rint(tracks.xy[part]).astype(int), 0, [width - 1, height - 1]).T
        subject[part] = np.where(moving[part], labels[y, x], 0)
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    known = np.flatnonzero(subject)
    when = frames[known]
    level = np.array([levels[f][s] for f, s in zip(when, subject[known], strict=True)])
    observations = _Observations(tracks.ids[known], when, level, subject[known])
    return [_of_frame(frame, levels[frame], observations) for frame in range(len(tracks))]


@dataclass(frozen=True)
class _Observations:
    """Observations on objects, each [K]: track, frame, level, and the object's label in that frame."""

    ids: NDArray[np.int32]
    when: NDArray[np.int64]
    level: NDArray[np.float64]
    subject: NDArray[np.int32]


def _of_frame(frame: int, own: NDArray[np.float64], seen: _Observations) -> NDArray[np.float32]:
    """Factors of one frame's objects, whose levels are `own`."""
    result = np.ones(len(own), np.float32)
    if len(own) == 1:
        return result
    near = slice(*np.searchsorted(seen.when, [frame - _REACH, frame + _REACH + 1]))
    ids, when, level, subject = seen.ids[near], seen.when[near], seen.level[near], seen.subject[near]
    for label in range(1, len(own)):
        members = ids[(when == frame) & (subject == label)]
        if len(members):
            result[label] = np.exp(np.median(level[np.isin(ids, members)]) - own[label])
    return result
