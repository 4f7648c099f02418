"""Copying results to host memory while the device keeps computing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Fetched:
    """A tensor that is being copied to host memory; `tensor` waits for the copy."""

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
        """The values, in host memory."""
        if self._event is not None:
            self._event.synchronize()
        return self._host


def one_behind(items: Iterable[T]) -> Iterator[T]:
    """The same items, each yielded only after the next one has been started, so that the device is never idle."""
    waiting: list[T] = []
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting
