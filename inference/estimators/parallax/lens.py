"""The lens that the camera solve gets, and the error it raises; without COLMAP, which the worker never loads.

COLMAP's logging library installs signal handlers in its process (which print addresses and exit), so only the child
process of the solve (`solve_process`) imports it.
"""

from __future__ import annotations

from dataclasses import dataclass


class SolveError(Exception):
    """The camera could not be solved; the message is the reason in one sentence.

    Parameters
    ----------
    reason : str
    solved : (int, int) or None
        The first and last index of the longest range of frames that could be solved.
    """

    def __init__(self, reason: str, *, solved: tuple[int, int] | None = None) -> None:
        super().__init__(reason)
        self.solved = solved


@dataclass(frozen=True, kw_only=True)
class Lens:
    """What is known of the lens, at working size; units as in `Views`.

    Attributes
    ----------
    focal : float or None
        None: to be solved.
    tagged, deviation : float or None
        The focal length that the clip's files name, where it is to be solved, and the deviation of its logarithm.
    """

    width: int
    height: int
    focal: float | None
    center: tuple[float, float]
    distortion: tuple[float, float] = (0.0, 0.0)
    tagged: float | None = None
    deviation: float | None = None
