"""How steady each shot of a depth sequence is, where one that cannot be measured does not stand in the others' way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .. import depth_sequence
from ..depth_sequence import DepthSequence
from ..media.errors import ClipError
from .metrics import MetricsError
from .steadiness import Steadiness, steadiness_of

ShotSteadiness = tuple[depth_sequence.Shot, "Steadiness | MetricsError | ClipError"]
"""A shot with how steady it is, or why that cannot be told."""


def steadiness_by_shot(
    folder: Path, sequence: DepthSequence, *, mattes: str | Path | None = None
) -> list[ShotSteadiness]:
    """Measure every shot that was estimated.

    Parameters
    ----------
    folder : Path
        Where the maps lie.
    sequence : DepthSequence
        What its ``depth.json`` says.
    mattes : path or None
        See `steadiness.steadiness_of`.
    """
    found: list[ShotSteadiness] = []
    for shot in sequence.done_shots:
        try:
            (measured,) = steadiness_of(folder, replace(sequence, shots=(shot,)), mattes=mattes)
            found.append((shot, measured))
        except (MetricsError, ClipError) as error:
            found.append((shot, error))
    return found


def notes(found: Steadiness) -> list[str]:
    """One sentence for each kind of what could not be measured in a shot that could be."""
    reasons = {
        "without an estimate in one of the two": found.without_depth,
        "with too little texture": found.without_texture,
        "without a motion that much of the picture shares": found.without_still,
    }
    lacking = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    said = [f"Of {found.pairs} pairs of neighbouring frames, these were not measured: {lacking}."] if lacking else []
    if not found.pairs:
        said.append("A frame alone holds still; steadiness takes 2 frames, and flicker 3.")
    if found.unusable:
        said.append(f"Pixels without a number as their disparity were left out: {found.unusable}.")
    return said
