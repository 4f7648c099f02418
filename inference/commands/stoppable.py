"""What long-running verbs share: events, a reliable stop, and an ending in one sentence."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..common import failures
from ..common.failures import Failure
from ..contract import events, exit_codes, packages
from ..contract.web_address import hide_secrets
from .display import Display, Lines, OpenJobDescription, Person

if TYPE_CHECKING:
    from ..run.stop import Stop

OPENJD = "openjd"
Work = Callable[[Display, "Stop"], events.Done]


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options for programs that start the verb."""
    verb.add_argument("--events", action="store_true", help="print one JSON object a line instead of progress")
    verb.add_argument(
        "--progress", choices=(OPENJD,), help="print progress and errors as a render farm's Open Job Description does"
    )
    verb.add_argument("--parent-pipe", action="store_true", help="cancel when standard input closes")


def run(
    options: argparse.Namespace,
    work: Work,
    *,
    ending: Callable[[events.Done], str] | None = None,
    unit: str = "frames",
) -> int:
    """Run the work of a verb with those of `add_options`; errors become an event and an exit code.

    The work takes the display for its events, and the `Stop` to check; `ending` and `unit` are as for `Person`.
    """
    stops: list[Stop] = []

    def stop_all() -> None:
        for each in stops:
            each.request()

    display: Display = Person(ending=ending, unit=unit)
    if options.events:
        display = Lines(on_closed=stop_all)
    elif getattr(options, "progress", None) == OPENJD:
        display = OpenJobDescription(ending=ending)
    try:
        _need_packages()
        from ..common import lock
        from ..run import stop

        asked = stop.Stop(exit_codes.CANCELLED)
        asked.before_kill += [lock.release_all, lambda: display(events.cancelled())]
        stops.append(asked)
        stop.listen_to_signals(asked)
        if options.parent_pipe:
            stop.listen_to_parent(asked)
        done = work(display, asked)
    except (Exception, KeyboardInterrupt) as error:
        # errors after the request to stop (a child ended by the same signal) count as the stop
        event = events.cancelled() if stops and stops[0]() else failures.explain(error)
        if event.code == exit_codes.FAILED and not isinstance(error, Failure):
            sys.stderr.write(hide_secrets(traceback.format_exc()))
        display(event)
        if event.code == exit_codes.CANCELLED and stops:
            stop.kill_children()
        return event.code
    display(done)
    return exit_codes.OK


def _need_packages() -> None:
    absent = packages.missing()
    if absent:
        raise Failure(
            exit_codes.MISSING,
            f"These packages are not installed in {sys.executable}: {', '.join(absent)}.",
            hint=packages.hint(),
        )
