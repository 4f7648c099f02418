"""A job: everything the worker needs to know to estimate one clip. Standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from . import exit_codes, numbering, records
from .camera import Camera, Pixels
from .hints import setting
from .numbering import Frame
from .records import Bounds, FileName, FilePath, Text, Word
from .untrusted import read_text

SCHEMA_VERSION = 1
SMALLEST_SIZE = 64
"""Pixels of the long side that estimators work at."""
FIND_CUTS, NO_CUTS = "auto", "none"
Seed = Annotated[int, Bounds(0, 2**31 - 1)]
_CUTS = re.compile(r"\d+(?:\s*,\s*\d+)*")


class JobError(ValueError):
    """A job that cannot be run; the message is one sentence for the artist, `code` one of `exit_codes`."""

    def __init__(self, message: str, code: int = exit_codes.USAGE) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Source:
    """The plate, as the Blender that asks shows it.

    Attributes
    ----------
    kind : 'movie' or 'sequence'
    path : str
        The movie file, or the folder that holds the sequence's files.
    files : tuple of str
        A sequence's file names in the order of their frames; empty for a movie.
    stream : int
        Which of a movie's video streams, counted from 0 as Blender's Stream Index; cover art does not count.
    width, height : int or None
        Displayed size in pixels, after rotation. None: as the file says.
    rotation : int or None
        Degrees clockwise that turn the stored picture into the displayed one: 0, 90, 180 or 270. None: as the
        file's metadata says. Blender 4.2 ignores that metadata, so it passes 0.
    fps : float or None
        Rate of the constant timeline on which Blender counts a movie's frames. None: as Blender would.
    frame_count : int or None
        How many frames Blender counts in a movie. None: as Blender would.
    colorspace : str or None
        Name in the OCIO configuration of the space that the plate's values are in. None: as Blender 5.2 takes the
        file, by its header or else its kind (linear Rec.709 for EXR, HDR, DPX and Cineon, else sRGB).
    ocio_config : str or None
        Path of the OCIO configuration; None: the one of the environment variable ``OCIO``, or the studio
        configuration that OCIO has built in, with Blender's names beside its own.
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
        """What makes it no plate, for the door that it comes in by (`records`)."""
        if not self.path:
            yield "has no path"
        if (self.kind == "sequence") != bool(self.files):
            yield "is a movie with a list of files" if self.files else "is a sequence without files"
        if self.stream and self.files:
            yield "is a sequence, which has no streams"
        if self.rotation not in (None, 0, 90, 180, 270):
            yield f"has a rotation of {self.rotation} degrees, which is none of 0, 90, 180 and 270"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One estimate.

    Attributes
    ----------
    source : Source
    first_frame, last_frame : int or None
        Source frames to estimate, both included, in Blender's numbering (see `numbering`). None: the clip's ends.
    estimator : str
        Name in the worker's registry.
    parameters : dict
        Values for what the estimator declares; what is not named keeps its default.
    output : str
        Folder that becomes the depth sequence.
    size : int or None
        Long side in pixels of the working size. None: the estimator's default.
    full_size : bool
        Whether maps are brought to the plate's size by edge-aware upsampling.
    seed : int
    mattes : str or None
        Folder of matte pictures with the source's frame numbers, white where the picture moves on its own and is
        to be left out of the camera solve. None: none.
    camera : Camera or None
        What is known of the camera: its focal length alone (no poses), or its whole path.
    cuts : str
        ``auto``: hard cuts are found. ``none``: all frames are one shot. Else the first frames of the shots after the
        first, such as ``31,77``.
    """

    source: Source
    output: FilePath
    first_frame: Frame | None = None
    last_frame: Frame | None = None
    estimator: Word = "parallax"
    parameters: dict[str, Any] = field(default_factory=dict)
    size: Pixels | None = None
    full_size: bool = False
    seed: Seed = 0
    mattes: FilePath | None = None
    camera: Camera | None = None
    cuts: Annotated[str, Text(most=10_000_000)] = FIND_CUTS
    schema_version: int = SCHEMA_VERSION

    def fingerprint(self) -> str:
        """A hash that is equal exactly for jobs with the same result.

        It covers everything but the output folder and what only describes the clip: its size, which is checked, and a
        sequence's frame rate. So a clip is the same whether a strip, a clip or a path names it.
        """
        data = records.to_json(self)
        unused = ("width", "height", "fps") if self.source.kind == "sequence" else ("width", "height")
        for name in unused:
            del data["source"][name]
        del data["output"], data["cuts"]
        if (starts := shot_starts(self.cuts)) is not None:  # jobs without cuts keep the fingerprints that they had
            data["cuts"] = list(starts)
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def shot_starts(cuts: str) -> tuple[int, ...] | None:
    """The first frames of the shots after the first by a job's `cuts`; None where they are to be found.

    Raises
    ------
    JobError
        One sentence: that says no cuts.

    >>> shot_starts("auto"), shot_starts("none"), shot_starts("31, 77")
    (None, (), (31, 77))
    """
    text = cuts.strip().lower()
    if not text:
        raise JobError(
            f"No frame is named where a new shot begins: name their first frames, such as 31,77, or let cuts be found "
            f"({setting('cuts')})."
        )
    if text == FIND_CUTS:
        return None
    if text == NO_CUTS:
        return ()
    if not _CUTS.fullmatch(text):
        raise JobError(
            f"Cuts are {FIND_CUTS}, {NO_CUTS} or the first frames of new shots, such as 31,77, and not "
            f"'{records.in_a_line(cuts)}' ({setting('cuts')})."
        )
    numbers = [number.strip() for number in text.split(",")]
    for number in numbers:
        if len(number) > 7 or int(number) > numbering.LARGEST:
            raise JobError(
                f"There is no cut at frame {records.in_a_line(number)}: Blender counts frames to {numbering.LARGEST} "
                f"({setting('cuts')})."
            )
    return tuple(map(int, numbers))


def check_cuts(cuts: str, first: int | None, last: int | None) -> tuple[int, ...] | None:
    """`shot_starts`, checked against the frames of a job as far as they are known.

    Raises
    ------
    JobError
        One sentence on the first cut that is none.
    """
    starts = shot_starts(cuts)
    for before, start in zip(starts or (), (starts or ())[1:]):
        if start <= before:
            raise JobError(
                f"The cuts are not in the order of their frames: {start} follows {before} ({setting('cuts')})."
            )
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
    """Check everything about a job that can be checked without opening its files.

    Returns
    -------
    Job
        The job itself, so that the call can be chained.

    Raises
    ------
    JobError
        One sentence on the first thing that is wrong.
    """
    for problem in _problems(job):  # those that a person makes; what only a program can get wrong is left to `records`
        raise JobError(problem)
    if (in_the_way := _output_problem(job)) is not None:
        raise JobError(in_the_way, exit_codes.BAD_OUTPUT)
    try:
        records.check(job, where="job")
    except records.RecordError as error:
        raise JobError(f"The job cannot be run: {error}.") from error
    return job


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
        yield f"The frame range {job.first_frame}-{job.last_frame} is empty; its end must not lie before its start."
    if job.size is not None and job.size < SMALLEST_SIZE:
        yield f"The working size must be at least {SMALLEST_SIZE} pixels on the long side, not {job.size}."
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
    """Why a result cannot lie where the job wants it: among the clip's files, or the mattes; None where it can."""
    inputs = {"clip itself": plate_folder(job.source) if job.source.path else None, "mattes": job.mattes}
    for what, folder in inputs.items():
        if job.output and folder and _is_same(job.output, folder):
            return (
                f"{job.output} is the folder of the {what}, and the result would lie among its files; choose another "
                "output folder, such as one in it."
            )
    return None


def plate_folder(source: Source) -> str:
    """The folder that the clip's files lie in."""
    return source.path if source.kind == "sequence" else str(Path(source.path).absolute().parent)


def _is_same(one: str, other: str) -> bool:
    """Whether two paths are one folder, also by way of links."""
    try:
        return os.path.realpath(one) == os.path.realpath(other) or Path(one).samefile(other)
    except (OSError, ValueError):  # one of them is not there, or no name for a file
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
