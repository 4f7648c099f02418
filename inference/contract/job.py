"""A job: everything that the worker needs to estimate one clip. Standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from . import exit_codes, numbering, records
from .camera import Camera, Pixels
from .hints import setting
from .numbering import Frame
from .records import Bounds, FileName, FilePath, Text, Word
from .untrusted import read_text

SCHEMA_VERSION = 1
SMALLEST_SIZE = 64
"""Smallest processing resolution, long side in pixels."""
FIND_CUTS, NO_CUTS = "auto", "none"
LONGEST_CUTS = 10_000_000
"""Letters."""
Seed = Annotated[int, Bounds(0, 2**31 - 1)]
Wanted = TypeVar("Wanted")
_CUTS = re.compile(r"\d+(?:\s*,\s*\d+)*")


class JobError(ValueError):
    """A job that cannot be run; the message is one sentence for the artist, `code` one of `exit_codes`."""

    def __init__(self, message: str, code: int = exit_codes.USAGE) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Source:
    """The plate, as the Blender that sends the job shows it.

    Attributes
    ----------
    kind : 'movie' or 'sequence'
    path : str
        The movie file, or the folder that holds the sequence's files.
    files : tuple of str
        A sequence's file names in the order of their frames; empty for a movie.
    stream : int
        Index of a movie's video stream, from 0, as Blender's Stream Index; cover art does not count.
    width, height : int or None
        Displayed size in pixels, after rotation. None: as in the file.
    rotation : int or None
        Degrees clockwise from the stored to the displayed image: 0, 90, 180 or 270. None: as in the file's metadata.
        Blender 4.2 ignores that metadata, so it passes 0.
    fps : float or None
        Rate of the constant timeline on which Blender counts a movie's frames. None: as Blender would.
    frame_count : int or None
        How many frames Blender counts in a movie. None: as Blender would.
    colorspace : str or None
        Name of the plate's color space in the OCIO configuration. None: as Blender 5.2 reads the file, by its header
        or else its format (linear Rec.709 for EXR, HDR, DPX and Cineon, else sRGB).
    ocio_config : str or None
        Path of the OCIO configuration; None: the one in the environment variable ``OCIO``, or OCIO's built-in studio
        configuration with Blender's names added.
    """

    kind: Literal["movie", "sequence"]
    path: FilePath
    files: tuple[FileName, ...] = ()
    stream: Annotated[int, Bounds(0, 9999)] = 0
    width: Pixels | None = None
    height: Pixels | None = None
    rotation: int | None = None
    fps: Annotated[float, Bounds(1e-6, 1e6)] | None = None
    frame_count: Annotated[int, Bounds(1, 2**31 - 1)] | None = None
    colorspace: str | None = None
    ocio_config: FilePath | None = None

    def problems(self) -> Iterator[str]:
        """Why this is not a valid plate; `records` asks."""
        if not self.path:
            yield "has no path"
        if (self.kind == "sequence") != bool(self.files):
            yield "is a movie with a list of files" if self.files else "is a sequence without files"
        if self.stream and self.files:
            yield "is a sequence, which has no streams"
        if self.rotation not in (None, 0, 90, 180, 270):
            yield f"has a rotation of {self.rotation} degrees, not 0, 90, 180 or 270"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One estimate.

    Attributes
    ----------
    source : Source
    first_frame, last_frame : int or None
        Source frames to estimate, both included, in Blender's numbering (see `numbering`). None: the clip's ends.
    estimator : str
        Name in the worker's registry, or ``automatic``.
    parameters : dict
        Values of the estimator's parameters; any other has its default.
    output : str
        Folder that becomes the depth sequence.
    size : int or None
        Processing resolution: long side in pixels. None: the estimator's default.
    full_size : bool
        Whether maps are upsampled to the plate's size, guided by its edges.
    seed : int
    mattes : str or None
        Folder of matte images with the source's frame numbers, white on dynamic objects, which the camera solve
        ignores. None: none.
    camera : Camera or None
        The known camera: its focal length alone (no poses), or its whole path.
    cuts : str
        ``auto``: hard cuts are detected. ``none``: all frames are one shot. Otherwise the first frames of the second
        and later shots, such as ``31,77``.
    """

    source: Source
    output: FilePath
    first_frame: Frame | None = None
    last_frame: Frame | None = None
    estimator: Word = "automatic"
    parameters: dict[str, Any] = field(default_factory=dict)
    size: Pixels | None = None
    full_size: bool = False
    seed: Seed = 0
    mattes: FilePath | None = None
    camera: Camera | None = None
    cuts: Annotated[str, Text(most=LONGEST_CUTS)] = FIND_CUTS
    schema_version: int = SCHEMA_VERSION

    def fingerprint(self) -> str:
        """A hash that is equal exactly for jobs with the same result.

        It covers everything but the output folder, the clip's size (which is checked) and a sequence's frame rate, so
        a clip has the same hash whether a strip, a movie clip or a path names it.
        """
        data = records.to_json(self)
        unused = ("width", "height", "fps") if self.source.kind == "sequence" else ("width", "height")
        for name in unused:
            del data["source"][name]
        del data["output"], data["cuts"]
        if self.camera is not None:
            del data["camera"]["origin"]
            _leave_out(data["camera"], {"distortion_model": "polynomial", "pixel_aspect": 1.0})
            for pose in data["camera"]["poses"]:
                _leave_out(pose, {"focal_length": None, "principal_point": None})
        if (starts := shot_starts(self.cuts)) is not None:  # jobs without cuts keep the fingerprints that they had
            data["cuts"] = list(starts)
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _leave_out(data: dict[str, Any], usual: dict[str, Any]) -> None:
    """Drop what has its usual value, so that jobs without it keep the fingerprints that they had."""
    for name, value in usual.items():
        if data[name] == value:
            del data[name]


