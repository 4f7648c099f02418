"""A log that does not fill the disk: of what is too much its beginning and its end are kept. Standard library only."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import IO

from . import own_files

HEAD = TAIL = 4 << 20
"""Bytes that are kept of the beginning and, at least, of the end; the file is never larger than HEAD + 2 TAIL."""
_AT_ONCE = 1 << 16
LEFT_OUT = b"\n[... Fathom left out what stood here, for this log was growing beyond %d MB ...]\n"


def opened(log: Path) -> IO[bytes]:
    """Open a log for `copy`; raises as `own_files.opener`."""
    return open(log, "a+b", buffering=0, opener=own_files.opener)


def start(source: IO[bytes], log: IO[bytes]) -> threading.Thread:
    """`copy` in a thread of its own."""
    thread = threading.Thread(target=copy, args=(source, log), name="fathom-log", daemon=True)
    thread.start()
    return thread


def copy(source: IO[bytes], log: IO[bytes], *, head: int = HEAD, tail: int = TAIL) -> None:
    """Append what a stream gives to a log until the stream ends, and close both.

    What the disk does not take is dropped, so that nobody waits for it who writes into the stream.

    Parameters
    ----------
    source : binary stream
        With a buffer.
    log : binary file
        Of `opened`.
    head, tail : int
        Bytes, as `HEAD` and `TAIL`.
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
