"""The part of ``evaluate`` that measures depth sequences: with truth to compare them with, or without any."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.failures import ClipError, Failure
from ..common.files import make_folder
from ..contract import depth_sequence, exit_codes, records
from ..contract.depth_sequence import DepthSequence
from ..contract.hints import as_options

if TYPE_CHECKING:
    from ..evaluation.accuracy.comparison import Comparison, Part
    from ..evaluation.datasets.ground_truth import Truth
    from ..evaluation.report.shots import Slice
    from ..evaluation.stability.temporal_stability import ShotSteadiness, Steadiness
    from ..evaluation.table import Value

Sequences = Mapping[str, tuple[Path, DepthSequence]]
"""Folders and what their ``depth.json`` says, by the names that people see."""
_IN_SPACE = ("distance", "warp_error")


def run(options: argparse.Namespace) -> None:
    """Print what was measured, and write the report if one is asked for.

    Raises
    ------
    Failure, DepthSequenceError, TruthError, MetricsError, ClipError, ReportError
    """
    sequences = _named(options.depth)
    slices = check_report(options, sequences)
    if options.truth:
        comparisons = _compared(options, sequences)
        _show(options, comparisons)
    else:
        found = _steadiness(options, sequences)
    if not options.report:
        return
    from ..evaluation.report import build, write
    from ..evaluation.report.shots import OnDisk, plate_name

    title = f"Depth of {' and '.join(dict.fromkeys(plate_name(each.source) for _, each in sequences.values()))}"
    if options.truth:
        report = build.against_truth(title, comparisons, slices=slices, tell=_tell)
    else:
        on_disk = [OnDisk(name=name, folder=folder, sequence=each) for name, (folder, each) in sequences.items()]
        report = build.alone(title, on_disk, found, slices=slices)
    _tell(f"The report is {write.write(report, options.report)}.")


def check_report(options: argparse.Namespace, sequences: Sequences | None = None) -> tuple[Slice, ...]:
    """Refuse what cannot be reported before anything is measured; returns the lines that the report shows over time.

    Raises
    ------
    Failure, ReportError
    """
    for name in ("column", "row"):
        if getattr(options, name) and not options.report:
            raise Failure(exit_codes.USAGE, f"--{name} says what a report shows.", cure="Add --report DIR.")
        if getattr(options, name) and options.suite:
            raise Failure(exit_codes.USAGE, f"The clips of a suite differ in size, so --{name} has no place with it.")
    if not options.report:
        return ()
    from ..evaluation.report import write  # a package that is missing is told now, not after the work
    from ..evaluation.report.shots import MIDDLE, Slice

    write.check(Path(options.report))
    slices: tuple[Slice, ...] = ()
    if sequences and (options.column or options.row):
        width, height = _size(next(iter(sequences.values()))[1])
        slices += tuple(Slice.of_pixel("column", pixel, size=width) for pixel in options.column)
        slices += tuple(Slice.of_pixel("row", pixel, size=height) for pixel in options.row)
    make_folder(Path(options.report))  # one that cannot be written is told now as well
    return slices or MIDDLE


def _size(sequence: DepthSequence) -> tuple[int, int]:
    """Of the plate, as far as it is known; else of the maps."""
    from ..media.clip import open_clip

    try:
        with open_clip(sequence.source, sequence.first_frame, sequence.last_frame) as clip:
            return clip.width, clip.height
    except ClipError:
        return sequence.source.width or sequence.width, sequence.source.height or sequence.height


def _named(folders: Sequence[str]) -> Sequences:
    """Depth sequences by their estimators or, where two have the same, by their folders.

    Of folders the ends of their paths, as long as it takes to tell them apart.
    """
    sequences = [depth_sequence.load(folder) for folder in folders]
    names = [each.estimator for each in sequences]
    paths = [Path(folder).absolute() for folder in folders]
    if len(set(paths)) < len(paths):
        raise Failure(exit_codes.USAGE, "The same depth sequence is named twice.", cure="Name each once.")
    parts = 0
    while len(set(names)) < len(names):
        parts += 1
        names = ["/".join(path.parts[-parts:]) for path in paths]
    return dict(zip(names, zip(map(Path, folders), sequences, strict=True), strict=True))


def _steadiness(options: argparse.Namespace, sequences: Sequences) -> dict[str, list[ShotSteadiness]]:
    """Print how steady depth is, without any truth; returns what was found of each shot."""
    from ..evaluation.stability.temporal_stability import Steadiness, notes, steadiness_by_shot

    found = {}
    for name, (folder, sequence) in sequences.items():
        if options.report:
            _tell(f"Measuring the steadiness of {name}")
        found[name] = steadiness_by_shot(folder, sequence, mattes=options.mattes)
    rows = [(name, each) for name, shots in found.items() for _, each in shots if isinstance(each, Steadiness)]
    errors = [(name, shot, e) for name, shots in found.items() for shot, e in shots if not isinstance(e, Steadiness)]
    if errors and not rows and not options.report:
        raise errors[0][2]
    for name, shot, error in errors:
        _tell(f"{name}, frames {shot.first_frame}-{shot.last_frame}: {error}")
    for name, (_, sequence) in sequences.items():
        for shot in sequence.refused_shots:
            _tell(f"{name}, frames {shot.first_frame}-{shot.last_frame} have no depth: {as_options(shot.reason or '')}")
    for name, each in rows:
        _tell(*notes(each), who=f"{name}, frames {each.first_frame}-{each.last_frame}")
    if options.form == "json":
        print(json.dumps([{"name": name, **_without_nan(records.to_json(each))} for name, each in rows], indent=2))
    else:
        _print_steadiness(rows, several=len(found) > 1)
    return found


def _print_steadiness(rows: Iterable[tuple[str, Steadiness]], *, several: bool) -> None:
    from ..evaluation.table import Column, Table

    lines: list[tuple[Value, ...]] = []
    for name, each in rows:
        shares = (each.flicker, each.mean_drift(border=False), each.mean_drift(border=True))
        jumps = ", ".join(f"{step.frame} ({100 * (step.size or 0):.1f}%)" for step in each.jumps) or "none"
        percents = (None if share is None else 100 * share for share in shares)
        lines.append((f"{each.first_frame}-{each.last_frame}", *percents, jumps, *([name] if several else [])))
    heads = [Column(name=name, unit="%", digits=2) for name in ("flicker", "drift", "across windows")]
    rest = [Column(name="jumps at frames"), *([Column(name="")] if several else [])]
    print(Table(columns=(Column(name="frames"), *heads, *rest), rows=tuple(lines)).text())


def _compared(options: argparse.Namespace, sequences: Sequences) -> dict[str, Comparison]:
    """Every depth sequence, measured."""
    from ..evaluation.accuracy.comparison import compare
    from ..evaluation.datasets import ground_truth, protocols

    protocol = protocols.of(options.protocol or "plain", options.layout)
    truth = _truth(options)
    if options.mattes:
        truth = ground_truth.with_masks(truth, Path(options.mattes))
    found: dict[str, Comparison] = {}
    for name, (folder, sequence) in sequences.items():
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
    last = max((shot.last_frame for shot in sequence.done_shots), default=origin)
    if last - origin >= len(truth):
        raise Failure(
            exit_codes.USAGE,
            f"The truth has {len(truth)} frames and the depth goes on to frame {last} of a clip that begins "
            f"at {origin}.",
            cure="Give the truth of this very clip.",
        )


def _show(options: argparse.Namespace, comparisons: Mapping[str, Comparison]) -> None:
    """Print what was measured: of one sequence every shot, of several, or by a published protocol, the table."""
    from ..evaluation.accuracy.metrics import NAMES
    from ..evaluation.suites import outcomes

    for name, comparison in comparisons.items():
        _tell(*comparison.notes(), who=name if len(comparisons) > 1 else "Note")
    if len(comparisons) == 1 and not options.protocol and options.form in {None, "json"}:
        (comparison,) = comparisons.values()
        shots = [_shot(comparison, part, consistency=options.consistency) for part in comparison.parts]
        if options.form == "json":
            print(json.dumps(shots, indent=2, allow_nan=False))
        else:
            _print_shots(shots)
        return
    names = (*NAMES, *_IN_SPACE) if options.consistency else NAMES
    found = []
    for name, comparison in comparisons.items():
        clip, facts = comparison.truth.name, {"folder": str(comparison.folder)}
        found.append(outcomes.outcome_of(comparison, names, facts=facts, estimator=name, set=clip, clip=clip))
        _tell(*found[-1].notes[len(comparison.notes()) :], who=name)
    print(outcomes.printed(found, names, form=options.form))


def _shot(comparison: Comparison, part: Part, *, consistency: bool) -> dict[str, Any]:
    """All figures of a shot, as JSON has them."""
    from ..evaluation.suites.outcomes import by_frame

    (errors,) = by_frame([part])
    return {
        "first_frame": part.first_frame,
        "last_frame": part.last_frame,
        **records.to_json(comparison.figures(part)),
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
        _tell(str(error), who="Note")
        return None
    _tell(*consistency_notes([found]), who="Note")
    return _without_nan(records.to_json(found))


def _print_shots(shots: Sequence[Mapping[str, Any]]) -> None:
    from ..evaluation.accuracy.metrics import METRICS
    from ..evaluation.table import Column, Table

    in_space = any("consistency" in shot for shot in shots)
    over_time = [Column(name="flicker")]
    over_time += [Column(name="distance", unit="m"), Column(name="warp error")] if in_space else []
    rows: list[tuple[Value, ...]] = []
    for shot in shots:
        found = shot.get("consistency") or {"spaced": {}, "neighbours": {}}
        values = [shot["flicker"], found["spaced"].get("distance"), found["neighbours"].get("relative")]
        for region, own in shot["regions"].items():
            if region == "static" and "moving" not in shot["regions"]:
                continue  # the same as all
            last = values[: len(over_time)] if region == "all" else [""] * len(over_time)
            errors = (own[metric.name] for metric in METRICS)
            rows.append((f"{shot['first_frame']}-{shot['last_frame']}", region, *errors, *last))
    columns = (Column(name="frames"), Column(name="region"), *(metric.column() for metric in METRICS), *over_time)
    print(Table(columns=columns, rows=tuple(rows)).text())


def _without_nan(value: Any) -> Any:
    """A value with null for what could not be measured, since JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tell(*sentences: str, who: str = "") -> None:
    for each in sentences:
        sys.stderr.write(f"{who}: {each}\n" if who else f"{each}\n")
