"""``evaluate``: how close depth is to the truth, how steady it is without any, and suites of such measurements."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .. import depth_sequence, events, exit_codes, faults, records
from ..depth_sequence import DepthSequence, DepthSequenceError
from ..faults import Failure
from . import evaluate_report, stoppable
from .display import Display, Person

if TYPE_CHECKING:
    from ..evaluation.comparison import Comparison
    from ..evaluation.suite import Suite
    from ..evaluation.table import Outcome
    from ..evaluation.truth import Truth
    from ..run.stop import Stop

_LAYOUTS = ("folder", "sintel", "scannet", "kitti", "bonn", "nyu")
_PROTOCOLS = ("depthcrafter", "stereodiff")


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "evaluate",
        help="compare depth sequences with the truth, see how steady they are, or run a suite of such comparisons",
        description="With truth: print AbsRel, delta1 and flicker of every shot, with one scale and shift a shot; of "
        "several depth sequences, or by a published protocol, the table with average rank. Without: print flicker and "
        "drift of what stands still, in percent of the shot's spread of disparity, and the frames at which it jumps.",
    )
    verb.add_argument("depth", metavar="DEPTH_DIR", nargs="*", help="folder with a depth.json; several are compared")
    verb.add_argument("--truth", metavar="DIR", help="folder with the truth of the very clip, in the layout named")
    verb.add_argument("--layout", choices=_LAYOUTS, default="folder", help="how truth lies there (default: folder)")
    verb.add_argument("--protocol", choices=_PROTOCOLS, help="a published one (default: all frames of each shot)")
    verb.add_argument("--clip", metavar="NAME", help="which clip, where the folder with truth has several")
    verb.add_argument("--rendering", choices=("clean", "final"), default="clean", help="which pictures of Sintel")
    verb.add_argument("--masks", metavar="DIR", help="pictures, white where something moves on its own")
    verb.add_argument(
        "--prepared", action="store_true", help="the depth was made of the protocol's own frames, chosen and cropped"
    )
    verb.add_argument("--suite", metavar="FILE", help="a YAML file, or the name of a suite that comes with Fathom")
    verb.add_argument(
        "--data", metavar="NAME=DIR", action="append", default=[], help="where a suite's set lies; repeatable"
    )
    verb.add_argument("--work", metavar="DIR", help="where a suite keeps clips and estimates")
    evaluate_report.add_options(verb)
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print every number as JSON")
    form.add_argument("--csv", action="store_true", help="print every figure as CSV")
    form.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    verb.set_defaults(run=run, events=False, parent_pipe=False)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    if options.suite:
        return _run_suite(options)
    try:
        with _sentences():
            _check(options)
            if options.truth:
                comparisons = _compared(options)
                _print(options, comparisons)
                evaluate_report.against_truth(options, comparisons)
            else:
                evaluate_report.steadiness(options)
    except (Failure, DepthSequenceError, ImportError) as error:
        told = faults.explain(error)
        sys.stderr.write(told.message + "\n")
        return told.code
    return exit_codes.OK


def _check(options: argparse.Namespace) -> None:
    if not options.depth:
        raise Failure(exit_codes.USAGE, "The verb evaluate takes DEPTH_DIR, with --truth DIR or not, or --suite FILE.")
    evaluate_report.check(options)
    for name in ("protocol", "clip", "prepared", "csv", "markdown"):
        if getattr(options, name) and not options.truth:
            raise Failure(exit_codes.USAGE, f"--{name} goes with truth.", cure="Add --truth DIR.")
    for name in ("data", "work"):
        if getattr(options, name):
            raise Failure(exit_codes.USAGE, f"--{name} goes with a --suite.")


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """What goes wrong with truth, maps and suites, as what the command line ends with."""
    from ..evaluation.metrics import MetricsError
    from ..evaluation.report.data import ReportError
    from ..evaluation.suite import SuiteError
    from ..evaluation.truth import TruthError
    from ..media.errors import ClipError

    try:
        yield
    except (TruthError, MetricsError, SuiteError, ReportError) as error:
        raise Failure(exit_codes.USAGE, str(error)) from error
    except ClipError as error:
        raise Failure(exit_codes.BAD_CLIP, str(error)) from error


def _compared(options: argparse.Namespace) -> dict[str, Comparison]:
    """Every depth sequence, measured, by the name that it goes by."""
    from ..evaluation import masks, protocols
    from ..evaluation.comparison import compare

    protocol = protocols.of(options.protocol or "plain", options.layout)
    folders = evaluate_report.named(options.depth)
    truth = _truth(options)
    if options.masks:
        truth = masks.with_masks(truth, Path(options.masks))
    found: dict[str, Comparison] = {}
    for name, folder in folders.items():
        sequence = depth_sequence.load(folder)
        if protocol == protocols.PLAIN and options.layout == "folder":
            _check_length(sequence, truth)
        found[name] = compare(folder, truth, protocol, prepared=options.prepared, sequence=sequence)
    return found


def _truth(options: argparse.Namespace) -> Truth:
    from ..evaluation import layouts

    clips = layouts.open_clips(options.truth, options.layout, rendering=options.rendering)
    if options.clip:
        clips = [clip for clip in clips if clip.name == options.clip] or clips
    if len(clips) == 1 and options.clip in {None, clips[0].name}:
        return clips[0]
    shown = ", ".join(clip.name for clip in clips[:8]) + (", …" if len(clips) > 8 else "")
    what = f"there is no clip {options.clip}" if options.clip else f"there are {len(clips)} clips"
    raise Failure(exit_codes.USAGE, f"In {options.truth} {what}: {shown}.", cure="Name one with --clip NAME.")


def _check_length(sequence: DepthSequence, truth: Truth) -> None:
    """Refuse truth that ends before the depth does: it would be that of another clip."""
    from ..evaluation.comparison import origin_of

    origin = origin_of(sequence, truth)
    last = max(shot.last_frame for shot in sequence.done_shots) if sequence.done_shots else origin
    if last - origin >= len(truth):
        raise Failure(
            exit_codes.USAGE,
            f"The truth has {len(truth)} frames and the depth goes on to frame {last} of a clip that begins "
            f"at {origin}.",
            cure="Give the truth of this very clip.",
        )


def _print(options: argparse.Namespace, comparisons: dict[str, Comparison]) -> None:
    from ..evaluation import table
    from ..evaluation.metrics import NAMES

    for name, comparison in comparisons.items():
        for note in comparison.notes():
            sys.stderr.write(f"{name if len(comparisons) > 1 else 'Note'}: {note}\n")
    outcomes = [_outcome(name, comparison) for name, comparison in comparisons.items()]
    plain = len(comparisons) == 1 and not options.protocol
    if options.json and plain:
        (comparison,) = comparisons.values()
        print(json.dumps(_shots_as_json(comparison), indent=2, allow_nan=False))
    elif options.json:
        print(json.dumps(table.as_json(outcomes, NAMES), indent=2, allow_nan=False))
    elif options.csv:
        print(table.as_csv(outcomes), end="")
    elif options.markdown or not plain:
        print(table.markdown(outcomes, NAMES), end="")
    else:
        (comparison,) = comparisons.values()
        _print_shots(comparison)


def _outcome(name: str, comparison: Comparison) -> Outcome:
    from ..evaluation.table import Outcome, by_frame

    return Outcome(
        estimator=name,
        set=comparison.truth.name,
        clip=comparison.truth.name,
        values=comparison.values(),
        notes=tuple(comparison.notes()),
        facts={"folder": str(comparison.folder), "parts": by_frame(comparison.parts)},
    )


def _print_shots(comparison: Comparison) -> None:
    print("frames          AbsRel  delta1  flicker")
    for part in comparison.parts:
        scores = comparison.figures(part)
        flicker = "-" if scores.flicker is None else f"{scores.flicker:.4f}"
        frames = f"{part.first_frame}-{part.last_frame}"
        print(f"{frames:14}  {scores.absolute_relative:.4f}  {scores.delta1:.4f}  {flicker}")


def _shots_as_json(comparison: Comparison) -> list[dict[str, object]]:
    from ..evaluation.table import by_frame

    errors = by_frame(comparison.parts)
    return [
        {
            "first_frame": part.first_frame,
            "last_frame": part.last_frame,
            **records.to_json(comparison.figures(part)),
            "by_frame": sequence,
        }
        for part, sequence in zip(comparison.parts, errors, strict=True)
    ]


def _run_suite(options: argparse.Namespace) -> int:
    """Run a suite; its table is what it ends with."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # weights are there or are named as missing; no library goes and looks for any
    begun, printed = time.monotonic(), []

    def work(display: Display, asked: Stop) -> events.Done:
        from ..evaluation import suite as suites
        from ..evaluation import suite_run

        if options.depth or options.truth or options.protocol or options.masks or options.clip:
            raise Failure(
                exit_codes.USAGE, "A suite says what is compared with what, so nothing else has a place here."
            )
        with _sentences():
            evaluate_report.check(options)
            suite = suites.load(options.suite, data=_data(options.data), work=options.work or "")
            measured = suite_run.run(
                suite,
                emit=display,
                cancelled=asked,
                tell=lambda text: display(events.Stage(name="suite", label=text)),
            )
            for each in (each.outcome for each in measured):
                for note in (each.failure, *each.notes):
                    if note:
                        said = note.removeprefix(f"{each.clip}: ")
                        display(events.Warning(message=f"{each.estimator} on {each.set}, {each.clip}: {said}"))
            printed.append(_as_text(options, suite, [each.outcome for each in measured]))
            try:
                evaluate_report.suite(
                    options, suite, measured, lambda text: display(events.Stage(name="report", label=text))
                )
            except Exception:
                print(printed[0])  # a page that cannot be written does not take the figures with it
                raise
        return events.Done(folder=str(suite.work_folder), frames=0, seconds=time.monotonic() - begun)

    return stoppable.run(options, work, person=lambda: Person(ending=lambda done: printed[0]))


def _data(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (equals and name.strip() and folder.strip()):
            raise Failure(exit_codes.USAGE, f"--data takes NAME=DIR, not '{text}'.")
        found[name.strip()] = folder.strip()
    return found


def _as_text(options: argparse.Namespace, suite: Suite, outcomes: list[Outcome]) -> str:
    from ..evaluation import table

    if options.json:
        return json.dumps(table.as_json(outcomes, suite.metrics), indent=2, allow_nan=False)
    if options.csv:
        return table.as_csv(outcomes).rstrip("\n")
    return table.markdown(
        outcomes, suite.metrics, title=suite.title, reference=suite.reference, by_clip=suite.by_clip
    ).rstrip("\n")
