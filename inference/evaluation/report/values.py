"""All values of a shot, with exact percentiles and little memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

_IN_MEMORY = 1 << 24
"""Bytes of values beyond which they are stored in an anonymous temporary file."""
_BLOCK = 1 << 22  # bytes read at a time
_HALF = 16  # bits of a value per histogram


class Values:
    """Finite float32 values that come frame by frame.

    A percentile is found by counting: IEEE 754 numbers sort by their bits, so a histogram of the upper 16 bits finds
    the bin of a value of a given rank, and a second pass finds its lower 16 bits.

    Parameters
    ----------
    folder : Path or None
        Folder of the temporary file for more than `_IN_MEMORY` bytes; None: the system's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=None if folder is None else str(folder))  # noqa: SIM115 -- closed by __del__
        self._counts = np.zeros(1 << _HALF, np.int64)

    def __del__(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """How many values there are."""
        return int(self._counts.sum())

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> NDArray[np.float32]:
        """All values in one array."""
        return np.concatenate([np.empty(0, np.float32), *self.blocks()]).astype(dtype or np.float32)

    def add(self, values: ArrayLike) -> None:
        """Add values.

        Raises
        ------
        OSError
            They cannot be stored.
        """
        flat = np.ascontiguousarray(values, np.float32).ravel()
        self._counts += np.bincount(_ordered(flat) >> _HALF, minlength=1 << _HALF)
        self._file.seek(0, 2)
        self._file.write(flat.tobytes())

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The values in blocks, in the order in which they were added."""
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            place = self._file.tell()
            yield np.frombuffer(block, np.float32)
            self._file.seek(place)

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """Percentiles (0 to 100), equal to those of `numpy.percentile`; there must be a value."""
        last = len(self) - 1
        places = [last * (share / 100) for share in shares]
        found = self._of_ranks({rank for place in places for rank in (int(place), min(int(place) + 1, last))})
        return [_between(found[int(place)], found[min(int(place) + 1, last)], place - int(place)) for place in places]

    def _of_ranks(self, ranks: Iterable[int]) -> dict[int, np.float32]:
        """The values of these ranks, from 0, in ascending order."""
        below = np.concatenate([[0], np.cumsum(self._counts)])
        halves = {rank: int(np.searchsorted(below, rank, side="right")) - 1 for rank in ranks}
        lower = {upper: np.zeros(1 << _HALF, np.int64) for upper in halves.values()}
        for block in self.blocks():
            keys = _ordered(block)
            for upper in lower:
                lower[upper] += np.bincount(keys[keys >> _HALF == upper] & 0xFFFF, minlength=1 << _HALF)
        found = {}
        for rank, upper in halves.items():
            beyond = np.cumsum(lower[upper])
            low = int(np.searchsorted(beyond, rank - below[upper], side="right"))
            found[rank] = _value(upper << _HALF | low)
        return found


def _ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The values as integers in the same order."""
    bits = values.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _value(key: int) -> np.float32:
    """The value of an integer of `_ordered`."""
    bits = key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF
    return np.uint32(bits).view(np.float32)


def _between(low: np.float32, high: np.float32, share: float) -> float:
    """Linear interpolation from the nearer end, as NumPy does it."""
    step = high - low
    return float(low + np.float64(step) * share if share < 0.5 else high - np.float64(step) * (1 - share))
