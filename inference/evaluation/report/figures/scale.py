"""The color scale that all images of a shot share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from ..gather import Gathered, Track

LOWEST, HIGHEST = 1.0, 99.0
"""Percentiles of a shot's values at the ends of the scale."""
_CROWDED = 0.02
"""Share of the scale that half of the values span, below which an image shows little."""
ALIGNED = "inverse depth [1/m]"
NORMALIZED = "disparity [share of the shot's 1-99 % range]"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The color scale of a shot.

    Attributes
    ----------
    label : str
        Quantity and unit.
    low, high : float
        Values at the ends of the colors; values beyond are clamped.
    affine : dict
        Name of a track to (scale, shift), from its own values to the scale's unit.
    notes : tuple of str
        Sentences on shots of constant depth.
    """

    label: str
    low: float
    high: float
    affine: dict[str, tuple[float, float]]
    notes: tuple[str, ...] = ()

    @property
    def norm(self) -> Normalize:
        """The scale for matplotlib."""
        return Normalize(self.low, self.high)

    def of(self, track: Track) -> Callable[[NDArray[np.floating]], NDArray[np.floating]]:
        """The conversion of a track's values to the scale's unit."""
        factor, shift = self.affine[track.name]
        return lambda values: values * factor + shift


def scale_of(gathered: Gathered) -> Scale:
    """The one scale for all frames and all estimates of a shot.

    With ground truth: inverse depth in 1/m, each estimate by its one scale and shift. Without: each estimate's
    disparity by its own percentiles over the whole shot, never frame by frame, which would hide changes over time.
    """
    notes: list[str] = []
    if gathered.ground_truth is not None:
        affine = {track.name: track.alignment or (1.0, 0.0) for track in (gathered.ground_truth, *gathered.estimates)}
        low, high = _span(gathered.ground_truth.samples)
        if low == high:
            notes.append(f"The ground truth is {low:.4g} 1/m everywhere, so the colors span the estimates alone.")
            tracks = (*gathered.estimates, gathered.ground_truth)
            aligned = [track.samples * affine[track.name][0] + affine[track.name][1] for track in tracks]
            low, high = _span(np.concatenate(aligned))
        if low == high:
            low, high = low - 0.5, high + 0.5
        return Scale(label=ALIGNED, low=low, high=high, affine=affine, notes=tuple(notes))
    affine = {}
    for track in gathered.estimates:
        low, high = _span(track.samples)
        if low == high:
            affine[track.name] = (0.0, 0.5)
            what = f"is {low:.4g} everywhere" if len(track.samples) else "has no value anywhere"
            notes.append(f"{track.name} {what} in this shot, so there is no depth to show.")
        else:
            affine[track.name] = (1 / (high - low), -low / (high - low))
            notes += _crowded(track, high - low)
    return Scale(label=NORMALIZED, low=0.0, high=1.0, affine=affine, notes=tuple(notes))


def error_limit(gathered: Gathered) -> float:
    """The upper end of the error colors: a round share above 95 % of the shown pixels' errors."""
    values = [error[np.isfinite(error)] for track in gathered.estimates for error in track.errors.values()]
    together = np.concatenate(values) if values else np.empty(0)
    worst = float(np.percentile(together, 95)) if len(together) else 0.0
    steps = [step * 10.0**power for power in range(-3, 3) for step in (1, 2, 5)]
    return next((step for step in steps if step >= worst), steps[-1])


def _crowded(track: Track, span: float) -> list[str]:
    """A sentence if a few outliers leave hardly any colors to the other values."""
    lower, upper = np.percentile(track.samples, [25, 75])
    share = (upper - lower) / span
    if share >= _CROWDED:
        return []
    return [
        f"Half of all values of {track.name} are within {share:.2%} of its color scale: a few outliers, "
        "which may be errors, span the rest. The contact sheet shows their frames."
    ]


def _span(samples: NDArray[np.float32]) -> tuple[float, float]:
    """The percentiles of values, or minimum and maximum where the percentiles coincide."""
    if not len(samples):
        return 0.0, 0.0
    least, low, high, most = np.percentile(samples, [0, LOWEST, HIGHEST, 100]).tolist()
    return (low, high) if high > low else (least, most)
