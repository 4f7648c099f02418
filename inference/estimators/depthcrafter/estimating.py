"""DepthCrafter as an estimator: from a shot and its parameters to networks on a device."""

from __future__ import annotations

from ..base import Shot, ShotResult
from . import checkpoint, readiness
from .parameters import check_window
from .streaming import Settings, Stream


def estimate_shot(shot: Shot) -> ShotResult:
    """Estimate a shot with the downloaded networks; see `estimators.base`.

    Raises
    ------
    Failure
        The parameters contradict each other; the device lacks memory; weights are damaged; values overflowed.
    """
    settings = Settings(**shot.parameters)
    check_window(settings.window, settings.overlap)
    if len(shot.finished) == len(shot.frames):
        return ShotResult()
    wanted = readiness.Wanted(
        who="DepthCrafter",
        window=settings.window,
        decode_chunk=settings.decode_chunk,
        guided=settings.guidance > 1,
        device=settings.device,
        precision=settings.precision,
        memory_limit=settings.memory_limit,
        compile=settings.compile,
    )
    Stream(shot, settings, readiness.placement(shot, wanted, checkpoint.plan(shot.scratch))).run()
    return ShotResult()
