"""What a run leaves in its output folder, and taking away what nobody needs. Standard library only."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from . import records
from .depth_sequence import LARGEST_STATE, SCRATCH, SIDECAR, STATE
from .untrusted import is_there, read_text

LOG = "fathom.log"
"""Name of the file in the output folder that takes what the worker and its libraries say."""
LOCK = "lock"
"""Beginning of the names, in the scratch folder, of what says that a run is at work."""
CLIP = "clip"
"""Folder, in the scratch folder, of the clip's frames at working size."""
_NOTES = ("frames.json", STATE)
"""Files that say what others hold, and hold nothing themselves."""


def missing_folders(folder: Path) -> tuple[Path, ...]:
    """What would have to be made for a folder to be there: itself and those above it, the innermost first."""
    absent = []
    for each in (folder, *folder.parents):
        if is_there(each):
            break
        absent.append(each)
    return tuple(absent)


def holds_work(folder: Path, *, frames_count: bool = True, maps_count: bool = True) -> bool:
    """Whether an output folder holds maps, or anything else that a later run goes on from.

    Parameters
    ----------
    folder : Path
    frames_count : bool
        Whether frames of the clip at working size are worth keeping.
    maps_count : bool
        Whether what lies beside the scratch folder is the run's, and no earlier result that stays as it is.
    """
    scratch = folder / SCRATCH
    try:
        if maps_count and any(path.name == SIDECAR or path.suffix == ".exr" for path in folder.iterdir()):
            return True
        for path in scratch.rglob("*"):
            inside = path.relative_to(scratch).parts
            idle = inside[0].startswith((LOCK, ".tmp-")) or path.name in _NOTES
            idle = idle or (inside[0] == CLIP and not frames_count)
            if path.is_file() and not idle and path.stat().st_size:
                return True
        state = records.parse(read_text(scratch / STATE, most=LARGEST_STATE), where=STATE)
        return bool(state.get("shots"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError):  # not to be looked through: nothing is taken away then
        return True


def take_away(folder: Path, made: Iterable[Path] = (), *, ended: int | None = None) -> None:
    """Remove the log and the scratch folder of a run that left nothing to go on from, and folders made for it.

    Parameters
    ----------
    folder : Path
        Nothing is done where it `holds_work`.
    made : iterable of Path
        Folders that the run made, the innermost first; each goes if it is empty.
    ended : int or None
        Process that has ended, or is about to, whose lock does not count; while any other holds the folder nothing is
        taken away.
    """
    if holds_work(folder):
        return
    scratch = folder / SCRATCH
    if _holder(scratch / LOCK) in (None, ended):
        shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            (folder / LOG).unlink()
    remove_empty(made)


def _holder(lock: Path) -> int | None:
    """The process that a lock names; None where there is no lock."""
    try:
        return int(records.parse(read_text(lock), where=LOCK)["process"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for each in folders:
            each.rmdir()
