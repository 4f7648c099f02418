"""Errors by frequency: magnitude spectra, the ratio of two estimators, and tables of the bands.

StereoDiff, figure 3 and tables 2 and 3; the transform and the bands are `stability.spectrum`'s.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from ...stability import spectrum
from ...table import Column, Table
from ..shots import Estimate, Shot
from . import style
from .curves import measures

READING = (
    "The error by its rate of change. Low frequencies, left, are drift and errors of whole windows; high ones, right, "
    "are flicker from frame to frame; the shading shows the bands of the table, and the constant part, which is the "
    "mean, is omitted. Lower is better at every frequency."
)
RATIO = (
    " Below, the ratio of each further estimator's magnitude to the first one's: below 1 its errors have less of that "
    "frequency."
)
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
_NARROW, _WIDE = 5, 150  # ratio of an axis's limits, above which fewer tick labels are written
SHORTEST = 4
"""Fewest frames of a spectrum with more than one point."""


def spectra(shot: Shot) -> Figure:
    """Magnitude spectra, one column per metric, and below them the ratio of each estimate to the first."""
    names = analyzed(shot)
    compared = any(len(_with(shot, name)) > 1 for name in names)
    across = min(len(names), 3)
    blocks = -(-len(names) // across)
    tall = 2 if compared else 1
    figure = style.new_figure(2.9 * blocks * tall + 0.3)
    grid = figure.subplots(blocks * tall, across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, name in enumerate(names):
        row, column = tall * (place // across), place % across
        _magnitudes(grid[row, column], shot, name)
        if compared:
            _ratios(grid[row + 1, column], shot, name)
    lines = [
        Line2D([], [], label=style.short(e.name), **style.line_style(index)) for index, e in enumerate(shot.estimates)
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=min(len(lines), 6))
    return figure


def analyzed(shot: Shot) -> list[str]:
    """The metrics that have a value in some frame of a shot long enough for a spectrum."""
    if len(shot.frames) < SHORTEST:
        return []
    return [name for name in measures(shot) if _with(shot, name)]


def tables(shot: Shot) -> list[Table]:
    """The bands of every metric, one row per estimate."""
    made = []
    for name in analyzed(shot):
        rows = [(estimate.name, spectrum.band_values(errors)) for estimate, errors in _with(shot, name)]
        count = max(len(values) for _, values in rows)
        columns = (
            Column(name="Estimate"),
            *(
                Column(name=f"F{place} ({_format_band(each)})", better="lower", digits=5)
                for place, each in enumerate(spectrum.bands(len(shot.frames))[:count])
            ),
        )
        made.append(
            Table(
                title=f"{_error_name(name)} by band of frequencies",
                reading="Mean absolute value of the errors, reconstructed from each band of frequencies alone; F0 is "
                f"the mean error. In brackets: cycles per shot of {len(shot.frames)} frames.",
                columns=columns,
                rows=tuple((name, *values, *[None] * (count - len(values))) for name, values in rows),
            )
        )
    return made


def _with(shot: Shot, name: str) -> list[tuple[Estimate, NDArray[np.float64]]]:
    """The estimates that have a metric in some frame, and its error sequence."""
    found = []
    for estimate in shot.estimates:
        values = np.asarray(estimate.errors.get(name, ()), np.float64)
        if np.isfinite(values).any():
            found.append((estimate, 1 - values if _is_share_of_right(name) else values))
    return found


def _is_share_of_right(name: str) -> bool:
    """Whether a metric counts correct pixels, so that the error is 1 minus it."""
    return name.lower().startswith(("delta", "δ"))


def _error_name(name: str) -> str:
    return f"1 - {name}" if _is_share_of_right(name) else name


def _magnitudes(axes: Axes, shot: Shot, name: str) -> None:
    _prepare(axes, shot)
    for estimate, errors in _with(shot, name):
        magnitude = spectrum.magnitude(errors)[1:]
        style_of = style.line_style(shot.estimates.index(estimate))
        axes.plot(
            _cycles(errors), np.where(magnitude > 0, magnitude, np.nan), label=style.short(estimate.name), **style_of
        )
    axes.set_title(_error_name(name))
    axes.set_ylabel("magnitude |F(k)|")
    _plain(axes)


def _ratios(axes: Axes, shot: Shot, name: str) -> None:
    (reference, below), *others = _with(shot, name)
    _prepare(axes, shot)
    axes.axhline(1, color="black", linewidth=0.8)
    for estimate, errors in others:
        ratio = spectrum.ratio(errors, below)[1:]
        style_of = style.line_style(shot.estimates.index(estimate))
        axes.plot(_cycles(errors), np.where(ratio > 0, ratio, np.nan), label=style.short(estimate.name), **style_of)
    axes.set_ylabel(f"ratio to {style.short(reference.name)}")
    _plain(axes)


def _prepare(axes: Axes, shot: Shot) -> None:
    """Set up logarithmic axes with frequency along x and alternately shaded bands."""
    axes.set_axis_on()
    axes.set_xscale("log")
    axes.set_yscale("log")
    count = len(shot.frames)
    axes.set_xlabel(f"cycles per shot ({count} frames)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(_PLAIN)
    axes.xaxis.set_minor_formatter(NullFormatter())
    for place, band in enumerate(spectrum.bands(count)[1:]):
        if place % 2:
            axes.axvspan(band.start - 0.5, band.stop - 0.5, color="#f3f3f3", zorder=0)
    if shot.fps:
        seconds = count / shot.fps
        top = axes.secondary_xaxis(
            "top", functions=(lambda k: np.asarray(k) / seconds, lambda f: np.asarray(f) * seconds)
        )
        top.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        top.xaxis.set_major_formatter(_PLAIN)
        top.xaxis.set_minor_formatter(NullFormatter())
        top.set_xlabel("Hz", fontsize=7, labelpad=1)
        top.tick_params(labelsize=7, pad=1)


def _plain(axes: Axes) -> None:
    """Write plain tick labels on the vertical axis, as many as its range allows."""
    low, high = axes.get_ylim()
    locator: Locator = LogLocator(subs=(1,))
    if high < _NARROW * low:
        locator = MaxNLocator(5)
    elif high < _WIDE * low:
        locator = LogLocator(subs=(1, 2, 5))
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_major_formatter(_PLAIN)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _cycles(errors: NDArray[np.float64]) -> NDArray[np.int_]:
    return np.arange(1, len(errors) // 2 + 1)


def _format_band(band: range) -> str:
    return str(band.start) if len(band) == 1 else f"{band.start}-{band.stop - 1}"
