"""From what a dry run (`accounting`) counts to what a device must have free, and how a size of memory is told."""

from __future__ import annotations

import math

ALLOCATOR = {"cuda": 1.08, "cpu": 1.3, "mps": 1.3}
"""By kind of device, what memory is lost to, as a factor: the caching allocator, between blocks of different sizes; on
the processor oneDNN's reordered weights, and copies in float32 that half-precision sums make (measured: up to three
tenths over the dry run); on Apple's GPUs norms computed in float32. That of cards was not measured on one yet."""
WORKSPACE = 0.15e9
"""Bytes for the workspace of matrix products and for what libraries keep."""


def with_margin(peak: int, kind: str) -> int:
    """Bytes of a device of this kind (``cuda``, ``mps`` or ``cpu``) that work with this peak needs."""
    return int(peak * ALLOCATOR[kind] + WORKSPACE)


def gigabytes(size: float, *, up: bool = True) -> str:
    """A size in gigabytes (1e9 bytes) with one digit, rounded up (what is needed) or down (what is free)."""
    tenths = size / 1e8
    return f"{(math.ceil(tenths) if up else math.floor(tenths)) / 10:.1f}"
