"""The part of ``evaluate`` that needs no truth, and its reports to look at."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.failures import Failure
from ..common.files import make_folder
from ..contract import depth_sequence, exit_codes, records
from ..contract.depth_sequence import DepthSequence
from ..contract.hints import as_options
from .numbers import whole_number

if TYPE_CHECKING:
    from ..evaluation.accuracy.comparison import Comparison
    from ..evaluation.report.data import Slice
    from ..evaluation.stability.temporal_stability import Steadiness
    from ..evaluation.suites.run import Measured
    from ..evaluation.suites.suite import Suite


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of reports."""
    verb.add_argument(
        "--report", metavar="DIR", help="also write figures and numbers, as a page to open in a browser, into DIR"
    )
    for kind, size in (("column", "width"), ("row", "height")):
        verb.add_argument(
            f"--{kind}",
            metavar="PIXEL",
            type=whole_number,
            action="append",
            default=[],
            help=f"{kind} of the plate (0 to its {size} less 1) that the report shows over time; repeatable "
            "(default: the middle column and row)",
        )


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot be reported before anything is measured.

    Raises
    ------
    Failure, DepthSequenceError, ReportError
    """
    for name in ("column", "row"):
        if getattr(options, name) and not options.report:
            raise Failure(exit_codes.USAGE, f"--{name} says what a report shows.", cure="Add --report DIR.")
        if getattr(options, name) and options.suite:
            raise Failure(exit_codes.USAGE, f"The clips of a suite differ in size, so --{name} has no place with it.")
    if options.report:
        from ..evaluation.report import write  # a package that is missing is told now, not after the work

        write.check(Path(options.report))
        if not options.suite:
            _slices(options)
        make_folder(Path(options.report))  # one that cannot be written is told now as well


def named(folders: Sequence[str]) -> dict[str, Path]:
    """Depth sequences by the names that people see: the estimator, or where two have the same, the folder.

    Of folders the ends of their paths, as long as it takes to tell them apart.

    Raises
    ------
    Failure, DepthSequenceError
    """
    names = [depth_sequence.load(folder).estimator for folder in folders]
    paths = [Path(folder).absolute() for folder in folders]
    if len(set(paths)) < len(paths):
        raise Failure(exit_codes.USAGE, "The same depth sequence is named twice.", cure="Name each once.")
    parts = 0
    while len(set(names)) < len(names):
        parts += 1
        names = ["/".join(path.parts[-parts:]) for path in paths]
    return dict(zip(names, map(Path, folders), strict=True))


def steadiness(options: argparse.Namespace) -> None:
    """Print how steady depth is, without any truth; write the report if one is asked for.

    Raises
    ------
    Failure, DepthSequenceError, MetricsError, ClipError, ReportError
    """
    from ..evaluation.stability.temporal_stability import Steadiness, notes, steadiness_by_shot

    sequences = {name: (folder, depth_sequence.load(folder)) for name, folder in named(options.depth).items()}
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
        for note in notes(each):
            _tell(f"{name}, frames {each.first_frame}-{each.last_frame}: {note}")
    if options.json:
        print(json.dumps([{"name": name, **without_nan(records.to_json(each))} for name, each in rows], indent=2))
    else:
        _print(rows, several=len(found) > 1)
    if options.report:
        from ..evaluation.report import build, write
        from ..evaluation.report.shots import OnDisk

        estimates = [OnDisk(name=name, folder=folder, sequence=each) for name, (folder, each) in sequences.items()]
        report = build.alone(_title(options.depth), estimates, found, slices=_slices(options))
        _told(write.write(report, options.report))


def against_truth(options: argparse.Namespace, comparisons: Mapping[str, Comparison]) -> None:
    """Write the report of a comparison, if one is asked for."""
    if options.report:
        from ..evaluation.report import build, write

        report = build.against_truth(_title(options.depth), comparisons, slices=_slices(options), tell=_tell)
        _told(write.write(report, options.report))


def suite(options: argparse.Namespace, what: Suite, measured: Sequence[Measured], tell: Any) -> None:
    """Write the report of a suite, if one is asked for."""
    if options.report:
        from ..evaluation.report import build

        title = what.title or Path(what.file).stem
        build.write_suite(title, measured, what.metrics, options.report, tell=tell)


def _print(rows: Sequence[tuple[str, Steadiness]], *, several: bool) -> None:
    print("frames          flicker   drift  across windows  jumps at frames")
    for name, each in rows:
        within = [d.size for d in each.drift if not d.border and d.size is not None]
        across = [d.size for d in each.drift if d.border and d.size is not None]
        jumps = ", ".join(f"{step.frame} ({100 * (step.size or 0):.1f}%)" for step in each.jumps) or "none"
        values = [each.flicker, _mean(within), _mean(across)]
        flicker, inside, beyond = ("-" if value is None else f"{100 * value:.2f}%" for value in values)
        who = f"  {name}" if several else ""
        print(f"{each.first_frame}-{each.last_frame}".ljust(14), f"{flicker:>8}{inside:>8}{beyond:>16}  {jumps}{who}")


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def without_nan(value: Any) -> Any:
    """A value with null for what could not be measured, since JSON has no NaN."""
    if isinstance(value, dict):
        return {name: without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _slices(options: argparse.Namespace) -> tuple[Slice, ...]:
    from ..evaluation.report.data import Slice
    from ..evaluation.report.shots import MIDDLE

    if not options.column and not options.row:
        return MIDDLE
    width, height = _size(depth_sequence.load(options.depth[0]))
    columns = tuple(Slice.of_pixel("column", pixel, size=width) for pixel in options.column)
    return columns + tuple(Slice.of_pixel("row", pixel, size=height) for pixel in options.row)


def _size(sequence: DepthSequence) -> tuple[int, int]:
    """Of the plate, as far as it is known; else of the maps."""
    from ..common.failures import ClipError
    from ..media.clip import open_clip

    try:
        with open_clip(sequence.source, sequence.first_frame, sequence.last_frame) as clip:
            return clip.width, clip.height
    except ClipError:
        return sequence.source.width or sequence.width, sequence.source.height or sequence.height


def _title(folders: Sequence[str]) -> str:
    from ..evaluation.report.shots import plate_name

    names = dict.fromkeys(plate_name(depth_sequence.load(folder).source) for folder in folders)
    return f"Depth of {' and '.join(names)}"


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _told(page: Path) -> None:
    sys.stderr.write(f"The report is {page}.\n")
