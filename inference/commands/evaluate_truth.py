"""The part of ``evaluate`` that has truth to compare with."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.failures import Failure
from ..contract import depth_sequence, exit_codes, records
from ..contract.depth_sequence import DepthSequence
from . import evaluate_report

if TYPE_CHECKING:
    from ..evaluation.accuracy.comparison import Comparison, Part
    from ..evaluation.datasets.ground_truth import Truth
    from ..evaluation.suites.table import Outcome

_IN_SPACE = ("distance", "warp_error")


def compared(options: argparse.Namespace) -> dict[str, Comparison]:
    """Every depth sequence, measured, by the name that it goes by."""
    from ..evaluation.accuracy.comparison import compare
    from ..evaluation.datasets import ground_truth, protocols

    protocol = protocols.of(options.protocol or "plain", options.layout)
    folders = evaluate_report.named(options.depth)
    truth = _truth(options)
    if options.mattes:
        truth = ground_truth.with_masks(truth, Path(options.mattes))
    found: dict[str, Comparison] = {}
    for name, folder in folders.items():
        sequence = depth_sequence.load(folder)
        if protocol == protocols.PLAIN and options.layout == "folder":
            _check_length(sequence, truth)
        found[name] = compare(folder, truth, protocol, prepared=options.prepared, sequence=sequence)
    return found


def _truth(options: argparse.Namespace) -> Truth:
    from ..evaluation import datasets

    clips = datasets.open_clips(options.truth, options.layout, rendering=options.rendering)
    if options.clip:
        clips = [clip for clip in clips if clip.name == options.clip] or clips
    if len(clips) == 1 and options.clip in {None, clips[0].name}:
        return clips[0]
    shown = ", ".join(clip.name for clip in clips[:8]) + (", …" if len(clips) > 8 else "")
    what = f"there is no clip {options.clip}" if options.clip else f"there are {len(clips)} clips"
    raise Failure(exit_codes.USAGE, f"In {options.truth} {what}: {shown}.", cure="Name one with --clip NAME.")


def _check_length(sequence: DepthSequence, truth: Truth) -> None:
    """Refuse truth that ends before the depth does: it would be that of another clip."""
    from ..evaluation.accuracy.comparison import origin_of

    origin = origin_of(sequence, truth)
    last = max(shot.last_frame for shot in sequence.done_shots) if sequence.done_shots else origin
    if last - origin >= len(truth):
        raise Failure(
            exit_codes.USAGE,
            f"The truth has {len(truth)} frames and the depth goes on to frame {last} of a clip that begins "
            f"at {origin}.",
            cure="Give the truth of this very clip.",
        )


def show(options: argparse.Namespace, comparisons: Mapping[str, Comparison]) -> None:
    """Print what was measured: of one sequence every shot, of several, or by a published protocol, the table."""
    from ..evaluation.accuracy.metrics import NAMES
    from ..evaluation.suites import table

    for name, comparison in comparisons.items():
        _tell(name if len(comparisons) > 1 else "Note", comparison.notes())
    if len(comparisons) == 1 and not (options.protocol or options.csv or options.markdown):
        (comparison,) = comparisons.values()
        shots = [_shot(comparison, part, consistency=options.consistency) for part in comparison.parts]
        if options.json:
            print(json.dumps(shots, indent=2, allow_nan=False))
        else:
            _print_shots(shots)
        return
    names = (*NAMES, *_IN_SPACE) if options.consistency else NAMES
    outcomes = [_outcome(name, comparison, names) for name, comparison in comparisons.items()]
    if options.json:
        print(json.dumps(table.as_json(outcomes, names), indent=2, allow_nan=False))
    elif options.csv:
        print(table.as_csv(outcomes), end="")
    else:
        print(table.markdown(outcomes, names), end="")


def _tell(who: str, notes: Sequence[str]) -> None:
    for note in notes:
        sys.stderr.write(f"{who}: {note}\n")


def _outcome(name: str, comparison: Comparison, names: Sequence[str]) -> Outcome:
    from ..evaluation.accuracy.over_time import measure
    from ..evaluation.suites.table import Outcome, by_frame

    steady = measure(comparison, names)
    _tell(name, steady.notes)
    values = comparison.values()
    values["all"] |= steady.values
    return Outcome(
        estimator=name,
        set=comparison.truth.name,
        clip=comparison.truth.name,
        values=values,
        notes=(*comparison.notes(), *steady.notes),
        facts={"folder": str(comparison.folder), "parts": by_frame(comparison.parts)},
    )


def _shot(comparison: Comparison, part: Part, *, consistency: bool) -> dict[str, Any]:
    """All figures of a shot, as JSON has them."""
    from ..evaluation.accuracy.metrics import summary
    from ..evaluation.suites.table import by_frame

    (errors,) = by_frame([part])
    regions = summary([part.scores], comparison.protocol.average)
    return {
        "first_frame": part.first_frame,
        "last_frame": part.last_frame,
        **records.to_json(comparison.figures(part)),
        "regions": {name: own for name, own in regions.items() if own["delta1"] is not None},
        **({"consistency": _consistency(comparison, part)} if consistency else {}),
        "by_frame": errors,
    }


def _consistency(comparison: Comparison, part: Part) -> Any:
    """Of a shot; None, and a sentence for people, where the truth does not have what it takes."""
    from ..evaluation.accuracy.metrics import MetricsError
    from ..evaluation.accuracy.over_time import consistency_notes, consistency_of

    try:
        found = consistency_of(comparison, part)
    except MetricsError as error:
        _tell("Note", [str(error)])
        return None
    _tell("Note", consistency_notes([found]))
    return evaluate_report.without_nan(records.to_json(found))


def _print_shots(shots: Sequence[Mapping[str, Any]]) -> None:
    in_space = any("consistency" in shot for shot in shots)
    more = "  distance [m]  warp error" if in_space else ""
    print(f"frames          region  AbsRel  RMSE [m]  delta1  delta2  delta3  flicker{more}")
    for shot in shots:
        frames = f"{shot['first_frame']}-{shot['last_frame']}"
        for region, own in shot["regions"].items():
            if region == "static" and "moving" not in shot["regions"]:
                continue  # the same as all
            row = f"{frames:14}  {region:6}  {own['absolute_relative']:.4f}{own['root_mean_square']:10.4f}"
            row += "".join(f"{own[name]:8.4f}" for name in ("delta1", "delta2", "delta3"))
            if region == "all":
                found = shot.get("consistency") or {"spaced": {}, "neighbours": {}}
                values = [(9, shot["flicker"])]
                if in_space:
                    values += [(14, found["spaced"].get("distance")), (12, found["neighbours"].get("relative"))]
                row += "".join(f"{'-' if value is None else format(value, '.4f'):>{width}}" for width, value in values)
            print(row)
