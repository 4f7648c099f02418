"""``evaluate``: the accuracy of depth against ground truth, its temporal stability without any, and suites of both."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import failures
from ..common.failures import Failure
from ..contract import events, exit_codes, hints
from ..contract.depth_sequence import DepthSequenceError
from . import evaluate_depth, stoppable
from .display import Display
from .numbers import whole_number

if TYPE_CHECKING:
    from ..run.stop import Stop

_LAYOUTS = ("folder", "sintel", "scannet", "kitti", "bonn", "nyu", "dynamic-replica", "matrix-city")
_PROTOCOLS = ("depthcrafter", "stereodiff")


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "evaluate",
        help="compare depth sequences with ground truth, measure their temporal stability, or run a suite",
        description="With --truth: print AbsRel, RMSE, delta1 to delta3 and flicker of every shot, after alignment by "
        "one scale and shift per shot, separately for static regions and dynamic objects where these are known; "
        "for several depth sequences, or by a published protocol, print the table with average rank. Without --truth: "
        "print flicker and drift of the static region, in percent of the shot's disparity range, and the frames at "
        "which depth jumps.",
    )
    verb.add_argument("depth", metavar="DEPTH_DIR", nargs="*", help="folder with a depth.json; several are compared")
    verb.add_argument("--truth", metavar="DIR", help="folder with the ground truth of this clip")
    verb.add_argument(
        "--layout", choices=_LAYOUTS, default="folder", help="file layout of that folder (default: folder)"
    )
    verb.add_argument("--protocol", choices=_PROTOCOLS, help="a published protocol (default: all frames of each shot)")
    verb.add_argument("--clip", metavar="NAME", help="the clip to compare with, where the ground truth has several")
    verb.add_argument("--rendering", choices=("clean", "final"), default="clean", help="which of Sintel's renderings")
    verb.add_argument("--mattes", metavar="DIR", help="folder of images, white on dynamic objects")
    verb.add_argument(
        "--prepared",
        action="store_true",
        help="the depth was estimated from the protocol's own frames, selected and cropped",
    )
    verb.add_argument(
        "--consistency",
        action="store_true",
        help="also measure, by the ground truth's camera path, the distance in space of static points seen 10 frames "
        "apart, and the warp error to the next frame",
    )
    verb.add_argument("--suite", metavar="FILE", help="a suite: a YAML file, or the name of one that comes with Fathom")
    verb.add_argument(
        "--data", metavar="NAME=DIR", action="append", default=[], help="folder of one of the suite's sets; repeatable"
    )
    verb.add_argument("--work", metavar="DIR", help="folder for the suite's clips and estimates")
    verb.add_argument(
        "--report", metavar="DIR", help="also write figures and tables, as a page to open in a browser, into DIR"
    )
    for kind, size in (("column", "width"), ("row", "height")):
        verb.add_argument(
            f"--{kind}",
            metavar="PIXEL",
            type=whole_number,
            action="append",
            default=[],
            help=f"{kind} of the plate (from 0) that the report shows over time, below the plate's {size}; repeatable "
            "(default: the middle column and row)",
        )
    form = verb.add_mutually_exclusive_group()
    for name, what in (
        ("json", "every number as JSON"),
        ("csv", "every figure as CSV"),
        ("markdown", "the table as Markdown"),
    ):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=f"print {what}")
    verb.set_defaults(run=run, events=False, parent_pipe=False)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    if options.suite:
        return _run_suite(options)
    try:
        with _as_failures():
            _check(options)
            evaluate_depth.run(options)
    except (Failure, DepthSequenceError, ImportError, OSError, MemoryError) as error:
        explained = failures.explain(error)
        sys.stderr.write(hints.as_options(explained.message) + "\n")
        return explained.code
    return exit_codes.OK


def _check(options: argparse.Namespace) -> None:
    if not options.depth:
        raise Failure(exit_codes.USAGE, "evaluate needs DEPTH_DIR (with or without --truth DIR), or --suite FILE.")
    needs_truth = [name for name in ("protocol", "clip", "prepared", "consistency") if getattr(options, name)]
    needs_truth += [options.form] if options.form in {"csv", "markdown"} else []
    for name in needs_truth:
        if not options.truth:
            raise Failure(exit_codes.USAGE, f"--{name} needs ground truth.", hint="Add --truth DIR.")
    if options.layout != "folder" and not options.truth:
        raise Failure(exit_codes.USAGE, "--layout describes ground truth.", hint="Add --truth DIR.")
    if options.rendering != "clean" and options.layout != "sintel":
        raise Failure(exit_codes.USAGE, "--rendering selects images of Sintel.", hint="Add --layout sintel.")
    for name in ("data", "work"):
        if getattr(options, name):
            raise Failure(exit_codes.USAGE, f"--{name} needs --suite.")


@contextlib.contextmanager
def _as_failures() -> Iterator[None]:
    """Turn errors of ground truth, maps and suites into failures with exit codes."""
    from ..common.failures import ClipError
    from ..evaluation.accuracy.metrics import MetricsError
    from ..evaluation.datasets.ground_truth import GroundTruthError
    from ..evaluation.report.shots import ReportError
    from ..evaluation.suites.suite import SuiteError

    try:
        yield
    except (GroundTruthError, MetricsError, SuiteError, ReportError) as error:
        raise Failure(exit_codes.USAGE, str(error)) from error
    except ClipError as error:
        raise Failure(exit_codes.BAD_CLIP, str(error)) from error


def _run_suite(options: argparse.Namespace) -> int:
    """Run a suite and print its table."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # missing weights are an error; no library may download any
    begun, formatted = time.monotonic(), []

    def work(display: Display, stop: Stop) -> events.Done:
        from ..evaluation.suites import outcomes, run, suite

        def stage(name: str, text: str) -> None:
            display(events.Stage(name=name, label=text))

        own = (options.depth, options.truth, options.protocol, options.mattes, options.clip, options.prepared)
        if any((*own, options.consistency, options.layout != "folder", options.rendering != "clean")):
            raise Failure(
                exit_codes.USAGE, "A suite names its own depth and ground truth; leave the other options out."
            )
        with _as_failures():
            evaluate_depth.check_report(options)
            loaded = suite.load(options.suite, data=_data(options.data), work=options.work or "")
            found = run.run(loaded, emit=display, cancelled=stop, log=partial(stage, "suite"))
            for message in (message for each in found for message in each.messages()):
                display(events.Warning(message=message))
            formatted.append(outcomes.formatted(found, loaded.metrics, form=options.form, suite=loaded))
            try:
                if options.report:
                    from ..evaluation.report import build

                    title = loaded.title or Path(loaded.file).stem
                    build.write_suite(title, found, loaded.metrics, options.report, log=partial(stage, "report"))
            except Exception:
                print(formatted[0])  # the figures are printed even if the page cannot be written
                raise
        return events.Done(folder=str(loaded.work_folder), frames=0, seconds=time.monotonic() - begun)

    return stoppable.run(options, work, ending=lambda done: formatted[0])


def _data(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (equals and name.strip() and folder.strip()):
            raise Failure(exit_codes.USAGE, f"--data takes NAME=DIR, not '{text}'.")
        found[name.strip()] = folder.strip()
    return found
