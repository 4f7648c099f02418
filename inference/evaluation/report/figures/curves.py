"""Curves over a shot's frames: mean disparity, errors, and other series."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ..gather import Gathered
from ..shots import Estimate, Series, Shot
from . import style
from .scale import Scale

MEAN = (
    "The mean of each frame. A moving camera changes it slowly, and so do objects that enter or leave; a saw-tooth "
    "is flicker, and a step without a change in the image is a jump."
)
MEAN_OF_TRUTH = (
    " All means are over the same pixels, those with ground truth, and the dashed black line is the ground truth's; "
    "pixels without an estimate are skipped, so a frame with many of them may stand out."
)
BORDERS = " Dashed vertical lines mark where an estimator's window begins or ends."
JUMPS = " Dotted vertical lines mark where depth was found to jump."
_LEAST_SPAN = 0.1  # of the color scale, that the axis of the means spans at least
BY_FRAME = (
    "The metrics of the table, frame by frame, after one alignment for the whole shot. Constantly high: wrong; "
    "slowly rising or falling: drift; jagged: flicker. Gaps are frames that could not be measured. The axes may not "
    "begin at 0."
)


def mean_disparity(shot: Shot, gathered: Gathered, scale: Scale) -> Figure:
    """The mean of every estimate over time, and the ground truth's (StereoDiff, figure 4)."""
    figure = style.new_figure(3.4)
    axes = figure.subplots()
    if gathered.ground_truth is not None:
        means = scale.of(gathered.ground_truth)(gathered.ground_truth.means)
        axes.plot(shot.frames, means, color=style.TRUTH, linestyle="--", label="Ground truth")
    for index, (track, estimate) in enumerate(zip(gathered.estimates, shot.estimates, strict=True)):
        means = scale.of(track)(track.means)
        if gathered.ground_truth is not None:
            means = np.where(np.isnan(gathered.ground_truth.means), np.nan, means)
        axes.plot(shot.frames, means, label=style.short(track.name), **_line(means, index))
        _marks(axes, estimate, index)
    _finish(axes, shot, f"mean {scale.label}")
    low, high = axes.get_ylim()
    least = _LEAST_SPAN * (scale.high - scale.low)
    if high - low < least:  # a change that is invisible in the images must not look large here
        axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)
    return figure


def mean_reading(shot: Shot) -> str:
    """Caption of the figure of means."""
    return MEAN + (MEAN_OF_TRUTH if shot.ground_truth is not None else "") + marks_reading(shot)


def by_frame_reading(shot: Shot) -> str:
    """Caption of the figure of errors by frame."""
    return BY_FRAME + marks_reading(shot)


def marks_reading(shot: Shot) -> str:
    """Caption of the vertical lines, if there are any."""
    borders, jumps = (any(getattr(each, name) for each in shot.estimates) for name in ("borders", "jumps"))
    return (BORDERS if borders else "") + (JUMPS if jumps else "")


def errors(shot: Shot) -> Figure:
    """Every metric by frame, one axis each."""
    names = measures(shot)
    figure = style.new_figure(2.3 * len(names) + 0.4)
    for axes, name in zip(figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0], names, strict=True):
        for index, estimate in enumerate(shot.estimates):
            if name in estimate.errors:
                values = np.asarray(estimate.errors[name], np.float64)
                axes.plot(shot.frames, values, label=style.short(estimate.name), **_line(values, index))
                _marks(axes, estimate, index)
        _finish(axes, shot, name)
        axes.label_outer()
    return figure


def series(shot: Shot) -> Figure:
    """Every other series by frame, one axis per quantity."""
    labels = list(dict.fromkeys(each.label for estimate in shot.estimates for each in estimate.series))
    figure = style.new_figure(2.3 * len(labels) + 0.4)
    for axes, label in zip(figure.subplots(len(labels), 1, squeeze=False)[:, 0], labels, strict=True):
        for index, estimate in enumerate(shot.estimates):
            for each in _of(estimate, label):
                axes.plot(each.frames, each.values, label=style.short(estimate.name), **_line(each.values, index))
                _marks(axes, estimate, index)
                _finish(axes, shot, f"{label} [{each.unit}]" if each.unit else label)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if axes.dataLim.y0 < 0 else 0.0)  # sizes, so 0 is perfect
    return figure


def series_reading(shot: Shot) -> str:
    """Caption of the series."""
    readings = {each.label: each.reading for estimate in shot.estimates for each in estimate.series}
    return " ".join(f"{label.capitalize()}: {reading}" for label, reading in readings.items()) + marks_reading(shot)


def measures(shot: Shot) -> list[str]:
    """The metrics that any estimate has by frame."""
    return list(dict.fromkeys(name for estimate in shot.estimates for name in estimate.errors))


def _of(estimate: Estimate, label: str) -> list[Series]:
    return [each for each in estimate.series if each.label == label]


def _line(values: ArrayLike, index: int) -> dict[str, Any]:
    """Style of an estimate's line, with markers if a value is isolated between gaps."""
    known = np.isfinite(np.asarray(values, np.float64))
    alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    return {**style.line_style(index), "linewidth": 1.3, "marker": "o" if alone.any() else "", "markersize": 3}


def _marks(axes: Axes, estimate: Estimate, index: int) -> None:
    """Where an estimate's windows begin, and where it jumps."""
    color = style.line_style(index)["color"]
    for frame in estimate.borders:
        axes.axvline(frame - 0.5, color=color, linestyle="--", linewidth=0.8, alpha=0.6)
    for frame in estimate.jumps:
        axes.axvline(frame - 0.5, color=color, linestyle=":", linewidth=1.6)


def _finish(axes: Axes, shot: Shot, label: str) -> None:
    axes.set_xlim(shot.frames[0] - 0.5, shot.frames[-1] + 0.5)
    axes.set_ylabel(label.replace(" [", "\n["))
    axes.set_xlabel("source frame")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
