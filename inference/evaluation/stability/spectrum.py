"""Errors over time by frequency: which part of them is constant over a shot, and which flickers.

The discrete Fourier transform of a sequence of one error a frame (Li et al., StereoDiff, equations 2 and 3), grouped
into bands that double in width (its tables 2 and 3 have 11 of them for shots of up to 580 frames and 9 for up to 251).
The paper does not say where the bands end; F0 = {0}, F1 = {1} and Fm = {k : 2^(m-2) < k <= 2^(m-1)} for k <= T/2, with
both signs of a frequency in its band, yield these numbers and are used here. A band's value is the absolute value,
averaged over time, of the sequence reconstructed from its frequencies alone; that of F0 is the mean error.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..datasets.protocols import MetricsError

_NOTHING = 1e-12
"""Share of the largest amplitude below which an amplitude is a rounding error."""


def bands(count: int) -> list[range]:
    """The frequencies k of every band, F0 first, for a sequence of `count` values.

    >>> bands(9)
    [range(0, 1), range(1, 2), range(2, 3), range(3, 5)]
    """
    if count < 1:
        raise ValueError("a sequence without values has no bands")
    highest = count // 2
    grouped = [range(1), range(1, 2)][: 1 + min(highest, 1)]
    last = 1
    while last < highest:
        grouped.append(range(last + 1, min(2 * last, highest) + 1))
        last *= 2
    return grouped


def band_values(errors: ArrayLike) -> list[float]:
    """The value of every band of an error sequence [T], F0 first, in the unit of the errors; NaN is `interpolated`.

    Mean over t of |inverse DFT of F(k) with all but the band's k and T - k set to 0|.
    """
    values = interpolated(errors)
    transform = np.fft.rfft(values)
    means = []
    for band in bands(len(values)):
        alone = np.zeros_like(transform)
        alone[band.start : band.stop] = transform[band.start : band.stop]
        means.append(float(np.abs(np.fft.irfft(alone, n=len(values))).mean()))
    return means


def magnitude(errors: ArrayLike) -> NDArray[np.float64]:
    """|F(k)| for k = 0 ... T // 2, unscaled."""
    return np.abs(np.fft.rfft(interpolated(errors)))


def ratio(errors: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """How much stronger every frequency is in one estimator's errors than in another's (figure 3 c of StereoDiff).

    |F(k)| over the reference's [T // 2 + 1]; NaN where the reference has nothing. Both are of the same frames.
    """
    upper, lower = np.asarray(errors, np.float64), np.asarray(reference, np.float64)
    if upper.shape != lower.shape:
        raise MetricsError(
            f"One error sequence has {len(upper)} frames and the other {len(lower)}; measure both on the same frames."
        )
    above, below = magnitude(upper), magnitude(lower)
    there = below > _NOTHING * below.max()
    return np.where(there, above / np.where(there, below, 1), np.nan)


def mean_bands(shots: Sequence[Sequence[float]]) -> list[float]:
    """Band values averaged over shots with equal weights.

    A short shot has no highest bands and is skipped in them: a missing frequency is not an error of 0.
    """
    present = ([value for value in values if value is not None] for values in zip_longest(*shots))
    return [float(np.mean(values)) for values in present]


def interpolated(errors: ArrayLike) -> NDArray[np.float64]:
    """A sequence with missing values interpolated, since the transform needs evenly spaced values.

    Linear between the frames around them; at the ends, the nearest value.

    Raises
    ------
    MetricsError
        There is no value at all.
    """
    values = np.asarray(errors, np.float64)
    known = np.isfinite(values)
    if not known.any():
        raise MetricsError("No frame of the shot has an error to analyze; use ground truth with valid pixels.")
    frames = np.arange(len(values))
    return np.interp(frames, frames[known], values[known])
