"""The device that is measured: its pace, and the most memory that something takes on it."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

from ...video_diffusion.device import name, synchronise

T = TypeVar("T")
_EVERY = 0.02
"""Seconds between two looks at the process' memory."""


@dataclass(frozen=True)
class Peak:
    """Bytes: in tensors, and altogether as the device or the system counts.

    Attributes
    ----------
    allocated : int or None
        None on the processor, where torch does not count.
    reserved : int
        On a card, what torch's allocator holds; elsewhere what the process or the driver does.
    """

    allocated: int | None
    reserved: int

    def held(self, program: int) -> int:
        """What the work itself took, `program` being what the process had before."""
        return self.allocated or self.reserved - program


class Meter:
    """Measures within a ``with`` statement; where the device keeps no record, by looking every few milliseconds."""

    def __init__(self, place: torch.device) -> None:
        self._place = place
        self._most = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._place.type == "cuda":
            torch.cuda.empty_cache()  # what an earlier stage left would be counted as held
            torch.cuda.reset_peak_memory_stats(self._place)
        else:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def peak(self) -> Peak:
        """What was measured."""
        if self._place.type == "cuda":
            allocated = torch.cuda.max_memory_allocated(self._place)
            return Peak(allocated, torch.cuda.max_memory_reserved(self._place))
        return Peak(None, self._most)

    def _watch(self) -> None:
        while True:
            self._most = max(self._most, _held(self._place))
            if self._ended.wait(_EVERY):
                return


def seconds_of(work: Callable[[], object], place: torch.device) -> float:
    """How long something takes once, until the device has done it."""
    synchronise(place)
    start = time.perf_counter()
    work()
    synchronise(place)
    return time.perf_counter() - start


def repeated(work: Callable[[], T], repeats: int, place: torch.device) -> tuple[float, Peak, T]:
    """Do something several times: the median of the seconds, the peak of memory, and the last result."""
    seconds: list[float] = []
    with Meter(place) as meter:
        for _ in range(repeats):
            synchronise(place)
            start = time.perf_counter()
            result = work()
            synchronise(place)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), meter.peak(), result


def figures(
    seconds: dict[str, float], peaks: dict[str, Peak], *, frames: int, first_seconds: float, finite: bool
) -> dict[str, Any]:
    """What was measured of stages over a clip of so many frames, per frame where it is time, as JSON has it."""
    each = {stage: 1000 * took / frames for stage, took in seconds.items()}
    return {
        "ms_per_frame": each | {"all": sum(each.values())},
        "first_seconds": first_seconds,
        "peak_bytes": {stage: vars(peak) for stage, peak in peaks.items()},
        "finite": finite,
    }


def program_bytes(place: torch.device) -> int:
    """Memory of the program itself, which on the processor is part of every peak; to be asked before all work."""
    return _held(place) if place.type == "cpu" else 0


def _held(place: torch.device) -> int:
    if place.type == "mps":
        return torch.mps.driver_allocated_memory()
    import psutil

    return int(psutil.Process(os.getpid()).memory_info().rss)


def product_flops(place: torch.device, dtype: torch.dtype) -> float:
    """Operations a second that a plain matrix product reaches: the arithmetic floor."""
    side = {"cuda": 8192, "mps": 4096}.get(place.type, 2048)
    left, right = (torch.randn(side, side, device=place).to(dtype) for _ in range(2))
    batch = 10 if place.type == "cuda" else 1
    seconds = []
    for _ in range(8):
        synchronise(place)
        start = time.perf_counter()
        for _ in range(batch):
            left @ right
        synchronise(place)
        seconds.append((time.perf_counter() - start) / batch)
    return 2 * side**3 / statistics.median(seconds[2:])


def label(place: torch.device) -> str:
    """The device in plain words."""
    if place.type != "cpu":
        return name(place)
    cores = os.cpu_count() or 1
    return f"{cores} CPU core{'s' * (cores > 1)}"
