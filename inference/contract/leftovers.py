"""The files that a run leaves in its output folder, and how useless ones are removed. Standard library only."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import own_files, records
from .depth_sequence import LARGEST_STATE, SCRATCH, SIDECAR, STATE
from .own_files import TEMPORARY, Names
from .untrusted import is_there, read_text

LOG = "fathom.log"
"""Name of the log file in the output folder, with the output of the worker and its libraries."""
LOCK = "lock"
"""Beginning of the names of lock files, in the scratch folder."""
CLIP = "clip"
"""Folder, in the scratch folder, of the clip's frames at processing resolution."""
CLIP_FILES = ("frames.u8", "frames.json")
"""The files in it."""
_NOTES = ("frames.json", STATE, "plan.json")
"""Files that only describe others."""
MAPS = ("disparity.####.exr", "confidence.####.exr")
"""The files of a depth sequence's maps."""
CLAIM = f"{LOCK}.claim"
"""Name of the file by which a Blender holds a folder, in the scratch folder, until its run ends (`scene.output`)."""
LOCKS = (LOCK, f"{LOCK}.soft", CLAIM)
"""Names of the lock files of a running job."""
SHOT = "shot.####-####/"
"""Folder, in the scratch folder, of the estimator's own files."""
LEARNED = "network"
"""Folder, in a shot's, of the maps of the network that completes its depth."""
PLAN = "plan.json"
"""Name of the file, in the scratch folder, of a job's division into chunks."""
CHUNKS = "chunks"
"""Folder, in the scratch folder, of what processes note and log of the chunks that they do."""
FILES = (
    *(PLAN, f"{CHUNKS}/######.json", f"{CHUNKS}/######.log"),
    *(STATE, *(f"{CLIP}/{name}" for name in CLIP_FILES), SHOT),
    *(f"{folder}/{name}" for folder in ("low", "new", f"{SHOT}{LEARNED}") for name in MAPS),
)
"""The files of a run in its scratch folder, except its estimator's."""
_LARGEST_LOCK = 4096
"""Bytes read from a lock file."""
_LARGEST_PLAN = 1 << 26
"""Bytes of a plan."""
_NOTE = re.compile(r"[0-9]{6,}\.json")
"""Names of the notes of chunks that are done."""


def chunks_of(folder: Path) -> tuple[int, int] | None:
    """How many chunks of the plan in an output folder are done, and how many there are; None where there is no plan."""
    scratch = folder / SCRATCH
    try:
        plan = records.parse(read_text(scratch / PLAN, most=_LARGEST_PLAN), where=PLAN)
        count = len(plan["chunks"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    try:
        done = sum(_NOTE.fullmatch(entry.name) is not None for entry in os.scandir(scratch / CHUNKS))
    except OSError:
        done = 0
    return min(done, count), count


def missing_folders(folder: Path) -> tuple[Path, ...]:
    """The folders to make so that a folder exists: itself and those above it, the innermost first."""
    absent = []
    for each in (folder, *folder.parents):
        if is_there(each):
            break
        absent.append(each)
    return tuple(absent)


def holds_work(folder: Path, *, frames_count: bool = True, maps_count: bool = True) -> bool:
    """Whether an output folder contains maps, or anything else that a later run can resume from.

    Parameters
    ----------
    frames_count : bool
        Whether frames of the clip at processing resolution count.
    maps_count : bool
        Whether the maps beside the scratch folder count: they are the run's, not an earlier result.
    """
    scratch = folder / SCRATCH
    try:
        if maps_count and any(path.name == SIDECAR or path.suffix == ".exr" for path in folder.iterdir()):
            return True
        for path in scratch.rglob("*"):
            inside = path.relative_to(scratch).parts
            idle = inside[0].startswith((LOCK, TEMPORARY)) or path.name in _NOTES
            idle = idle or (inside[0] == CLIP and not frames_count)
            if path.is_file() and not idle and path.stat().st_size:
                return True
        state = records.parse(read_text(scratch / STATE, most=LARGEST_STATE), where=STATE)
        return bool(state.get("shots"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError):  # unreadable: remove nothing then
        return True


def take_away(folder: Path, made: Iterable[Path] = (), *, ended: int | None = None) -> None:
    """Remove the log and the scratch folder of a run that left nothing to resume from, and the folders made for it.

    Parameters
    ----------
    folder : Path
        If it `holds_work`, nothing is removed.
    made : iterable of Path
        Folders that the run made, the innermost first; each is removed if it is empty.
    ended : int or None
        Process that has ended, or is about to, whose lock is ignored; while any other process holds the lock, nothing
        is removed.
    """
    if holds_work(folder):
        return
    scratch = folder / SCRATCH
    with contextlib.suppress(OSError), _held(scratch / LOCK) as is_free:
        if is_free and _holder(scratch / LOCK) in (None, ended):
            if own_files.is_file(folder / LOG):
                (folder / LOG).unlink()
            own_files.clear(scratch, Names((*FILES, *(each for each in LOCKS if each != CLAIM))))
            scratch.rmdir()  # unless a Blender holds it, which removes it then
    remove_empty(made)


def take_log_away(folder: Path, made: Iterable[Path] = ()) -> None:
    """Remove the log of a run from its folder, whatever else is in it, and the folders `made` for it that are empty."""
    with contextlib.suppress(OSError):
        if own_files.is_file(folder / LOG):
            (folder / LOG).unlink()
    remove_empty(made)


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[bool]:
    """Hold a run's lock, if it exists and the standard library can; False if another process holds it."""
    try:
        descriptor = own_files.open_file(lock, os.O_RDWR, alone=False)
    except FileNotFoundError:
        yield True
        return
    is_open = True
    try:
        is_free = own_files.lock(descriptor)
        if os.name == "nt":  # Windows cannot delete an open file
            os.close(descriptor)
            is_open = False
        yield is_free
    finally:
        if is_open:
            os.close(descriptor)


def is_held(folder: Path, lock: str = LOCK) -> bool:
    """Whether a run writes into an output folder, by the operating system's lock; False on a disk without locks."""
    try:
        with _held(folder / SCRATCH / lock) as is_free:
            return not is_free
    except OSError:
        return False


def read_lock(lock: Path) -> str:
    """The text of a lock file, which is JSON."""
    descriptor = own_files.open_file(lock, os.O_RDONLY, alone=False)
    try:
        if os.name == "nt":  # the first byte, a space, is locked and cannot be read
            os.lseek(descriptor, 1, os.SEEK_SET)
        return os.read(descriptor, _LARGEST_LOCK).decode()
    finally:
        os.close(descriptor)


def _holder(lock: Path) -> int | None:
    """The process that a lock file names; None if it does not exist or is empty, 0 if it cannot be read."""
    try:
        text = read_lock(lock)
        return int(records.parse(text, where=LOCK)["process"]) if text.strip() else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, until one is not empty."""
    with contextlib.suppress(OSError):
        for each in folders:
            each.rmdir()