def shot_starts(cuts: str) -> tuple[int, ...] | None:
    """The first frames of the second and later shots in a job's `cuts`; None if cuts are to be detected.

    Raises
    ------
    JobError
        One sentence: the text is not valid.

    >>> shot_starts("auto"), shot_starts("none"), shot_starts("31, 77")
    (None, (), (31, 77))
    """
    text = cuts.strip().lower()
    if not text:
        raise JobError(
            f"{setting('cuts')} is empty: list the first frames of new shots, such as 31,77, or use {FIND_CUTS} to "
            "detect cuts."
        )
    if text == FIND_CUTS:
        return None
    if text == NO_CUTS:
        return ()
    if not _CUTS.fullmatch(text):
        raise JobError(
            f"{setting('cuts')} must be {FIND_CUTS}, {NO_CUTS} or the first frames of new shots, such as 31,77, not "
            f"'{records.in_a_line(cuts)}'."
        )
    numbers = [number.strip() for number in text.split(",")]
    for number in numbers:
        if len(number) > 7 or int(number) > numbering.LARGEST:
            raise JobError(
                f"There is no cut at frame {records.in_a_line(number)}: Blender's last frame is {numbering.LARGEST} "
                f"({setting('cuts')})."
            )
    return tuple(map(int, numbers))


def check_cuts(cuts: str, first: int | None, last: int | None) -> tuple[int, ...] | None:
    """`shot_starts`, checked against the frames of a job as far as they are known.

    Raises
    ------
    JobError
        One sentence on the first cut that is not valid.
    """
    starts = shot_starts(cuts)
    for before, start in zip(starts or (), (starts or ())[1:]):
        if start <= before:
            raise JobError(f"The cuts are not in frame order: {start} follows {before} ({setting('cuts')}).")
    for start in starts or ():
        if first is not None and start <= first:
            raise JobError(
                f"There is no cut at frame {start}: cuts are the first frames of new shots, and the first shot begins "
                f"with frame {first} ({setting('cuts')})."
            )
        if last is not None and start > last:
            raise JobError(f"There is no cut at frame {start}: the last frame is {last} ({setting('cuts')}).")
    return starts


