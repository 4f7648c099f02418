"""Ending a run when it is asked to, and ending it for certain.

A run is asked to stop by a signal (interrupt, termination, a closed terminal) or by the end of the pipe that the
parent holds open (``--parent-pipe``). The work stops at its next step; what a native call delays longer than
`GRACE`, a watchdog thread ends, children included. Every file is written under a temporary name and renamed, so
an end at any moment leaves only finished work behind.
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
"""Seconds from the request to the end of the process by force."""
_WORD = 0.1
"""Seconds that each of the last words may take."""


class Stop:
    """The request to stop, and who hears it.

    Attributes
    ----------
    last_words : list of callables
        Called, in order, by the watchdog just before it ends the process by force; it does not wait for them long.
    heard : tuple of int
        Signals that request the stop.
    """

    def __init__(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._requested = threading.Event()
        self.last_words: list[Callable[[], None]] = []
        self.heard: tuple[int, ...] = ()

    def __call__(self) -> bool:
        """Whether the run should stop."""
        self.listen()
        return self._requested.is_set()

    def listen(self) -> None:
        """Have the signals of `heard`, also where a library that was loaded has taken them for itself."""
        if threading.current_thread() is threading.main_thread():
            for number in self.heard:
                signal.signal(number, lambda *_: self.request())

    def request(self) -> None:
        """Ask the run to stop; from now on the watchdog's time runs."""
        if not self._requested.is_set():
            self._requested.set()
            threading.Thread(target=self._watch, name="stop-watchdog", daemon=True).start()

    def _watch(self) -> None:
        time.sleep(GRACE)
        for word in self.last_words:
            # in a thread, since a word may wait for something that the stuck work holds, or for a reader that sleeps
            speaker = threading.Thread(target=word, daemon=True)
            speaker.start()
            speaker.join(_WORD)
        end(self._exit_code)


def listen_to_signals(stop: Stop) -> None:
    """Let interrupt, termination and a closed terminal request the stop; to be called from the main thread.

    A signal that the caller chose to ignore stays ignored, so that runs under ``nohup`` or in the background of a
    script go on. A native call keeps Python's own handlers waiting, so a thread hears of the signal as well.
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
    """Let the end of standard input request the stop: it comes when the parent closes its end, or is gone."""
    parent_watch.when_closed(parent_watch.input_of_its_own(), stop.request)


def end(code: int) -> None:
    """End this process and its children now, without any cleaning up."""
    try:
        kill_children()
    finally:
        os._exit(code)


def kill_children() -> None:
    """Kill all processes that this one started, and theirs."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # gone already
            child.kill()
