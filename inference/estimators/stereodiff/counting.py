"""The work of both stages, and what cards of common sizes would do, without running them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ...video_diffusion import dry_run, memory
from ...video_diffusion.device import CUDA_CONTEXT
from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.networks import Networks
from ...video_diffusion.stages import ENCODE_GRID
from ...video_diffusion.windows import segments
from ..depthcrafter import counting
from .stage1 import memory as stage1_memory
from .stage1.network import PairNetwork
from .stage1.pairs import pairs
from .stage2 import refinement


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is measured or counted; see the options of `benchmark`.

    Attributes
    ----------
    plate : (width, height)
        Of the clip's frames.
    picture : (width, height)
        Of stage 1's pictures.
    width, height : int
        Of stage 2's pictures.
    frames : int
    reach : int
        The paper's n.
    window, overlap, decode_chunk : int
        As the clip's length leaves them.
    long_passes : float
        How often a frame of a very long clip is refined and decoded.
    repeats : int
    """

    plate: tuple[int, int]
    picture: tuple[int, int]
    width: int
    height: int
    frames: int
    reach: int
    window: int
    overlap: int
    decode_chunk: int
    long_passes: float
    repeats: int

    @property
    def pairs(self) -> float:
        """Pairs for each frame."""
        return len(pairs(self.frames, self.reach)) / self.frames

    @property
    def passes(self) -> float:
        """How often a frame is refined and decoded, on the mean: those that windows share twice."""
        return sum(map(len, segments(self.frames, self.window, self.overlap))) / self.frames


@dataclass(frozen=True, kw_only=True)
class MatchingCard:
    """What stage 1 would do on a card of so many gigabytes (1e9 bytes); no pairs: not even one fits."""

    gigabytes: int
    pairs: int | None
    needed_bytes: int


def matching(outline: PairNetwork, task: Task) -> dict[str, float]:
    """Floating-point operations of stage 1 for each frame.

    Parameters
    ----------
    outline : PairNetwork
        On ``meta``.
    task : Task

    Returns
    -------
    dict
        ``encode`` and ``pairs``; those of the alignment are of another kind, and not counted.
    """
    width, height = task.picture
    dtype = next(outline.parameters()).dtype

    def encode() -> torch.Tensor:
        with torch.inference_mode():
            return outline.encode(torch.empty(1, 3, height, width, dtype=dtype, device=memory.META))

    states = encode()

    def decode() -> object:
        with torch.inference_mode():
            return outline.decode(states, states, height, width)

    return {"encode": dry_run.flops(encode), "pairs": task.pairs * dry_run.flops(decode)}


def refining(networks: Networks, task: Task) -> dict[str, float]:
    """Floating-point operations of stage 2 for each frame, those of frames that windows share included.

    Parameters
    ----------
    networks : Networks
        On ``meta``.
    task : Task

    Returns
    -------
    dict
        ``clip``, ``encode`` (the plate, without CLIP), ``prior``, ``refine`` and ``decode``.
    """
    found = counting.parts(networks, task)
    return {
        "clip": found["clip"],
        "encode": found["encode"],
        "prior": dry_run.flops(_encode_prior(networks, task)) / ENCODE_GRID,
        "refine": found["step"] * task.passes,
        "decode": found["decode"] * task.passes,
    }


def _encode_prior(networks: Networks, task: Task) -> Callable[[], object]:
    def work() -> object:
        return refinement.encode_prior(
            networks,
            torch.empty(ENCODE_GRID, *task.picture[::-1], device=memory.META),
            (task.width, task.height),
            resize="nearest",
            device=memory.META,
            attempt=lambda run: run(Plan()),
        )

    return work


def cards(outline: PairNetwork, networks: Networks, task: Task) -> list[dict[str, Any]]:
    """For cards of common sizes of which nothing else takes any memory, what each stage would do."""
    dtype = next(outline.parameters()).dtype
    needed = {
        batch: stage1_memory.needed_bytes(outline, task.picture, batch, dtype=dtype, kind="cuda") + int(CUDA_CONTEXT)
        for batch in stage1_memory.BATCHES
    }
    found: list[dict[str, Any]] = []
    for card in counting.cards(counting.case(networks, task)):
        fitting = [batch for batch in stage1_memory.BATCHES if needed[batch] <= card.gigabytes * 1e9]
        size = needed[fitting[0] if fitting else stage1_memory.BATCHES[-1]]
        first = MatchingCard(gigabytes=card.gigabytes, pairs=fitting[0] if fitting else None, needed_bytes=size)
        found.append({"stage1": first, "stage2": card})
    return found
