"""One scale and one shift that align a relative disparity with the ground truth's inverse depth.

Least squares of disparity against 1/Z over all measured pixels of all frames, as in the evaluation of MiDaS (Ranftl et
al., PAMI 2022, section 4), DepthCrafter (section 4.2: "a shared scale and shift across the entire video") and
StereoDiff (section 4.1.3). The sums are of differences from the mean, so that neither an offset nor a scale of the
disparity costs precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .datasets.ground_truth import GroundTruth
from .datasets.protocols import PLAIN, NothingMeasuredError, Protocol, fitted

Disparity = Callable[[int], "NDArray[np.floating] | None"]
"""Frame of the ground truth, from 0, to the estimated disparity [H, W] of any size; None where there is no estimate."""

_CONSTANT = 1e-12
"""Standard deviation of a disparity, relative to its largest value, below which it counts as constant."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """From disparity to inverse depth in 1/meters: ``scale * disparity + shift``.

    Depth is clipped to `nearest` and `farthest`, in meters.
    """

    scale: float
    shift: float
    nearest: float = PLAIN.nearest
    farthest: float = PLAIN.farthest

    def depth(self, disparity: NDArray[np.floating]) -> NDArray[np.float64]:
        """Z in meters, clipped to the protocol's limits; NaN where the disparity is not finite."""
        values = np.asarray(disparity, np.float64)
        inverse = self.scale * np.where(np.isfinite(values), values, np.nan) + self.shift
        return np.clip(1 / np.maximum(inverse, 1 / self.farthest), self.nearest, self.farthest)


def align(
    disparity: Disparity, ground_truth: GroundTruth, frames: Iterable[int], protocol: Protocol = PLAIN
) -> Alignment:
    """One scale and shift for several frames together, in float64.

    Pixels without a finite estimate, and frames without one, are skipped. The scale of a constant disparity is 0.

    Raises
    ------
    NothingMeasuredError
        No pixel has true depth, or none that has an estimate.
    MetricsError
        The estimate is of another image.
    """
    count, means, variance, covariance, largest, has_ground_truth = 0, np.zeros(2), 0.0, 0.0, 0.0, False
    for frame in frames:
        depth = ground_truth.depth(frame)
        valid = measured(depth, protocol)
        has_ground_truth |= bool(valid.any())
        estimate = disparity(frame)
        if estimate is None:
            continue
        fitted_estimate = fitted(estimate, depth.shape, protocol)
        valid &= np.isfinite(fitted_estimate)
        x = fitted_estimate[valid]
        if not len(x):
            continue
        y = 1 / depth[valid].astype(np.float64)
        own = np.array([x.mean(), y.mean()])
        away, total = own - means, count + len(x)
        weight = count * len(x) / total  # sums of two sets around their common mean (Chan et al. 1979)
        variance += float(np.sum((x - own[0]) ** 2) + away[0] ** 2 * weight)
        covariance += float(np.sum((x - own[0]) * (y - own[1])) + away[0] * away[1] * weight)
        largest = max(largest, float(np.abs(x).max()))
        means, count = means + away * (len(x) / total), total
    if not has_ground_truth:
        raise NothingMeasuredError(
            f"The ground truth of {ground_truth.name} has no depth from {protocol.nearest} to {protocol.farthest} m; "
            "check its unit (millimeters)."
        )
    if not count:
        raise NothingMeasuredError(
            f"The estimate of {ground_truth.name} has no finite value at any pixel with true depth; estimate the clip "
            "again."
        )
    scale = covariance / variance if variance > count * (_CONSTANT * largest) ** 2 else 0.0
    return Alignment(
        scale=scale, shift=float(means[1] - scale * means[0]), nearest=protocol.nearest, farthest=protocol.farthest
    )


def measured(depth: NDArray[np.floating], protocol: Protocol = PLAIN) -> NDArray[np.bool_]:
    """Where true depth counts [H, W]."""
    return (depth > protocol.nearest) & (depth < protocol.farthest)


def known(depth: NDArray[np.floating], protocol: Protocol = PLAIN) -> NDArray[np.float32]:
    """True depth [H, W], NaN where it does not count."""
    return np.where(measured(depth, protocol), depth, np.float32(np.nan))
