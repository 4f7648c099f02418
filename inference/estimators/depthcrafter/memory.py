"""In what pieces an estimate must be computed to fit into memory, and what to change where it does not fit at all."""

from __future__ import annotations

import bisect
from dataclasses import replace
from typing import Any

from ... import exit_codes
from ...faults import Failure
from ...hints import setting
from . import resolution
from .demand import STAGES, Case, needed_bytes, outlined, peak_bytes, stage_bytes
from .execution.plan import Plan
from .margin import gigabytes
from .placement import Stage

__all__ = ["Case", "choose_plan", "needed_bytes", "outlined", "peak_bytes", "smallest", "step_down"]

Settings = dict[str, Any]
_STEP = 0.85
"""Memory of the next smaller plan, as a share: much less than the dry run may be wrong by would not help."""


def choose_plan(case: Case, free_bytes: int, *, compiled: bool = False, who: str = "DepthCrafter") -> Plan:
    """The fastest plan that fits.

    Parameters
    ----------
    case : Case
    free_bytes : int
        See `device.free_bytes`.
    compiled : bool
        Taken over into the plan.
    who : str
        Needs the memory, for the sentence.

    Raises
    ------
    Failure
        REFUSED: not even the smallest plan fits; the sentence has the numbers and what to change.
    """
    plan = _fitting(case, dict.fromkeys(STAGES, free_bytes))
    if plan is None:
        raise _too_little(case, free_bytes, who)
    return replace(plan, compiled=compiled)


def step_down(case: Case, plan: Plan, stage: Stage | None = None) -> Plan | None:
    """The next smaller plan, for when the memory did not suffice after all.

    Parameters
    ----------
    case : Case
    plan : Plan
    stage : str or None
        Where it did not suffice; None: unknown, so that every stage is to need less, if it can.

    Returns
    -------
    Plan or None
        None where there is none.
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
    """The fastest plan each of whose stages keeps within its room."""
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

    Smaller pieces come before networks that come and go, as long as a piece still fills a large card; then networks
    wait on the host, then the skip connections, at last the UNet's blocks.
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
    """Frames of a spatial layer at once, and as much of the picture of a temporal one."""
    places = (case.width // 8) * (case.height // 8)
    return {"frames": frames, "pixels": frames and max(1, -(-frames * places // case.window))}


def _too_little(case: Case, free_bytes: int, who: str) -> Failure:
    """Say how much is needed, how much there is, and what would fit."""
    long = max(case.width, case.height)
    needed = needed_bytes(case, smallest(case))
    sizes = (896, 768, 640, 512, 384, 256, 128)
    smaller = [(setting("size", size), _resized(case, size)) for size in sizes if size < long]
    windows = (80, 60, 40, 25, 10, 1) if max(needed["encode"], needed["decode"]) <= free_bytes else ()
    shorter = [(setting("window", window), replace(case, window=window)) for window in windows if window < case.window]
    cures = [_first_cure("a smaller size", smaller, free_bytes), _first_cure("a shorter window", shorter, free_bytes)]
    choices = ", ".join(cure for cure in cures if cure)
    wanted = f"{case.width}x{case.height} in windows of {case.window} frame{'s' * (case.window > 1)}"
    return Failure(
        exit_codes.REFUSED,
        f"{who} needs about {gigabytes(max(needed.values()))} GB at {wanted}, "
        f"and {gigabytes(free_bytes, up=False)} GB are free.",
        cure=f"Choose {choices}, or close other programs that use the memory."
        if choices
        else "Close other programs that use the memory, or choose the estimator parallax.",
    )


def _first_cure(what: str, ways: list[tuple[str, Case]], free_bytes: int) -> str:
    """The least change of a kind that fits, as words."""

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
