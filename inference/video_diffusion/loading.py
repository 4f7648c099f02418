"""Networks that are ready for a shot: read from the downloaded files, on a device, under a plan that fits."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from ..models import store
from . import device, memory, resolution
from .execution.plan import Plan
from .networks import Networks, load
from .placement import Placement
from .weights import DEPTHCRAFTER, SVD


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of the networks.

    Attributes
    ----------
    who : str
        What they are for, in messages.
    window, decode_chunk : int
        Frames that are denoised, and decoded, together at most.
    guided : bool
        Whether there is classifier-free guidance.
    device, precision : str
        See `device.choose`.
    memory_limit : float
        See `device.free_bytes`.
    compile : bool
        Whether the layers are compiled.
    """

    who: str
    window: int
    decode_chunk: int
    device: str
    precision: str
    memory_limit: float
    compile: bool
    guided: bool = False


class ReportProgress(Protocol):
    """Takes what is done."""

    def __call__(self, stage: str, label: str, done: float, total: float) -> None:
        """`done` of `total` units are done; `stage` and `label` name what goes on now."""


def placement(
    wanted: Wanted,
    kept: Plan | None,
    *,
    size: tuple[int, int],
    frame_count: int,
    progress: ReportProgress,
    check: Callable[[], None],
    warn: Callable[[str], None],
) -> Placement:
    """The networks for a shot.

    Parameters
    ----------
    wanted : Wanted
    kept : Plan or None
        That an earlier run of the same job began with: another plan would round otherwise, and what was written would
        not be what is still to be written. None: the fastest that fits into the memory.
    size : (int, int)
        Width and height that the shot is worked on at.
    frame_count : int
        Frames of the shot.
    progress, check, warn : callable
        As those of `estimators.base.Shot`.

    Raises
    ------
    Failure
        The device or the precision does not exist; memory does not suffice; weights are damaged.
    """
    place, dtype = device.choose(wanted.device, wanted.precision)
    progress("load", "Loading the networks", 0, 1)
    networks = _networks(store.folder(DEPTHCRAFTER), store.folder(SVD), dtype)
    check()

    @functools.cache
    def case() -> memory.Case:
        return _case(wanted, networks, place, dtype, size=size, frame_count=frame_count)

    plan = kept or _fitting(wanted, case(), networks, place, progress)
    check()

    def smaller(plan: Plan) -> Plan | None:
        return memory.step_down(case(), plan, made.stage)

    made = Placement(networks, place, plan, smaller=smaller, warn=warn)
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


def _fitting(
    wanted: Wanted, case: memory.Case, networks: Networks, place: torch.device, progress: ReportProgress
) -> Plan:
    progress("plan", "Planning the use of memory", 0, 1)
    free = device.free_bytes(place, memory_limit=wanted.memory_limit, held=_held(networks, place))
    plan = memory.choose_plan(case, free, compiled=wanted.compile, who=wanted.who)
    print(
        f"{wanted.who} at {case.width}x{case.height} needs about {memory.peak_bytes(case, plan) / 1e9:.1f} of "
        f"{free / 1e9:.1f} GB that are free on {device.name(place)}: {plan}",
        file=sys.stderr,
    )
    return plan


def _held(networks: Networks, place: torch.device) -> int:
    """Bytes that the networks take of the device's memory already: an earlier shot has left them there."""
    tensors = [tensor for module in networks.modules for tensor in (*module.parameters(), *module.buffers())]
    return sum(tensor.nbytes for tensor in tensors if tensor.device.type == place.type)


def _case(
    wanted: Wanted,
    networks: Networks,
    place: torch.device,
    dtype: torch.dtype,
    *,
    size: tuple[int, int],
    frame_count: int,
) -> memory.Case:
    width, height = resolution.network_size(*size)
    return memory.Case(
        networks=memory.outlined(networks, dtype),
        width=width,
        height=height,
        window=min(wanted.window, frame_count),
        decode_chunk=min(wanted.decode_chunk, frame_count),
        guided=wanted.guided,
        kind=place.type,
    )
