"""A log file of bounded size: its middle is dropped when it grows too large. Standard library only."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import IO

from . import own_files

HEAD = TAIL = 4 << 20
"""Bytes kept from the beginning and, at least, from the end."""
_AT_ONCE = 1 << 16
LARGEST = HEAD + 2 * TAIL + _AT_ONCE
"""Bytes that the file never exceeds."""
LEFT_OUT = b"\n[... Fathom removed the middle of this log, which exceeded %d MB ...]\n"


def opened(log: Path) -> IO[bytes]:
    """Open a log for `copy`; raises as `own_files.opener`."""
    return open(log, "a+b", buffering=0, opener=own_files.opener)


def start(source: IO[bytes], log: IO[bytes]) -> threading.Thread:
    """`copy` in a thread of its own."""
    thread = threading.Thread(target=copy, args=(source, log), name="fathom-log", daemon=True)
    thread.start()
    return thread


def copy(source: IO[bytes], log: IO[bytes], *, head: int = HEAD, tail: int = TAIL) -> None:
    """Append a stream to a log from `opened` until the stream ends, and close both.

    Data that cannot be written is dropped, so that the process which writes the stream never blocks.
    """
    with source, log:
        while piece := source.read1(_AT_ONCE):  # type: ignore[attr-defined]
            try:
                log.write(piece)
                if log.seek(0, 2) > head + 2 * tail:
                    _shorten(log, head, tail)
            except OSError:
                continue


def _shorten(log: IO[bytes], head: int, tail: int) -> None:
    log.seek(-tail, 2)
    end = log.read(tail)
    log.truncate(head)
    log.write(LEFT_OUT % ((head + 2 * tail) >> 20) + end)
