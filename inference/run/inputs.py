"""The files that a job reads: whether they change during a run, and whether two runs are the same.

A clip may be rendered or copied again while its depth is estimated; then some frames would have the depth of one clip
and some that of another. So the files' sizes and times are recorded before the first is opened, and compared before any
result becomes final.

Two runs can be the same on two levels: they have the same job (`Job.fingerprint`, which Blender computes too), or their
results are the same bit for bit (`Inputs.key`). Only on the second level does one run resume the other.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common.failures import Failure
from ..contract import depth_sequence, exit_codes, plate_files
from ..contract.depth_sequence import Weights
from ..contract.job import Job
from ..contract.plate_files import PlateFiles
from ..media.mattes import mattes


class Changed(Failure):
    """An input file changed during the run, so its results may be of two clips."""


@dataclass(frozen=True)
class _Facts:
    size: int
    written: int
    file: int
    noted: int

    def is_other(self, now: _Facts) -> bool:
        """Whether the file has changed since.

        A new inode number alone is no change, since some network disks assign new ones; nor is a new ctime, since
        permissions and backups change it too.
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
    """The files that are read for a job's frames `first` to `last`, as `noted` before the clip was opened.

    `sequences` are folders of input depth sequences, `images` further images by frame.
    """

    def __init__(
        self,
        job: Job,
        noted: Mapping[Path, _Facts | None],
        *,
        first: int,
        last: int,
        sequences: Iterable[str] = (),
        images: Iterable[tuple[int, Path]] = (),
    ) -> None:
        self._job = job
        self._config = plate_files.color_config(job.source.ocio_config)
        self._plate = plate_files.paths(job.source, first, last)
        self._clip = [*self._plate, *_mattes(job, first, last), *images]
        self._beside = plate_files.look_at(plate_files.beside(job.mattes, job.parameters), colors=self._config)
        self._given: list[tuple[int | None, Path]] = []
        for folder in map(Path, sequences):
            self._given.append((None, folder / depth_sequence.SIDECAR))
            for number in range(first, last + 1):
                maps = (depth_sequence.disparity_name(number), depth_sequence.confidence_name(number))
                self._given += [(number, folder / name) for name in maps]
        config: list[tuple[int | None, Path]] = [(None, self._config)] if self._config else []
        named = [*config, *self._given, *self._clip]
        self._found = {path: (number, noted[path] if path in noted else _facts(path)) for number, path in named}

    def check(self, first: int | None = None, last: int | None = None) -> None:
        """Raise an error if a file has changed that belongs to the frames `first` to `last`; None: to any.

        Raises
        ------
        Changed
            FAILED; the message names the first such file.
        Failure
            FAILED: none has changed, but one is missing, for example on a disk that is offline. The run's work stays
            valid: if the file comes back changed, the job is another one (`key`).
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
            what = "changed" if before else "appeared"
            raise Changed(
                exit_codes.FAILED,
                f"{path} {what} while it was worked on, so this run's work was deleted.",
                hint="Start the same job again when its files no longer change.",
            )
        if gone is not None:
            raise Failure(
                exit_codes.FAILED,
                f"{gone} disappeared while it was worked on.",
                hint="Start the same job again to resume it when the file is back.",
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

        It covers the job, its files (by size and modification time, including the color configuration and the maps of
        input depth sequences), the versions of packages, the device, the weights, and in `given` the sha256 of each
        input depth sequence's ``depth.json``.
        """
        facts = {
            "job": self._job.fingerprint(),
            "source": [self._identity(path) for _, path in self._clip],
            "versions": dict(versions),
            "device": [device, platform.system(), platform.machine()],
        }
        if self._config and self._found[self._config][1]:  # it may be missing if the clip does not need it
            facts["ocio"] = [str(self._config), self._identity(self._config)]
        if weights:  # without weights the key is that of earlier versions
            facts["weights"] = [[each.repository, each.file, each.sha256] for each in weights]
        if given:
            facts["given"] = dict(given)
        if self._given:
            facts["maps"] = [self._identity(path) for number, path in self._given if number is not None]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def plate_files(self) -> PlateFiles | None:
        """The clip's files; None where one is missing."""
        found = [facts for _, path in self._plate if (facts := self._found[path][1]) is not None]
        return plate_files.of((each.size, each.written) for each in found) if len(found) == len(self._plate) else None

    def other_files(self) -> PlateFiles | None:
        """What the job reads beside the clip (`plate_files.beside`), and the colors' configuration; None of none."""
        return self._beside

    def files_key(self, *, clip: bool = True) -> str:
        """A hash of the files by name, size and modification time, wherever they lie; `clip` : the clip's as well.

        Times count in whole seconds: computers of different systems see those of a shared disk more or less exactly.
        """
        left_out = {self._config, *(() if clip else (path for _, path in self._plate))}
        facts = [self._identity(path, unit=10**9) for path in self._found if path not in left_out]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _identity(self, path: Path, *, unit: int = 1) -> list[object]:
        """Name, size and time, in so many nanoseconds, of a file; of a missing one its name."""
        _, facts = self._found[path]
        return [path.name, *((facts.size, facts.written // unit) if facts else ())]


def note(job: Job) -> dict[Path, _Facts | None]:
    """Sizes and times of the clip's files; to be called before any of them is opened."""
    return {path: _facts(path) for _, path in plate_files.paths(job.source, job.first_frame, job.last_frame)}


def _mattes(job: Job, first: int, last: int) -> list[tuple[int | None, Path]]:
    """The mattes of the frames, with their numbers."""
    if not job.mattes:
        return []
    return list(mattes(job.mattes, first, last, (1, 1)).by_frame())


def _is_within(number: int | None, first: int | None, last: int | None) -> bool:
    """Whether a file's frame is in a range; a file without a frame number always is."""
    return number is None or ((first is None or number >= first) and (last is None or number <= last))
