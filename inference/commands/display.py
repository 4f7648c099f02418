"""Where a run's events go: JSON lines for a program, a progress bar or plain lines for a person."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..common.units import duration, size_text
from ..contract import events
from ..contract.hints import as_options
from ..contract.untrusted import in_a_line

_BAR = "{desc}: {percentage:3.0f}%|{bar}|"
_COLUMNS = 100
"""Width of the bar where the terminal's is unknown."""
_PLAIN_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


class Display(Protocol):
    """Takes events."""

    def __call__(self, event: events.Event) -> None:
        """Show one event."""


class Lines:
    """One JSON object a line on standard output, and nothing else there; `on_closed` is called when the reader is gone.

    The descriptor of standard output is duplicated first, so that prints of libraries, in Python or C, go to standard
    error.
    """

    def __init__(self, on_closed: Callable[[], None]) -> None:
        sys.stdout.flush()
        self._descriptor = os.dup(1)  # not inherited by children
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._on_closed, self._lock, self._ended = on_closed, threading.Lock(), False

    def __call__(self, event: events.Event) -> None:
        """Write one event; events after `Error` or `Done` are ignored."""
        nobody_reads = False
        with self._lock:
            if self._ended:
                return
            self._ended = isinstance(event, (events.Error, events.Done))
            try:
                left = (events.encode(event) + "\n").encode()
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError as error:  # on other errors, such as a full disk, the work continues without events
                self._ended = True
                nobody_reads = error.errno == errno.EPIPE
        if nobody_reads and not isinstance(event, (events.Error, events.Done)):
            self._on_closed()


class Person:
    """A progress bar on a terminal, plain lines elsewhere; both on standard error.

    `ending` describes a `Done` event in a sentence; None: as for an estimate. `unit` is what progress counts.
    """

    def __init__(self, *, ending: Callable[[events.Done], str] | None = None, unit: str = "frames") -> None:
        self._ending, self._unit = ending or _ending, unit
        self._bar: Any = None
        self._terminal = sys.stderr.isatty()
        self._label, self._last_line = "", time.monotonic()
        self._lock, self._ended = threading.Lock(), False

    def __call__(self, event: events.Event) -> None:
        """Show one event; events after `Error` or `Done` are ignored."""
        with self._lock:
            if not self._ended:
                self._show(event)

    def _show(self, event: events.Event) -> None:
        if isinstance(event, events.Stage):
            self._label = event.label
            if self._terminal:
                self._progress_bar().set_description_str(event.label)
            else:
                self._print(event.label)
        elif isinstance(event, events.Progress):
            self._progress(event)
        elif isinstance(event, events.Warning):
            self._print(f"Warning: {as_options(event.message)}")
        elif isinstance(event, (events.Error, events.Done)):
            self._end(event)

    def _progress(self, event: events.Progress) -> None:
        text = summary(event, self._unit)
        if self._terminal:
            bar = self._progress_bar()
            bar.total, bar.n, bar.bar_format = event.total, event.done, f"{_BAR} {text}"
            bar.refresh()
        elif time.monotonic() - self._last_line >= _PLAIN_EVERY:
            self._last_line = time.monotonic()
            self._print(f"{self._label}: {event.fraction:.0%}, {text}")

    def _progress_bar(self) -> Any:
        if self._bar is None:
            from tqdm import tqdm

            known = os.get_terminal_size(sys.stderr.fileno()).columns > 0  # some terminals report no width
            self._bar = tqdm(
                total=1.0,
                file=sys.stderr,
                desc=self._label,
                bar_format=_BAR,
                dynamic_ncols=known,
                ncols=None if known else _COLUMNS,
            )
        return self._bar

    def _print(self, text: str) -> None:
        if self._bar is None:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        else:
            self._bar.write(text, file=sys.stderr)

    def _end(self, event: events.Error | events.Done) -> None:
        self._ended = True
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if isinstance(event, events.Error):
            self._print(as_options(event.message))
        else:
            print(self._ending(event), flush=True)


class OpenJobDescription:
    """Lines on standard output by which a farm's worker follows a task (Open Job Description, 2023-09).

    `ending` is as for `Person`.
    """

    def __init__(self, *, ending: Callable[[events.Done], str] | None = None) -> None:
        self._ending = ending or _ending
        self._lock, self._percent, self._ended = threading.Lock(), -1, False

    def __call__(self, event: events.Event) -> None:
        """Print one event; events after `Error` or `Done` are ignored."""
        with self._lock:
            if self._ended:
                return
            if isinstance(event, events.Stage):
                self._print("status", event.label)
            elif isinstance(event, events.Progress) and (percent := int(100 * event.fraction)) > self._percent:
                self._percent = percent
                self._print("progress", f"{percent}.0")
            elif isinstance(event, events.Warning):
                print(f"Warning: {in_a_line(as_options(event.message), most=2000)}", flush=True)
            elif isinstance(event, events.Error):
                self._ended = True
                self._print("fail", as_options(event.message))
            elif isinstance(event, events.Done):
                self._ended = True
                self._print("progress", "100.0")
                self._print("status", self._ending(event))

    @staticmethod
    def _print(what: str, text: str) -> None:
        print(f"openjd_{what}: {in_a_line(text, most=2000)}", flush=True)


def _ending(event: events.Done) -> str:
    return f"Depth of {event.frames} frames is in {event.folder} ({duration(event.seconds)})."


def summary(event: events.Progress, unit: str = "frames") -> str:
    """Progress, speed and time left: ``12/40 frames, 1.3 frames/s, 0:22 left``; bytes where there are no frames."""
    if event.frames_total:
        parts, left = [f"{event.frames}/{event.frames_total} {unit}"], (1 - event.fraction) * event.frames_total
    else:
        parts, left = [f"{size_text(event.done)} of {size_text(event.total)}"], event.total - event.done
    if event.seconds_left:
        pace = left / event.seconds_left
        parts.append(f"{pace:.2g} {unit}/s" if event.frames_total else f"{size_text(pace)}/s")
        parts.append(f"{duration(event.seconds_left)} left")
    return ", ".join(parts)


def facts_block(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Facts under a title, one per line; an empty name continues the line above."""
    return "\n".join([title, *(f"  {name:<11} {text}" for name, text in rows)])
