"""``evaluate``: how close depth is to the truth, how steady it is without any, and suites of such measurements."""

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

_LAYOUTS = ("folder", "sintel", "scannet", "kitti", "bonn", "nyu")
_PROTOCOLS = ("depthcrafter", "stereodiff")


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "evaluate",
        help="compare depth sequences with the truth, see how steady they are, or run a suite of such comparisons",
        description="With truth: print AbsRel, RMSE, delta1 to delta3 and flicker of every shot, with one scale and "
        "shift a shot, over static and moving parts apart where the truth tells them; of several depth sequences, or "
        "by a published protocol, the table with average rank. Without: print flicker and drift of what stands still, "
        "in percent of the shot's spread of disparity, and the frames at which it jumps.",
    )
    verb.add_argument("depth", metavar="DEPTH_DIR", nargs="*", help="folder with a depth.json; several are compared")
    verb.add_argument("--truth", metavar="DIR", help="folder with the truth of the very clip, in the layout named")
    verb.add_argument("--layout", choices=_LAYOUTS, default="folder", help="how truth lies there (default: folder)")
    verb.add_argument("--protocol", choices=_PROTOCOLS, help="a published one (default: all frames of each shot)")
    verb.add_argument("--clip", metavar="NAME", help="which clip, where the folder with truth has several")
    verb.add_argument("--rendering", choices=("clean", "final"), default="clean", help="which pictures of Sintel")
    verb.add_argument("--mattes", metavar="DIR", help="images, white where something moves on its own")
    verb.add_argument(
        "--prepared", action="store_true", help="the depth was made of the protocol's own frames, chosen and cropped"
    )
    verb.add_argument(
        "--consistency",
        action="store_true",
        help="also measure, by the truth's camera path, how far apart in space what stands still lies 10 frames later, "
        "and the warp error to the next frame",
    )
    verb.add_argument("--suite", metavar="FILE", help="a YAML file, or the name of a suite that comes with Fathom")
    verb.add_argument(
        "--data", metavar="NAME=DIR", action="append", default=[], help="where a suite's set lies; repeatable"
    )
    verb.add_argument("--work", metavar="DIR", help="where a suite keeps clips and estimates")
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
        with _sentences():
            _check(options)
            evaluate_depth.run(options)
    except (Failure, DepthSequenceError, ImportError, OSError, MemoryError) as error:
        told = failures.explain(error)
        sys.stderr.write(hints.as_options(told.message) + "\n")
        return told.code
    return exit_codes.OK


def _check(options: argparse.Namespace) -> None:
    if not options.depth:
        raise Failure(exit_codes.USAGE, "The verb evaluate takes DEPTH_DIR, with --truth DIR or not, or --suite FILE.")
    needs_truth = [name for name in ("protocol", "clip", "prepared", "consistency") if getattr(options, name)]
    needs_truth += [options.form] if options.form in {"csv", "markdown"} else []
    for name in needs_truth:
        if not options.truth:
            raise Failure(exit_codes.USAGE, f"--{name} goes with truth.", cure="Add --truth DIR.")
    if options.layout != "folder" and not options.truth:
        raise Failure(exit_codes.USAGE, "--layout says how truth lies.", cure="Add --truth DIR.")
    if options.rendering != "clean" and options.layout != "sintel":
        raise Failure(exit_codes.USAGE, "--rendering says which pictures of Sintel.", cure="Add --layout sintel.")
    for name in ("data", "work"):
        if getattr(options, name):
            raise Failure(exit_codes.USAGE, f"--{name} goes with a --suite.")


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """What goes wrong with truth, maps and suites, as what the command line ends with."""
    from ..common.failures import ClipError
    from ..evaluation.accuracy.metrics import MetricsError
    from ..evaluation.datasets.ground_truth import TruthError
    from ..evaluation.report.shots import ReportError
    from ..evaluation.suites.suite import SuiteError

    try:
        yield
    except (TruthError, MetricsError, SuiteError, ReportError) as error:
        raise Failure(exit_codes.USAGE, str(error)) from error
    except ClipError as error:
        raise Failure(exit_codes.BAD_CLIP, str(error)) from error


def _run_suite(options: argparse.Namespace) -> int:
    """Run a suite; its table is what it ends with."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # weights are there or are named as missing; no library goes and looks for any
    begun, printed = time.monotonic(), []

    def work(display: Display, asked: Stop) -> events.Done:
        from ..evaluation.suites import outcomes, run, suite

        def stage(name: str, text: str) -> None:
            display(events.Stage(name=name, label=text))

        own = (options.depth, options.truth, options.protocol, options.mattes, options.clip, options.prepared)
        if any((*own, options.consistency, options.layout != "folder", options.rendering != "clean")):
            raise Failure(
                exit_codes.USAGE, "A suite says what is compared with what, so nothing else has a place here."
            )
        with _sentences():
            evaluate_depth.check_report(options)
            asked_for = suite.load(options.suite, data=_data(options.data), work=options.work or "")
            found = run.run(asked_for, emit=display, cancelled=asked, tell=partial(stage, "suite"))
            for remark in (remark for each in found for remark in each.remarks()):
                display(events.Warning(message=remark))
            printed.append(outcomes.printed(found, asked_for.metrics, form=options.form, suite=asked_for))
            try:
                if options.report:
                    from ..evaluation.report import build

                    title = asked_for.title or Path(asked_for.file).stem
                    build.write_suite(title, found, asked_for.metrics, options.report, tell=partial(stage, "report"))
            except Exception:
                print(printed[0])  # a page that cannot be written does not take the figures with it
                raise
        return events.Done(folder=str(asked_for.work_folder), frames=0, seconds=time.monotonic() - begun)

    return stoppable.run(options, work, ending=lambda done: printed[0])


def _data(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (equals and name.strip() and folder.strip()):
            raise Failure(exit_codes.USAGE, f"--data takes NAME=DIR, not '{text}'.")
        found[name.strip()] = folder.strip()
    return found
