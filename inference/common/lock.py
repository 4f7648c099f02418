"""The worker's lock of a folder (`contract.lock`), also on a disk without the operating system's locks.

There a file that exists during a run replaces them (filelock's soft lock): one whose process no longer runs on this
computer is removed.
"""

from __future__ import annotations

import errno
from pathlib import Path

import filelock

from ..contract import exit_codes, lock
from ..contract.lock import NAME, SOFT, Holder, Lock, Release, release_all
from .failures import Failure, unwritable

__all__ = ["NAME", "SOFT", "Holder", "Lock", "acquire", "release_all"]
_SOFT_PATIENCE = 3.0
"""Seconds to wait for a soft lock: filelock considers one that cannot be read broken after two seconds, but not one
that is empty, as where the power failed before the name was written."""
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of a disk without locks."""


def acquire(folder: Path) -> Lock:
    """Take the lock of a folder, which is made if it is missing; its parent must exist.

    Raises
    ------
    Failure
        BAD_OUTPUT: another run, named in the message, holds the lock; the folder cannot be written; or it or the lock
        file is a link or the like.
    """
    try:
        return lock.acquire(folder, locked=_locked)
    except lock.Held as held:
        raise Failure(exit_codes.BAD_OUTPUT, held.what, hint=held.hint) from None
    except OSError as error:
        raise unwritable(error, folder.parent) from error


def _locked(path: Path, descriptor: int) -> Release | None:
    """Lock the file, or, on a disk without locks, acquire a soft lock, whose release is returned."""
    try:
        if not filelock.lock_descriptor(descriptor, blocking=False):
            raise lock.Busy
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    soft = filelock.SoftFileLock(path.with_name(SOFT), timeout=_SOFT_PATIENCE, thread_local=False)
    try:
        soft.acquire()
    except filelock.Timeout:
        raise lock.Busy from None
    return soft.release
