"""One run at a time in an output folder.

The lock is the system's own, on a small file that names its holder for people: it ends with the process that holds it,
however that ends, and knows no clock. Where a disk has no such locks, a file that is there while a run is at work takes
their place (filelock's soft lock): one whose process no longer runs on this computer is removed. Whether another
computer's run still goes on cannot be found out on every network disk, so what names another computer is never taken
for stale.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import filelock
import psutil

from ..contract import exit_codes, leftovers, own_files, records
from ..contract.records import Bounds, Seconds, Word
from .failures import Failure, unwritable

NAME = leftovers.LOCK
SOFT = f"{NAME}.soft"
"""What is there while a run is at work, where the disk has no locks."""
_PATIENCE = 1.0
"""Seconds to wait for another run to say who it is, or to be gone: both take a moment only."""
_SOFT_PATIENCE = 3.0
"""Likewise for a soft lock: what holds no name is taken for broken after two seconds."""
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""How systems say that a disk has no locks."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock: `started` is the process's start in seconds since 1970, for people alone."""

    host: Word
    process: Annotated[int, Bounds(1, 2**31 - 1)]
    started: Seconds
    user: str = ""


class Lock:
    """The lock of one folder, from `acquire` on until `release`."""

    def __init__(self, path: Path, descriptor: int, soft: filelock.BaseFileLock | None) -> None:
        self._path, self._descriptor, self._soft = path, descriptor, soft
        _held.append(self)

    def release(self) -> None:
        """Give the lock back, and remove its file, and its folder, if nothing else is left in it."""
        if self not in _held:
            return
        _held.remove(self)
        with contextlib.suppress(OSError):  # what cannot be removed is free all the same
            if self.is_ours():
                if os.name == "nt":  # where an open file cannot be removed
                    self._close()
                self._path.unlink(missing_ok=True)
        self._close()
        if self._soft is not None:
            with contextlib.suppress(OSError):
                self._soft.release()
        with contextlib.suppress(OSError):  # work to go on from is kept in there
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
    """Release every lock of this process, which is about to end by force."""
    for held in list(_held):
        held.release()


def _leave_to_parent() -> None:
    """In a copy of this process: hold nothing, or the lock would outlive the run."""
    for held in _held:
        held._close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def acquire(folder: Path) -> Lock:
    """Take the lock of a folder.

    Parameters
    ----------
    folder : Path
        Where the lock file lies; made where it is missing. Its parent must exist.

    Raises
    ------
    Failure
        BAD_OUTPUT: another run holds the lock (the sentence says which), or the folder cannot be written, or it or
        the lock file is a link, or anything else that it should not be.
    """
    path = folder / NAME
    until = time.monotonic() + _PATIENCE
    try:
        while True:
            descriptor = _opened(path)
            if descriptor is None:
                continue
            try:
                soft = _locked(path, descriptor)
                if own_files.is_at(path, descriptor) and _write_holder(path, descriptor):
                    held, descriptor = Lock(path, descriptor, soft), None
                    return held
                if soft is not None:
                    soft.release()
            except _Busy:
                other = _read(path)
                if other is not None or time.monotonic() > until:
                    raise _refusal(other, path) from None
            finally:
                if descriptor is not None:
                    os.close(descriptor)
            time.sleep(0.05)  # another run is writing the lock just now, or removing it
    except OSError as error:
        raise unwritable(error, folder.parent) from error


class _Busy(Exception):
    """Another run holds the lock."""


def _opened(path: Path) -> int | None:
    """A descriptor of the lock file; None where it, or its folder, has gone again meanwhile."""
    try:
        own_files.make_folder(path.parent)
        return own_files.open_file(path, os.O_RDWR | os.O_CREAT, alone=False)
    except PermissionError:  # another user's: it can be locked as it is, to see whether that run is at work
        try:
            return own_files.open_file(path, os.O_RDONLY, alone=False)
        except FileNotFoundError:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from None
    except FileNotFoundError:
        if not path.parent.parent.is_dir():
            raise
        return None


def _locked(path: Path, descriptor: int) -> filelock.BaseFileLock | None:
    """Lock the file, or say who may by a soft lock, which is returned then."""
    try:
        if not filelock.lock_descriptor(descriptor, blocking=False):
            raise _Busy
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    soft = filelock.SoftFileLock(path.with_name(SOFT), timeout=_SOFT_PATIENCE, thread_local=False)
    try:
        soft.acquire()
    except filelock.Timeout:
        raise _Busy from None
    return soft


def _write_holder(path: Path, descriptor: int) -> bool:
    """Say in the lock file whose it is; False where it must be made anew for that."""
    other = _read(path)
    if other is not None and other.host != platform.node():
        raise _refusal(other, path)
    user = ""
    with contextlib.suppress(Exception):  # a user without a name, which systems tell in ways of their own
        user = getpass.getuser()
    holder = Holder(host=platform.node(), process=os.getpid(), started=psutil.Process().create_time(), user=user)
    try:
        if os.fstat(descriptor).st_nlink > 1:  # it has another name elsewhere: what is written would be there too
            path.unlink()
            return False
        os.lseek(descriptor, 0, os.SEEK_SET)
        # On Windows nobody else can read the first byte, which is what is locked.
        os.write(descriptor, b" " + records.dumps(holder).encode())
        os.truncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno == errno.EBADF:  # it was open for reading alone
            return False
        raise
    return True


def _refusal(other: Holder | None, path: Path) -> Failure:
    """Why the lock cannot be had."""
    folder = path.parent.parent
    if other is None:
        return Failure(
            exit_codes.BAD_OUTPUT,
            f"Another run is writing into {folder}.",
            cure="Wait for it, cancel it, or choose another folder.",
        )
    user = f" of {_printable(other.user)}" if other.user else ""
    since = f", since {at}" if (at := _clock(other.started)) else ""
    if other.host == platform.node():
        return Failure(
            exit_codes.BAD_OUTPUT,
            f"Another run (process {other.process}{user}{since}) is writing into {folder}.",
            cure="Wait for it, cancel it, or choose another folder.",
        )
    files = " and ".join(str(each) for each in (path, path.with_name(SOFT)) if os.path.lexists(each))
    return Failure(
        exit_codes.BAD_OUTPUT,
        f"Another run on the computer {_printable(other.host)} (process {other.process}){user}{since} is writing into "
        f"{folder}.",
        cure=f"Wait for it or choose another folder; if that run is gone for certain, delete {files}.",
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
