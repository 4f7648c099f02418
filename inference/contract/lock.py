"""One run at a time in an output folder, of the worker or of Blender. Standard library only.

The lock is the operating system's, on a small file that names its holder for people: it ends with the process that
holds it, however that ends, and depends on no clock. A network disk may not show whether a run on another computer
still goes on, so another computer's lock is never considered stale. On a disk without such locks the worker has a file
instead (`common.lock`), which Blender heeds.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from . import leftovers, own_files, records
from .records import Bounds, Seconds, Word

NAME, SOFT = leftovers.LOCKS[:2]
"""Lock file of a running job, and that on a disk without locks."""
_PATIENCE = 1.0
"""Seconds to wait for another run to write its name, or to end."""
Release = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The holder of a lock: `started` is since when, in seconds since 1970, only for messages."""

    host: Word
    process: Annotated[int, Bounds(1, 2**31 - 1)]
    started: Seconds
    user: str = ""


class Held(Exception):
    """Another run holds the lock: what is to be said, and what to do about it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what} {hint}")
        self.what, self.hint = what, hint


class Lock:
    """The lock of one folder, from `acquire` to `release`."""

    def __init__(self, path: Path, descriptor: int, beside: Release | None) -> None:
        self._path, self._descriptor, self._beside = path, descriptor, beside
        _held.append(self)

    def release(self) -> None:
        """Release the lock, remove its file, and its folder if that is empty then."""
        if self not in _held:
            return
        _held.remove(self)
        with contextlib.suppress(OSError):  # a file that cannot be removed is unlocked all the same
            if self.is_ours():
                if os.name == "nt":  # Windows cannot delete an open file
                    self._close()
                self._path.unlink(missing_ok=True)
        self._close()
        if self._beside is not None:
            with contextlib.suppress(OSError):
                self._beside()
        with contextlib.suppress(OSError):  # it contains work to resume from
            self._path.parent.rmdir()

    def is_ours(self) -> bool:
        """Whether the lock's file is still the one that this process holds."""
        return self._descriptor >= 0 and own_files.is_at(self._path, self._descriptor)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_held: list[Lock] = []


def release_all() -> None:
    """Release every lock of this process, which is about to be ended by force."""
    for held in list(_held):
        held.release()


def _leave_to_parent() -> None:
    """In a forked process: close the locks, which would otherwise outlive the run."""
    for held in _held:
        held._close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


class Busy(Exception):
    """Another run holds the lock's file."""


def lock_file(path: Path, descriptor: int) -> Release | None:
    """Lock the file, which is open, or raise `Busy`; returns what releases another lock that was taken with it."""
    if not own_files.lock(descriptor) or os.path.lexists(path.with_name(SOFT)):
        raise Busy
    return None


def acquire(folder: Path, *, locked: Callable[[Path, int], Release | None] = lock_file) -> Lock:
    """Take the lock of a folder, which is made if it is missing; its parent must exist.

    `locked` : as `lock_file`.

    Raises
    ------
    Held
        Another run, named in the message, holds the lock.
    OSError
        The folder cannot be written; it or the lock file is a link or the like (`own_files.PathConflict`).
    """
    path = folder / NAME
    until = time.monotonic() + _PATIENCE
    while True:
        descriptor = _opened(path, is_patient=time.monotonic() < until)
        if descriptor is None:
            time.sleep(0.05)
            continue
        try:
            beside = locked(path, descriptor)
            if own_files.is_at(path, descriptor) and _write_holder(path, descriptor):
                held, descriptor = Lock(path, descriptor, beside), None
                return held
            if beside is not None:
                beside()
        except Busy:
            other = _read(path)
            if other is not None or time.monotonic() > until:
                raise _refusal(other, path) from None
        finally:
            if descriptor is not None:
                os.close(descriptor)
        time.sleep(0.05)  # another run is writing or removing the lock


def _opened(path: Path, *, is_patient: bool) -> int | None:
    """A descriptor of the lock file; None if it or its folder was removed meanwhile, as far as one `is_patient`.

    Some folders, as in ``/proc`` or where Windows finds a path too long, are there and take no file: these raise.
    """
    try:
        own_files.make_folder(path.parent)
        return own_files.open_file(path, os.O_RDWR | os.O_CREAT, alone=False)
    except PermissionError:  # another user's: lock it for reading, to see whether that run is active
        try:
            return own_files.open_file(path, os.O_RDONLY, alone=False)
        except FileNotFoundError:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from None
    except FileNotFoundError:
        if not is_patient or not path.parent.parent.is_dir():
            raise
        return None


def _write_holder(path: Path, descriptor: int) -> bool:
    """Write the holder into the lock file; False if the file must be made again first."""
    other = _read(path)
    if other is not None and other.host != platform.node():
        raise _refusal(other, path)
    user = ""
    with contextlib.suppress(Exception):  # a user without a name raises different errors on different systems
        user = getpass.getuser()
    holder = Holder(host=platform.node(), process=os.getpid(), started=max(time.time(), 0.0), user=user)
    try:
        if os.fstat(descriptor).st_nlink > 1:  # a hard link, whose other name would be written too
            path.unlink()
            return False
        os.lseek(descriptor, 0, os.SEEK_SET)
        # On Windows the first byte is locked, so that no other process can read it.
        os.write(descriptor, b" " + records.dumps(holder).encode())
        os.truncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno == errno.EBADF:  # it was open for reading only
            return False
        raise
    return True


def _refusal(other: Holder | None, path: Path) -> Held:
    """Why the lock cannot be acquired."""
    folder, soft = path.parent.parent, path.with_name(SOFT)
    hint = "Wait for it, cancel it, or choose another folder"
    if os.path.lexists(soft):  # no operating system takes that away with the process
        hint += f"; if it has certainly ended, delete {soft}"
    if other is None:
        return Held(f"Another run is writing into {folder}.", f"{hint}.")
    user = f" of {_printable(other.user)}" if other.user else ""
    since = f", since {at}" if (at := _clock(other.started)) else ""
    if other.host == platform.node():
        return Held(f"Another run (process {other.process}{user}{since}) is writing into {folder}.", f"{hint}.")
    files = " and ".join(str(each) for each in (path, soft) if os.path.lexists(each))
    return Held(
        f"Another run on the computer {_printable(other.host)} (process {other.process}){user}{since} is writing into "
        f"{folder}.",
        f"Wait for it or choose another folder; if that run has certainly ended, delete {files}.",
    )


def _clock(started: float) -> str:
    try:
        then = time.localtime(started)
    except (OverflowError, ValueError, OSError):
        return ""
    return time.strftime("%H:%M" if abs(time.time() - started) < 43200 else "%Y-%m-%d %H:%M", then)


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:100]


def _read(path: Path) -> Holder | None:
    try:
        return records.loads(Holder, leftovers.read_lock(path), where="lock", strict=False)
    except (OSError, ValueError):
        return None
