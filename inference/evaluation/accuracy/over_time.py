"""A whole comparison: distances in space, flicker, edges, and errors by frequency.

Distances are those of `consistency` (StereoDiff, Table 8), flicker that of `flicker`, edges those of `boundaries`, and
bands those of `spectrum` (StereoDiff, Tables 2 and 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..stability.consistency import Consistency, Distances, consistency
from ..stability.spectrum import band_values
from .boundaries import boundary_f1
from .comparison import Comparison, Part
from .metrics import MetricsError

BY_BAND = {"absolute_relative": "AbsRel", "root_mean_square": "RMSE [m]", "delta1": "1 - delta1"}
"""Metrics that are analyzed by frequency, with the names of the papers' tables."""


@dataclass(frozen=True, kw_only=True)
class OverTime:
    """Values by the names of `metrics.EXTRA`, None where they cannot be measured, and the reasons."""

    values: dict[str, float | None]
    notes: tuple[str, ...] = ()


def measure(comparison: Comparison, names: Sequence[str]) -> OverTime:
    """The named ones of `metrics.EXTRA`, averaged over a clip's parts with the weight of what was compared in each."""
    values: dict[str, float | None] = {}
    notes: tuple[str, ...] = ()
    if {"distance", "warp_error"} & set(names):
        found: list[Consistency] = []
        try:
            found = [consistency_of(comparison, part) for part in comparison.parts]
            notes = tuple(consistency_notes(found))
        except MetricsError as error:
            notes = (str(error),)
        spaced, near = [each.spaced for each in found], [each.neighbors for each in found]
        values |= {"distance": _mean(spaced, "distance"), "warp_error": _mean(near, "relative")}
    if "flicker" in names:
        found_in = [(comparison.flicker(part), len(part.scores.frames)) for part in comparison.parts]
        values["flicker"] = _weighted([(value, count) for value, count in found_in if value is not None])
    edges = [counts for part in comparison.parts for counts in part.scores.edges]
    values |= {"boundary": boundary_f1(edges, exact=True), "boundary_near": boundary_f1(edges, exact=False)}
    return OverTime(values={name: values[name] for name in names if name in values}, notes=notes)


def consistency_of(comparison: Comparison, part: Part) -> Consistency:
    """Distances in space of a part, after its own alignment; raises as `consistency`."""
    frames = range(min(part.scores.frames), max(part.scores.frames) + 1)
    return consistency(comparison.depth(part), comparison.ground_truth, frames, protocol=comparison.protocol)


def consistency_notes(found: Sequence[Consistency]) -> list[str]:
    """The sentences of `skipped_pairs`, and one on the distance that measured flow alone causes."""
    sentences = skipped_pairs(found)
    floors = {
        "a distance of {:.4f} m": _mean([one.spaced for one in found], "floor"),
        "a warp error of {:.4f}": _mean([one.neighbors for one in found], "relative_floor"),
    }
    known = " and ".join(words.format(value) for words, value in floors.items() if value is not None)
    if known and any(one.correspondences == "measured" for one in found):
        sentences.append(
            f"Points were tracked by measured optical flow, with which the true depth itself scores {known}."
        )
    return sentences


def skipped_pairs(found: Sequence[Consistency]) -> list[str]:
    """One sentence for each frame spacing of which pairs could not be compared in space."""
    sentences = []
    apart = f"frames {found[0].spacing} apart" if found else ""
    for kind, each in (
        (apart, [one.spaced for one in found]),
        ("neighboring frames", [one.neighbors for one in found]),
    ):
        reasons = {
            "no true pose": sum(one.without_pose for one in each),
            "no estimate": sum(one.without_depth for one in each),
            "no static point visible in both": sum(one.without_points for one in each),
        }
        missing = ", ".join(f"{count} with {reason}" for reason, count in reasons.items() if count)
        if missing:
            pairs = sum(len(one.frames) for one in each)
            sentences.append(
                f"{sum(reasons.values())} of {pairs} pairs of {kind} could not be compared in space: {missing}."
            )
    return sentences


def _mean(distances: Sequence[Distances], name: str) -> float | None:
    known = [(getattr(each, name), each.points) for each in distances if getattr(each, name) is not None]
    return _weighted(known)


def _weighted(values: Sequence[tuple[float, int]]) -> float | None:
    return float(np.average([value for value, _ in values], weights=[n for _, n in values])) if values else None


def bands(comparison: Comparison) -> dict[str, list[list[float]]]:
    """Band values of each part's error sequences, by metric; parts without any value are skipped."""
    found: dict[str, list[list[float]]] = {}
    for name in BY_BAND:
        found[name] = []
        for part in comparison.parts:
            errors = part.scores.values["all"][name]
            if np.isfinite(errors).any():
                found[name].append(band_values(1 - errors if name == "delta1" else errors))
    return found
