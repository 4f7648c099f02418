"""``evaluate``: how close depth is to the truth, how steady it is without any, and suites of such measurements."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..common import failures
from ..common.failures import Failure
from ..contract import events, exit_codes, hints
from ..contract.depth_sequence import DepthSequenceError
from . import evaluate_report, evaluate_truth, stoppable
from .display import Display, Person

if TYPE_CHECKING:
    from ..evaluation.suites.suite import Suite
    from ..evaluation.suites.table import Outcome
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
                comparisons = evaluate_truth.compared(options)
                evaluate_truth.show(options, comparisons)
                evaluate_report.against_truth(options, comparisons)
            else:
                evaluate_report.steadiness(options)
    except (Failure, DepthSequenceError, ImportError, OSError, MemoryError) as error:
        told = failures.explain(error)
        sys.stderr.write(hints.as_options(told.message) + "\n")
        return told.code
    return exit_codes.OK


def _check(options: argparse.Namespace) -> None:
    if not options.depth:
        raise Failure(exit_codes.USAGE, "The verb evaluate takes DEPTH_DIR, with --truth DIR or not, or --suite FILE.")
    evaluate_report.check(options)
    for name in ("protocol", "clip", "prepared", "consistency", "csv", "markdown"):
        if getattr(options, name) and not options.truth:
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
    from ..evaluation.report.data import ReportError
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
        from ..evaluation.suites import run as suite_run
        from ..evaluation.suites import suite as suites

        own = (options.depth, options.truth, options.protocol, options.mattes, options.clip, options.prepared)
        if any((*own, options.consistency, options.layout != "folder", options.rendering != "clean")):
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
            outcomes = [each.outcome for each in measured]
            for remark in (remark for each in outcomes for remark in each.remarks()):
                display(events.Warning(message=remark))
            printed.append(_as_text(options, suite, outcomes))
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
    from ..evaluation.suites import table

    if options.json:
        return json.dumps(table.as_json(outcomes, suite.metrics), indent=2, allow_nan=False)
    if options.csv:
        return table.as_csv(outcomes).rstrip("\n")
    return table.markdown(
        outcomes, suite.metrics, title=suite.title, reference=suite.reference, by_clip=suite.by_clip
    ).rstrip("\n")