def validate(job: Job) -> Job:
    """Check everything about a job that can be checked without opening its files; returns the job itself.

    Raises
    ------
    JobError
        One sentence on the first problem.
    """
    validated(job, _problems(job), where="job", failure="The job cannot be run")
    if (in_the_way := _output_problem(job)) is not None:
        raise JobError(in_the_way, exit_codes.BAD_OUTPUT)
    return job


def validated(wanted: Wanted, problems: Iterable[str], *, where: str, failure: str) -> Wanted:
    """A job, an export or a refinement whose values are allowed; JobError on the first that is not.

    Parameters
    ----------
    problems : iterable of str
        People's mistakes, a sentence each; those that only a program can make are found by `records.check`.
    where, failure : str
        What the record is called, and the beginning of the sentence on a program's mistake.
    """
    for problem in problems:
        raise JobError(problem)
    try:
        records.check(wanted, where=where)
    except records.RecordError as error:
        raise JobError(f"{failure}: {error}.") from error
    return wanted


def _problems(job: Job) -> Iterator[str]:
    source = job.source
    if job.schema_version != SCHEMA_VERSION:
        yield (
            f"This job was written for schema {job.schema_version} and this Fathom reads schema {SCHEMA_VERSION}; "
            "use the same version of Fathom on both sides."
        )
    if not source.path:
        yield "The job names no clip; choose a movie file or an image sequence."
    if not job.output:
        yield "The job names no output folder; choose one."
    if source.kind == "sequence":
        yield from _sequence_problems(job)
    if job.first_frame is not None and job.last_frame is not None and job.last_frame < job.first_frame:
        yield f"The frame range {job.first_frame}-{job.last_frame} is empty; its end must not be before its start."
    if job.size is not None and job.size < SMALLEST_SIZE:
        yield f"{setting('size')} must be at least {SMALLEST_SIZE} pixels on the long side, not {job.size}."
    try:
        check_cuts(job.cuts, job.first_frame, job.last_frame)
    except JobError as error:
        yield str(error)
    if not job.estimator:
        yield f"The job names no estimator; choose one ({setting('estimator')})."


def _sequence_problems(job: Job) -> Iterator[str]:
    source = job.source
    if not source.files:
        yield f"The image sequence in {source.path} has no files; choose a folder with numbered images."
        return
    try:
        numbering.check(source.files, source.path, job.first_frame, job.last_frame)
    except numbering.NumberingError as error:
        yield str(error)


def _output_problem(job: Job) -> str | None:
    """Why the output folder cannot be used: it contains the clip's files, or the mattes; None if it can."""
    inputs = {"clip itself": plate_folder(job.source) if job.source.path else None, "mattes": job.mattes}
    for what, folder in inputs.items():
        if job.output and folder and _is_same(job.output, folder):
            return (
                f"{job.output} is the folder of the {what}, and the result would be mixed with its files; choose "
                "another output folder, such as a new one inside it."
            )
    return None


def plate_folder(source: Source) -> str:
    """The folder that contains the clip's files."""
    return source.path if source.kind == "sequence" else str(Path(source.path).absolute().parent)


def _is_same(one: str, other: str) -> bool:
    """Whether two paths lead to the same folder, links included."""
    try:
        return os.path.realpath(one) == os.path.realpath(other) or Path(one).samefile(other)
    except (OSError, ValueError):  # one of them does not exist, or is not a valid name
        return False


def save(job: Job, path: str | Path) -> None:
    """Write a job as JSON."""
    Path(path).write_text(records.dumps(job) + "\n", encoding="utf-8")


def load(path: str | Path) -> Job:
    """Read and validate a job.

    Raises
    ------
    JobError
        One sentence: the file cannot be read, is not a job, or describes one that cannot be run.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise JobError(f"The job file {path} cannot be read ({error.strerror}); check the path.") from error
    except records.RecordError as error:
        raise JobError(f"The job file cannot be read: {error}.") from error
    try:
        return validate(records.loads(Job, text, where="job", strict=True))
    except records.RecordError as error:
        raise JobError(f"The job file {path} is not a job: {error}.") from error


def with_output(job: Job, output: str) -> Job:
    """The same job with another output folder."""
    return dataclasses.replace(job, output=output)
