"""Jobs that wait, run or were left unfinished, as notes in the data folder. Standard library only.

Each job is one file, so that several Blenders may note theirs at once, and what one of them leaves behind when it ends,
however it ends, is found by the next. A note says what was asked for; how far the work is stands in its output folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import depth_sequence, leftovers, own_files, records
from .job import Job
from .records import FilePath
from .untrusted import read_text

State = Literal["waiting", "running", "done", "failed", "cancelled"]
_FOLDER = "jobs"
_NAME = re.compile(r"[0-9a-f]{16}\.json")
_SESSION = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """A job that was asked for.

    Attributes
    ----------
    job : Job
    label : str
        The clip's name.
    session : str
        The Blender that noted it; its own jobs are those of its queue.
    place : float
        Where it stands in the queue; the smallest is next.
    state : str
    message : str
        Why it failed.
    frame_offset : int
        Scene frame less source frame, where the clip lies on the timeline.
    blend, scene : str
        The .blend file and the scene that asked for it; empty: a file that was not saved.
    new_version : bool
        Whether it is to be made also where its result is there already.
    """

    job: Job
    label: str
    session: str = ""
    place: float = 0.0
    state: State = "waiting"
    message: str = ""
    frame_offset: int = 0
    blend: FilePath = ""
    scene: str = ""
    new_version: bool = False

    @property
    def id(self) -> str:
        """The same for the same job into the same folder."""
        text = f"{self.job.fingerprint()}\n{self.job.output}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def note(home: Path, queued: QueuedJob) -> None:
    """Note a job in the data folder `home`, in the place of an earlier note of it. OSError where that fails."""
    path = _path(home, queued.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    own_files.save_text(path, records.dumps(queued) + "\n")


def forget(home: Path, queued: QueuedJob) -> None:
    """Remove the note of a job, if there is one; its work stays."""
    with contextlib.suppress(OSError):
        _path(home, queued.id).unlink(missing_ok=True)


def noted(home: Path) -> list[QueuedJob]:
    """The jobs that are noted, by their places; without notes that cannot be read, such as another version's."""
    return sorted(_read(home / _FOLDER), key=lambda queued: queued.place)


def share_done(queued: QueuedJob) -> float | None:
    """The share of a job that lies unfinished in its output folder, from 0 to 1; None where there is nothing of it."""
    folder = queued.job.output
    if depth_sequence.unfinished_fingerprint(folder) != queued.job.fingerprint():
        return None
    return depth_sequence.unfinished_progress(folder)


def hold(home: Path, session: str) -> int | None:
    """Hold a lock that says that a session is open, until its descriptor is closed; None on a disk without locks."""
    path = _lock(home, session)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(5):  # another session may look in this moment, and remove what nobody holds
            descriptor = own_files.open_file(path, os.O_CREAT | os.O_RDWR, alone=False)
            if own_files.lock(descriptor) and own_files.is_at(path, descriptor):
                return descriptor
            os.close(descriptor)
    return None


def let_go(home: Path, session: str, descriptor: int) -> None:
    """End a `hold`."""
    with contextlib.suppress(OSError):
        if os.name != "nt":  # there the file is locked, and whoever looks next removes it
            _lock(home, session).unlink(missing_ok=True)
    os.close(descriptor)


def is_under_way(home: Path, queued: QueuedJob) -> bool:
    """Whether a job is being done: it runs, or waits in the queue of a session that is open."""
    if queued.state == "waiting" and _is_open(home, queued.session):
        return True
    return leftovers.is_held(Path(queued.job.output))


def _is_open(home: Path, session: str) -> bool:
    if not _SESSION.fullmatch(session):
        return False
    path = _lock(home, session)
    try:
        descriptor = own_files.open_file(path, os.O_RDWR, alone=False)
    except OSError:
        return False
    try:
        is_free = own_files.lock(descriptor)
        if is_free and os.name != "nt":
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    if is_free and os.name == "nt":
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return not is_free


def _lock(home: Path, session: str) -> Path:
    return home / _FOLDER / f"{session}.lock"


def _path(home: Path, name: str) -> Path:
    return home / _FOLDER / f"{name}.json"


def _read(folder: Path) -> Iterator[QueuedJob]:
    try:
        paths = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return
    for path in paths:
        with contextlib.suppress(OSError, records.RecordError):
            yield records.loads(QueuedJob, read_text(path), where="job", strict=False)
