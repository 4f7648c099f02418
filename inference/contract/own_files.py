"""Files that Fathom calls its own, by exact name, and touching no others. Standard library only.

An output folder and whatever lies in it may be somebody else's, or be put there to harm. So Fathom's own work lies only
in folders that are really there, is never written through a link, and is deleted only where it bears a name that
Fathom gives: links, junctions, pipes, and files and folders of other names stay.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TEMPORARY = ".tmp-"
"""Beginning of the name of a file that is being written; the process and the final name follow."""
_TEMPORARY = re.compile(rf"{re.escape(TEMPORARY)}[0-9]+-(.+)|\.?(.+)\.[0-9]+\.tmp", re.DOTALL)
_NAME_SURROGATE = 0x20000000
"""Bit of a reparse tag on Windows: it stands for another name, as links and junctions do, and files in a cloud not."""
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CAREFUL = _NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_BY_DESCRIPTOR = {os.open, os.unlink, os.rmdir, os.stat} <= os.supports_dir_fd and os.listdir in os.supports_fd


CURE = "Remove it, or choose another folder."
"""What to do about `InTheWay`."""


class InTheWay(OSError):
    """Something that is no file or folder of ours has a name that Fathom needs."""

    def __init__(self, path: str | Path, what: str) -> None:
        super().__init__(errno.EEXIST, what, str(path))

    @property
    def sentence(self) -> str:
        """What it is, for people."""
        return f"{self.filename} {self.strerror}, and Fathom writes only into files and folders of its own."


@dataclass(frozen=True)
class Names:
    """The names of some files, by patterns that are relative to a folder, such as ``shot.####-####/views.npz``.

    A run of ``#`` stands for a whole number of at least as many digits; what ends with a slash is a folder alone. The
    temporary names that such files are written under (see `TEMPORARY`) are meant as well.
    """

    patterns: tuple[str, ...]

    def has_file(self, parts: tuple[str, ...]) -> bool:
        """Whether a path, in its parts, is that of a file that is meant."""
        files, names, _ = _compiled(self.patterns)
        if files.fullmatch("/".join(parts)):
            return True
        half = _TEMPORARY.fullmatch(parts[-1])
        inside = len(parts) == 1 or self.has_folder(parts[:-1])
        return half is not None and inside and bool(names.fullmatch(half[1] or half[2]))

    def has_folder(self, parts: tuple[str, ...]) -> bool:
        """Whether a path, in its parts, is that of a folder which files that are meant lie in."""
        return bool(_compiled(self.patterns)[2].fullmatch("/".join(parts)))


@lru_cache
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """What paths of files, names of files and paths of folders match."""
    folders = {"/".join(each.split("/")[:depth]) for each in patterns for depth in range(1, each.count("/") + 1)}
    files = {each for each in patterns if not each.endswith("/")}
    return _any_of(files), _any_of({each.rpartition("/")[2] for each in files}), _any_of(folders)


def _any_of(patterns: set[str]) -> re.Pattern[str]:
    def number(found: re.Match[str]) -> str:
        digits = len(found[0])
        return rf"(?:[0-9]{{{digits},}}|-[0-9]{{{digits - 1},}})"

    ways = (re.sub("#+", number, re.escape(each).replace(r"\#", "#")) for each in sorted(patterns))
    return re.compile("|".join(ways) or "(?!)")


def is_link(facts: os.stat_result) -> bool:
    """Whether what `os.lstat` found stands for something elsewhere: a symbolic link, or a junction of Windows."""
    return stat.S_ISLNK(facts.st_mode) or bool(getattr(facts, "st_reparse_tag", 0) & _NAME_SURROGATE)


def is_file(path: str | Path) -> bool:
    """Whether an ordinary file, and no link to one, is at a path."""
    try:
        facts = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and not is_link(facts)


def make_folder(folder: Path) -> None:
    """Make a folder of ours beside what is there, if need be.

    Raises
    ------
    InTheWay
        A link, or anything else that is no folder, is in its place.
    OSError
        It cannot be made; FileNotFoundError: nor is there the one that it belongs into.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    _need_folder(folder, os.lstat(folder))


def _need_folder(path: str | Path, facts: os.stat_result) -> None:
    if is_link(facts):
        raise InTheWay(path, "is a link")
    if not stat.S_ISDIR(facts.st_mode):
        raise InTheWay(path, "is no folder")


def _need_file(path: str | Path, facts: os.stat_result) -> None:
    if is_link(facts):
        raise InTheWay(path, "is a link")
    if not stat.S_ISREG(facts.st_mode):
        raise InTheWay(path, "is a folder" if stat.S_ISDIR(facts.st_mode) else "is no ordinary file")


def opener(path: str, flags: int) -> int:
    """Open a file of ours for what writes into it, as an ``opener`` of `open`; it is made where it is missing.

    Raises
    ------
    InTheWay
        It is a link, a folder, a pipe or the like, or a file that has another name elsewhere too.
    """
    return open_file(path, flags)


