"""The files that a job reads: whether they stay those that it began with, and whether a run is the same as another.

A clip may be rendered or copied anew while its depth is estimated, and then some frames would have the depth of one
clip and some that of another. So what identifies its files is noted before the first is opened and looked at again
before anything made of them is kept for good.

Two runs are the same on one of two levels: they were asked for the same (`Job.fingerprint`, which Blender knows too),
or they give the same to the bit (`Inputs.key`). Only on the second does a run resume what another has begun.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common.failures import Failure
from ..contract import depth_sequence, exit_codes, numbering
from ..contract.depth_sequence import Weights
from ..contract.job import Job
from ..media.colour_config import config_file
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
        self._job = job
        self._config = config_file(job.source.ocio_config)
        self._clip = [*_movie(job), *_of_frames(job, first, last)]
        others: list[tuple[int | None, Path]] = [(None, self._config)] if self._config else []
        for folder in map(Path, sequences):
            others.append((None, folder / depth_sequence.SIDECAR))
            for number in range(first, last + 1):
                maps = (depth_sequence.disparity_name(number), depth_sequence.confidence_name(number))
                others += [(number, folder / name) for name in maps]
        named = [*others, *self._clip]
        self._found = {path: (number, noted[path] if path in noted else _facts(path)) for number, path in named}

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
        Failure
            FAILED: none is another, and one cannot be found, as on a disk that is away for a while. What was made of
            it holds: where it does not come back as it was, the job is another one (`key`).
        """
        gone = None
        for path, (number, before) in self._found.items():
            if not _is_within(number, first, last):
                continue
            now = _facts(path)
            if before == now or (before is not None and now is not None and not before.is_other(now)):
                continue
            if now is None:
                gone = gone or path
                continue
            what = "has changed" if before else "has appeared"
            raise Changed(
                exit_codes.FAILED,
                f"{path} {what} while depth was estimated from it, so nothing of this run is kept.",
                cure="Start the same job again once its files stay as they are.",
            )
        if gone is not None:
            raise Failure(
                exit_codes.FAILED,
                f"{gone} has gone while depth was estimated from it.",
                cure="Start the same job again when it is back, which goes on from what is finished.",
            )

    def key(
        self,
        *,
        versions: Mapping[str, str],
        device: str,
        weights: Sequence[Weights] = (),
        given: Mapping[str, str] | None = None,
    ) -> str:
        """A hash that is equal exactly for runs whose maps are bit for bit the same.

        It covers the job, its files (by size and time of change, the colour configuration among them), the packages,
        the device, the weights and the depth sequences that are read.

        Parameters
        ----------
        versions : mapping
            Package name to version.
        device : str
            What computes.
        weights : sequence of Weights
            With the sha256 of each.
        given : mapping
            Name of a parameter that names another depth sequence to the sha256 of its ``depth.json``.
        """
        facts = {
            "job": self._job.fingerprint(),
            "source": [self._identity(path) for _, path in self._clip],
            "versions": dict(versions),
            "device": [device, platform.system(), platform.machine()],
        }
        if self._config and self._found[self._config][1]:  # a clip that needs none is read without one
            facts["ocio"] = [str(self._config), self._identity(self._config)]
        if weights:  # estimators without them keep the keys that earlier versions wrote
            facts["weights"] = [[each.repository, each.file, each.sha256] for each in weights]
        if given:
            facts["given"] = dict(given)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _identity(self, path: Path) -> list[object]:
        _, facts = self._found[path]
        return [path.name, *((facts.size, facts.written) if facts else ())]


def note(job: Job) -> dict[Path, _Facts | None]:
    """What identifies the clip's files now; to be called before any of them is opened."""
    return {path: _facts(path) for _, path in [*_movie(job), *_images(job, job.first_frame, job.last_frame)]}


def _of_frames(job: Job, first: int, last: int) -> list[tuple[int | None, Path]]:
    """The files that hold one frame each, with its number: the clip's, in a sequence, and the mattes'."""
    found = _images(job, first, last)
    if job.mattes:
        found += zip(range(first, last + 1), mattes(job.mattes, first, last, (1, 1)).files, strict=True)
    return found


def _movie(job: Job) -> list[tuple[int | None, Path]]:
    return [(None, Path(job.source.path))] if job.source.kind == "movie" else []


def _images(job: Job, first: int | None, last: int | None) -> list[tuple[int | None, Path]]:
    named = numbering.by_frame(job.source.files).items() if job.source.files else ()
    return [(number, Path(job.source.path) / name) for number, name in named if _is_within(number, first, last)]


def _is_within(number: int | None, first: int | None, last: int | None) -> bool:
    """Whether a file's frame is among some; one that is of no single frame always is."""
    return number is None or ((first is None or number >= first) and (last is None or number <= last))
