"""What arrives from a server that may do anything: in pieces, within bounds of time. Standard library only.

A server can send a byte every few seconds, so that no single wait is too long and nothing ever ends. Here a thread
waits for it and hands on what comes; the caller looks up often, and turns away when too little has come for too long.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Generic, TypeVar

Piece = TypeVar("Piece", bound=tuple)

LEAST, WINDOW = 1 << 16, 60.0
"""Bytes that must come within so many seconds; a tenth of what the slowest modem brings."""
_LOOK = 0.4
"""Seconds between two looks at whether to break off."""
_FAREWELL = 1.0
"""Seconds that what is broken off is waited for, so that it does not go on behind what comes next."""
_AHEAD = 8
"""Pieces that may wait."""


class TooSlowError(Exception):
    """Less came than would ever end."""

    def __init__(self) -> None:
        super().__init__("it sends too slowly")


class _End(Generic[Piece]):
    """The end of what comes, with what it ended by."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def pieces(begin: Callable[[], Iterator[Piece]], *, check: Callable[[], None]) -> Generator[Piece, None, None]:
    """What `begin` yields, gathered in a thread until this generator is closed.

    Parameters
    ----------
    begin : callable
        Asks a server and yields tuples whose last item is the bytes that came; called in the thread.
    check : callable
        Called twice a second at least; raises to break off.

    Raises
    ------
    TooSlowError
        Fewer than `LEAST` bytes came within `WINDOW` seconds, the wait for the first included.
    Exception
        What `begin` raises.
    """
    waiting: queue.Queue[Piece | _End[Piece]] = queue.Queue(_AHEAD)
    left = threading.Event()
    thread = threading.Thread(target=_gather, args=(begin, waiting, left), daemon=True)
    thread.start()
    begun, came = time.monotonic(), 0
    try:
        while True:
            try:
                piece = waiting.get(timeout=_LOOK)
            except queue.Empty:
                check()
            else:
                if isinstance(piece, _End):
                    if piece.error is not None:
                        raise piece.error
                    return
                yield piece
                came += len(piece[-1])
            if came >= LEAST:
                begun, came = time.monotonic(), 0
            elif time.monotonic() - begun > WINDOW:
                raise TooSlowError
    finally:
        left.set()
        thread.join(_FAREWELL)


def goes_on(status: int, told: str, start: int) -> bool:
    """Whether an answer is of use where bytes from `start` on were asked for; if not, all must be asked for.

    Parameters
    ----------
    status : int
        Of HTTP.
    told : str
        Its ``Content-Range``.
    """
    if not start:
        return True
    return told.startswith(f"bytes {start}-") if status == 206 else status != 416


def wait(seconds: float, check: Callable[[], None]) -> None:
    """Let time pass, looking up often."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.1))


def _gather(begin: Callable[[], Iterator[Piece]], waiting: queue.Queue, left: threading.Event) -> None:
    end: _End[Piece] = _End(None)
    try:
        if left.is_set():
            return
        coming = begin()
        with closing(coming):  # type: ignore[type-var]
            for piece in coming:
                if not _put(waiting, piece, left):
                    return
    except BaseException as error:  # raised where the pieces are taken
        end = _End(error)
    _put(waiting, end, left)


def _put(waiting: queue.Queue, what: object, left: threading.Event) -> bool:
    """Hand something on; False where nobody takes it any more."""
    while not left.is_set():
        try:
            waiting.put(what, timeout=_LOOK)
        except queue.Full:
            continue
        return True
    return False
