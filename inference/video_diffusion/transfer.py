"""Bringing results from the device while it goes on computing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Fetched:
    """A tensor on its way to the computer's memory; the copy starts at once and `tensor` waits for it."""

    def __init__(self, source: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if source.is_cuda:
            self._host = torch.empty(source.shape, dtype=source.dtype, pin_memory=True)
            self._host.copy_(source, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(source.device))
        else:
            self._host = source.cpu()

    def tensor(self) -> Tensor:
        """The values, in the computer's memory."""
        if self._event is not None:
            self._event.synchronize()
        return self._host


def one_behind(items: Iterable[T]) -> Iterator[T]:
    """The same items, each handed out only once the next one was begun, so that the device is never idle."""
    waiting: list[T] = []
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting
