"""Standard streams that may be closed or fail without ending the work, and that escape terminal control sequences.

The parent process may have closed the worker's standard streams, stopped reading them, or redirected them to a full
disk. An estimate of hours continues without them. A closed descriptor is replaced, or the next opened file would get
its number and receive what libraries print.

File names, tags and the content of a ``depth.json`` are untrusted, so control sequences in any output are escaped.
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
    """Make the standard streams exist, never fail, and escape control sequences; to be called before any work.

    Bytes of a file name that are not UTF-8 are printed unchanged on standard output, for programs that read names.
    """
    _fill()
    for name in ("stdout", "stderr"):
        given = getattr(sys, name)
        if given is None:
            given = open(1 if name == "stdout" else 2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  kept
        if isinstance(given, io.TextIOWrapper) and not isinstance(given, Terminal):
            setattr(sys, name, _lasting(name, given))


def lost() -> OSError | None:
    """Why output was lost on standard output; None where none was, or where the reader closed the pipe."""
    error = _failed.get("stdout")
    return None if error is None or error.errno == errno.EPIPE else error


def _fill() -> None:
    """Open the null device for each standard descriptor that is closed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _raw(stream: TextIO) -> Any:
    return getattr(stream.buffer, "raw", stream.buffer)


class Terminal(io.TextIOWrapper):
    """A stream that escapes control sequences: see `untrusted.escaped`."""

    def write(self, text: str) -> int:
        """Write a text; a carriage return at its start is kept, as progress bars need it."""
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
    """Writes to a stream, and discards everything after its first error."""

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
