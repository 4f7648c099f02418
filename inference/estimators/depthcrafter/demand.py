"""How much memory an estimate needs under a plan.

Every figure comes from a dry run (`accounting`) of the very stages that an estimate runs, on the networks' own sizes.
What a dry run cannot know is added (`margin`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from . import accounting, margin, stages
from .execution import chunks
from .execution.plan import Plan
from .networks import CLASSES, Networks, random_networks
from .pipeline import ENCODE_GRID
from .placement import Placement, Stage

META = torch.device("meta")
STAGES: tuple[Stage, ...] = ("denoise", "decode", "encode")
"""Those first that are the first not to fit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """What is to be estimated, as far as it concerns memory.

    Attributes
    ----------
    networks : Networks
        On ``meta``, in the dtypes of the run; see `outlined`.
    width, height : int
        Size that the networks see.
    window : int
        Frames that are denoised together.
    decode_chunk : int
        Frames that are decoded together.
    guided : bool
        Whether there is classifier-free guidance.
    kind : str
        Kind of the device: ``cuda``, ``mps`` or ``cpu``. Only a card has a memory of its own, which others can relieve.
    """

    networks: Networks
    width: int
    height: int
    window: int
    decode_chunk: int = 8
    guided: bool = False
    kind: str = "cuda"
    _known: dict[tuple[Stage, Plan], int] = field(default_factory=dict, init=False, repr=False)

    def weights(self) -> int:
        """Bytes of all networks."""
        return accounting.bytes_of(tensor for network in self.networks.modules for tensor in network.parameters())


def outlined(networks: Networks, dtype: torch.dtype) -> Networks:
    """Networks of the same sizes on ``meta``, in the dtypes of a run."""
    config: dict[str, dict[str, Any]] = {}
    for part in (*CLASSES, "scheduler"):
        own = getattr(networks, part).config
        own = own.to_dict() if hasattr(own, "to_dict") else dict(own)
        config[part] = {key: value for key, value in own.items() if not key.startswith("_")}
    return random_networks(config=config, device="meta", dtype=dtype)


def needed_bytes(case: Case, plan: Plan) -> dict[Stage, int]:
    """Bytes of the device's memory that each stage needs under a plan, without CUDA's own share."""
    return {stage: stage_bytes(case, stage, plan) for stage in STAGES}


def peak_bytes(case: Case, plan: Plan) -> int:
    """Bytes of the device's memory that a plan needs, without CUDA's own share."""
    return max(needed_bytes(case, plan).values())


def stage_bytes(case: Case, stage: Stage, plan: Plan) -> int:
    """Bytes of the device's memory that one stage needs under a plan; each dry run is made once."""
    own = {
        "encode": Plan(encode_frames=plan.encode_frames),
        "denoise": replace(plan, encode_frames=8, decoder_rows=None, compiled=False),
        "decode": Plan(decoder_rows=plan.decoder_rows),
    }[stage]
    key = (stage, replace(own, networks_on_host=plan.networks_on_host))
    if key not in case._known:
        case._known[key] = margin.with_margin(_peak(case, *key), case.kind)
    return case._known[key]


def _peak(case: Case, stage: Stage, plan: Plan) -> int:
    """Run a stage dry. What the device holds between the stages is what the plan says."""
    networks = case.networks
    where = torch.device("cpu") if plan.networks_on_host else META
    moved = [each for each in networks.modules if next(each.parameters()).device != where]
    accounting.peak_bytes(lambda: [torch.nn.Module.to(each, where) for each in moved])  # before the stage: not counted
    placement = Placement(networks, META, plan, smaller=lambda plan: None, warn=lambda message: None)

    def work() -> object:
        with placement.during(stage), chunks.few():
            return _stage(case, stage, placement)

    resident = (tensor for each in networks.modules for tensor in (*each.parameters(), *each.buffers()))
    return accounting.peak_bytes(work, resident=resident, fused_attention=case.kind != "mps")


def _stage(case: Case, stage: Stage, placement: Placement) -> object:
    given: dict[str, Any] = {"device": META, "attempt": placement.attempt}
    rows, columns = case.height // 8, case.width // 8
    if stage == "encode":
        pictures = accounting.on_host((ENCODE_GRID, 3, case.height, case.width), torch.float32)
        return stages.encode(case.networks, pictures, pictures, **given)
    if stage == "decode":
        latents = accounting.on_host((case.decode_chunk, 4, rows, columns), torch.float32)
        return stages.decode(case.networks, latents, **given)
    latents = accounting.on_host((case.window, 4, rows, columns), torch.float32)
    width = case.networks.image_encoder.config.projection_dim
    embeddings = accounting.on_host((case.window, width), torch.float16)
    conditions = stages.Encoded(latents, embeddings)
    # two passes one after the other need one pass's memory and what the first has given
    given |= {"steps": 1, "guidance": 1.0, "noise_augmentation": 0.02}
    kept = torch.empty_like(latents, device=META) if case.guided else None
    return stages.denoise(case.networks, latents, conditions, **given), kept
