"""Standard streams that are closed, or fail on the way: the work goes on without them. And none commands a terminal.

Whoever starts the worker may have closed its standard streams, read no more of them, or sent them to a disk that is
full. None of that is a reason for an estimate of hours to end, and the next file that is opened must not take the place
of a stream that is closed, or whatever a library says would land in it.

Names of files, tags and what a ``depth.json`` says may be anybody's, so what a terminal would obey is escaped, whoever
writes it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

from ..contract.untrusted import escaped

_failed: dict[str, OSError] = {}


def secure() -> None:
    """See to it that there are standard streams, that writing to them never fails, and that all of it is escaped; to
    be called before any work.

    Bytes of a name that are no UTF-8 are printed as they are on standard output, for programs that take names from
    there.
    """
    _fill()
    for name in ("stdout", "stderr"):
        given = getattr(sys, name)
        if given is None:
            given = open(1 if name == "stdout" else 2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  kept
        if isinstance(given, io.TextIOWrapper) and not isinstance(given, Terminal):
            setattr(sys, name, _lasting(name, given))


def lost() -> OSError | None:
    """Why something that was printed to standard output has not got there.

    None where all has, or where nobody wanted to read on.
    """
    error = _failed.get("stdout")
    return None if error is None or error.errno == errno.EPIPE else error


def _fill() -> None:
    """Open what leads nowhere in the place of each standard descriptor that is closed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _raw(stream: TextIO) -> Any:
    return getattr(stream.buffer, "raw", stream.buffer)


class Terminal(io.TextIOWrapper):
    """A stream on which no text of others commands the terminal: see `untrusted.escaped`."""

    def write(self, text: str) -> int:
        """Write a text; a progress bar goes back to the start of its line by the first letter of what it writes."""
        back = text[:1] if text.startswith("\r") else ""
        return super().write(back + escaped(text[len(back) :]))


def _lasting(name: str, given: io.TextIOWrapper) -> Terminal:
    given.flush()
    return Terminal(
        io.BufferedWriter(_Lasting(name, given)),
        encoding=given.encoding,
        errors="surrogateescape" if name == "stdout" else "backslashreplace",
        line_buffering=True,
        write_through=given.write_through,
    )


class _Lasting(io.RawIOBase):
    """Writes where a stream does, and nowhere once that has failed."""

    def __init__(self, name: str, given: io.TextIOWrapper) -> None:
        self._name, self._given = name, given  # kept, or it would close the descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._given.fileno()

    def isatty(self) -> bool:
        return self._given.isatty()

    def write(self, data: Any) -> int | None:
        if self._name not in _failed:
            try:
                written: int | None = _raw(self._given).write(data)
                return written
            except OSError as error:
                _failed[self._name] = error
        return len(data)
