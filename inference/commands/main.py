"""The command line: its verbs, their dispatch, and the options and exit codes that they share."""

from __future__ import annotations

import argparse
import errno
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ..common import caches
from ..contract import environment, events, exit_codes
from ..contract.untrusted import in_a_line
from . import doctor, estimate, estimators, evaluate, export, farm, install, matte, models, refine, streams, train

_EPILOG = f"""exit codes:
  {exit_codes.OK:3}  success
  {exit_codes.FAILED:3}  unexpected error; the log (standard error) has the details
  {exit_codes.USAGE:3}  the command line or the job is invalid
  {exit_codes.UNSUPPORTED:3}  the estimator does not support this clip, or a license was not accepted; see the message
  {exit_codes.BAD_CLIP:3}  the clip cannot be read
  {exit_codes.BAD_OUTPUT:3}  the output folder is in use, already finished, read-only or full
  {exit_codes.MISSING:3}  a package, weights or a device is missing
  {exit_codes.EARLY:3}  the chunk's phase cannot begin yet; try again later
  {exit_codes.INCOMPLETE:3}  chunks are missing or damaged; do those that the message lists, and merge again
  {exit_codes.CANCELLED:3}  cancelled; finished work is kept, and the same command resumes
"""


class _Usage(Exception):
    """An invalid command line; its arguments are the message and the usage."""


class _Parser(argparse.ArgumentParser):
    """Raises `_Usage` instead of exiting, so that an error can become an event."""

    def error(self, message: str) -> NoReturn:
        sentence = in_a_line(f"{message[:1].upper()}{message[1:]}", most=600)
        raise _Usage(f"{sentence}.", self.format_usage())


def build() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="python -m inference",
        description="Consistent depth for video.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data-folder",
        metavar="DIR",
        help="folder of Fathom's downloads (default: $FATHOM_HOME, or the platform's data folder)",
    )
    parser.set_defaults(prints=True)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in (estimate, refine, export, farm, matte, estimators, models, install, doctor, evaluate, train):
        verb.add_to(verbs)
    for sub in verbs.choices.values():
        sub.epilog, sub.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    return parser


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    """The parsed command line, or `_Usage`."""
    parser = build()
    if any("\0" in argument for argument in given):
        parser.error("an argument contains a zero byte")
    options = parser.parse_args(given)
    if problem := _problem_of_data_folder(options.data_folder):
        parser.error(problem)
    return options


def _require_folder() -> None:
    """`_Usage` where the current folder, which relative paths are relative to, was deleted."""
    try:
        Path.cwd()
    except OSError as error:
        what = f"The current folder cannot be used ({error.strerror}): change to one that exists."
        raise _Usage(what, "") from error


def _problem_of_data_folder(option: str | None) -> str | None:
    """What keeps the data folder that is named from being one."""
    name, chosen = ("--data-folder", option) if option else ("FATHOM_HOME", os.environ.get("FATHOM_HOME"))
    if not chosen:
        return None
    folder = environment.data_folder(chosen)
    if chosen.startswith("~") and folder == Path(chosen).absolute():
        return f"{name} {chosen} cannot be used (there is no such user)"
    try:
        return None if stat.S_ISDIR(folder.stat().st_mode) else f"{name} {chosen} cannot be used (it is no folder)"
    except FileNotFoundError:
        return None  # it is made
    except OSError as error:
        # What nobody may look at keeps nothing from an estimate that needs no weights.
        return f"{name} {chosen} cannot be used ({error.strerror})" if option or error.errno != errno.EACCES else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Parameters
    ----------
    arguments : sequence of str or None
        Without the program's name; None: the process's own.

    Returns
    -------
    int
        One of `inference.contract.exit_codes`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        streams.secure()
    os.environ.update(environment.NO_TELEMETRY)
    try:
        _require_folder()
        options = _parsed(given)
    except _Usage as wrong:
        what, usage = wrong.args
        sys.stderr.write(f"{usage}{what}\n")
        if "--events" in given:
            print(events.encode(events.Error(code=exit_codes.USAGE, what=what)), flush=True)
        return exit_codes.USAGE
    if options.data_folder:
        # in the environment, for child processes
        os.environ["FATHOM_HOME"] = str(environment.data_folder(options.data_folder))
    caches.keep_compiled_code()
    code = int(options.run(options))
    error = streams.lost()
    if code == exit_codes.OK and error and options.prints:
        sys.stderr.write(f"The output could not be written ({error.strerror or error}).\n")
        return exit_codes.FAILED
    return code
