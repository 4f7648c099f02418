"""The networks that are measured, released or made up, under a plan that fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...models import store
from ...video_diffusion import memory
from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.networks import Networks, load, random_networks
from ...video_diffusion.weights import DEPTHCRAFTER, SVD


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Networks, what they are on ``meta``, and what was planned for them."""

    networks: Networks
    outline: Networks
    case: memory.Case
    plan: Plan


def ready(
    case_of: Callable[[Networks], memory.Case],
    *,
    made_up: bool,
    config: Mapping[str, Mapping[str, Any]] | None,
    place: torch.device,
    dtype: torch.dtype,
    free_bytes: int,
    compiled: bool,
) -> Ready:
    """Plan, and then read the downloaded networks or make some up.

    Parameters
    ----------
    case_of : callable
        Takes the networks on ``meta`` and tells what they are planned for.
    made_up : bool
    config : mapping or None
        Constructor arguments of made-up networks; None: the released ones'.
    place : torch.device
    dtype : torch.dtype
    free_bytes : int
        See `device.free_bytes`.
    compiled : bool

    Raises
    ------
    Failure
        REFUSED: not even the smallest plan fits; MISSING: the downloaded weights are damaged.
    """
    real = None if made_up else load(store.folder(DEPTHCRAFTER), store.folder(SVD), dtype=dtype)
    outline = memory.outlined(real, dtype) if real else random_networks(config=config, device="meta", dtype=dtype)
    case = case_of(outline)
    plan = memory.choose_plan(case, free_bytes, compiled=compiled)
    where: torch.device | str = "cpu" if plan.networks_on_host else place
    networks = real or random_networks(config=config, device=where, dtype=dtype)
    return Ready(networks=networks, outline=outline, case=case, plan=plan)
