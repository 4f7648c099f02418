"""Stop a run on request, by force if need be.

A stop is requested by a signal (interrupt, termination, a closed terminal) or when the pipe from the parent process
closes (``--parent-pipe``). The run stops at its next step; if a native call takes longer than `GRACE`, a watchdog
thread ends the process and its children. Every file is written under a temporary name and renamed, so only finished
work is left whenever the process ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import psutil

from ..common import parent_watch

GRACE = 0.4
"""Seconds from the request until the process is ended by force."""
_WORD = 0.1
"""Seconds that each of `Stop.before_kill` may take."""


class Stop:
    """The request to stop, and the watchdog that enforces it.

    Attributes
    ----------
    before_kill : list of callables
        Called in order by the watchdog just before it ends the process by force, with a short time limit each.
    heard : tuple of int
        Signals that request the stop.
    """

    def __init__(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._requested = threading.Event()
        self.before_kill: list[Callable[[], None]] = []
        self.heard: tuple[int, ...] = ()

    def __call__(self) -> bool:
        """Whether the run should stop."""
        self.listen()
        return self._requested.is_set()

    def listen(self) -> None:
        """Install the handlers for the signals in `heard`, again if a library has replaced them."""
        if threading.current_thread() is threading.main_thread():
            for number in self.heard:
                signal.signal(number, lambda *_: self.request())

    def request(self) -> None:
        """Ask the run to stop, and start the watchdog."""
        if not self._requested.is_set():
            self._requested.set()
            threading.Thread(target=self._watch, name="stop-watchdog", daemon=True).start()

    def _watch(self) -> None:
        time.sleep(GRACE)
        for word in self.before_kill:
            # in a thread, since it may block on a lock of the stuck work, or on a pipe that nobody reads
            speaker = threading.Thread(target=word, daemon=True)
            speaker.start()
            speaker.join(_WORD)
        end(self._exit_code)


def listen_to_signals(stop: Stop) -> None:
    """Request the stop on interrupt, termination and a closed terminal; to be called from the main thread.

    A signal that the caller ignores stays ignored, so that runs under ``nohup`` or in the background of a script go on.
    During a native call Python's own handlers wait, so a thread receives the signals as well.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    heard = stop.heard = tuple(number for number in signals if signal.getsignal(number) is not signal.SIG_IGN)
    stop.listen()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

    def hear() -> None:
        with receiver, sender:  # the sender must live as long as signals are written to it
            while number := receiver.recv(1):
                if number[0] in heard:
                    stop.request()

    threading.Thread(target=hear, name="signals", daemon=True).start()


def listen_to_parent(stop: Stop) -> None:
    """Request the stop when standard input closes, because the parent closed its end or ended."""
    parent_watch.when_closed(parent_watch.input_of_its_own(), stop.request)


def end(code: int) -> None:
    """End this process and its children now, without cleanup."""
    try:
        kill_children()
    finally:
        os._exit(code)


def kill_children() -> None:
    """Kill all processes that this one started, and their children."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # gone already
            child.kill()
