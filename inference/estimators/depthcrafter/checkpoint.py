"""What a run keeps after every segment, so that a later one goes on from there to the same bits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import kept
from .execution.plan import Plan
from .stages import Encoded

NAME = "segments.safetensors"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run between two segments.

    Attributes
    ----------
    segments_done : int
        Segments that are denoised and joined.
    latents : Tensor [n, 4, h, w]
        Joined latents from frame `latents_from` on: what is not decoded yet, or overlaps the next segment.
    latents_from : int
    encoded : Encoded
        Frames from `encoded_from` on that are encoded already and still needed.
    encoded_from : int
    pool : Tensor [window, 4, h, w]
        See `noise.latent_noise`.
    generator : Tensor
        State of the generator of pixel noise, after the last encoded frame.
    plan : Plan
        In what pieces the layers were computed; with another one results differ by rounding.
    """

    segments_done: int
    latents: Tensor
    latents_from: int
    encoded: Encoded
    encoded_from: int
    pool: Tensor
    generator: Tensor
    plan: Plan


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Keep a checkpoint in the place of the one before, in one step."""
    tensors = {
        "latents": checkpoint.latents,
        "encoded.latents": checkpoint.encoded.latents,
        "encoded.embeddings": checkpoint.encoded.embeddings,
        "pool": checkpoint.pool,
        "generator": checkpoint.generator,
    }
    facts = {
        "segments_done": checkpoint.segments_done,
        "latents_from": checkpoint.latents_from,
        "encoded_from": checkpoint.encoded_from,
        "plan": dataclasses.asdict(checkpoint.plan),
    }
    kept.save(folder / NAME, tensors, facts)


def load(folder: Path) -> Checkpoint | None:
    """The checkpoint that an earlier run left; None where there is none that can be read."""
    found = kept.load(folder / NAME)
    if found is None:
        return None
    tensors, facts = found
    return Checkpoint(
        segments_done=facts["segments_done"],
        latents=tensors["latents"],
        latents_from=facts["latents_from"],
        encoded=Encoded(tensors["encoded.latents"], tensors["encoded.embeddings"]),
        encoded_from=facts["encoded_from"],
        pool=tensors["pool"],
        generator=tensors["generator"].to(torch.uint8),
        plan=Plan(**facts["plan"]),
    )


def plan(folder: Path) -> Plan | None:
    """The plan alone of the checkpoint in a folder, without its tensors; None where there is none that can be read."""
    facts = kept.facts(folder / NAME)
    return Plan(**facts["plan"]) if facts else None
