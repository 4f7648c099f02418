"""Joining windows, each with a scale and a shift of its own, into the maps of one clip.

The published pipeline fits each window to the one before (`joined_in_turn`), so errors add up along a take. Here the
scales and shifts of all windows are found together (`levels_of`), from every frame that two windows share; a window
over frames from the whole clip, the anchor, ties its far parts to one another.

A window's maps are asked for one by one, by window and place in it, so that memory holds a few, however long the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import spsolve

from .windows import FROM_AFAR, KEY_FRAME, OVERLAP, STEP, WINDOW, joined_count, window_frames

_COMPARED = 40  # rows and columns of a map that are compared with another's
_OUTLIER = 0.7  # distance at which a pixel counts half, in deviations of the maps
_ROUNDS = 8
_STEEP = np.float32(10)  # how much faster than the map itself a shift sets in above 0
Maps = NDArray[np.float32]
MapAt = Callable[[int, int], Maps]
"""Gives the map [H, W] at a place of a window; the anchor is the window after the last."""


def joined_in_turn(raw: MapAt, frames: int, *, metric: bool = False) -> Iterator[Maps]:
    """Join a clip as the published pipeline does: each window is fitted to the one before on two frames.

    Parameters
    ----------
    raw : callable
        The network's maps of a window.
    frames : int
        Of the clip.
    metric : bool
        Whether the maps are in meters, which are taken as they are.

    Yields
    ------
    array [H, W]
        The clip's maps, in order.
    """
    fits: list[tuple[float, float]] = []

    def level(window: int, place: int) -> Maps:
        if metric or not window:
            return raw(window, place)
        while len(fits) < window:
            target = np.stack((raw(0, 0), level(len(fits), KEY_FRAME)))
            maps = np.stack([raw(len(fits) + 1, fit) for fit in range(FROM_AFAR)])
            fits.append(fitted(maps, target))
        scale, shift = (np.float32(each) for each in fits[window - 1])
        return np.maximum(scale * raw(window, place) + shift, np.float32(0))

    yield from blended(level, frames)


def joined_together(raw: MapAt, frames: int, found: NDArray[np.float64]) -> Iterator[Maps]:
    """Join a clip with the levels of its windows.

    Parameters
    ----------
    raw, frames
        As for `joined_in_turn`.
    found : array [count, 2]
        The result of `levels_of`.

    Yields
    ------
    array [H, W]
        The clip's maps, in order.
    """
    yield from blended(lambda window, place: levelled(raw(window, place), *found[window]), frames)


def levelled(maps: Maps, scale: float, shift: float) -> Maps:
    """Maps with a scale and a shift; what the network has at or beyond the far end, 0, stays there.

    Just above 0 a shift away from it sets in by degrees, so that the maps stay in order and show no step.
    """
    scaled = np.float32(scale) * maps
    return np.maximum(scaled + np.minimum(np.float32(shift), _STEEP * scaled), np.float32(0))


def blended(level: MapAt, frames: int) -> Iterator[Maps]:
    """Blend windows that have one scale and shift into the clip's maps.

    Where two windows overlap the earlier one fades out over eight frames. The first two of a window lie elsewhere in
    the clip and are left out.
    """
    count = joined_count(frames)
    for window in range(count):
        start = STEP * window
        end = frames if window == count - 1 else start + STEP + FROM_AFAR
        for frame in range(start + FROM_AFAR if window else 0, min(end, frames)):
            place = frame - start
            maps = level(window, place)
            if window and place < OVERLAP:
                weight = np.float32((place - FROM_AFAR) / (OVERLAP - FROM_AFAR - 1))
                maps = (1 - weight) * level(window - 1, place + STEP) + weight * maps
            yield maps


def levels_of(
    raw: MapAt, frames: int, *, metric: bool = False, check: Callable[[], None] = lambda: None
) -> NDArray[np.float64]:
    """Scale and shift [count, 2] of a clip's windows, the anchor last where there is one; see `levels`.

    Parameters
    ----------
    raw, frames, metric
        As for `joined_in_turn`.
    check : callable
        Called between windows; raises to cancel.
    """
    compared = []
    for first, second, places in shared_places(frames):
        check()
        one = np.stack([thinned(raw(first, here)) for here, _ in places])
        other = np.stack([thinned(raw(second, there)) for _, there in places])
        compared.append(compare(first, second, one, other))
    count = joined_count(frames) + bool(anchor_frames(frames))
    return levels([each for each in compared if each], count, metric=metric)


def thinned(maps: Maps) -> Maps:
    """The few pixels of a map [H, W] that are compared with another's."""
    rows, columns = (-(-side // _COMPARED) for side in maps.shape)
    return maps[::rows, ::columns]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two windows in the frames that they share.

    Attributes
    ----------
    first, second : int
        The windows.
    scale : float
        How much more the second's disparity varies than the first's.
    middles : (float, float)
        The mean disparity of each, over the same pixels.
    weight : float
        How much it says: frames, by the share of the variation that the windows do not agree on.
    """

    first: int
    second: int
    scale: float
    middles: tuple[float, float]
    weight: float


def anchor_frames(frames: int) -> list[int]:
    """The frames of the anchor, spread over a clip; none where its windows hang together without."""
    if joined_count(frames) <= 2:
        return []
    return [round(place * (frames - 1) / (WINDOW - 1)) for place in range(WINDOW)]


def shared_places(frames: int) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Which windows share frames, and at which places of either one they stand.

    The anchor, where there is one, is the window after the last.

    Yields
    ------
    first, second : int
        Two windows.
    places : list of (int, int)
        Where each frame that they share stands in the first and in the second.
    """
    count = joined_count(frames)
    fed = [window_frames(window, frames) for window in range(count)] + [anchor_frames(frames)]
    where = [{frame: place for place, frame in reversed(list(enumerate(each)))} for each in fed]
    for second in range(1, len(fed)):
        # Every window holds frame 0, which so ties it to the first window and says no more about the others.
        for first in range(second) if second == count else {0, second - 1}:
            both = sorted(where[first].keys() & where[second].keys())
            if first and second < count:
                both = [frame for frame in both if frame]
            if both:
                yield first, second, [(where[first][frame], where[second][frame]) for frame in both]


def compare(first: int, second: int, one: Maps, other: Maps) -> Comparison | None:
    """Compare two windows in frames that they share, robustly; None where they have nothing in common.

    Parameters
    ----------
    first, second : int
        The windows.
    one, other : array [N, h, w]
        Their disparities of these frames, `thinned`; pixels of 0 are beyond what either measures and do not count.
    """
    seen = (one > 0) & (other > 0)
    both = [each[seen].astype(np.float64) for each in (one, other)]
    if both[0].size < 0.01 * seen.size or min(each.std() for each in both) < 1e-9:
        return None
    weights = np.ones_like(both[0])
    for _ in range(_ROUNDS):
        middles = [float(np.average(each, weights=weights)) for each in both]
        away = [each - middle for each, middle in zip(both, middles)]
        deviations = [max(float(np.sqrt(np.average(each**2, weights=weights))), 1e-12) for each in away]
        # Deviations of both alike: noise in one of them would make a regression's slope too small, time and again.
        left = away[0] / deviations[0] - away[1] / deviations[1]
        weights = 1 / (1 + (left / _OUTLIER) ** 2)
    agreement = float(np.average(away[0] * away[1], weights=weights)) / (deviations[0] * deviations[1])
    if agreement <= 0:
        return None
    return Comparison(
        first=first,
        second=second,
        scale=deviations[1] / deviations[0],
        middles=(middles[0], middles[1]),
        weight=seen.shape[0] / (1.001 - min(agreement, 1.0)),
    )


def levels(comparisons: Sequence[Comparison], count: int, *, metric: bool = False) -> NDArray[np.float64]:
    """Scale and shift [count, 2] of each window with which all of them agree best; their mean is that of the windows.

    First the logarithms of the scales, then the shifts: each a least squares over all comparisons, in which those that
    agree with no others count little.

    Parameters
    ----------
    comparisons : sequence of Comparison
    count : int
        How many windows there are, the anchor among them.
    metric : bool
        Whether the maps have a zero of their own, so that there is nothing to shift.
    """
    first = np.array([each.first for each in comparisons], dtype=int)
    second = np.array([each.second for each in comparisons], dtype=int)
    weights = np.array([each.weight for each in comparisons])
    middles = np.array([each.middles for each in comparisons]).reshape(-1, 2)
    # What is further right than left has to be scaled down: scale_second · variation_second = scale_first · …
    ratios = middles[:, 1] / middles[:, 0] if metric else np.array([each.scale for each in comparisons])
    scales = np.exp(_agreed(first, second, -np.log(ratios), weights, count))
    if metric:
        return np.stack([scales, np.zeros(count)], axis=1)
    steps = scales[first] * middles[:, 0] - scales[second] * middles[:, 1]
    return np.stack([scales, _agreed(first, second, steps, weights, count)], axis=1)


def _agreed(
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    steps: NDArray[np.float64],
    weights: NDArray[np.float64],
    count: int,
) -> NDArray[np.float64]:
    """Values [count] of mean 0 whose differences, second less first, come nearest to the steps; robustly."""
    # windows that nothing ties stay as they are
    pull = 1e-6 * max(float(weights.mean()), 1e-9) if len(weights) else 1.0
    rows = np.arange(len(steps))
    differences = coo_array(
        (np.repeat([1.0, -1.0], len(steps)), (np.tile(rows, 2), np.concatenate([second, first]))),
        shape=(len(steps), count),
    ).tocsr()
    values, counted = np.zeros(count), weights
    for _ in range(_ROUNDS):
        normal = differences.T @ diags_array(counted) @ differences + diags_array(np.full(count, pull))
        values = spsolve(normal.tocsc(), differences.T @ (counted * steps))
        left = np.abs(differences @ values - steps)
        usual = max(float(np.median(left)) if len(left) else 0.0, 1e-9)
        counted = weights / (1 + (left / (3 * usual)) ** 2)
    return values - values.mean()


def fitted(maps: Maps, target: Maps) -> tuple[float, float]:
    """Scale and shift that bring maps nearest to a target of the same shape, by least squares over all pixels."""
    found, wanted = maps.astype(np.float64).ravel(), target.astype(np.float64).ravel()
    spread = found.var()
    if spread == 0:
        return 1.0, 0.0
    scale = float(np.mean((found - found.mean()) * (wanted - wanted.mean())) / spread)
    return scale, float(wanted.mean() - scale * found.mean())
