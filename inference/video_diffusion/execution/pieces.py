"""Computing a layer in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

MOST_ELEMENTS = 2**31 - 1
"""Elements that one tensor of a layer may have: beyond, libraries use 64-bit indices (slowly) or fail."""
_few: ContextVar[bool] = ContextVar("few", default=False)


def spans(total: int, size: int | None, *, elements: int = 1, most: int | None = None) -> Iterator[slice]:
    """Cut ``range(total)`` into pieces of equal size, up to one that is shorter.

    Parameters
    ----------
    size : int or None
        The largest piece that is wanted; None: one piece.
    elements : int
        Elements of the largest tensor that one item takes part in; pieces stay below `MOST_ELEMENTS`.
    most : int or None
        A further limit, of the device.
    """
    limit = max(1, min(size or total, most or total, MOST_ELEMENTS // elements))
    count = -(-total // limit)
    step = -(-total // count)
    starts: Iterable[int] = range(0, total, step)
    if _few.get():
        starts = range(0, min(total, 2 * step), step)
    for start in starts:
        yield slice(start, min(start + step, total))


@contextmanager
def few() -> Iterator[None]:
    """While this lasts, only the first two pieces are computed.

    For dry runs, which measure memory: no later piece needs more than the second.
    """
    token = _few.set(True)
    try:
        yield
    finally:
        _few.reset(token)


class Whole:
    """A layer's result, of length `total` along its axis 0 or 1, assembled from pieces, in `into` or a new tensor.

    A piece that is all of it is taken without a copy.
    """

    def __init__(self, total: int, *, axis: int = 0, into: Tensor | None = None) -> None:
        self.tensor = torch.empty(0) if into is None else into
        self._total, self._axis = total, axis

    def put(self, span: slice, piece: Tensor) -> None:
        """Store one piece at its position along the axis."""
        if piece.shape[self._axis] == self._total:
            self.tensor = piece
            return
        if not self.tensor.numel():
            shape = list(piece.shape)
            shape[self._axis] = self._total
            self.tensor = torch.empty(shape, dtype=piece.dtype, device=piece.device)
        self.tensor[(slice(None),) * self._axis + (span,)] = piece
