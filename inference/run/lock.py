"""One run at a time in an output folder.

The lock is a small file that names its holder by host, process and the process's start, so that the lock of a
process that was killed is recognised, also when its number has gone to another process since.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil

from .. import exit_codes, records
from ..faults import Failure, unwritable
from ..records import Bounds, Seconds, Word

NAME = "lock"
_SAME_START = 5.0
"""Seconds by which two readings of one process's start may differ (the clock may have been set in between)."""
_WRITTEN_WITHIN = 10.0
"""Seconds after which a lock without content, or a half-done takeover, is the remains of a process that died."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock: `started` is the process's start in seconds since 1970."""

    host: Word
    process: Annotated[int, Bounds(1, 2**31 - 1)]
    started: Seconds


class Lock:
    """The lock of one folder, from `acquire` on until `release`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self._path, self._holder = path, holder
        _held.append(self)

    def release(self) -> None:
        """Remove the lock file, if it is still ours, and its folder, if nothing else is left in it."""
        if self in _held:
            _held.remove(self)
        if _read(self._path) == self._holder:
            self._path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # work to go on from is kept in there
                self._path.parent.rmdir()


_held: list[Lock] = []


def release_all() -> None:
    """Release every lock of this process, which is about to end by force."""
    for held in list(_held):
        held.release()


def acquire(folder: Path) -> Lock:
    """Take the lock of a folder.

    Parameters
    ----------
    folder : Path
        Where the lock file lies; made where it is missing. Its parent must exist.

    Raises
    ------
    Failure
        BAD_OUTPUT: another run holds the lock (the sentence says which), or the folder cannot be written.
    """
    path = folder / NAME
    holder = Holder(host=platform.node(), process=os.getpid(), started=psutil.Process().create_time())
    try:
        while not _create(path, holder):
            other = _read(path)
            if other is None and _age(path) < _WRITTEN_WITHIN:
                time.sleep(0.05)  # another run is writing it just now, or has just removed it
            elif other is not None and (refusal := _refusal(other, path)):
                raise refusal
            else:
                _remove_stale(path)
    except OSError as error:
        raise unwritable(error, folder.parent) from error
    return Lock(path, holder)


def _create(path: Path, holder: Holder) -> bool:
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except (FileExistsError, FileNotFoundError):  # not there: the run before us has just removed the folder
        if not path.parent.parent.is_dir():
            raise
        return False
    try:
        os.write(descriptor, records.dumps(holder).encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return True


def _refusal(other: Holder, path: Path) -> Failure | None:
    """Why `other` may not be pushed aside; None where it is gone."""
    if other.host != platform.node():
        return Failure(
            exit_codes.BAD_OUTPUT,
            f"Another run on the computer {other.host} (process {other.process}) is writing into {path.parent.parent}.",
            cure=f"Wait for it or choose another folder; if that run is gone for certain, delete {path}.",
        )
    if not _runs(other):
        return None
    return Failure(
        exit_codes.BAD_OUTPUT,
        f"Another run (process {other.process}, since {time.strftime('%H:%M', time.localtime(other.started))}) is "
        f"writing into {path.parent.parent}.",
        cure="Wait for it, cancel it, or choose another folder.",
    )


def _remove_stale(path: Path) -> None:
    """Remove a lock whose holder is gone, unless another run does so or has taken it over meanwhile."""
    takeover = path.with_name(f"{NAME}.takeover")
    try:
        takeover.mkdir()
    except FileNotFoundError:
        return
    except FileExistsError:
        if _age(takeover) > _WRITTEN_WITHIN:
            shutil.rmtree(takeover, ignore_errors=True)
        time.sleep(0.05)
        return
    try:
        other = _read(path)  # again: only within the takeover can it not change hands
        stale = other is None and _age(path) >= _WRITTEN_WITHIN
        if stale or (other is not None and _refusal(other, path) is None):
            path.unlink(missing_ok=True)
    finally:
        shutil.rmtree(takeover, ignore_errors=True)


def _read(path: Path) -> Holder | None:
    try:
        return records.load(Holder, path, strict=False)
    except (OSError, ValueError):
        return None


def _age(path: Path) -> float:
    """Seconds since a file was last written; 0 for one that has just gone."""
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except FileNotFoundError:
        return 0.0


def _runs(holder: Holder) -> bool:
    """Whether a process of this computer still runs, and is not another one that was given its number since."""
    try:
        process = psutil.Process(holder.process)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - holder.started) <= _SAME_START
    except psutil.AccessDenied:  # it is there, and somebody else's
        return True
    except psutil.Error:
        return False
