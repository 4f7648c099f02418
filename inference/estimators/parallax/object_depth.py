"""Temporally stable depth of dynamic objects: the median of an object's depth over many frames.

The ground below an object is read from a few pixels, so its depth jumps from frame to frame. The object's tracks link
it to the same object in other frames or, where it has none, the overlap of its outlines in neighbouring ones; the
median over them is its depth. An object whose feet are out of the image touches no ground there: frames in which it
does decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tracks import Tracks

_REACH = 12  # frames to either side
_OVERLAP = 0.3  # of their union, that one object's outlines in neighbouring frames share at least


def factors(
    load: Callable[[int], tuple[NDArray[np.float32], NDArray[np.int32]]],
    tracks: Tracks,
    moving: NDArray[np.bool_],
    *,
    outlined: bool,
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
    outlined : bool
        Whether the objects' outlines are those of mattes, so that it is known where they end.
    check : callable
        Called for each frame; may raise to end the work.

    Returns
    -------
    list of float32 arrays
        For each frame, by label; the first, for the static scene, is 1.
    """
    levels: list[NDArray[np.float64]] = []  # per frame, by label: the logarithm of the median inverse depth
    links = _Links(outlined)
    subject = np.zeros(len(tracks.ids), np.int32)  # per observation: the label that it lies in
    for frame in range(len(tracks)):
        check()
        inverse_depth, labels = load(frame)
        count = int(labels.max(initial=0)) + 1
        levels.append(
            np.array([0.0, *(np.log(np.median(inverse_depth[labels == k])) for k in range(1, count))], np.float64)
        )
        links.add(labels)
        part = slice(tracks.starts[frame], tracks.starts[frame + 1])
        height, width = labels.shape
        x, y = np.clip(np.rint(tracks.xy[part]).astype(int), 0, [width - 1, height - 1]).T
        subject[part] = np.where(moving[part], labels[y, x], 0)
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    known = np.flatnonzero(subject)
    observations = _Observations(tracks.ids[known], frames[known], subject[known])
    return [_of_frame(frame, levels, links, observations) for frame in range(len(tracks))]


class _Links:
    """Objects in neighbouring frames that are one, by the overlap of their outlines."""

    def __init__(self, outlined: bool) -> None:
        self._outlined = outlined
        self.chains: list[NDArray[np.int64]] = []
        """Per frame, by label: the number of the chain; -1 for the static scene."""
        self.grounded: list[NDArray[np.bool_]] = []
        """Per frame, by label: False where the object is known to end below the image's lower edge."""
        self._before: NDArray[np.int32] | None = None
        self._next = 0

    def add(self, labels: NDArray[np.int32]) -> None:
        """Add the next frame's labels [H, W]."""
        count = int(labels.max(initial=0)) + 1
        chains = np.full(count, -1, np.int64)
        if self._before is not None and count > 1:
            earlier = len(self.chains[-1])
            both = np.bincount(self._before.ravel() * count + labels.ravel(), minlength=earlier * count)
            both = both.reshape(earlier, count)
            union = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
            overlap = np.where(union > 0, both / np.maximum(union, 1), 0)[1:, 1:]
            while overlap.size and overlap.max() > _OVERLAP:  # the most alike first, each once
                old, new = np.unravel_index(int(overlap.argmax()), overlap.shape)
                chains[new + 1] = self.chains[-1][old + 1]
                overlap[old], overlap[:, new] = 0, 0
        for label in range(1, count):
            if chains[label] < 0:
                chains[label] = self._next
                self._next += 1
        grounded = np.ones(count, bool)
        if self._outlined:
            grounded[np.unique(labels[-1])] = False
        self.chains.append(chains)
        self.grounded.append(grounded)
        self._before = labels


@dataclass(frozen=True)
class _Observations:
    """Observations on objects, each [K]: track, frame, and the object's label in that frame."""

    ids: NDArray[np.int32]
    when: NDArray[np.int64]
    subject: NDArray[np.int32]


def _of_frame(frame: int, levels: list[NDArray[np.float64]], links: _Links, seen: _Observations) -> NDArray[np.float32]:
    """Factors of one frame's objects."""
    own = levels[frame]
    result = np.ones(len(own), np.float32)
    if len(own) == 1:
        return result
    near = slice(*np.searchsorted(seen.when, [frame - _REACH, frame + _REACH + 1]))
    ids, when, subject = seen.ids[near], seen.when[near], seen.subject[near]
    around = range(max(0, frame - _REACH), min(len(levels), frame + _REACH + 1))
    for label in range(1, len(own)):
        linked = np.isin(ids, ids[(when == frame) & (subject == label)])
        same = [(int(other), int(each)) for other, each in zip(when[linked], subject[linked], strict=True)]
        for other in around if not same else ():  # tracks are surer than outlines, and last longer
            same += [(other, int(each)) for each in np.flatnonzero(links.chains[other] == links.chains[frame][label])]
        values = np.array([levels[other][each] for other, each in same])
        contact = np.array([links.grounded[other][each] for other, each in same], bool)
        result[label] = np.exp(np.median(values[contact] if contact.any() else values) - own[label])
    return result
