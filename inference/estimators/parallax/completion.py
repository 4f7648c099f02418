"""Completing what parallax measured by a learned depth of the same shot.

Parallax is right in the units of the camera path, where the image has detail and stands still. A learned network has a
value everywhere, right up to a scale and a shift that drift over the image, over time and with the distance. So the
learned disparity is fitted to the confident static pixels (`fit`), and takes the place of the others (`blended`).
Where it lets dynamic objects sink into what is behind them, they have its shape, at the depth of `object_depth`.

The fit is a field of low resolution: a scale and a shift for each cell of a grid over the image and over the learned
disparity (a bilateral grid: Chen, Paris and Durand, SIGGRAPH 2007), in each frame, smooth along all four axes. The
moments of a weighted straight line are summed by cell and smoothed, from wide to narrow; where a cell has little to
go by, the wider level holds. Of a network that does not let small subjects sink, a simpler field tells more where
nothing near was measured, a drift (`_drift`): the wide level is whichever misses the measured disparity by less. A
slope is the ratio of the standard deviations: a regression's would be too small, as the learned disparity has errors as
well, and dynamic objects would sink into what is behind them. Pixels far from the last fit have little weight (Cauchy),
so wrong measurements do not bend it; what lies below the `ground`, and may be mirrored in it, has none at first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter, map_coordinates

from ...common.files import load_arrays, save_arrays
from ...depth_maps.edge_smoothing import edge_weights, smooth
from . import ground as level_ground

Measured = Callable[[int], tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]
"""Frame to inverse depth, weight in the fit and learned disparity, all [H, W]."""
_Thinned = dict[int, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]
"""The same of some frames and pixels, in bins."""

_CELL, _BINS = 32, 8  # pixels of the maps, which are 320 to 416 wide; bins of the learned disparity
_MIDDLE = 0.5 * _BINS
_OUTSIDE, _WILD = np.float32(16 * _BINS), 1.5  # bins that are told apart; ranges from the middle beyond which none fits
_LEVELS = ((6.0, 12.0, 1.5), (1.5, 6.0, 1.2), (0.75, 4.0, 1.0))  # standard deviations in cells, frames and bins
_ROUNDS = 2  # per level
_WEAK, _FLAT = 0.01, 0.3  # weight of the wider level's value, and of its slope per variance, beside a pixel's of 1
_SLOPES = 0.3, 3.0  # smallest and largest slope, as a share of the wider level's
_CAUCHY = 2.0  # residual at which a pixel's weight is halved, in deviations
_SURE, _SURER = 0.1, 0.5  # confidence from which a pixel has a weight, and full weight
_SAMPLED_FRAMES, _SAMPLED = 64, 4  # at most so many frames, every so many pixels, for the first fit
_FEWEST = 100  # pixels of that fit
_DRIFT_PLACES, _DRIFT_FRAMES = 3, 24  # of a drift along each side of the image, and frames from one time to the next
_THINNED = 3  # every so many frames are enough for that
_DRIFT_ROUNDS, _DRAWN = 5, 1e-4  # what draws it to a line, as a share of the weight
_MIXED = 7  # pixels in which the learned disparity changes by a bin, at an edge
_LEAST_AGREEMENT = (
    0.55  # correlation of learned and measured disparity below which one is wrong; good shots have .7 and more
)
_REACH, _SIGMA = 60.0, 8.0  # of the smoothing of the confidence that stops at the plate's edges
_OWN = 0.04  # smoothed confidence at which the narrow fit counts as much as the wide one
_RIM, _SHAPE = 5, (5, 95)  # pixels around an object's inner part; percentiles of what a network makes of that
_BESIDE = 0.05  # of the long side: how far from an object what belongs to it may be
_OUTER = np.float32(0.3)  # how much more alike the object, where it is not between its parts
_CONTRAST = np.log(1.15)  # difference of the learned disparity of an object and of what is beyond
_TEXTURE, _AROUND = 4.0, 4.0  # root mean square of the slope, in gray levels a pixel, and the pixels it is taken over
_GROUND = np.float32(0.15)  # confidence that ground has at least, which a plane through a whole shot tells
_ALIKE = 0.05  # smoothed confidence at which measured and learned depth count alike


class Disagreement(Exception):
    """The learned depth does not fit the measured one."""


@dataclass(frozen=True)
class Fit:
    """Scale and shift of the learned disparity of a shot, in `bins`, for each cell of each frame.

    Attributes
    ----------
    wide, narrow : float32 [N, 2, h, w, bins]
        The wide level is for what has no measured surroundings.
    low, step : float
        Learned disparity at the lower end of the first bin, and of a bin.
    """

    wide: NDArray[np.float32]
    narrow: NDArray[np.float32]
    low: float
    step: float

    def at(self, frame: int, learned: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A frame's learned disparity [H, W], fitted by the wide and by the narrow level."""
        bins = _bins(learned, self.low, self.step)
        places = _places(bins)
        return _applied(self.wide[frame], bins, places), _applied(self.narrow[frame], bins, places)

    def save(self, path: Path) -> None:
        """Write to a file in one step."""
        save_arrays(path, wide=self.wide, narrow=self.narrow, bins=np.array([self.low, self.step]))


