"""Safe writing and deletion of Fathom's own files, identified by exact name. Standard library only.

An output folder and its contents may belong to somebody else, or be malicious. So Fathom writes only into real folders,
never through a link, and deletes only files with names of its own: links, junctions, pipes, and files and folders with
other names stay.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TEMPORARY = ".tmp-"
"""Prefix of the name of a file being written; the process and the final name follow."""
_TEMPORARY = re.compile(rf"{re.escape(TEMPORARY)}[0-9]+-(.+)|\.?(.+)\.[0-9]+\.tmp", re.DOTALL)
_NAME_SURROGATE = 0x20000000
"""Bit of a Windows reparse tag: set for links and junctions, but not for files in cloud storage."""
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CAREFUL = _NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_BY_DESCRIPTOR = {os.open, os.unlink, os.rmdir, os.stat} <= os.supports_dir_fd and os.listdir in os.supports_fd


_PATIENCE = 3.0 if os.name == "nt" else 0.0
"""Seconds to wait for whoever has a file open: Windows neither renames nor deletes such a file, and a Blender that
shows how far a run is, virus scanners and indexers look into new ones."""
HINT = "Remove it, or choose another folder."
"""The hint for `PathConflict`."""


class PathConflict(OSError):
    """Something else has the name of a file or folder that Fathom needs."""

    def __init__(self, path: str | Path, what: str) -> None:
        super().__init__(errno.EEXIST, what, str(path))

    @property
    def sentence(self) -> str:
        """The message for people."""
        return f"{self.filename} {self.strerror}, and Fathom writes only into files and folders of its own."


@dataclass(frozen=True)
class Names:
    """The names of some files, as patterns relative to a folder, such as ``shot.####-####/views.npz``.

    A run of ``#`` matches a whole number with at least as many digits; a pattern that ends with a slash is a folder.
    The temporary names of such files (see `TEMPORARY`) match too.
    """

    patterns: tuple[str, ...]

    def has_file(self, parts: tuple[str, ...]) -> bool:
        """Whether the parts of a path match a file."""
        files, names, _ = _compiled(self.patterns)
        if files.fullmatch("/".join(parts)):
            return True
        half = _TEMPORARY.fullmatch(parts[-1])
        inside = len(parts) == 1 or self.has_folder(parts[:-1])
        return half is not None and inside and bool(names.fullmatch(half[1] or half[2]))

    def has_folder(self, parts: tuple[str, ...]) -> bool:
        """Whether the parts of a path match a folder of such files."""
        return bool(_compiled(self.patterns)[2].fullmatch("/".join(parts)))


@lru_cache
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Expressions for paths of files, names of files and paths of folders."""
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
    """Whether the result of `os.lstat` is that of a symbolic link or a Windows junction."""
    return stat.S_ISLNK(facts.st_mode) or bool(getattr(facts, "st_reparse_tag", 0) & _NAME_SURROGATE)


def is_file(path: str | Path) -> bool:
    """Whether a path is a regular file, and not a link to one."""
    try:
        facts = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and not is_link(facts)


