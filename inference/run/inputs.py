"""The files that a job reads, and whether they are still those that it began with.

A clip may be rendered or copied anew while its depth is estimated, and then some frames would have the depth of one
clip and some that of another. So what identifies its files is noted before the first is opened and looked at again
before anything made of them is kept for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..common.failures import Failure
from ..contract import depth_sequence, exit_codes, numbering
from ..contract.job import Job
from ..media.colour import config_file
from ..media.mattes import mattes


class Changed(Failure):
    """A file that a run reads is another now, so that what was made of it may be of two clips."""


@dataclass(frozen=True)
class _Facts:
    size: int
    written: int
    file: int
    noted: int

    def is_other(self, now: _Facts) -> bool:
        """Whether a file with these facts is another than one with those of `now`.

        Its number alone tells nothing, for some network disks give a file a new one now and then; nor does the time
        at which its entry changed, which a permission or a backup changes as well.
        """
        if (self.size, self.written) != (now.size, now.written):
            return True
        return self.file != now.file and self.noted != now.noted


def _facts(path: Path) -> _Facts | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Facts(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


class Inputs:
    """The files of a job's range of frames.

    Parameters
    ----------
    job : Job
    noted : mapping
        What `note` found before the clip was opened.
    first, last : int
        The frames that are read.
    sequences : iterable of str
        Folders of the depth sequences that are read as well.
    """

    def __init__(
        self, job: Job, noted: Mapping[Path, _Facts | None], *, first: int, last: int, sequences: Iterable[str] = ()
    ) -> None:
        self._always: dict[Path, _Facts | None] = {}
        self._of: dict[int, dict[Path, _Facts | None]] = {number: {} for number in range(first, last + 1)}
        sidecars = (Path(each) / depth_sequence.SIDECAR for each in sequences)
        config = config_file(job.source.ocio_config)
        named = [*_movie(job), *sidecars, *([config] if config else [])]
        for path in named:
            self._always[path] = noted[path] if path in noted else _facts(path)
        for number, found in self._of.items():
            maps = (depth_sequence.disparity_name(number), depth_sequence.confidence_name(number))
            for path in (Path(folder) / name for folder in sequences for name in maps):
                found[path] = _facts(path)
        for number, path in frame_files(job, first, last):
            self._of[number][path] = noted[path] if path in noted else _facts(path)

    def check(self, first: int | None = None, last: int | None = None) -> None:
        """Refuse to go on where a file is another now.

        Parameters
        ----------
        first, last : int or None
            The frames whose files are looked at; None: all.

        Raises
        ------
        Changed
            FAILED; the sentence names the first such file.
        """
        self._compare(self._always)
        for number, found in self._of.items():
            if (first is None or number >= first) and (last is None or number <= last):
                self._compare(found)

    def _compare(self, found: Mapping[Path, _Facts | None]) -> None:
        for path, before in found.items():
            now = _facts(path)
            if before == now or (before is not None and now is not None and not before.is_other(now)):
                continue
            what = "has changed" if before and now else "has appeared" if now else "has gone"
            raise Changed(
                exit_codes.FAILED,
                f"{path} {what} while depth was estimated from it, so nothing of this run is kept.",
                cure="Start the same job again once its files stay as they are.",
            )


def note(job: Job) -> dict[Path, _Facts | None]:
    """What identifies the clip's files now; to be called before any of them is opened."""
    files = [path for _, path in _pictures(job, job.first_frame, job.last_frame)]
    return {path: _facts(path) for path in [*_movie(job), *files]}


def files(job: Job, first: int, last: int) -> list[Path]:
    """The clip's files of a range of frames, and the mattes'."""
    return [*_movie(job), *(path for _, path in frame_files(job, first, last))]


def frame_files(job: Job, first: int, last: int) -> list[tuple[int, Path]]:
    """The files that hold one frame each, with its number: the clip's, in a sequence, and the mattes'."""
    found = _pictures(job, first, last)
    if job.mattes:
        found += zip(range(first, last + 1), mattes(job.mattes, first, last, (1, 1)).files, strict=True)
    return found


def _movie(job: Job) -> list[Path]:
    return [Path(job.source.path)] if job.source.kind == "movie" else []


def _pictures(job: Job, first: int | None, last: int | None) -> list[tuple[int, Path]]:
    if not job.source.files:
        return []
    return [
        (number, Path(job.source.path) / name)
        for number, name in numbering.by_frame(job.source.files).items()
        if (first is None or number >= first) and (last is None or number <= last)
    ]
