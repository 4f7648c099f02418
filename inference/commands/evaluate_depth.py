"""The part of ``evaluate`` that measures depth sequences, with or without ground truth."""

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
    from ..evaluation.datasets.ground_truth import GroundTruth
    from ..evaluation.report.shots import Slice
    from ..evaluation.stability.temporal_stability import ShotStability, TemporalStability
    from ..evaluation.table import Value

Sequences = Mapping[str, tuple[Path, DepthSequence]]
"""Folders and the contents of their ``depth.json``, by display name."""
_IN_SPACE = ("distance", "warp_error")
_OF_SHOTS = ("flicker", "boundary", "boundary_near")


def run(options: argparse.Namespace) -> None:
    """Measure, print the figures, and write the report if one is requested."""
    sequences = _named(options.depth)
    slices = check_report(options, sequences)
    if options.report or not options.truth:  # these read the plate
        for name, (_, sequence) in sequences.items():
            other = depth_sequence.other_plate(sequence, sequence.source)
            _log(*filter(None, [other]), who=name)
    if options.truth:
        comparisons = _compared(options, sequences)
        _show(options, comparisons)
    else:
        found = _temporal_stability(options, sequences)
    if not options.report:
        return
    from ..evaluation.report import build, write
    from ..evaluation.report.shots import OnDisk, plate_name

    title = f"Depth of {' and '.join(dict.fromkeys(plate_name(each.source) for _, each in sequences.values()))}"
    if options.truth:
        report = build.against_ground_truth(title, comparisons, slices=slices, log=_log)
    else:
        on_disk = [OnDisk(name=name, folder=folder, sequence=each) for name, (folder, each) in sequences.items()]
        report = build.alone(title, on_disk, found, slices=slices)
    _log(f"The report is {write.write(report, options.report)}.")


def check_report(options: argparse.Namespace, sequences: Sequences | None = None) -> tuple[Slice, ...]:
    """Check the report's options before anything is measured; returns the lines that the report shows over time."""
    for name in ("column", "row"):
        if getattr(options, name) and not options.report:
            raise Failure(exit_codes.USAGE, f"--{name} needs a report.", hint="Add --report DIR.")
        if getattr(options, name) and options.suite:
            raise Failure(exit_codes.USAGE, f"--{name} cannot be used with --suite, whose clips differ in size.")
    if not options.report:
        return ()
    from ..evaluation.report import write  # a missing package is an error now, not after the work
    from ..evaluation.report.shots import MIDDLE, Slice

    write.check(Path(options.report))
    slices: tuple[Slice, ...] = ()
    if sequences and (options.column or options.row):
        width, height = _size(next(iter(sequences.values()))[1])
        slices += tuple(Slice.of_pixel("column", pixel, size=width) for pixel in options.column)
        slices += tuple(Slice.of_pixel("row", pixel, size=height) for pixel in options.row)
    make_folder(Path(options.report))  # and so is a folder that cannot be written
    return slices or MIDDLE


def _size(sequence: DepthSequence) -> tuple[int, int]:
    """Width and height of the plate if it can be read, else of the maps."""
    from ..media.clip import open_clip

    try:
        with open_clip(sequence.source, sequence.first_frame, sequence.last_frame) as clip:
            return clip.width, clip.height
    except ClipError:
        return sequence.source.width or sequence.width, sequence.source.height or sequence.height


def _named(folders: Sequence[str]) -> Sequences:
    """Depth sequences by estimator or, where two share one, by the shortest ends of their paths that differ."""
    sequences = [depth_sequence.load(folder) for folder in folders]
    names = [each.estimator for each in sequences]
    paths = [Path(folder).absolute() for folder in folders]
    if len(set(paths)) < len(paths):
        raise Failure(exit_codes.USAGE, "The same depth sequence is named twice.", hint="Name each once.")
    parts = 0
    while len(set(names)) < len(names):
        parts += 1
        names = ["/".join(path.parts[-parts:]) for path in paths]
    return dict(zip(names, zip(map(Path, folders), sequences, strict=True), strict=True))


def _temporal_stability(options: argparse.Namespace, sequences: Sequences) -> dict[str, list[ShotStability]]:
    """Print each shot's temporal stability; returns the measurements."""
    from ..evaluation.stability.temporal_stability import TemporalStability, notes, stability_by_shot

    found = {}
    for name, (folder, sequence) in sequences.items():
        if options.report:
            _log(f"Measuring the temporal stability of {name}")
        found[name] = stability_by_shot(folder, sequence, mattes=options.mattes)
    rows = [(name, each) for name, shots in found.items() for _, each in shots if isinstance(each, TemporalStability)]
    errors = [
        (name, shot, e) for name, shots in found.items() for shot, e in shots if not isinstance(e, TemporalStability)
    ]
    if errors and not rows and not options.report:
        raise errors[0][2]
    for name, shot, error in errors:
        _log(f"{name}, frames {shot.first_frame}-{shot.last_frame}: {error}")
    for name, (_, sequence) in sequences.items():
        for shot in sequence.unsupported_shots:
            _log(f"{name}, frames {shot.first_frame}-{shot.last_frame} have no depth: {as_options(shot.reason or '')}")
    for name, each in rows:
        _log(*notes(each), who=f"{name}, frames {each.first_frame}-{each.last_frame}")
    if options.form == "json":
        print(json.dumps([{"name": name, **_without_nan(records.to_json(each))} for name, each in rows], indent=2))
    else:
        _print_stability(rows, several=len(found) > 1)
    return found