def make_folder(folder: Path) -> None:
    """Make a folder of ours unless it exists; a `PathConflict` if a link, or anything else, has its name."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    _need_folder(folder, os.lstat(folder))


def _need_folder(path: str | Path, facts: os.stat_result) -> None:
    if is_link(facts):
        raise PathConflict(path, "is a link")
    if not stat.S_ISDIR(facts.st_mode):
        raise PathConflict(path, "is not a folder")


def _need_file(path: str | Path, facts: os.stat_result) -> None:
    if is_link(facts):
        raise PathConflict(path, "is a link")
    if not stat.S_ISREG(facts.st_mode):
        raise PathConflict(path, "is a folder" if stat.S_ISDIR(facts.st_mode) else "is not a regular file")


def opener(path: str, flags: int) -> int:
    """Open a file of ours for writing, as the ``opener`` of `open`, which creates it if it is missing.

    Raises
    ------
    PathConflict
        It is a link, a folder, a pipe or the like, or a file with hard links.
    """
    return open_file(path, flags)


def open_file(path: str | Path, flags: int, *, alone: bool = True) -> int:
    """As `opener`; with `alone` false the file may have other names (hard links)."""
    with contextlib.suppress(FileNotFoundError):
        _need_file(path, os.lstat(path))
    try:
        descriptor = os.open(path, flags | _CAREFUL, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:  # replaced by a link meanwhile
            raise PathConflict(path, "is a link") from error
        raise
    try:
        facts = os.fstat(descriptor)
        _need_file(path, facts)
        if alone and facts.st_nlink > 1:
            raise PathConflict(path, "has another name (a hard link)")
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
    """Make a new empty file of ours, never through a link; one that a killed run left is replaced."""
    with contextlib.suppress(FileNotFoundError):
        _need_file(path, os.lstat(path))
        path.unlink()
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _CAREFUL, 0o666))


_guards: list[Callable[[], None]] = []


@contextlib.contextmanager
def guarded(check: Callable[[], None]) -> Iterator[None]:
    """Call a function before each file that `atomic` begins, and before it is renamed: it raises to prevent that.

    For processes without a lock, whose folder another job may have been given meanwhile. Threads call it too.
    """
    _guards.append(check)
    try:
        yield
    finally:
        _guards.remove(check)


def _check_guards() -> None:
    for check in tuple(_guards):
        check()


@contextlib.contextmanager
def atomic(path: str | Path, *, via: str | Path | None = None, keep: bool = False) -> Iterator[Path]:
    """Write a file of ours under a temporary name, and rename it once it is complete and on disk.

    Yields the temporary name, with the same suffix, which the block writes: beside `path`, or in the folder `via` on
    the same disk. If the file cannot be written, the temporary file is deleted and `path` is unchanged. Two processes
    may write one file at the same time, on different computers too: `path` is always the whole file of one of them,
    with `keep` that of the first.
    """
    path = Path(path)
    _check_guards()
    # computers that share a disk may give two processes one number
    temporary = Path(via or path.parent) / f"{TEMPORARY}{os.getpid()}{secrets.randbelow(10**9):09d}-{path.name}"
    create(temporary)
    try:
        yield temporary
        sync(temporary)
        _check_guards()
        if keep:
            _rename_to_new(temporary, path)
        else:
            replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, names: Collection[str], *, seconds: float = 0.0) -> None:
    """Delete what killed processes have left in a folder of files with these names (`atomic`).

    `seconds` : how long nothing has been written into them, where no lock says that no other process is at it.
    """
    for path in folder.glob(f"{TEMPORARY}*"):
        name = path.name.removeprefix(TEMPORARY).partition("-")[2]
        if name in names and is_file(path) and time.time() - path.stat().st_mtime >= seconds:
            path.unlink(missing_ok=True)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Give a file its final name unless another has it already."""
    with contextlib.suppress(FileExistsError):
        if os.name == "nt":
            os.rename(temporary, path)  # noqa: PTH104  raises where the name is taken, on Windows alone
            return
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a disk without hard links
            if not os.path.lexists(path):
                replace(temporary, path)


def replace(file: str | Path, path: str | Path) -> None:
    """`os.replace`, which waits on Windows until other programs have closed the files."""
    _patiently(lambda: os.replace(file, path))


def remove(path: str | Path) -> None:
    """Delete a file, if it is there, as `replace` does."""
    _patiently(lambda: Path(path).unlink(missing_ok=True))


def _patiently(act: Callable[[], None]) -> None:
    until, pause = time.monotonic() + _PATIENCE, 0.01
    while True:
        try:
            return act()
        except PermissionError:
            if time.monotonic() >= until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.2)


def sync(path: Path) -> None:
    """Wait until a file's content is on disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def save_text(path: str | Path, text: str, *, keep: bool = False) -> None:
    """Write a text file of ours in one step; with `keep`, unless it is there already."""
    with atomic(path, keep=keep) as temporary:
        temporary.write_text(text, encoding="utf-8")


def lock(descriptor: int) -> bool:
    """Take the operating system's lock on an open file, as `common.lock` does too, until the file is closed.

    False if another process holds it; True also on a disk without locks (some network folders).
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
    return True


def check(folder: Path, names: Names, *, folders_only: bool = False) -> None:
    """Make sure that the files and folders with our names in a folder are ones, and not links (`PathConflict`).

    A file with hard links (some backups make them) is replaced by a copy. `folders_only` : files are left alone, which
    suits processes that share a folder and only ever add files, by `atomic`.
    """
    _check(folder, (), names, folders_only)


def _check(folder: Path, inside: tuple[str, ...], names: Names, folders_only: bool) -> None:
    for path in list(folder.iterdir()):
        parts = (*inside, path.name)
        if folders_only and not names.has_folder(parts):
            continue
        try:
            facts = os.lstat(path)
        except FileNotFoundError:
            continue
        if names.has_folder(parts):
            _need_folder(path, facts)
            _check(path, parts, names, folders_only)
        elif names.has_file(parts):
            _need_file(path, facts)
            if facts.st_nlink > 1:
                with atomic(path) as copy:
                    shutil.copyfile(path, copy, follow_symlinks=False)


def clear(folder: Path, names: Names, *, last: str = "") -> None:
    """Delete the files with our names from a folder, `last` last, and then its empty folders with our names.

    The folder itself, links, special files and files with other names stay. If the operating system supports it, every
    step is relative to a folder that is held open, so that no folder can be replaced by a link meanwhile.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), _held_open(folder, None) as place:
        _clear(place, (), names, last)


@dataclass(frozen=True)
class _Place:
    """A folder: by a descriptor if the operating system supports that, otherwise by its path."""

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
        if error.errno in (errno.ELOOP, errno.EMLINK):  # it is a link
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
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # it has other files
                        raise
            elif not is_folder and stat.S_ISREG(facts.st_mode):
                os.unlink(place.named(name), dir_fd=place.descriptor)
