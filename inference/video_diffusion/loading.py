"""Networks that are ready for a shot: read from the downloaded files, on a device, under a plan that fits."""

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
from .parameters import Settings, Shot
from .placement import Placement
from .weights import DEPTHCRAFTER, SVD


def placement(shot: Shot, settings: Settings, *, who: str, guided: bool = False) -> Placement:
    """The networks for a shot.

    Parameters
    ----------
    shot : Shot
    settings : Settings
    who : str
        What they are for, in messages.
    guided : bool
        Whether there is classifier-free guidance.

    Raises
    ------
    Failure
        The device or the precision does not exist; memory does not suffice; weights are damaged.
    """
    place, dtype = device.choose(settings.device, settings.precision)
    shot.progress("load", "Loading the networks", 0, 1)
    networks = _networks(store.folder(DEPTHCRAFTER), store.folder(SVD), dtype)
    shot.check()
    width, height = resolution.network_size(shot.frames.width, shot.frames.height)
    case = memory.Case(
        networks=memory.outlined(networks, dtype),
        width=width,
        height=height,
        window=min(settings.window, len(shot.frames)),
        decode_chunk=min(settings.decode_chunk, len(shot.frames)),
        guided=guided,
        kind=place.type,
    )
    shot.progress("plan", "Planning the use of memory", 0, 1)
    plan = _fitting(case, settings, networks, place, who)
    shot.check()

    def smaller(plan: Plan) -> Plan | None:
        return memory.step_down(case, plan, made.stage)

    made = Placement(networks, place, plan, smaller=smaller, warn=shot.warn)
    return made


def forget() -> None:
    """Let the networks go that wait in the computer's memory for the job's next shot."""
    if _networks.cache_info().currsize:
        _networks.cache_clear()
        gc.collect()


@functools.lru_cache(maxsize=1)
def _networks(depthcrafter: Path, svd: Path, dtype: torch.dtype) -> Networks:
    """The networks in the computer's memory, read once for all shots of a job."""
    return load(depthcrafter, svd, dtype=dtype)


def _fitting(case: memory.Case, settings: Settings, networks: Networks, place: torch.device, who: str) -> Plan:
    """The fastest plan that fits into the memory that is free."""
    free = device.free_bytes(place, memory_limit=settings.memory_limit, held=_held(networks, place))
    plan = memory.choose_plan(case, free, compiled=settings.compile, who=who)
    print(
        f"{who} at {case.width}x{case.height} needs about {memory.peak_bytes(case, plan) / 1e9:.1f} of "
        f"{free / 1e9:.1f} GB that are free on {device.name(place)}: {plan}",
        file=sys.stderr,
    )
    return plan


def _held(networks: Networks, place: torch.device) -> int:
    """Bytes that the networks take of the device's memory already: an earlier shot has left them there."""
    tensors = [tensor for module in networks.modules for tensor in (*module.parameters(), *module.buffers())]
    return sum(tensor.nbytes for tensor in tensors if tensor.device.type == place.type)
