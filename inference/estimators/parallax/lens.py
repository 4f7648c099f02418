"""The lens that the camera solve gets, and the error it raises; without COLMAP, which the worker never loads.

COLMAP's logging library installs signal handlers in its process (which print addresses and exit), so only the child
process of the solve (`solve_process`) imports it.
"""

from __future__ import annotations

from dataclasses import dataclass


class SolveError(Exception):
    """The camera could not be solved; the message is the reason in one sentence."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """The known lens, at working size; units as in `Views`."""

    width: int
    height: int
    focal: float | None
    center: tuple[float, float]
    distortion: tuple[float, float] = (0.0, 0.0)
