"""Load the downloaded networks for a shot: choose the device, the precision and a memory plan that fits."""

from __future__ import annotations

import functools
import gc
import sys
from pathlib import Path

import torch

from ..models import store
from . import device, memory, resolution
from .execution.plan import Plan
from .networks import Networks, load
from .parameters import Settings, Shot, network
from .placement import Placement
from .weights import SVD


def placement(shot: Shot, settings: Settings, *, estimator: str, who: str, guided: bool = False) -> Placement:
    """The networks for a shot of an estimator; `who` is the name of it or of its stage, for messages.

    Raises
    ------
    Failure
        The device or the precision does not exist; there is too little memory; weights are damaged.
    """
    torch_device, dtype = device.choose(settings.device, settings.precision)
    shot.progress("load", "Loading the networks", 0, 1)
    depth = store.folder(network(settings.weights, estimator=estimator))
    networks = _networks(depth, store.folder(SVD), dtype)
    shot.check()
    width, height = resolution.network_size(shot.frames.width, shot.frames.height)
    case = memory.Case(
        networks=memory.outlined(networks, dtype),
        width=width,
        height=height,
        window=min(settings.window, len(shot.frames)),
        decode_chunk=min(settings.decode_chunk, len(shot.frames)),
        guided=guided,
        kind=torch_device.type,
    )
    shot.progress("plan", "Planning memory", 0, 1)
    plan = _fitting(case, settings, networks, torch_device, who)
    shot.check()

    def smaller(plan: Plan) -> Plan | None:
        return memory.step_down(case, plan, made.stage)

    made = Placement(networks, torch_device, plan, smaller=smaller, warn=shot.warn)
    return made


def forget() -> None:
    """Free the networks that are cached in host memory for the job's next shot."""
    if _networks.cache_info().currsize:
        _networks.cache_clear()
        gc.collect()


@functools.lru_cache(maxsize=1)
def _networks(depth: Path, svd: Path, dtype: torch.dtype) -> Networks:
    """The networks in host memory, loaded once for all shots of a job."""
    return load(depth, svd, dtype=dtype)


def _fitting(case: memory.Case, settings: Settings, networks: Networks, torch_device: torch.device, who: str) -> Plan:
    """The fastest plan that fits into free memory."""
    free = device.free_bytes(torch_device, memory_limit=settings.memory_limit, held=_held(networks, torch_device))
    plan = memory.choose_plan(case, free, compiled=settings.compile, who=who)
    print(
        f"{who} at {case.width}x{case.height} needs about {memory.peak_bytes(case, plan) / 1e9:.1f} of "
        f"{free / 1e9:.1f} GB that are free on {device.name(torch_device)}: {plan}",
        file=sys.stderr,
    )
    return plan


def _held(networks: Networks, torch_device: torch.device) -> int:
    """Bytes of the networks that an earlier shot has left on the device."""
    tensors = [tensor for module in networks.modules for tensor in (*module.parameters(), *module.buffers())]
    return sum(tensor.nbytes for tensor in tensors if tensor.device.type == torch_device.type)
