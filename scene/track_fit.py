"""The scale and shift that bring depth maps to the distances of tracked points, whatever some of the tracks do.

The model is ``1/Z = a d + b``, with the disparity d of the maps at a point and its distance Z along the camera's axis.
A depth map errs far more than a camera solve, so the fit is that of ``d = (1/Z - b) / a``: least squares on a noisy d
would draw a towards 0. Errors count as shares of the distance, but for points that are far off: depth map and solve
alike know those by 1/Z alone, so beyond `_FAR` times the median distance it is the error of 1/Z that counts.

Which tracks are wild is found by least median of squares over pairs of tracks (Rousseeuw 1984), for which half of them
may be, and by what those that are not much worse agree on; the rest is fitted with Tukey's biweight (Huber and
Ronchetti, Robust Statistics, 2009, section 4.8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .problems import Problem

Floats = NDArray[np.float64]

FEWEST, FEWEST_WITH_SHIFT = 4, 8
"""Tracks that a fit takes at least: half of them may be wild, and what is left must say whether it agrees."""

_PAIRS = 3000
_FAR = 10.0
_FLOOR = 0.05
"""An error, as a share of the distance, that no track is left out for."""
_OUTLIER = 2.5
_TUKEY = 4.685
_LARGEST_ERROR = 0.25
_EXPLAINED = 0.6
_LEAST_RANGE = 1.15
_STIFFNESS = 0.05
"""Weight of a change between two keys by as much as the value itself, beside that of all samples of a key."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Points on depth maps.

    Attributes
    ----------
    track : [N] int
        Which track each belongs to, from 0.
    frame : [N] int
        The source frame.
    disparity : [N] float
        Value of the depth map.
    distance : [N] float
        Z along the camera's axis, above 0.
    """

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    disparity: Floats
    distance: Floats

    def only(self, which: NDArray[np.bool_]) -> Samples:
        """Some of them."""
        return replace(self, **{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class TrackFit:
    """A fit, and how well each of T tracks agrees with it.

    Attributes
    ----------
    frames : [K] int
        Where a and b are known: one frame if they do not vary. Between two they change linearly, beyond they stay.
    scale, shift : [K] float
        a and b of ``1/Z = a d + b``.
    distance, fitted : [T] float
        Median distance of each track's points, and of what the depth maps make of them.
    error : [T] float
        Median error of each track as a share of the distance, without its sign; infinity where the fit puts it
        beyond infinity, NaN for a track without points.
    inlier : [T] bool
        Whether the fit rests on the track.
    """

    frames: NDArray[np.int64]
    scale: Floats
    shift: Floats
    distance: Floats
    fitted: Floats
    error: Floats
    inlier: NDArray[np.bool_]

    @property
    def residual(self) -> float:
        """Median error of the tracks that the fit rests on, as a share of the distance."""
        return float(np.median(self.error[self.inlier]))

    def inverse(self, disparity: Floats, frame: Floats | NDArray[np.int64]) -> Floats:
        """1/Z of disparity at source frames; 0 or below is beyond infinity."""
        return np.interp(frame, self.frames, self.scale) * disparity + np.interp(frame, self.frames, self.shift)


def fit(samples: Samples, count: int, *, with_shift: bool, spacing: int = 0) -> TrackFit:
    """Fit scale and shift, or the scale alone.

    Parameters
    ----------
    samples : Samples
    count : int
        Number T of tracks; some may have no samples.
    with_shift : bool
        Whether b is fitted; otherwise it is 0.
    spacing : int
        Source frames between two keys of a and b, which change linearly from one to the next and are held together
        by a penalty on that change; 0: they do not vary.

    Raises
    ------
    Problem
        The tracks are too few, lie all at one distance, or do not agree with the depth.
    """
    fewest = FEWEST_WITH_SHIFT if with_shift else FEWEST
    present = len(np.unique(samples.track))
    if present < fewest:
        raise Problem(f"Only {present} solved tracks lie on its depth, and a fit takes {fewest}: track more features.")
    inverse, value = 1.0 / samples.distance, samples.disparity
    weight = 1.0 / (inverse + np.median(inverse) / _FAR)

    chosen = _middle_of_each(samples)
    start = _least_median(inverse[chosen], value[chosen], weight[chosen], with_shift=with_shift)
    fitted = _described(samples, count, np.array([samples.frame[0]]), *start)
    knots = _knots(samples.frame, spacing)
    for _ in range(10):
        before = fitted
        used = fitted.inlier[samples.track]
        frames, scale, shift = _reweighted(samples.only(used), weight[used], knots, fitted, with_shift=with_shift)
        if not np.all(scale > 0):
            raise _disagreement()
        fitted = _described(samples, count, frames, scale, shift)
        if np.array_equal(fitted.inlier, before.inlier):
            break
    _require_agreement(fitted, fewest, with_shift=with_shift)
    return fitted


def _middle_of_each(samples: Samples) -> NDArray[np.int64]:
    """One sample of each track: that with the median of d Z, for some of a track's may lie beside what it is on."""
    order = np.lexsort((samples.disparity * samples.distance, samples.track))
    _, first, counts = np.unique(samples.track[order], return_index=True, return_counts=True)
    return order[first + counts // 2]


def _least_median(inverse: Floats, value: Floats, weight: Floats, *, with_shift: bool) -> tuple[Floats, Floats]:
    """The a and b, [1] each, with the least median error over the tracks, of those that pairs of tracks give."""
    count = len(value)
    if with_shift:
        pairs = np.array(list(combinations(range(count), 2)) if count * (count - 1) // 2 <= _PAIRS else [])
        if not len(pairs):
            pairs = np.random.default_rng(0).integers(0, count, (_PAIRS, 2))
        one, two = pairs.T
        step = value[one] - value[two]
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = (inverse[one] - inverse[two]) / step
        shift = inverse[one] - scale * value[one]
    else:
        with np.errstate(divide="ignore"):
            scale, shift = inverse / value, np.zeros(count)
    right = np.isfinite(scale) & (scale > 0)
    if not right.any():
        raise _disagreement()
    scale, shift = scale[right], shift[right]
    errors = np.abs(scale[:, None] * value + shift[:, None] - inverse) * weight
    # Not the median but the count/2-th: with half of few tracks wild the median would lie between both halves.
    median = np.min(np.partition(errors, count // 2, axis=1)[:, count // 2])
    # Most tracks may lie at one distance, which many a scale and shift suits: those that suit the others too are right.
    best = np.argmin(np.sum(np.minimum(errors, max(_OUTLIER * 1.4826 * median, _FLOOR)) ** 2, axis=1))
    return scale[best : best + 1], shift[best : best + 1]


def _knots(frames: NDArray[np.int64], spacing: int) -> NDArray[np.int64]:
    first, last = int(frames.min()), int(frames.max())
    count = 1 if spacing <= 0 else max(1, round((last - first) / spacing)) + 1
    return np.array([first]) if count == 1 or first == last else np.round(np.linspace(first, last, count)).astype(int)


def _reweighted(
    samples: Samples, weight: Floats, knots: NDArray[np.int64], start: TrackFit, *, with_shift: bool
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Frames, a and b by iteratively reweighted least squares on d = alpha / Z + beta, alpha and beta at knots."""
    inverse, value = 1.0 / samples.distance, samples.disparity
    _, index, counts = np.unique(samples.track, return_inverse=True, return_counts=True)
    base = weight / counts[index] ** 0.25  # a long track says more, but says the same again and again
    hats = _hats(samples.frame, knots)
    columns = [hats * inverse[:, None], *([hats] if with_shift else [])]
    design = np.concatenate(columns, axis=1)
    slope = 1.0 / np.interp(knots, start.frames, start.scale)
    solution = np.concatenate([slope, -slope * np.interp(knots, start.frames, start.shift)])[: design.shape[1]]
    steps = np.diff(np.eye(len(knots)), axis=0)
    typical = [float(np.median(weight * inverse)), *([float(np.median(weight))] if with_shift else [])]
    penalty = np.kron(np.diag(typical), steps)
    for _ in range(30):
        scale = np.interp(samples.frame, knots, 1.0 / solution[: len(knots)])
        error = (value - design @ solution) * weight * scale
        spread = max(1.4826 * float(np.median(np.abs(error))), _FLOOR / _OUTLIER)
        rows = base * np.clip(1.0 - (error / (_TUKEY * spread)) ** 2, 0.0, None)
        stiff = _STIFFNESS * np.sqrt(np.sum((rows / weight) ** 2) / len(knots))
        system = np.concatenate([design * rows[:, None], stiff * penalty])
        wanted = np.concatenate([value * rows, np.zeros(len(penalty))])
        before, solution = solution, np.linalg.lstsq(system, wanted, rcond=None)[0]
        if not np.all(solution[: len(knots)] > 0):
            raise _disagreement()
        if np.allclose(solution, before, rtol=1e-9, atol=0):
            break
    alpha, beta = solution[: len(knots)], solution[len(knots) :] if with_shift else np.zeros(len(knots))
    return knots, 1.0 / alpha, -beta / alpha


def _hats(frames: NDArray[np.int64], knots: NDArray[np.int64]) -> Floats:
    """Share [N, K] of each knot in linear interpolation at frames."""
    return np.stack([np.interp(frames, knots, row) for row in np.eye(len(knots))], axis=1)


def _described(samples: Samples, count: int, frames: NDArray[np.int64], scale: Floats, shift: Floats) -> TrackFit:
    """The fit with the errors of all tracks, and which of them it rests on."""
    empty = np.full(count, np.nan)
    fitted = TrackFit(
        frames=frames, scale=scale, shift=shift, distance=empty, fitted=empty, error=empty, inlier=empty > 0
    )
    inverse = fitted.inverse(samples.disparity, samples.frame)
    distance, seen, error, weighted = (np.full(count, np.nan) for _ in range(4))
    weight = 1.0 / (1.0 / samples.distance + np.median(1.0 / samples.distance) / _FAR)
    off = np.abs(inverse - 1.0 / samples.distance) * weight
    order = np.argsort(samples.track, kind="stable")
    tracks, first = np.unique(samples.track[order], return_index=True)
    for track, own in zip(tracks, np.split(order, first[1:])):
        distance[track], weighted[track] = np.median(samples.distance[own]), np.median(off[own])
        middle = float(np.median(inverse[own] * samples.distance[own]))
        seen[track] = distance[track] / middle if middle > 0 else np.inf
        share = inverse[own] * samples.distance[own]
        with np.errstate(divide="ignore"):
            error[track] = np.median(np.where(share > 0, np.abs(1.0 / share - 1.0), np.inf))
    known = weighted[tracks]
    spread = max(1.4826 * float(np.median(known)), _FLOOR / _OUTLIER)
    inlier = np.zeros(count, bool)
    inlier[tracks] = known <= _OUTLIER * spread
    return replace(fitted, distance=distance, fitted=seen, error=error, inlier=inlier)


def _require_agreement(fitted: TrackFit, fewest: int, *, with_shift: bool) -> None:
    distance = fitted.distance[fitted.inlier]
    if len(distance) < fewest // 2 + 1:
        raise _disagreement()
    near, far = np.percentile(distance, [5, 95])
    if with_shift and far / near < _LEAST_RANGE:
        raise Problem(
            "Its solved tracks all lie at about one distance, which leaves open how deep the scene is: track features "
            "that are nearer and farther as well."
        )
    guess = float(np.median(np.abs(distance / np.median(distance) - 1.0)))  # of one distance for all
    if fitted.residual > _LARGEST_ERROR or (guess > 0.1 and fitted.residual > _EXPLAINED * guess):
        raise _disagreement()


def _disagreement() -> Problem:
    return Problem(
        "Its depth and its camera solve do not agree on what is near and what is far: check that the solve is of this "
        "clip and these frames, and that its error is small."
    )
