"""Where dynamic objects stand: one depth for each, which changes smoothly over time.

An object is linked from frame to frame by the flow of its pixels. Several things tell its depth. The ground that it
touches, read below its lowest pixels; where it is in the air, that is too far away, so ground that is nearer than the
object counts more than ground that is farther. Its change of size: a rigid object's inverse depth grows as it does.
And what bounds it: it is in front of what it hides, and behind what hides its feet. Where there is learned depth, that
tells as well: a network lets small subjects sink into what is behind them, so it, too, counts more where it is nearer
than the object. Together they are one least-squares problem for each object, over all of its frames, so that frames in
which it touches nothing get what the others say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

_OVERLAP = 0.3  # of their union, that one object's outlines in neighboring frames share at least, along the flow
_PART = 0.4  # of an object's pixels, that come from one that it was a part of
_LASTING = 4  # frames that a dynamic object is seen in at least
_BELOW = 0.015  # of the height: where the ground is read, below an object's lowest pixels
_FEET = 0.08  # of an object's height, from its lowest pixel: the columns that touch the ground
_BESIDE = 4  # pixels to either side of the feet, where the ground goes on
_LEDGE = np.log(1.25)  # difference of log inverse depth between below and beside that makes the former an occluder
_BEHIND = 75  # percentile of the static inverse depth that an object hides which it is in front of
_CONTACT, _STEP, _UNSEEN_STEP = 0.1, 0.02, 0.06  # standard deviations of log inverse depth: of a contact, of a change
_GROWS = 2.0  # the same of a change of size, of its amount, where that is between the latter two
_TOO_FAR = 0.06  # weight of ground or learned depth that is farther than the object, where what is nearer counts 1
_WEAK = 0.02  # weight of the static depth behind an object, where nothing else is known
_ROUNDS = 12
_FEWEST = 25  # pixels that determine a change of size
_TRUSTED = 1.0  # pixels of forward-backward difference of flow


@dataclass
class _Chain:
    """One object over its frames: each list has one value a frame; logarithms of inverse depth."""

    frames: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    ground: list[float] = field(default_factory=list)
    """NaN where the object touches no ground."""
    least: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    """Bounds; infinite where nothing bounds."""
    seen: list[float] = field(default_factory=list)
    """What a learned network makes of it; NaN where there is none."""
    growth: list[float] = field(default_factory=list)
    """Change of the logarithm of its size to the next frame; NaN where it cannot be told."""
    parent: tuple[_Chain, int] | None = None
    """The object, at its frame of that index, that this one was a part of before."""

    @property
    def lasting(self) -> int:
        """Frames in which it is seen, as a part of others too."""
        return len(self.frames) + (self.parent[1] + 1 if self.parent is not None else 0)


def depths(
    load: Callable[[int], tuple[NDArray[np.float32], NDArray[np.int32]]],
    pair: Callable[[int], NDArray[np.floating]],
    count: int,
    *,
    most: float,
    check: Callable[[], None],
    learned: Callable[[int], NDArray[np.float32]] | None = None,
) -> list[NDArray[np.float32]]:
    """The inverse depth of each dynamic object of each frame.

    Parameters
    ----------
    load : callable
        Frame to static inverse depth [H, W], completed behind the objects, and labels [H, W] of its objects from 1,
        0 elsewhere.
    pair : callable
        Frame to the flow [2, H, W, 2] to the next one and back.
    count : int
        Of the frames.
    most : float
        Largest inverse depth.
    check : callable
        Called for each frame; may raise to end the work.
    learned : callable or None
        Frame to the inverse depth [H, W] of a learned network, in the same unit.

    Returns
    -------
    list of float32 arrays
        For each frame, by label; 0 for the static scene, of which objects that hardly last are part.
    """
    result: list[NDArray[np.float32]] = []
    chains: list[_Chain] = []
    open_chains: dict[int, _Chain] = {}
    parents: dict[int, tuple[_Chain, int]] = {}
    inverse_depth, labels = load(0) if count else (np.empty((0, 0), np.float32), np.empty((0, 0), np.int32))
    for frame in range(count):
        check()
        number = int(labels.max(initial=0)) + 1
        result.append(np.zeros(number, np.float32))
        looked = None if learned is None or number == 1 else learned(frame)
        for label in range(1, number):
            chain = open_chains.get(label)
            if chain is None:
                chain = open_chains[label] = _Chain(parent=parents.get(label))
                chains.append(chain)
            chain.frames.append(frame)
            chain.labels.append(label)
            ground, least, nearest = observed(inverse_depth, labels, label)
            chain.ground.append(ground)
            chain.least.append(least)
            chain.most.append(min(nearest, float(np.log(most))))
            chain.seen.append(np.nan if looked is None else _middle(looked[labels == label]))
            chain.growth.append(np.nan)
        if frame + 1 < count:
            flow = pair(frame).astype(np.float32)
            inverse_depth, after = load(frame + 1)
            following, parts = linked(labels, after, flow)
            for label, chain in open_chains.items():
                chain.growth[-1] = growth(labels == label, flow)
            parents = {label: (open_chains[old], len(open_chains[old].frames) - 1) for label, old in parts.items()}
            open_chains = {following[label]: chain for label, chain in open_chains.items() if label in following}
            labels = after
    solved: dict[int, NDArray[np.float64]] = {}
    for chain in chains:  # parents come before their parts
        inherited = solved[id(chain.parent[0])][chain.parent[1]] if chain.parent is not None else np.nan
        solved[id(chain)] = _solve(chain, inherited)
        if chain.lasting >= min(_LASTING, count):
            for frame, label, value in zip(chain.frames, chain.labels, solved[id(chain)], strict=True):
                result[frame][label] = min(np.exp(value), most)
    return result


def observed(inverse_depth: NDArray[np.float32], labels: NDArray[np.int32], label: int) -> tuple[float, float, float]:
    """The ground that an object touches in a frame (NaN: none), and its bounds; logarithms of inverse depth."""
    height, width = labels.shape
    inside = labels == label
    columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
    lowest = height - 1 - np.argmax(inside[::-1, columns], axis=0)
    bottom, tall = int(rows[-1]), int(rows[-1] - rows[0] + 1)
    feet = lowest >= bottom - max(1, round(_FEET * tall))
    below = np.minimum(lowest[feet] + max(2, round(_BELOW * height)), height - 1)
    ground = float(np.log(np.median(inverse_depth[below, columns[feet]])))
    hidden = float(np.log(np.percentile(inverse_depth[inside], _BEHIND)))
    if bottom >= height - 2:  # its feet are below the image, on nearer ground
        return np.nan, max(hidden, ground), np.inf
    if np.mean(labels[below, columns[feet]] == 0) < 0.5:  # another object is there
        return np.nan, hidden, np.inf
    sides = columns[feet].min() - _BESIDE, columns[feet].max() + _BESIDE
    beside = [np.log(inverse_depth[bottom, at]) for at in sides if 0 <= at < width and labels[bottom, at] == 0]
    if beside and ground - max(beside) > _LEDGE:  # what is below does not go on beside it: it hides the feet
        return np.nan, hidden, ground
    return ground, hidden, np.inf


def linked(
    before: NDArray[np.int32], after: NDArray[np.int32], flow: NDArray[np.float32]
) -> tuple[dict[int, int], dict[int, int]]:
    """Labels of a frame's objects with those of the next frame's, the most alike first, each once.

    The second are the next frame's labels that are not linked, with those of the objects that most of their pixels come
    from.
    """
    height, width = before.shape
    rows, columns = np.nonzero(before)
    x = np.rint(columns + flow[0, rows, columns, 0]).astype(int)
    y = np.rint(rows + flow[0, rows, columns, 1]).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    source, target = before[rows, columns][inside], after[y[inside], x[inside]]
    first, second = int(before.max(initial=0)) + 1, int(after.max(initial=0)) + 1
    both = np.bincount(source * second + target, minlength=first * second).reshape(first, second).astype(float)
    union = both.sum(axis=1, keepdims=True) + np.bincount(after.ravel(), minlength=second) - both
    overlap = (both / np.maximum(union, 1))[1:, 1:]
    parts = {}
    for label in range(1, second) if first > 1 else ():
        source_label = 1 + int(both[1:, label].argmax())
        if both[source_label, label] > _PART * np.sum(after == label):
            parts[label] = source_label
    result: dict[int, int] = {}
    while overlap.size and overlap.max() > _OVERLAP:
        old, new = (int(v) for v in np.unravel_index(int(overlap.argmax()), overlap.shape))
        result[old + 1] = new + 1
        overlap[old], overlap[:, new] = 0, 0
    return result, {label: old for label, old in parts.items() if label not in result.values()}


def growth(inside: NDArray[np.bool_], flow: NDArray[np.float32]) -> float:
    """The logarithm of a region's change of scale to the next frame: of the similarity that fits its flow best."""
    height, width = inside.shape
    rows, columns = np.nonzero(inside)
    step = flow[0, rows, columns].astype(np.float64)
    x = np.clip(np.rint(columns + step[:, 0]).astype(int), 0, width - 1)
    y = np.clip(np.rint(rows + step[:, 1]).astype(int), 0, height - 1)
    known = np.linalg.norm(step + flow[1, y, x], axis=1) < _TRUSTED
    if known.sum() < _FEWEST:
        return np.nan
    points = (columns[known] + 1j * rows[known]).astype(np.complex128)
    moved = points + step[known, 0] + 1j * step[known, 1]
    weight = np.ones(len(points))
    turn = 1.0 + 0.0j
    for _ in range(5):  # iteratively reweighted, after Cauchy: limbs move otherwise
        center, other = np.average(points, weights=weight), np.average(moved, weights=weight)
        turn = np.sum(weight * np.conj(points - center) * (moved - other)) / np.sum(
            weight * np.abs(points - center) ** 2
        )
        weight = 1 / (1 + np.abs(moved - other - turn * (points - center)) ** 2)
    return float(np.log(max(abs(turn), 1e-3)))


