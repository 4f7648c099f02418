"""One run at a time in an output folder.

The lock is the operating system's, on a small file that names its holder for people: it ends with the process that
holds it, however that ends, and depends on no clock. On a disk without such locks, a file that exists during a run
replaces them (filelock's soft lock): one whose process no longer runs on this computer is removed. A network disk may
not show whether a run on another computer still goes on, so another computer's lock is never considered stale.
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
"""Lock file of a running job on a disk without locks."""
_PATIENCE = 1.0
"""Seconds to wait for another run to write its name, or to end."""
_SOFT_PATIENCE = 3.0
"""Seconds to wait for a soft lock: filelock considers one that cannot be read broken after two seconds, but not one
that is empty, as where the power failed before the name was written."""
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of a disk without locks."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The holder of a lock: `started` is the process's start in seconds since 1970, only for messages."""

    host: Word
    process: Annotated[int, Bounds(1, 2**31 - 1)]
    started: Seconds
    user: str = ""


class Lock:
    """The lock of one folder, from `acquire` to `release`."""

    def __init__(self, path: Path, descriptor: int, soft: filelock.BaseFileLock | None) -> None:
        self._path, self._descriptor, self._soft = path, descriptor, soft
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
        if self._soft is not None:
            with contextlib.suppress(OSError):
                self._soft.release()
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


def acquire(folder: Path) -> Lock:
    """Take the lock of a folder, which is made if it is missing; its parent must exist.

    Raises
    ------
    Failure
        BAD_OUTPUT: another run, named in the message, holds the lock; the folder cannot be written; or it or the lock
        file is a link or the like.
    """
    path = folder / NAME
    until = time.monotonic() + _PATIENCE
    try:
        while True:
            descriptor = _opened(path, is_patient=time.monotonic() < until)
            if descriptor is None:
                time.sleep(0.05)
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
            time.sleep(0.05)  # another run is writing or removing the lock
    except OSError as error:
        raise unwritable(error, folder.parent) from error


class _Busy(Exception):
    """Another run holds the lock."""


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


def _locked(path: Path, descriptor: int) -> filelock.BaseFileLock | None:
    """Lock the file, or, on a disk without locks, acquire and return a soft lock."""
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
    """Write the holder into the lock file; False if the file must be made again first."""
    other = _read(path)
    if other is not None and other.host != platform.node():
        raise _refusal(other, path)
    user = ""
    with contextlib.suppress(Exception):  # a user without a name raises different errors on different systems
        user = getpass.getuser()
    holder = Holder(host=platform.node(), process=os.getpid(), started=psutil.Process().create_time(), user=user)
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


def _refusal(other: Holder | None, path: Path) -> Failure:
    """Why the lock cannot be acquired."""
    folder, soft = path.parent.parent, path.with_name(SOFT)
    hint = "Wait for it, cancel it, or choose another folder"
    if os.path.lexists(soft):  # no operating system takes that away with the process
        hint += f"; if it has certainly ended, delete {soft}"
    if other is None:
        return Failure(exit_codes.BAD_OUTPUT, f"Another run is writing into {folder}.", hint=f"{hint}.")
    user = f" of {_printable(other.user)}" if other.user else ""
    since = f", since {at}" if (at := _clock(other.started)) else ""
    if other.host == platform.node():
        return Failure(
            exit_codes.BAD_OUTPUT,
            f"Another run (process {other.process}{user}{since}) is writing into {folder}.",
            hint=f"{hint}.",
        )
    files = " and ".join(str(each) for each in (path, soft) if os.path.lexists(each))
    return Failure(
        exit_codes.BAD_OUTPUT,
        f"Another run on the computer {_printable(other.host)} (process {other.process}){user}{since} is writing into "
        f"{folder}.",
        hint=f"Wait for it or choose another folder; if that run has certainly ended, delete {files}.",
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
