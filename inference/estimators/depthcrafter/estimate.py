"""DepthCrafter as an estimator: from a shot and its parameters to networks on a device."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from ...models import store
from ..base import Shot, ShotResult
from . import device, windows
from .execution.plan import Plan
from .networks import Networks, load
from .placement import Placement
from .streaming import Settings, Stream
from .weights import DEPTHCRAFTER, SVD


def estimate_shot(shot: Shot) -> ShotResult:
    """Estimate a shot with the downloaded networks; see `estimators.base`.

    Raises
    ------
    Failure
        The parameters contradict each other; the device lacks memory; weights are damaged; values overflowed.
    """
    settings = Settings(**shot.parameters)
    windows.check_window(settings.window, settings.overlap)
    if len(shot.finished) == len(shot.frames):
        return ShotResult()
    place, dtype = device.choose(settings.device, settings.precision)
    shot.progress("load", "Loading the networks", 0, 1)
    networks = _networks(store.folder(DEPTHCRAFTER), store.folder(SVD), dtype)
    shot.check()
    placement = Placement(networks, place, Plan(), smaller=lambda plan: None, warn=shot.warn)
    Stream(shot, settings, placement).run()
    return ShotResult()


@functools.lru_cache(maxsize=1)
def _networks(depthcrafter: Path, svd: Path, dtype: torch.dtype) -> Networks:
    """The networks in the computer's memory, read once for all shots of a job."""
    return load(depthcrafter, svd, dtype=dtype)
