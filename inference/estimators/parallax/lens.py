"""What the camera solve is told of the lens, and what it raises; without COLMAP, which the worker never loads.

COLMAP's logging library takes the signals of the process that it is loaded into (it prints addresses and ends it), so
only the solve's own process (`solve_process`) imports it.
"""

from __future__ import annotations

from dataclasses import dataclass


class SolveError(Exception):
    """The camera could not be solved; the message is a reason in one sentence."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """What is known of the lens, at working size: see `Views` for units."""

    width: int
    height: int
    focal: float | None
    centre: tuple[float, float]
    distortion: tuple[float, float] = (0.0, 0.0)
