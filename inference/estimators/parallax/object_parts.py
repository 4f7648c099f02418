"""Which parts of dynamic objects belong together.

The outline of somebody who walks is often found in parts, which change from frame to frame: a head, a skirt below a
black coat, a foot. By itself a head stands on no ground, and each would get a depth of its own. Parts that touch each
other, or were one region before or after, and go the same way are one object; what passes something else touches it for
a while, but goes another way, and what stands on ground farther away is behind it.

What moves may lie on the ground: a reflection in a wet road, glare, a shadow, light that is cast on it. A network sees
none of that nearer than the ground around it. Whole objects are tested, since it sees no step at anybody's feet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import object_depth

_TOUCHING = 0.015  # of the long side: distance of parts that touch
_TOUCH = 0.8  # share of the frames with both in which they do
_AWAY = 0.5  # of the size of both together: how far one moves along the other, at most, over all frames and
_WAY = 12  # in so many frames at its mean speed
_STEP = np.log(1.25)  # difference of log inverse depth of the ground that two objects stand on
_BESIDE = 0.5  # share of a part's columns with the other one below, from which on that is what it stands on
_KNOWN = 4  # frames with both from which on what they do differently keeps what they are parts of apart
_RISES = np.log(1.06)  # how much nearer than the ground a network sees what stands on it, in its
_UPPER, _OFTEN = 80, 75  # percentile of pixels, and percentile of frames


@dataclass
class _Pair:
    """Two parts over the frames in which both are seen."""

    touches: int = 0
    were_one: bool = False
    """Whether they were one region, just before or just after."""
    moved: list[NDArray[np.float64]] = field(default_factory=list)
    """How the one moves along the other to the next frame, in sizes of both together."""
    stands: list[float] = field(default_factory=list)
    """Differences of the logarithm of the inverse depth of their ground, where both stand on some."""

    @property
    def apart(self) -> bool:
        """Whether they are two objects."""
        path = np.cumsum(self.moved, axis=0)
        away = max(np.hypot(*np.ptp(path, axis=0)), _WAY * np.hypot(*np.mean(self.moved, axis=0)))
        return bool(away > _AWAY or (self.stands and np.median(np.abs(self.stands)) > _STEP))


def joined(
    load: Callable[[int], tuple[NDArray[np.float32], NDArray[np.int32]]],
    pair: Callable[[int], NDArray[np.floating]],
    count: int,
    *,
    check: Callable[[], None],
    rises: Callable[[int], NDArray[np.float32]] | None = None,
) -> list[NDArray[np.int32]]:
    """Number the objects of each frame, from its parts.

    Parameters
    ----------
    load : callable
        Frame to static inverse depth [H, W], completed behind the objects, and labels [H, W] of its parts from 1, 0
        elsewhere.
    pair : callable
        Frame to the flow [2, H, W, 2] to the next one and back.
    count : int
        Of the frames.
    check : callable
        Called for each frame; may raise to end the work.
    rises : callable or None
        Frame to how much nearer than the ground around it a network sees each pixel [H, W], see `ground.rises`.

    Returns
    -------
    list of int32 arrays
        For each frame, by label, the number of the object from 1; 0 for 0, and for what lies on the ground.
    """
    names: list[NDArray[np.int64]] = []  # for each frame, by label: the part, over all frames
    pairs: dict[tuple[int, int], _Pair] = {}
    total = 0
    linked: dict[int, int] = {}
    regions: list[tuple[int, int]] = []  # labels of this frame and the last one that were one region in either
    for frame in range(count):
        check()
        inverse_depth, labels = load(frame)
        number = int(labels.max(initial=0)) + 1
        own = np.zeros(number, np.int64)
        for label in range(1, number):
            own[label] = names[-1][linked[label]] if label in linked else (total := total + 1)
        for label, before in regions:
            _pair(pairs, own[label], names[-1][before]).were_one = True
        names.append(own)
        linked, regions, is_last = {}, [], frame + 1 == count
        if number == 1 or count == 1:
            continue
        flow = pair(frame - is_last).astype(np.float32)
        if number > 2:  # in the last frame by where everything came from
            _compare(inverse_depth, labels, -flow[::-1] if is_last else flow, own, pairs)
        if not is_last:
            after = load(frame + 1)[1]
            following, came_off = object_depth.linked(labels, after, flow)
            _, went_into = object_depth.linked(after, labels, flow[::-1])
            linked = {new: old for old, new in following.items()}
            regions = [*came_off.items(), *((new, old) for old, new in went_into.items())]
    whole = np.array(_united(total, pairs), np.int64)
    if rises is not None:
        upper: dict[int, list[float]] = {}
        for frame, own in enumerate(names):
            check()
            if len(own) > 1:
                numbers, risen = whole[own][load(frame)[1]], rises(frame)
                for number in np.unique(numbers[numbers > 0]):
                    upper.setdefault(int(number), []).append(_percentile(risen[numbers == number], _UPPER))
        lies = [number for number, each in upper.items() if _percentile(each, _OFTEN) < _RISES]
        whole[np.isin(whole, lies)] = 0
    return [_compact(whole[own]) for own in names]


def _pair(pairs: dict[tuple[int, int], _Pair], one: np.integer, other: np.integer) -> _Pair:
    return pairs.setdefault((int(min(one, other)), int(max(one, other))), _Pair())


def _compare(
    inverse_depth: NDArray[np.float32],
    labels: NDArray[np.int32],
    flow: NDArray[np.float32],
    names: NDArray[np.int64],
    pairs: dict[tuple[int, int], _Pair],
) -> None:
    """Add what a frame says of each pair of its parts."""
    reach = 2 * max(1, round(_TOUCHING * max(labels.shape))) + 1
    window = np.ones((reach, reach), np.uint8)
    masks = [labels == label for label in range(len(names))]
    around = [cv2.dilate(mask.astype(np.uint8), window) > 0 for mask in masks]
    standing = [np.nan, *(object_depth.observed(inverse_depth, labels, label)[0] for label in range(1, len(names)))]
    for first in range(1, len(names)):
        for second in range(first + 1, len(names)):
            one, other = masks[first], masks[second]
            seen = _pair(pairs, names[first], names[second])
            seen.touches += bool((around[first] & other).any())
            stands = standing[first] - standing[second]
            if not (np.isnan(stands) or _on(one, other) or _on(other, one)):
                seen.stands.append(float(stands))
            seen.moved.append(_moved(one, other, flow))


def _moved(one: NDArray[np.bool_], other: NDArray[np.bool_], flow: NDArray[np.float32]) -> NDArray[np.float64]:
    """How a part moves along another to the next frame, in sizes of both, but for the growth of what comes nearer."""
    larger = one if one.sum() >= other.sum() else other
    growth = np.expm1(np.nan_to_num(object_depth.growth(larger, flow)))
    (at, step), (there, their_step) = (
        (np.argwhere(mask).mean(axis=0)[::-1], np.median(flow[0][mask], axis=0)) for mask in (one, other)
    )
    return np.asarray((their_step - step - growth * (there - at)) / np.sqrt(one.sum() + other.sum()), np.float64)


def _on(upper: NDArray[np.bool_], lower: NDArray[np.bool_]) -> bool:
    """Whether a part is above another, which hides the ground below it."""
    rows, columns = np.nonzero(upper)
    return bool(lower[rows.max() :, np.unique(columns)].any(axis=0).mean() >= _BESIDE)


def _united(total: int, pairs: dict[tuple[int, int], _Pair]) -> list[int]:
    """The object of each part from 1, by the number of its first part; those that touch longest are joined first."""
    of = list(range(total + 1))
    seen = {key: each for key, each in pairs.items() if each.moved}
    apart = {key for key, each in seen.items() if each.apart}
    differ = {key for key in apart if len(seen[key].moved) >= _KNOWN}
    for key in sorted(seen.keys() - apart, key=lambda key: (-seen[key].touches, key)):
        one, other = sorted(of[part] for part in key)
        touch = seen[key].touches >= _TOUCH * len(seen[key].moved) or seen[key].were_one
        if one != other and touch and not any({of[part] for part in each} == {one, other} for each in differ):
            of = [one if each == other else each for each in of]
    return of


def _percentile(values: ArrayLike, share: float) -> float:
    return float(
        np.percentile(np.asarray(values, np.float64), share, method="lower")
    )  # one of them, as some are infinite


def _compact(numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """A frame's objects, numbered from 1."""
    _, compact = np.unique(np.append(0, numbers[1:]), return_inverse=True)
    return compact.astype(np.int32)
