"""The memory plan: how an estimate is split to fit into memory, and what to change where it does not fit at all.

The memory that a plan needs comes from a dry run (`dry_run`) of the stages that an estimate runs, on networks of the
same sizes. What a dry run cannot measure is added as a margin.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..common.failures import Failure
from ..contract import exit_codes
from ..contract.hints import setting
from . import dry_run, resolution, stages
from .dry_run import META, gigabytes, with_margin
from .execution import pieces
from .execution.plan import Plan
from .networks import CLASSES, Networks, random_networks
from .placement import Placement, Stage
from .stages import ENCODE_GRID

Settings = dict[str, Any]
_STEP = 0.85
"""Memory of the next smaller plan, as a share of this one's; a smaller step would lie within the dry run's error."""
STAGES: tuple[Stage, ...] = ("denoise", "decode", "encode")
"""In the order in which they stop fitting."""


def choose_plan(case: Case, free_bytes: int, *, compiled: bool = False, who: str = "DepthCrafter") -> Plan:
    """The fastest plan that fits; `who` needs the memory, for the message.

    Raises
    ------
    Failure
        UNSUPPORTED: not even the smallest plan fits; the message has the figures and what to change.
    """
    plan = _fitting(case, dict.fromkeys(STAGES, free_bytes))
    if plan is None:
        raise _too_little(case, free_bytes, who)
    return replace(plan, compiled=compiled)


def step_down(case: Case, plan: Plan, stage: Stage | None = None) -> Plan | None:
    """The next smaller plan, for use after memory ran out in a stage; None where there is none.

    Where the stage is unknown (None), every stage must need less where it can.
    """
    now = needed_bytes(case, plan)
    least = needed_bytes(case, smallest(case))
    wanted = {each: int(_STEP * now[each]) if stage in (None, each) else now[each] for each in STAGES}
    smaller = _fitting(case, {each: max(wanted[each], least[each]) for each in STAGES})
    if smaller is None or not any(
        stage_bytes(case, each, smaller) < now[each] for each in STAGES if stage in (None, each)
    ):
        return None
    return replace(smaller, compiled=plan.compiled)


def smallest(case: Case) -> Plan:
    """The plan that needs the least memory."""
    plan = Plan()
    for stage in STAGES:
        plan = replace(plan, **_families(case, stage, away=case.kind == "cuda")[-1][-1])
    return plan


def _fitting(case: Case, room: dict[Stage, int]) -> Plan | None:
    """The fastest plan each of whose stages fits into its `room`."""
    for away in (False, True) if case.kind == "cuda" else (False,):
        settings: Settings = {}
        for stage in STAGES:
            found = _first(case, stage, away=away, room=room[stage])
            if found is None:
                break
            settings |= found
        else:
            return Plan(**settings)
    return None


def _first(case: Case, stage: Stage, *, away: bool, room: int) -> Settings | None:
    """The first settings of a stage that fit; within a family, later ones need less."""
    if not away and case.weights() > room:
        return None
    for family in _families(case, stage, away=away):

        def fits(settings: Settings) -> bool:
            return stage_bytes(case, stage, Plan(**settings)) <= room

        if fits(family[0]):
            return family[0]
        if fits(family[-1]):
            return family[bisect.bisect_left(family, True, lo=1, hi=len(family) - 1, key=fits)]
    return None


def _families(case: Case, stage: Stage, *, away: bool) -> list[list[Settings]]:
    """Settings of a stage, the fastest first, in families whose members need less and less.

    Smaller pieces come first, as long as a piece still keeps a large GPU busy; then networks wait in host memory, then
    the skip connections, and last the UNet's blocks.
    """
    base: Settings = {"networks_on_host": away}
    if stage == "encode":
        return [[base | {"encode_frames": frames} for frames in (8, 2, 1)]]
    if stage == "decode":
        rows = [None, *(rows for rows in (64, 8) if rows < case.height)]
        return [[base | {"decoder_rows": each} for each in rows]]

    def pieces(*sizes: int | None, **more: bool) -> list[Settings]:
        return [base | more | _piece(case, size) for size in sizes if size is None or size < case.window or size == 1]

    if case.kind != "cuda":
        return [pieces(None, 16, 4, 1)]
    if not away:
        return [pieces(None, 16)]
    return [
        pieces(None, 16, 4),
        pieces(16, 4, 1, skips_on_host=True),
        pieces(8, 2, 1, skips_on_host=True, blocks_on_host=True),
    ]


def _piece(case: Case, frames: int | None) -> Settings:
    """Frames that a spatial layer computes at once, and a temporal layer's share of the image in proportion."""
    pixels = (case.width // 8) * (case.height // 8)
    return {"frames": frames, "pixels": frames and max(1, -(-frames * pixels // case.window))}


def _too_little(case: Case, free_bytes: int, who: str) -> Failure:
    """The failure that says how much memory is needed, how much is free, and what would fit."""
    long = max(case.width, case.height)
    needed = needed_bytes(case, smallest(case))
    sizes = (896, 768, 640, 512, 384, 256, 128)
    smaller = [(setting("size", size), _resized(case, size)) for size in sizes if size < long]
    windows = (80, 60, 40, 25, 10, 1) if max(needed["encode"], needed["decode"]) <= free_bytes else ()
    shorter = [(setting("window", window), replace(case, window=window)) for window in windows if window < case.window]
    alternatives = [
        _first_hint("a smaller size", smaller, free_bytes),
        _first_hint("a shorter window", shorter, free_bytes),
    ]
    choices = ", ".join(hint for hint in alternatives if hint)
    wanted = f"{case.width}x{case.height} in windows of {case.window} frame{'s' * (case.window > 1)}"
    return Failure(
        exit_codes.UNSUPPORTED,
        f"{who} needs about {gigabytes(max(needed.values()))} GB at {wanted}, "
        f"and {gigabytes(free_bytes, up=False)} GB are free.",
        hint=f"Choose {choices}, or close other programs that use the memory."
        if choices
        else "Close other programs that use the memory, or choose the estimator parallax.",
    )


def _first_hint(what: str, ways: list[tuple[str, Case]], free_bytes: int) -> str:
    """The smallest change of one kind that fits, in words; empty where none does."""

    def fits(way: tuple[str, Case]) -> bool:
        return peak_bytes(way[1], smallest(way[1])) <= free_bytes

    at = bisect.bisect_left(ways, True, key=fits)
    if at == len(ways):
        return ""
    way, case = ways[at]
    return f"{what} ({way} needs about {gigabytes(peak_bytes(case, smallest(case)))} GB)"


def _resized(case: Case, long: int) -> Case:
    factor = long / max(case.width, case.height)
    width, height = resolution.network_size(round(case.width * factor), round(case.height * factor))
    return replace(case, width=width, height=height)


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """The facts of an estimate that its memory depends on.

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
        Kind of the device: ``cuda``, ``mps`` or ``cpu``. Only CUDA has memory of its own.
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
        return dry_run.bytes_of(tensor for network in self.networks.modules for tensor in network.parameters())


def outlined(networks: Networks, dtype: torch.dtype) -> Networks:
    """Networks of the same sizes on ``meta``, in the dtypes of a run."""
    config: dict[str, dict[str, Any]] = {}
    for part in (*CLASSES, "scheduler"):
        own = getattr(networks, part).config
        own = own.to_dict() if hasattr(own, "to_dict") else dict(own)
        config[part] = {key: value for key, value in own.items() if not key.startswith("_")}
    return random_networks(config=config, device="meta", dtype=dtype)


def needed_bytes(case: Case, plan: Plan) -> dict[Stage, int]:
    """Bytes of device memory that each stage needs under a plan, without CUDA's own share."""
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
        case._known[key] = with_margin(_peak(case, *key), case.kind)
    return case._known[key]


def _peak(case: Case, stage: Stage, plan: Plan) -> int:
    """Peak of a stage's dry run; the plan decides what the device holds between the stages."""
    networks = case.networks
    where = torch.device("cpu") if plan.networks_on_host else META
    moved = [each for each in networks.modules if next(each.parameters()).device != where]
    dry_run.peak_bytes(lambda: [torch.nn.Module.to(each, where) for each in moved])  # before the stage: not counted
    placement = Placement(networks, META, plan, smaller=lambda plan: None, warn=lambda message: None)

    def work() -> object:
        with placement.during(stage), pieces.few():
            return _stage(case, stage, placement)

    resident = (tensor for each in networks.modules for tensor in (*each.parameters(), *each.buffers()))
    return dry_run.peak_bytes(work, resident=resident, fused_attention=case.kind != "mps")


def _stage(case: Case, stage: Stage, placement: Placement) -> object:
    common: dict[str, Any] = {"device": META, "attempt": placement.attempt}
    rows, columns = case.height // 8, case.width // 8
    if stage == "encode":
        images = dry_run.on_host((ENCODE_GRID, 3, case.height, case.width), torch.float32)
        return stages.encode(case.networks, images, images, **common)
    if stage == "decode":
        latents = dry_run.on_host((case.decode_chunk, 4, rows, columns), torch.float32)
        return stages.decode(case.networks, latents, **common)
    latents = dry_run.on_host((case.window, 4, rows, columns), torch.float32)
    width = case.networks.image_encoder.config.projection_dim
    embeddings = dry_run.on_host((case.window, width), torch.float16)
    conditions = stages.Encoded(latents, embeddings)
    # guidance runs two passes in turn: memory for one, and the first one's result
    common |= {"steps": 1, "guidance": 1.0, "noise_augmentation": 0.02}
    first_pass = torch.empty_like(latents, device=META) if case.guided else None
    return stages.denoise(case.networks, latents, conditions, **common), first_pass