def _middle(inverse_depth: NDArray[np.float32]) -> float:
    """The logarithm of the median of an object's learned inverse depth; NaN where that is infinitely far."""
    middle = float(np.median(inverse_depth))
    return float(np.log(middle)) if middle > 0 else np.nan


def _solve(chain: _Chain, inherited: float) -> NDArray[np.float64]:
    """The logarithm of an object's inverse depth in each of its frames; `inherited`: of the one that it came from."""
    ground, least, most, seen = (np.array(values) for values in (chain.ground, chain.least, chain.most, chain.seen))
    most = np.where(
        most < least, np.inf, most
    )  # what hides its feet would be behind what it hides: it is no such thing
    growth = np.array(chain.growth[:-1])
    unsure = np.nan_to_num(_GROWS * np.abs(growth), nan=_UNSEEN_STEP)  # limbs that swing seem to grow
    steady = 1 / np.clip(unsure, _STEP, _UNSEEN_STEP) ** 2
    growth = np.clip(np.nan_to_num(growth), -0.1, 0.1)
    touches = ~np.isnan(ground)
    value = np.full(len(ground), np.median(ground[touches]) if touches.any() else np.median(least))
    value = np.fmax(value, seen)
    for _ in range(_ROUNDS):
        contact, looks = _weight(ground, value), _weight(seen, value)
        too_far, too_near = 1.0 * (value < least), 1.0 * (value > most)
        weight = contact + looks + too_far + too_near + _WEAK
        target = (
            contact * np.nan_to_num(ground)
            + looks * np.nan_to_num(seen)
            + too_far * least
            + too_near * np.where(too_near > 0, most, 0)
        )
        target += _WEAK * np.minimum(least, most)
        if not np.isnan(inherited):
            weight[0] += 1
            target[0] += inherited
        weight, target = weight / _CONTACT**2, target / _CONTACT**2
        diagonal = weight.copy()
        diagonal[:-1] += steady
        diagonal[1:] += steady
        target[:-1] -= steady * growth
        target[1:] += steady * growth
        upper = np.concatenate([[0.0], -steady])
        value = solveh_banded(np.stack([upper, diagonal]), target) if len(steady) else target / diagonal
    return value


def _weight(seen: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much ground or learned depth counts: what is nearer more, what differs much little, after Cauchy."""
    away = np.nan_to_num(seen - value) / _CONTACT
    return ~np.isnan(seen) * np.where(away > 0, 1.0, _TOO_FAR) / (1 + away**2)
