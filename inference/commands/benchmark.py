"""``benchmark``: how fast an estimator is on this computer, and how much memory it takes.

An estimator can be benchmarked where its folder holds a ``benchmark.py`` with ``add_options``, which takes a parser,
and ``run``, which takes the parsed options and returns an exit code or raises a `Failure`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from pathlib import Path

from .. import estimators
from ..common import failures
from ..common.failures import Failure
from ..contract import exit_codes, hints
from ..estimators import registry


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "benchmark",
        help="measure how fast an estimator is here, and how much memory it takes",
        description="Measure how fast an estimator is on this computer, and how much memory it takes.",
    )
    verb.add_argument("estimator", metavar="ESTIMATOR", help=f"one of these: {', '.join(offered())}")
    verb.add_argument(
        "options", metavar="…", nargs=argparse.REMAINDER, help="the estimator's own; ESTIMATOR --help lists them"
    )
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    try:
        if options.estimator not in offered():
            raise _not_offered(options.estimator)
        benchmark = importlib.import_module(f"{estimators.__name__}.{options.estimator}.benchmark")
        parser = argparse.ArgumentParser(
            prog=f"python -m inference benchmark {options.estimator}", description=benchmark.__doc__
        )
        benchmark.add_options(parser)
        return int(benchmark.run(parser.parse_args(options.options)))
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, (Failure, ImportError, KeyboardInterrupt)):
            traceback.print_exc()
        told = failures.explain(error)
        sys.stderr.write(hints.as_options(told.message) + "\n")
        return told.code


def offered() -> list[str]:
    """The estimators that can be benchmarked; found without importing them."""
    folders = [Path(folder) for folder in estimators.__path__]
    return [name for name in registry.names() if any((folder / name / "benchmark.py").is_file() for folder in folders)]


def _not_offered(name: str) -> Failure:
    registry.info(name)  # says so where there is no such estimator
    return Failure(
        exit_codes.USAGE,
        f"The estimator {name} has no benchmark.",
        cure=f"Choose one of these: {', '.join(offered())}.",
    )