def open_file(path: str | Path, flags: int, *, alone: bool = True) -> int:
    """As `opener`; with `alone` false the file may have other names (hard links)."""
    with contextlib.suppress(FileNotFoundError):
        _need_file(path, os.lstat(path))
    try:
        descriptor = os.open(path, flags | _CAREFUL, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link that was put there meanwhile
            raise InTheWay(path, "is a link") from error
        raise
    try:
        facts = os.fstat(descriptor)
        _need_file(path, facts)
        if alone and facts.st_nlink > 1:
            raise InTheWay(path, "has another name elsewhere (a hard link)")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_at(path: str | Path, descriptor: int) -> bool:
    """Whether a path still names an open file, which another process may have deleted or replaced."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


def create(path: Path) -> None:
    """Make an empty file of ours that was not there, never through a link; what a killed run left of it goes."""
    with contextlib.suppress(FileNotFoundError):
        _need_file(path, os.lstat(path))
        path.unlink()
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _CAREFUL, 0o666))


@contextlib.contextmanager
def atomic(path: str | Path, *, via: str | Path | None = None) -> Iterator[Path]:
    """Write a file of ours under a temporary name, and rename it once it is complete and on the disk.

    Parameters
    ----------
    path : path
        The file that should appear, or be replaced, in one step.
    via : path or None
        Folder on the same disk for the temporary file; None: beside `path`.

    Yields
    ------
    Path
        The temporary name, with the same suffix; the block writes it.

    Raises
    ------
    OSError
        The file cannot be written; the temporary file is gone then and `path` untouched.
    """
    path = Path(path)
    temporary = Path(via or path.parent) / f"{TEMPORARY}{os.getpid()}-{path.name}"
    create(temporary)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def save_text(path: str | Path, text: str) -> None:
    """Write a text file of ours in one step."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def lock(descriptor: int) -> None:
    """Take the system's lock on an open file, as `common.lock` does; it ends when the file is closed, or this process.

    Raises
    ------
    OSError
        Another has it, or the disk has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check(folder: Path, names: Names) -> None:
    """See to it that what bears our names in a folder may be written: no links, and each what its name says.

    A file that has another name elsewhere (a hard link, as some backups make) gets a copy of its own.

    Raises
    ------
    InTheWay
    """
    _check(folder, (), names)


def _check(folder: Path, inside: tuple[str, ...], names: Names) -> None:
    for path in list(folder.iterdir()):
        parts = (*inside, path.name)
        try:
            facts = os.lstat(path)
        except FileNotFoundError:
            continue
        if names.has_folder(parts):
            _need_folder(path, facts)
            _check(path, parts, names)
        elif names.has_file(parts):
            _need_file(path, facts)
            if facts.st_nlink > 1:
                _part_from_others(path)


def _part_from_others(path: Path) -> None:
    import shutil

    with atomic(path) as own:
        shutil.copyfile(path, own, follow_symlinks=False)


def clear(folder: Path, names: Names, *, last: str = "") -> None:
    """Delete the files that bear our names from a folder, and folders of ours that are empty then.

    Links and all that is not an ordinary file stay, and so does what has another name. Where the system can, every
    step is relative to a folder that is held open, so that none can be exchanged for a link on the way.

    Parameters
    ----------
    folder : Path
        It stays; nothing is done where it is not there, or is a link.
    names : Names
    last : str
        Name of the file, in the folder itself, that goes after all others.

    Raises
    ------
    OSError
        Something cannot be deleted.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), _held_open(folder, None) as place:
        _clear(place, (), names, last)


@dataclass(frozen=True)
class _Place:
    """A folder: by a descriptor where the system takes one, by its path elsewhere."""

    path: Path
    descriptor: int | None

    def named(self, name: str) -> str:
        return name if self.descriptor is not None else str(self.path / name)


@contextlib.contextmanager
def _held_open(path: Path, parent: _Place | None) -> Iterator[_Place]:
    if not _BY_DESCRIPTOR:
        if is_link(os.lstat(path)):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        yield _Place(path, None)
        return
    name, beside = (path.name, parent.descriptor) if parent else (str(path), None)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _CAREFUL, dir_fd=beside)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):  # how systems say that it is a link
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
        raise
    try:
        yield _Place(path, descriptor)
    finally:
        os.close(descriptor)


def _clear(place: _Place, inside: tuple[str, ...], names: Names, last: str) -> None:
    found = os.listdir(place.path if place.descriptor is None else place.descriptor)  # noqa: PTH208  by descriptor
    for name in sorted(found, key=lambda name: (name == last, name)):
        parts = (*inside, name)
        is_folder = names.has_folder(parts)
        if not is_folder and not names.has_file(parts):
            continue
        with contextlib.suppress(FileNotFoundError):
            facts = os.stat(place.named(name), dir_fd=place.descriptor, follow_symlinks=False)
            if is_link(facts):
                continue
            if is_folder and stat.S_ISDIR(facts.st_mode):
                with contextlib.suppress(NotADirectoryError), _held_open(place.path / name, place) as within:
                    _clear(within, parts, names, "")
                try:
                    os.rmdir(place.named(name), dir_fd=place.descriptor)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # others' files lie in it
                        raise
            elif not is_folder and stat.S_ISREG(facts.st_mode):
                os.unlink(place.named(name), dir_fd=place.descriptor)
