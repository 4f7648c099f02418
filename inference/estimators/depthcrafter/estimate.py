"""DepthCrafter as an estimator: from a shot and its parameters to networks on a device."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import torch

from ...models import store
from ..base import Shot, ShotResult
from . import checkpoint, device, memory, resolution, windows
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
    case = _case(shot, settings, networks, place, dtype)
    plan = _plan(shot, settings, case, networks, place)
    shot.check()

    def smaller(plan: Plan) -> Plan | None:
        return memory.step_down(case, plan, placement.stage)

    placement = Placement(networks, place, plan, smaller=smaller, warn=shot.warn)
    Stream(shot, settings, placement).run()
    return ShotResult()


def _plan(shot: Shot, settings: Settings, case: memory.Case, networks: Networks, place: torch.device) -> Plan:
    """The plan that an earlier run of the same job began with, or the fastest that fits into the memory.

    Another plan would round otherwise, and what was written would not be what is still to be written.
    """
    kept = checkpoint.plan(shot.scratch)
    if kept is not None:
        return kept
    shot.progress("plan", "Planning the use of memory", 0, 1)
    free = device.free_bytes(place, memory_limit=settings.memory_limit, held=_held(networks, place))
    plan = memory.choose_plan(case, free, compiled=settings.compile)
    print(
        f"DepthCrafter at {case.width}x{case.height} needs about {memory.peak_bytes(case, plan) / 1e9:.1f} of "
        f"{free / 1e9:.1f} GB that are free on {device.name(place)}: {plan}",
        file=sys.stderr,
    )
    return plan


def _held(networks: Networks, place: torch.device) -> int:
    """Bytes that the networks take of the device's memory already: an earlier shot has left them there."""
    tensors = [tensor for module in networks.modules for tensor in (*module.parameters(), *module.buffers())]
    return sum(tensor.nbytes for tensor in tensors if tensor.device.type == place.type)


def _case(shot: Shot, settings: Settings, networks: Networks, place: torch.device, dtype: torch.dtype) -> memory.Case:
    width, height = resolution.network_size(shot.frames.width, shot.frames.height)
    return memory.Case(
        networks=memory.outlined(networks, dtype),
        width=width,
        height=height,
        window=min(settings.window, len(shot.frames)),
        decode_chunk=min(settings.decode_chunk, len(shot.frames)),
        guided=settings.guidance > 1,
        kind=place.type,
    )


@functools.lru_cache(maxsize=1)
def _networks(depthcrafter: Path, svd: Path, dtype: torch.dtype) -> Networks:
    """The networks in the computer's memory, read once for all shots of a job."""
    return load(depthcrafter, svd, dtype=dtype)
