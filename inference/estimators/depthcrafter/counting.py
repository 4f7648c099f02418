"""The work of an estimate, and the plans for cards of common sizes, without running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...common.failures import Failure
from ...video_diffusion import device, dry_run, memory, stages, windows
from ...video_diffusion.execution.forward import OWN, PLAIN, Forward
from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.networks import Networks
from ...video_diffusion.stages import ENCODE_GRID, embed
from . import benchmark_clip
from .measuring import Task

CARDS = (4, 6, 8, 12, 16, 24)
"""Gigabytes of common cards."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Floating-point operations for each frame of the clip, a multiplication and an addition being two.

    Attributes
    ----------
    clip, encode, decode : float
        CLIP's embedding, the autoencoder's encoder and decoder.
    step : float
        One pass through the UNet.
    denoise : float
        All passes of all steps, those of frames that two windows share included.
    own : dict
        The same five as our own forward passes do them, which leave out what does not change the result.
    """

    clip: float
    encode: float
    step: float
    denoise: float
    decode: float
    own: dict[str, float]

    def per_frame(self) -> float:
        """All stages together."""
        return self.clip + self.encode + self.denoise + self.decode


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card of so many gigabytes (1e9 bytes) would do; `plan` is None where nothing fits, which `refusal` tells.

    `needed_bytes` are those of the largest stage, with CUDA's own share.
    """

    gigabytes: int
    plan: Plan | None
    needed_bytes: int
    refusal: str = ""


def work(networks: Networks, task: Task) -> Work:
    """Count the work of diffusers' stock modules, by which all are measured, and of ours; `networks` on ``meta``."""
    return Work(**_count(networks, task, PLAIN), own=_count(networks, task, OWN))


def case(networks: Networks, task: benchmark_clip.Task, kind: str = "cuda", *, guided: bool = False) -> memory.Case:
    """What a task is for the plan of memory; `networks` on ``meta``."""
    return memory.Case(
        networks=networks,
        width=task.width,
        height=task.height,
        window=task.window,
        decode_chunk=task.decode_chunk,
        guided=guided,
        kind=kind,
    )


def cards(case: memory.Case) -> list[Card]:
    """The plans for cards of common sizes of which nothing else takes any memory."""
    found = []
    for size in CARDS:
        try:
            plan = memory.choose_plan(case, int(size * 1e9 - device.CUDA_CONTEXT))
        except Failure as failure:
            least = memory.peak_bytes(case, memory.smallest(case)) + int(device.CUDA_CONTEXT)
            found.append(Card(gigabytes=size, plan=None, needed_bytes=least, refusal=str(failure)))
        else:
            needed = memory.peak_bytes(case, plan) + int(device.CUDA_CONTEXT)
            found.append(Card(gigabytes=size, plan=plan, needed_bytes=needed))
    return found


def parts(networks: Networks, task: benchmark_clip.Task, *, forward: Forward = OWN) -> dict[str, float]:
    """Operations for each frame of the stages; `networks` on ``meta``.

    Returns
    -------
    dict
        ``clip``, ``encode`` (without CLIP), ``step`` (one pass through the UNet) and ``decode``.
    """
    rows, columns = task.height // 8, task.width // 8
    common: dict[str, Any] = {"device": memory.META, "attempt": lambda work: work(Plan()), "forward": forward}

    def on_meta(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device=memory.META)

    def denoise() -> object:
        latents = on_meta(task.window, 4, rows, columns)
        tokens = on_meta(task.window, networks.image_encoder.config.projection_dim)
        told = stages.Encoded(latents, tokens)
        return stages.denoise(networks, latents, told, steps=1, guidance=1.0, noise_augmentation=0.0, **common)

    pictures = on_meta(ENCODE_GRID, 3, task.height, task.width)
    clip = dry_run.flops(lambda: embed(networks.image_encoder, pictures)) / ENCODE_GRID
    encode = dry_run.flops(lambda: stages.encode(networks, pictures, pictures, **common)) / ENCODE_GRID
    step = dry_run.flops(denoise) / task.window
    latents = on_meta(task.decode_chunk, 4, rows, columns)
    decode = dry_run.flops(lambda: stages.decode(networks, latents, **common)) / task.decode_chunk
    return {"clip": clip, "encode": encode - clip, "step": step, "decode": decode}


def _count(networks: Networks, task: Task, forward: Forward) -> dict[str, float]:
    each = parts(networks, task, forward=forward)
    denoised = sum(map(len, windows.segments(task.frames, task.window, task.overlap)))
    passes = task.steps * (2 if task.guidance > 1 else 1) * denoised / task.frames
    return each | {"denoise": each["step"] * passes}
