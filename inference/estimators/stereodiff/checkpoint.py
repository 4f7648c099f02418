"""What the second stage keeps after every window, so that a later run goes on from there to the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..depthcrafter import kept
from ..depthcrafter.execution.plan import Plan
from ..depthcrafter.stages import Encoded

NAME = "windows.safetensors"


@dataclass(frozen=True)
class Inputs:
    """What a window is refined from.

    Attributes
    ----------
    plate : Encoded
        Of n frames.
    prior : Tensor [n, 4, h, w]
        See `refinement.encode_prior`.
    """

    plate: Encoded
    prior: Tensor

    def __len__(self) -> int:
        return len(self.prior)

    def __getitem__(self, frames: slice) -> Inputs:
        return Inputs(self.plate[frames], self.prior[frames])

    @staticmethod
    def joined(pieces: Sequence[Inputs]) -> Inputs:
        """Consecutive frames as one."""
        return Inputs(Encoded.joined([piece.plate for piece in pieces]), torch.cat([piece.prior for piece in pieces]))


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run whose last window is refined, but not decoded.

    Attributes
    ----------
    windows_done : int
        Windows that are refined, one or more.
    latents : Tensor [n, 4, h, w]
        Of the last of them.
    waiting : Tensor [m, H, W]
        What the windows before it have made of its first frames; m = 0 where nothing is blended.
    inputs : Inputs
        Of frames from `inputs_from` on, where the next window begins.
    inputs_from : int
    low, high : float
        The shot's range.
    plan : Plan
        In what pieces the layers were computed; with another one results differ by rounding.
    """

    windows_done: int
    latents: Tensor
    waiting: Tensor
    inputs: Inputs
    inputs_from: int
    low: float
    high: float
    plan: Plan


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Keep a checkpoint in the place of the one before, in one step."""
    tensors = {
        "latents": checkpoint.latents,
        "waiting": checkpoint.waiting,
        "plate.latents": checkpoint.inputs.plate.latents,
        "plate.embeddings": checkpoint.inputs.plate.embeddings,
        "prior": checkpoint.inputs.prior,
    }
    facts = {
        "windows_done": checkpoint.windows_done,
        "inputs_from": checkpoint.inputs_from,
        "range": [checkpoint.low, checkpoint.high],
        "plan": dataclasses.asdict(checkpoint.plan),
    }
    kept.save(folder / NAME, tensors, facts)


def load(folder: Path) -> Checkpoint | None:
    """The checkpoint that an earlier run left; None where there is none that can be read."""
    found = kept.load(folder / NAME)
    if found is None:
        return None
    tensors, facts = found
    low, high = facts["range"]
    return Checkpoint(
        windows_done=facts["windows_done"],
        latents=tensors["latents"],
        waiting=tensors["waiting"],
        inputs=Inputs(Encoded(tensors["plate.latents"], tensors["plate.embeddings"]), tensors["prior"]),
        inputs_from=facts["inputs_from"],
        low=low,
        high=high,
        plan=Plan(**facts["plan"]),
    )


def plan(folder: Path) -> Plan | None:
    """The plan alone of the checkpoint in a folder; None where there is none that can be read."""
    facts = kept.facts(folder / NAME)
    return Plan(**facts["plan"]) if facts else None
