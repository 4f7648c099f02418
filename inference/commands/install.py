"""``install``: install a set of packages into this Python's environment."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from pathlib import Path

from ..common import parent_watch
from ..contract import environment, exit_codes, installer, torch_builds


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("install", help="install a set of packages into this Python's environment")
    verb.add_argument(
        "packages",
        nargs="+",
        metavar="light|full|mattes|training|LOCK",
        help="light (parallax and quick), full (all estimators), mattes (what runs the matte network), training (what "
        "it needs beside full), or lock files",
    )
    verb.add_argument("--check-only", action="store_true", help="only check that all packages are installed")
    verb.add_argument("--no-load", action="store_true", help="check versions only, without importing")
    verb.add_argument("--quiet", action="store_true", help="print errors only")
    verb.add_argument("--parent-pipe", action="store_true", help="exit when standard input closes")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    if options.parent_pipe:
        parent_watch.end_family_with_parent()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # pip names files of any alphabet
    sets = {
        "light": environment.LIGHT,
        "full": environment.FULL,
        "mattes": environment.MATTES,
        "training": environment.TRAINING,
    }
    locks = [lock for name in options.packages for lock in sets.get(name, (Path(name),))]
    output = open(os.devnull, "w") if options.quiet else contextlib.nullcontext(sys.stdout)  # noqa: SIM115
    try:
        with output as stream, contextlib.redirect_stdout(stream):
            if not options.check_only:
                installer.install(locks, torch_index=_torch_index(locks))
            installer.check(locks, load=not options.no_load)
    except (installer.InstallError, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr, flush=True)
        return exit_codes.FAILED
    return exit_codes.OK


def _torch_index(locks: list[Path]) -> str:
    """The package index for PyTorch that the environment variable names, or that fits this computer."""
    named = os.environ.get(installer.TORCH_INDEX, "")
    if named != torch_builds.AUTOMATIC:
        return named
    if environment.TORCH not in locks:
        return ""
    build = torch_builds.choose()
    print(build.reason, flush=True)
    return build.index
