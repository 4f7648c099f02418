"""What verbs that take long have in common: events, a stop that is certain, and an ending in one sentence."""

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
from .display import Display, Lines, Person

if TYPE_CHECKING:
    from ..run.stop import Stop

Work = Callable[[Display, "Stop"], events.Done]


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of a program that runs the verb."""
    verb.add_argument("--events", action="store_true", help="print one JSON object a line instead of progress")
    verb.add_argument("--parent-pipe", action="store_true", help="cancel when standard input closes")


def run(options: argparse.Namespace, work: Work, *, ending: Callable[[events.Done], str] | None = None) -> int:
    """Do the work of a verb; what goes wrong becomes an event and an exit code.

    Parameters
    ----------
    options : Namespace
        With those of `add_options`.
    work : callable
        Given the display that takes its events, and whom to ask whether to stop.
    ending : callable or None
        As for `Person`, where no program listens.
    """
    stops: list[Stop] = []

    def stop_all() -> None:
        for each in stops:
            each.request()

    display: Display = Lines(on_closed=stop_all) if options.events else Person(ending=ending)
    try:
        _need_packages()
        from ..common import lock
        from ..run import stop

        asked = stop.Stop(exit_codes.CANCELLED)
        asked.last_words += [lock.release_all, lambda: display(events.cancelled())]
        stops.append(asked)
        stop.listen_to_signals(asked)
        if options.parent_pipe:
            stop.listen_to_parent(asked)
        done = work(display, asked)
    except (Exception, KeyboardInterrupt) as error:
        # whatever goes wrong after the request to stop (a child that the same signal ended) is the stop
        told = events.cancelled() if stops and stops[0]() else failures.explain(error)
        if told.code == exit_codes.FAILED and not isinstance(error, Failure):  # which says all there is to know
            sys.stderr.write(hide_secrets(traceback.format_exc()))
        display(told)
        if told.code == exit_codes.CANCELLED and stops:
            stop.kill_children()
        return told.code
    display(done)
    return exit_codes.OK


def _need_packages() -> None:
    absent = packages.missing()
    if absent:
        raise Failure(
            exit_codes.MISSING,
            f"These packages are not installed in {sys.executable}: {', '.join(absent)}.",
            cure=packages.cure(),
        )
