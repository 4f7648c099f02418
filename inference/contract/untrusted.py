"""Safe reading and display of texts and files from other sources.

Reading takes bounded time and memory, and text for display has no terminal control characters. Standard library only.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LARGEST_FILE = 1 << 26
"""Bytes of the largest file that is read as a record: a depth sequence of about 80,000 camera poses."""
LARGEST_TABLE = 1 << 30
"""Bytes of the largest file that is read line by line."""
LONGEST_LINE = 1 << 16
"""Characters of a line that are read."""
SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Terminal control characters, and those that change the text direction."""


class RecordError(ValueError):
    """Data that is not a valid record; the message, one line without a full stop, names the field."""

    def __init__(self, message: str) -> None:
        super().__init__(in_a_line(message, most=1000))


def readable(text: str) -> str:
    """A text for display: bytes of a file name that are not UTF-8 become replacement characters, and the rest is
    `escaped`.
    """
    return escaped(SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text))


def escaped(text: str) -> str:
    r"""A text for a terminal, with control characters and those that change the text direction escaped as in JSON.

    Newlines and tabs stay, and so do bytes of a file name that are not UTF-8.

    >>> escaped("\x1b[2Jclip\u202e.mov")
    '\\u001b[2Jclip\\u202e.mov'
    """
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def in_a_line(text: str, *, most: int = 200) -> str:
    """A text from another source as a part of a sentence: `readable`, on one line, shortened in the middle."""
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[-most // 3 :]}"
    return readable(" ".join(text.splitlines()))


def read_text(path: str | Path, *, most: int = LARGEST_FILE) -> str:
    """The text of a file of at most `most` bytes; pipes, devices and folders are not opened, so reading never blocks.

    Raises
    ------
    OSError
        It does not exist or cannot be read.
    RecordError
        It is not a regular file, too large or not UTF-8; a sentence without a full stop that names the path.
    """
    return decoded(read_bytes(path, most=most), path)


def decoded(data: bytes, path: str | Path) -> str:
    """Bytes of a file as text; see `read_text`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} is not a text file") from error


def read_lines(path: str | Path) -> Iterator[str]:
    """The lines of a text file, without their ends, one by one; of a longer one the first `LONGEST_LINE` letters.

    Errors are those of `read_text`, with `LARGEST_TABLE` for `most`; the last of them may come after some lines.
    """
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > LARGEST_TABLE:
            raise _too_large(path, LARGEST_TABLE)
        text = io.TextIOWrapper(file, encoding="utf-8-sig")
        try:
            is_inside = False
            while piece := text.readline(LONGEST_LINE):
                if not is_inside:
                    yield piece.rstrip("\n")
                is_inside = not piece.endswith("\n")
        except UnicodeDecodeError as error:
            raise RecordError(f"{path} is not a text file") from error


def read_bytes(path: str | Path, *, most: int = LARGEST_FILE) -> bytes:
    """The content of a file, as `read_text`."""
    with open_file(path) as file:
        pieces, size = [], os.fstat(file.fileno()).st_size
        if size <= most:
            pieces, size = [file.read(size + 1)], 0
            while pieces[-1] and (size := size + len(pieces[-1])) <= most:  # its size was unknown, or it grows
                pieces.append(file.read(min(1 << 20, most + 1 - size)))
    if size > most:
        raise _too_large(path, most)
    return b"".join(pieces)


def _too_large(path: str | Path, most: int) -> RecordError:
    return RecordError(f"{path} is larger than {most / 1e6:.0f} MB, the limit for files of its kind")


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file for reading bytes, with the errors of `read_text`."""
    try:
        _require_file(Path(path).stat().st_mode, path)
    except ValueError as error:  # an impossible name
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{path} is not a valid file name") from error
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_file(os.fstat(descriptor).st_mode, path)  # again: it may have been replaced
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def absolute(path: str | Path) -> Path:
    """A path as people type it, made absolute: ``~`` is their home; that of an unknown user stays unchanged."""
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  that of `Path` raises for those


def is_there(path: str | Path) -> bool:
    """Whether a path exists; False for an impossible name, or one without permission."""
    return os.path.exists(path)  # noqa: PTH110  that of `Path` raises for those


def is_file(path: str | Path) -> bool:
    """Whether there is a file, or a link to one, at a path; as `is_there`."""
    return os.path.isfile(path)  # noqa: PTH113  as above


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder, or a link to one, at a path; as `is_there`."""
    return os.path.isdir(path)  # noqa: PTH112  as above


def is_same_path(one: Path, other: Path) -> bool:
    """Whether two paths name one place, also by links, mounts, and letters of another case where the disk has one."""
    try:
        return one.samefile(other)
    except OSError:  # one does not exist
        return one.resolve() == other.resolve()


def file_facts(path: Path, *, follow_links: bool = True) -> tuple[int, ...]:
    """What tells a file from another of the same name; empty where there is none."""
    try:
        facts = path.stat(follow_symlinks=follow_links)
    except OSError:
        return ()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def find_program(name: str, *places: str | Path, on_windows: bool = os.name == "nt") -> str | None:
    """The path of a program in some folders, or else one of the PATH; None where there is none.

    Never in the current folder, where `shutil.which` looks first on Windows: that may be the one of somebody else's
    .blend file. Nor is a batch file one there, whose command line the shell would read.
    """
    for place in (*map(str, places), *os.environ.get("PATH", "").split(os.pathsep)):
        path = os.path.join(place, f"{name}.exe" if on_windows else name)  # noqa: PTH118  as `is_file`
        if os.path.isabs(place) and is_file(path) and os.access(path, os.X_OK):  # noqa: PTH117
            return path
    return None


def _require_file(mode: int, path: str | Path) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise RecordError(f"{path} is {kind} and not a file")