def load_fit(path: Path) -> Fit:
    """Read what `Fit.save` wrote."""
    data = load_arrays(path)
    low, step = (float(each) for each in data["bins"])
    return Fit(data["wide"], data["narrow"], low, step)


def weights(confidence: NDArray[np.float32], dynamic: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much a pixel counts in the fit: confident and static ones do."""
    sure = np.clip((confidence - _SURE) / (_SURER - _SURE), 0, 1)
    return np.where(dynamic, np.float32(0), sure).astype(np.float32)


def fit(
    measured: Measured,
    count: int,
    *,
    sinks: bool,
    ground: Callable[[int], NDArray[np.float32]] | None = None,
    real: Callable[[int, NDArray[np.float32], NDArray[np.float32]], NDArray[np.bool_]] | None = None,
    check: Callable[[], None],
) -> Fit:
    """Fit the learned disparity of a shot's `count` frames to the measured one.

    Parameters
    ----------
    measured : callable
    count : int
    sinks : bool
        Whether the network lets small subjects sink into what is behind them: no drift explains that.
    ground : callable or None
        Frame to the inverse depth [H, W] of the ground, see `ground.inverse_depth`; None where there is none.
    real : callable or None
        Frame, with its measured inverse depth and weight, to where [H, W] there is no mirror image, see
        `ground.mirrors_nothing`; None where that is not known.
    check : callable
        Called for each frame that is read; may raise to end the work.

    Raises
    ------
    Disagreement
        They have hardly anything in common.
    """
    low, step = _range(measured, count, check)

    def read(
        frame: int, wide: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        check()
        inverse_depth, weight, learned = measured(frame)
        bins = _bins(learned, low, step)
        unused = np.abs(bins - _MIDDLE) > _WILD * _BINS
        if ground is not None and wide is None:  # without what may be mirrored, it tells what is
            unused |= level_ground.below(inverse_depth, ground(frame))
        elif ground is not None and wide is not None:
            seen = _applied(wide[frame], bins, _places(bins))
            sees_through = None if real is None else real(frame, inverse_depth, weight)
            inverse_depth, _ = level_ground.without_mirrored(inverse_depth, ground(frame), seen, sees_through)
        return inverse_depth, np.where(unused, np.float32(0), weight), bins

    slope, shift, deviation = _line(read, count)
    height, width = measured(0)[0].shape
    line = np.empty((count, 2, -(-height // _CELL), -(-width // _CELL), _BINS), np.float32)
    line[:, 0], line[:, 1] = slope, shift
    field, narrower = _narrowed(read, line, deviation, _LEVELS[0])
    wide = field
    if not sinks:
        thinned = {frame: _within_surfaces(*read(frame)) for frame in range(0, count, _THINNED)}
        wide = min(wide, _drift(thinned, line, deviation), key=lambda each: _missed(thinned, each))
    field = wide  # what holds where nothing near is measured, as on plain ground before the camera
    for level in _LEVELS[1:]:
        field, narrower = _narrowed(lambda frame: read(frame, wide), field, narrower, level)
    return Fit(wide, field, low, step)


def _narrowed(
    read: Measured, start: NDArray[np.float32], deviation: float, level: tuple[float, float, float]
) -> tuple[NDArray[np.float32], float]:
    """The field of a level, by that of the wider one and the deviation from it; with the deviation from the former."""
    field, (cells, frames, bins) = start, level
    modes = ("nearest", "nearest", "constant", "constant", "constant")
    for _ in range(_ROUNDS):
        moments, deviation = _moments(read, field, deviation)
        field = _solved(gaussian_filter(moments, (frames, 0, cells, cells, bins), mode=modes, truncate=3.0), start)
    return field, deviation


def blended(
    measured: NDArray[np.float32],
    confidence: NDArray[np.float32],
    objects: NDArray[np.int32],
    fitted: tuple[NDArray[np.float32], NDArray[np.float32]],
    image: NDArray[np.uint8],
    *,
    depths: NDArray[np.float32],
    focal: float | None = None,
    ground: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """A frame's inverse depth [H, W], measured where that is confident, else learned.

    Parameters
    ----------
    measured, confidence : float32 [H, W]
    objects : int32 [H, W]
        Dynamic objects, from 1; 0 elsewhere.
    fitted : pair of float32 [H, W]
        The learned disparity, see `Fit.at`.
    image : uint8 [H, W, 3]
        The plate: confidence spreads within its surfaces, so that the seam follows their edges.
    depths : float32 [count]
        The inverse depth of each object, by number; 0: that of the network.
    focal : float or None
        In pixels; with it, an object that has its own depth is at most as deep as it is wide.
    ground : bool [H, W] or None
        Where what is measured is the ground and nothing else, see `ground.lies`, however unsure it is.
    """
    wide, narrow = fitted
    if focal is not None:
        objects = _with_rest(objects, np.where(objects > 0, np.float32(0), confidence), wide, depths)
    dynamic = objects > 0
    known = confidence if ground is None else np.where(ground, np.maximum(confidence, _GROUND), confidence)
    known = np.where(dynamic, np.float32(0), known)
    support = smooth(known[..., None], edge_weights(image, _SIGMA), strength=_REACH)[..., 0]
    support = np.where(dynamic, np.float32(0), support)
    # What is not measured although it has texture moves, or is hidden from the other frames: nothing around it has its
    # depth. Of a blank wall or a sky something has.
    near = np.maximum(support / (support + _OWN), np.where(dynamic, np.float32(0), _blankness(image)))
    learned = _standing(wide + near * (narrow - wide), measured, objects, depths, focal)
    share = support**2 / (support**2 + _ALIKE**2)
    return (learned + share * (measured - learned)).astype(np.float32)


def _standing(
    learned: NDArray[np.float32],
    behind: NDArray[np.float32],
    objects: NDArray[np.int32],
    depths: NDArray[np.float32],
    focal: float | None,
) -> NDArray[np.float32]:
    """Learned depth with the dynamic objects at their own; the network's is their shape.

    The range of an object is that of its inner part, as a network's depth runs over edges into what is beside them. One
    that stands where the network has it gets that range where the network is nearer to it than to what is behind, by
    ratio: depth that is too far by as much is the worse error.
    """
    result, least = learned.copy(), np.float32(max(1e-6 * float(learned.max()), 1e-12))
    for label in range(1, len(depths)):
        inside = objects == label
        if not inside.any():
            continue
        core = _inner(inside)
        shape = np.clip(learned[inside], *np.percentile(learned[core if core.any() else inside], _SHAPE))
        if not depths[label] > 0:
            own, seen, far = (np.log(np.maximum(each, least)) for each in (shape, learned[inside], behind[inside]))
            result[inside] = np.where(np.abs(own - seen) < np.abs(seen - far), shape, learned[inside])
            continue
        middle = float(np.median(shape))
        result[inside] = depths[label] * _no_deeper(shape / middle, inside, focal) if middle > 0 else depths[label]
    return result


def _with_rest(
    objects: NDArray[np.int32],
    confidence: NDArray[np.float32],
    learned: NDArray[np.float32],
    depths: NDArray[np.float32],
) -> NDArray[np.int32]:
    """The dynamic objects [H, W] with what belongs to them by the network, of what lies between and is not measured.

    Something plain and dark does not show how it moves. To a network it is one with the object, if it is more like the
    object's inner part than like what is beyond it, and the two differ. Beyond is outside of the object's convex hull:
    what lies farther than the reach from all that was found of a large object may still be its inside.
    """
    own = (objects > 0) & (depths > 0)[objects]
    reach = round(_BESIDE * max(objects.shape))
    whole = own.astype(np.uint8)
    for label in np.unique(objects[own]):
        cv2.fillConvexPoly(whole, cv2.convexHull(cv2.findNonZero((objects == label).astype(np.uint8))), 1)
    away = cv2.distanceTransform(1 - whole, cv2.DIST_L2, 5)
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    between = cv2.morphologyEx(own.astype(np.uint8), cv2.MORPH_CLOSE, window) > 0
    beside = (objects == 0) & (away <= reach) & (confidence < _SURE) & (learned > 0)
    if not own.any() or not beside.any() or not (away > reach).any():
        return objects
    core = own & _inner(own)
    nearest, inside, beyond = (
        _nearest(each) for each in (own, core if core.any() else own, (away > reach) & (learned > 0))
    )
    values = np.log(np.maximum(learned, np.float32(1e-6) * learned.max()))
    inner, outer = values.ravel()[inside], values.ravel()[beyond]
    alike = np.abs(values - inner) < np.where(between, 1, _OUTER) * np.abs(values - outer)
    alike &= np.abs(inner - outer) > _CONTRAST
    return np.where(beside & alike, objects.ravel()[nearest], objects)


def _inner(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask [H, W] without its rim, where a network's depth runs over into what is beside it."""
    return cv2.erode(inside.astype(np.uint8), np.ones((_RIM, _RIM), np.uint8), borderValue=1) > 0


def _nearest(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The flat index of the pixel of a mask [H, W] that is nearest to each pixel."""
    outside = (~inside).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    index = np.zeros(int(labels.max()) + 1, np.int64)
    index[labels[inside]] = np.flatnonzero(inside)
    return index[labels]


def _no_deeper(shape: NDArray[np.float32], inside: NDArray[np.bool_], focal: float | None) -> NDArray[np.float32]:
    """The shape [K] of an object, in ratios to its inverse depth, that is no deeper than the object is wide.

    Its upper end is often as far as what is behind it, and its lower end as near as the ground before it: what stands
    would lean.
    """
    if focal is None or shape.min() <= 0:
        return shape
    columns = np.flatnonzero(inside.any(axis=0))
    deep, wide = float(np.log(shape.max() / shape.min())), (columns[-1] - columns[0] + 1) / focal
    return shape ** np.float32(min(1.0, wide / max(deep, 1e-6)))


def _blankness(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """1 where an image [H, W, 3] has no texture, falling to 0."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slopes = [cv2.Sobel(gray, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1))]
    texture = cv2.GaussianBlur(slopes[0] ** 2 + slopes[1] ** 2, (0, 0), _AROUND)
    return np.exp(-texture / np.float32(_TEXTURE**2))


def _range(measured: Measured, count: int, check: Callable[[], None]) -> tuple[float, float]:
    """Where the bins of the learned disparity begin, and their size."""
    found = []
    for frame in _sampled(count):
        check()
        found.append(measured(frame)[2][::_SAMPLED, ::_SAMPLED].ravel())
    low, high = (float(each) for each in np.percentile(np.concatenate(found), [0.5, 99.5]))
    if not high > low:
        raise Disagreement
    return low, (high - low) / _BINS


def _line(read: Measured, count: int) -> tuple[float, float, float]:
    """Slope and shift of one line over the whole shot, and the standard deviation from it."""
    parts = [[each[::_SAMPLED, ::_SAMPLED].ravel() for each in read(frame)] for frame in _sampled(count)]
    inverse_depth, weight, bins = (np.concatenate(each).astype(np.float64) for each in zip(*parts, strict=True))
    used = weight > 0
    if used.sum() < _FEWEST:
        raise Disagreement
    inverse_depth, weight, bins = inverse_depth[used], weight[used], bins[used]
    share = weight
    for _ in range(8):
        mean_x, mean_d = np.average(bins, weights=share), np.average(inverse_depth, weights=share)
        x, d = bins - mean_x, inverse_depth - mean_d
        xx, dd, xd = (float(np.average(each, weights=share)) for each in (x * x, d * d, x * d))
        if min(xx, dd) <= 0 or xd < _LEAST_AGREEMENT * np.sqrt(xx * dd):
            raise Disagreement
        slope = np.sqrt(dd / xx)
        missed = np.abs(d - slope * x)
        deviation = _deviation(missed, weight)
        share = _robust(weight, missed, deviation)
    return slope, mean_d - slope * mean_x, deviation


def _drift(thinned: _Thinned, line: NDArray[np.float32], deviation: float) -> NDArray[np.float32]:
    """Scale and shift [N, 2, h, w, bins] that drift over the image and time, the same for every distance.

    They have values at a few places of the image and times, and are linear between those. So they hold for distances at
    which nothing was measured, like that of what flies before a far wall.

    Parameters
    ----------
    thinned : dict
        Frame to inverse depth, weight and learned disparity in bins, of `_within_surfaces`.
    line : float32 [N, 2, h, w, bins]
        The field of one line, towards which the result is drawn where hardly anything was measured.
    deviation : float
        Standard deviation from that.
    """
    slope, base = (float(each) for each in line[0, :, 0, 0, 0])
    height, width = (_SAMPLED * size for size in thinned[0][0].shape)
    pixels = _shares(*((np.arange(0, size, _SAMPLED) + 0.5) / size for size in (height, width)))
    times = _hats(np.linspace(0, 1, len(line)), 1 + max(-(-(len(line) - 1) // _DRIFT_FRAMES), 1))
    terms = 2 * pixels.shape[1]
    found = np.zeros((times.shape[1], terms))  # at each time and place: what is added to the slope and to the shift
    for _ in range(_DRIFT_ROUNDS):
        products, values, counted = np.zeros((2 * terms, found.size)), np.zeros(found.size), 0.0
        misses, weights_of = [], []
        for frame, each_of in thinned.items():
            (inverse_depth, weight, bins), share = (each.ravel() for each in each_of), times[frame]
            left = inverse_depth - (slope * bins + base)
            equations = np.concatenate([pixels * (bins / _MIDDLE - 1)[:, None], pixels], axis=1)
            misses.append(np.abs(left - equations @ (share @ found)))
            weights_of.append(weight)
            robust = _robust(weight, misses[-1], deviation)
            weighted = equations * robust[:, None]
            earlier = min(int(np.argmax(share > 0)), len(found) - 2)
            both = share[earlier : earlier + 2]
            product, first = np.kron(np.outer(both, both), weighted.T @ equations), earlier * terms
            for band in range(2 * terms):
                products[band, first : first + 2 * terms - band] += np.diagonal(product, -band)
            values[first : first + 2 * terms] += np.kron(both, weighted.T @ left)
            counted += float(robust.sum())
        deviation = _deviation(np.concatenate(misses), np.concatenate(weights_of))
        products[0] += _DRAWN * counted / len(found) + 1e-12
        found = solveh_banded(products, values, lower=True).reshape(found.shape)
    rows, columns = line.shape[2:4]
    cells = (np.arange(rows) + 0.5) * _CELL / height, (np.arange(columns) + 0.5) * _CELL / width
    steeper, moved = np.split(times @ found @ np.kron(np.eye(2), _shares(*cells).T), 2, axis=1)
    added = np.stack([steeper / _MIDDLE, moved - steeper], axis=1).reshape(*line.shape[:4], 1)
    drift = line + added.astype(np.float32)
    drift[:, 0] = np.clip(drift[:, 0], _SLOPES[0] * slope, _SLOPES[1] * slope)
    return drift


def _shares(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shares [rows * columns, places] that the places of a drift have in pixels, whose y and x are from 0 to 1."""
    return np.kron(_hats(y, _DRIFT_PLACES), _hats(x, _DRIFT_PLACES)).astype(np.float64)


def _hats(at: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The shares [n, count] that points, evenly from 0 to 1, have in the values between them."""
    return np.maximum(1 - np.abs(at[:, None] * (count - 1) - np.arange(count)), 0.0)


def _missed(thinned: _Thinned, field: NDArray[np.float32]) -> float:
    """Standard deviation from a field within surfaces."""
    misses, weights_of = [], []
    for frame, (inverse_depth, weight, bins) in thinned.items():
        fitted = _applied(field[frame], bins, _places(bins, every=_SAMPLED))
        misses.append(np.abs(inverse_depth - fitted).ravel())
        weights_of.append(weight.ravel())
    return _deviation(np.concatenate(misses), np.concatenate(weights_of))


def _within_surfaces(
    inverse_depth: NDArray[np.float32], weight: NDArray[np.float32], bins: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Every so many pixels of what is read, without weight at edges, where a network mixes both sides."""
    around = np.ones((_MIXED, _MIXED), np.uint8)
    is_edge = cv2.dilate(bins, around) - cv2.erode(bins, around) > 1
    sparse = np.s_[::_SAMPLED, ::_SAMPLED]
    return inverse_depth[sparse], np.where(is_edge, np.float32(0), weight)[sparse], bins[sparse]


def _moments(read: Measured, field: NDArray[np.float32], deviation: float) -> tuple[NDArray[np.float32], float]:
    """Weighted moments 1, x, d, xx, xd, dd by frame and cell [N, 6, h, w, bins], and the deviation from the field."""
    moments = np.empty((len(field), 6, *field.shape[2:]), np.float32)
    missed_by, weight_of = [], []
    for frame in range(len(field)):
        inverse_depth, weight, bins = read(frame)
        missed = np.abs(inverse_depth - _applied(field[frame], bins, _places(bins)))
        missed_by.append(missed[::_SAMPLED, ::_SAMPLED].ravel())
        weight_of.append(weight[::_SAMPLED, ::_SAMPLED].ravel())
        weight = _robust(weight, missed, deviation)
        x, d = weight * bins, weight * inverse_depth
        moments[frame] = _summed(
            [weight, x, d, x * bins, x * inverse_depth, d * inverse_depth], bins, moments.shape[2:]
        )
    return moments, _deviation(np.concatenate(missed_by), np.concatenate(weight_of))


def _summed(
    terms: Sequence[NDArray[np.floating]], bins: NDArray[np.float32], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Means of the terms over the pixels of each cell, shared between the two bins that the learned disparity is in."""
    height, width = bins.shape
    cell = (np.arange(height) // _CELL)[:, None] * shape[1] + np.arange(width) // _CELL
    place = np.clip(bins - 0.5, 0, _BINS - 1)
    lower = np.minimum(place.astype(np.int64), _BINS - 2)
    share, at, size = place - lower, (cell * _BINS + lower).ravel(), int(np.prod(shape))
    summed = [
        np.bincount(at, ((1 - share) * term).ravel(), size) + np.bincount(at + 1, (share * term).ravel(), size)
        for term in terms
    ]
    return np.stack(summed).reshape(-1, *shape) / _CELL**2


def _solved(moments: NDArray[np.float32], start: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slope and shift [N, 2, h, w, bins] from smoothed moments, drawn to those of the wider level."""
    weight, *others = np.moveaxis(moments.astype(np.float64), 1, 0)
    mean_x, mean_d, xx, xd, dd = (each / np.maximum(weight, 1e-12) for each in others)
    xx, xd, dd = np.maximum(xx - mean_x**2, 0), xd - mean_x * mean_d, np.maximum(dd - mean_d**2, 0)
    wider, shift = start[:, 0].astype(np.float64), start[:, 1].astype(np.float64)
    known = weight > _WEAK
    drawn = _WEAK * _FLAT * (float(np.median(xx[known])) if known.any() else 1.0)
    slope = np.sqrt((weight * dd + drawn * wider**2) / (weight * xx + drawn + 1e-30))
    agreement = np.clip(xd / np.sqrt(np.maximum(xx * dd, 1e-30)), 0, 1)
    slope = np.clip(wider + agreement * (slope - wider), _SLOPES[0] * wider, _SLOPES[1] * wider)
    value = (weight * mean_d + _WEAK * (wider * mean_x + shift)) / (weight + _WEAK)
    return np.stack([slope, value - slope * mean_x], axis=1).astype(np.float32)


def _bins(learned: NDArray[np.float32], low: float, step: float) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.clip((learned - low) / step, -_OUTSIDE, _OUTSIDE).astype(np.float32)


def _places(bins: NDArray[np.float32], *, every: int = 1) -> list[NDArray[np.float32]]:
    """Where every so many pixels are in the grid: row, column and bin, the centers of cells at integers."""
    y, x = ((np.arange(size, dtype=np.float32) * every + 0.5) / _CELL - 0.5 for size in bins.shape)
    rows, columns = np.meshgrid(y, x, indexing="ij")
    return [rows, columns, bins - np.float32(0.5)]


def _applied(
    field: NDArray[np.float32], bins: NDArray[np.float32], places: list[NDArray[np.float32]]
) -> NDArray[np.float32]:
    slope, shift = (map_coordinates(each, places, order=1, mode="nearest") for each in field)
    return slope * bins + shift


def _sampled(count: int) -> list[int]:
    """The frames for the first fit."""
    return [int(frame) for frame in np.unique(np.linspace(0, count - 1, min(count, _SAMPLED_FRAMES)).astype(int))]


def _robust(weight: NDArray[Any], missed: NDArray[Any], deviation: float) -> NDArray[Any]:
    """Weights that fall with the residual (Cauchy)."""
    return weight / (1 + (missed / (_CAUCHY * deviation)) ** 2)


def _deviation(missed: NDArray[np.floating], weight: NDArray[np.floating]) -> float:
    """Standard deviation from the weighted median of absolute residuals."""
    order = np.argsort(missed)
    total = np.cumsum(weight[order])
    return max(1.4826 * float(missed[order][np.searchsorted(total, 0.5 * total[-1])]), 1e-12)
