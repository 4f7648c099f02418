"""Frames at which an estimate jumps, among steps from frame to frame that are never quite nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

_AROUND = 12  # steps on either side that say what is typical
_BESIDE = 1  # steps next to one that a jump there disturbs
_AT_ENDS = 1.5  # by which a shot's first and last step must exceed its neighbour, since that one's jump shows in it
_OUTLIER = 6.0  # standard deviations, estimated from the median of the deviations
_VISIBLE = 1 / 256  # of the shot's spread: one level of an 8-bit picture
_TO_DEVIATION = 1.4826  # of a normal distribution, from its median absolute deviation


@dataclass(frozen=True, kw_only=True)
class Step:
    """A change of the whole still background from one frame to the next, beyond the change of a smooth motion.

    Attributes
    ----------
    frame : int
        The first frame after it.
    size : float or None
        Mean over what stands still of the absolute step, as a share of the shot's spread; None where it could not be
        measured.
    shift : float or None
        Mean of the step with its sign: above 0, all comes nearer.
    typical : float or None
        Median size of the steps around.
    border : bool
        Whether a window begins or ends with this frame.
    jump : bool
        Whether it is far beyond the steps around it, and large enough to be seen.
    """

    frame: int
    size: float | None
    shift: float | None
    typical: float | None
    border: bool
    jump: bool


def remarkable(
    frames: Sequence[int], sizes: Sequence[float], shifts: Sequence[float], borders: Collection[int]
) -> tuple[Step, ...]:
    """The steps that are at the border of a window or that are jumps, in order.

    Parameters
    ----------
    frames : ints
        The first frame after each step, one after the other.
    sizes, shifts : floats
        See `Step`; NaN where they could not be measured.
    borders : ints
        Frames with which a window begins or ends.
    """
    values = np.asarray(sizes, np.float64)
    rivals = values.copy()
    if len(rivals):
        rivals[[0, -1]] /= _AT_ENDS
    found = []
    for index, frame in enumerate(frames):
        typical, jump = _judged(values, rivals, index)
        if jump or frame in borders:
            measured = np.isfinite(values[index])
            found.append(
                Step(
                    frame=frame,
                    size=float(values[index]) if measured else None,
                    shift=float(shifts[index]) if measured else None,
                    typical=typical,
                    border=frame in borders,
                    jump=jump,
                )
            )
    return tuple(found)


def _judged(values: np.ndarray, rivals: np.ndarray, index: int) -> tuple[float | None, bool]:
    """What is typical around a step, and whether it is a jump; `rivals` as `values`, both ends weighed less."""
    around = np.concatenate(
        [values[max(index - _AROUND, 0) : max(index - _BESIDE, 0)], values[index + _BESIDE + 1 : index + _AROUND + 1]]
    )
    around = around[np.isfinite(around)]
    if not len(around) or not np.isfinite(values[index]):
        return (float(np.median(around)) if len(around) else None), False
    typical = float(np.median(around))
    usual = _OUTLIER * _TO_DEVIATION * float(np.median(np.abs(around - typical)))
    largest = np.nanmax(rivals[max(index - _BESIDE, 0) : index + _BESIDE + 1])
    return typical, bool(values[index] > typical + max(usual, _VISIBLE) and rivals[index] >= largest)