def _print_stability(rows: Iterable[tuple[str, TemporalStability]], *, several: bool) -> None:
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
    """Compare every depth sequence with the ground truth."""
    from ..evaluation.accuracy.comparison import compare
    from ..evaluation.datasets import protocols
    from ..evaluation.datasets.ground_truth import with_masks

    protocol = protocols.of(options.protocol or "plain", options.layout)
    ground_truth = _ground_truth(options)
    if options.mattes:
        ground_truth = with_masks(ground_truth, Path(options.mattes))
    found: dict[str, Comparison] = {}
    for name, (folder, sequence) in sequences.items():
        if protocol == protocols.PLAIN and options.layout == "folder":
            _check_length(sequence, ground_truth)
        found[name] = compare(folder, ground_truth, protocol, prepared=options.prepared, sequence=sequence)
    return found


def _ground_truth(options: argparse.Namespace) -> GroundTruth:
    from ..evaluation import datasets

    clips = datasets.open_clips(options.truth, options.layout, rendering=options.rendering)
    if options.clip:
        clips = [clip for clip in clips if clip.name == options.clip] or clips
    if len(clips) == 1 and options.clip in {None, clips[0].name}:
        return clips[0]
    shown = ", ".join(clip.name for clip in clips[:8]) + (", …" if len(clips) > 8 else "")
    what = f"there is no clip {options.clip}" if options.clip else f"there are {len(clips)} clips"
    raise Failure(exit_codes.USAGE, f"In {options.truth} {what}: {shown}.", hint="Name one with --clip NAME.")


def _check_length(sequence: DepthSequence, ground_truth: GroundTruth) -> None:
    """Reject ground truth that ends before the depth does: it must be of another clip."""
    from ..evaluation.accuracy.comparison import origin_of

    origin = origin_of(sequence, ground_truth)
    last = max((shot.last_frame for shot in sequence.done_shots), default=origin)
    if last - origin >= len(ground_truth):
        raise Failure(
            exit_codes.USAGE,
            f"The ground truth has {len(ground_truth)} frames and the depth ends at frame {last} of a clip that "
            f"begins at {origin}.",
            hint="Use the ground truth of this clip.",
        )


def _show(options: argparse.Namespace, comparisons: Mapping[str, Comparison]) -> None:
    """Print every shot of one sequence, or the table of several or by a published protocol."""
    from ..evaluation.accuracy.metrics import NAMES
    from ..evaluation.suites import outcomes

    for name, comparison in comparisons.items():
        _log(*comparison.notes(), who=name if len(comparisons) > 1 else "Note")
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
        clip, facts = comparison.ground_truth.name, {"folder": str(comparison.folder)}
        found.append(outcomes.outcome_of(comparison, names, facts=facts, estimator=name, set=clip, clip=clip))
        _log(*found[-1].notes[len(comparison.notes()) :], who=name)
    print(outcomes.formatted(found, names, form=options.form))


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
    """Consistency in space of a shot; None, with a note on stderr, where the ground truth does not allow it."""
    from ..evaluation.accuracy.metrics import MetricsError
    from ..evaluation.accuracy.over_time import consistency_notes, consistency_of

    try:
        found = consistency_of(comparison, part)
    except MetricsError as error:
        _log(str(error), who="Note")
        return None
    _log(*consistency_notes([found]), who="Note")
    return _without_nan(records.to_json(found))


def _print_shots(shots: Sequence[Mapping[str, Any]]) -> None:
    from ..evaluation.accuracy.metrics import METRIC, METRICS
    from ..evaluation.table import Column, Table

    in_space = any("consistency" in shot for shot in shots)
    over_time = [METRIC[name].column() for name in _OF_SHOTS]
    over_time += [Column(name="distance", unit="m"), Column(name="warp error")] if in_space else []
    rows: list[tuple[Value, ...]] = []
    for shot in shots:
        found = shot.get("consistency") or {"spaced": {}, "neighbors": {}}
        values = [shot[name] for name in _OF_SHOTS]
        values += [found["spaced"].get("distance"), found["neighbors"].get("relative")]
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


def _log(*sentences: str, who: str = "") -> None:
    for each in sentences:
        sys.stderr.write(f"{who}: {each}\n" if who else f"{each}\n")
