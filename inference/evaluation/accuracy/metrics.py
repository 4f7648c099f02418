"""Accuracy of a depth sequence, frame by frame and over whole clips.

Errors are measured in depth, over the pixels with true depth inside the protocol's limits, after alignment by one
scale and shift (see `alignment`); Z is the aligned estimate, Z* the ground truth:

* AbsRel: mean of |Z - Z*| / Z*
* RMSE: root of the mean of (Z - Z*)^2, in meters
* delta1, delta2, delta3: share of pixels where max(Z / Z*, Z* / Z) is below 1.25, 1.25^2 and 1.25^3

(Eigen et al. 2014, as in DepthCrafter, section 4.2, and StereoDiff, section 4.1.3.) Edges are counted as well; see
`boundaries`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..alignment import Alignment, Disparity, align, measured
from ..datasets.ground_truth import GroundTruth
from ..datasets.protocols import PLAIN, MetricsError, Protocol, fitted
from ..table import Better, Column
from .boundaries import EDGE_COUNTS, edge_counts

__all__ = ["Alignment", "Disparity", "MetricsError", "align", "frame_scores", "summary"]

REGIONS = ("all", "static", "moving")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric: `label` and `unit` for display, and which values are better."""

    name: str
    label: str
    better: Better
    unit: str = ""

    def column(self, before: str = "") -> Column:
        """The metric's column in a table, its label preceded by `before`."""
        return Column(name=f"{before}{self.label}", unit=self.unit, better=self.better)


METRICS = (
    Metric(name="absolute_relative", label="AbsRel", better="lower"),
    Metric(name="root_mean_square", label="RMSE", better="lower", unit="m"),
    Metric(name="delta1", label="delta1", better="higher"),
    Metric(name="delta2", label="delta2", better="higher"),
    Metric(name="delta3", label="delta3", better="higher"),
)
"""Metrics of single frames."""
EXTRA = (
    Metric(name="distance", label="distance at 10 frames", better="lower", unit="m"),
    Metric(name="warp_error", label="warp error", better="lower"),
    Metric(name="flicker", label="flicker", better="lower"),
    Metric(name="boundary", label="boundary F1", better="higher"),
    Metric(name="boundary_near", label="boundary F1 within 1 px", better="higher"),
)
"""Metrics of clips, those over time for ground truth that has a camera path; see `over_time`."""
NAMES = tuple(metric.name for metric in METRICS)
METRIC = {metric.name: metric for metric in (*METRICS, *EXTRA)}


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameScores:
    """Errors of each frame.

    Attributes
    ----------
    frames : tuple of int
        Frames of the ground truth, in their order.
    values : dict of dict of float64 [T]
        By region and name of the metric: one value a frame, NaN where it has no pixel to measure.
    pixels : dict of int64 [T]
        By region: how many pixels were measured.
    without_estimate : int64 [T]
        Pixels with true depth and without a finite estimate, which are skipped.
    edges : int64 [T, 5, 2, 4]
        Of `boundaries.edge_counts`.
    missing : tuple of int
        Those of the frames that have no estimate at all.
    alignment : Alignment
    sizes : tuple of ((width, height), (width, height)), or None
        Of estimate and ground truth, where they differ: the estimate was resized.
    """

    frames: tuple[int, ...]
    values: dict[str, dict[str, NDArray[np.float64]]]
    pixels: dict[str, NDArray[np.int64]]
    without_estimate: NDArray[np.int64]
    edges: NDArray[np.int64]
    missing: tuple[int, ...]
    alignment: Alignment
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None


def frame_scores(
    disparity: Disparity,
    ground_truth: GroundTruth,
    protocol: Protocol = PLAIN,
    *,
    frames: Iterable[int] | None = None,
    alignment: Alignment | None = None,
) -> FrameScores:
    """Measure each frame that a protocol is `applied` to, with one scale and shift for all of them.

    Raises
    ------
    MetricsError
        No pixel can be measured, or the estimate is of another image.
    """
    chosen = tuple(range(len(ground_truth)) if frames is None else frames)
    alignment = alignment or align(disparity, ground_truth, chosen, protocol)
    values = {region: {name: np.full(len(chosen), np.nan) for name in NAMES} for region in REGIONS}
    pixels = {region: np.zeros(len(chosen), np.int64) for region in REGIONS}
    without, missing, sizes = np.zeros(len(chosen), np.int64), [], None
    edges = np.zeros((len(chosen), *EDGE_COUNTS), np.int64)
    for place, frame in enumerate(chosen):
        true = ground_truth.depth(frame)
        valid = measured(true, protocol)
        estimate = disparity(frame)
        if estimate is None:
            missing.append(frame)
            continue
        if estimate.shape != true.shape:
            sizes = (estimate.shape[1], estimate.shape[0]), (true.shape[1], true.shape[0])
        known = valid & np.isfinite(fitted_estimate := fitted(estimate, true.shape, protocol))
        without[place] = np.count_nonzero(valid) - np.count_nonzero(known)
        depth = np.where(known, alignment.depth(fitted_estimate), np.nan)
        edges[place] = edge_counts(depth, np.where(known, true, np.nan))
        errors = pixel_errors(depth[known], true[known].astype(np.float64))
        moving = ground_truth.moving(frame)
        for region in REGIONS:
            if region == "all":
                own = errors
            elif moving is None:
                continue
            else:
                own = errors[:, moving[known] == (region == "moving")]
            pixels[region][place] = own.shape[1]
            if own.shape[1]:
                for name, value in zip(NAMES, own.mean(axis=1), strict=True):
                    values[region][name][place] = np.sqrt(value) if name == "root_mean_square" else value
    return FrameScores(
        frames=chosen,
        values=values,
        pixels=pixels,
        without_estimate=without,
        edges=edges,
        missing=tuple(missing),
        alignment=alignment,
        sizes=sizes,
    )


def pixel_errors(depth: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel values that the metrics average, in the order of `NAMES` [5, N]; the squares of RMSE are in m^2."""
    ratio = np.maximum(depth / true, true / depth)
    return np.stack([np.abs(depth - true) / true, (depth - true) ** 2, *(ratio < 1.25**power for power in (1, 2, 3))])


def summary(
    parts: Sequence[FrameScores], average: Literal["frames", "pixels"] = "pixels"
) -> dict[str, dict[str, float | None]]:
    """By region and metric, the value over all frames of a clip's shots together; None where nothing could be measured.

    `average`: whether each frame counts alike (the mean of the frames' values), or each pixel.
    """
    found: dict[str, dict[str, float | None]] = {}
    for region in REGIONS:
        pixels = np.concatenate([part.pixels[region] for part in parts])
        weight = pixels if average == "pixels" else (pixels > 0).astype(np.int64)
        found[region] = {}
        for name in NAMES:
            values = np.concatenate([part.values[region][name] for part in parts])
            squared = average == "pixels" and name == "root_mean_square"
            kept = np.where(weight > 0, values**2 if squared else values, 0.0)
            mean = float(np.sum(kept * weight) / weight.sum()) if weight.any() else None
            found[region][name] = mean if mean is None or not squared else float(np.sqrt(mean))
    return found
