"""What a run writes down so that a later run of the same job goes on from it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .. import depth_sequence, records
from ..depth_sequence import DepthSequence, Shot, Weights
from ..job import Job
from ..media.colour import config_file
from ..numbering import Frame
from ..records import Bounds, FilePath, Seconds, Word
from . import inputs
from .files import write_text

NAME = depth_sequence.STATE


@dataclass(frozen=True, kw_only=True)
class State:
    """Where an unfinished job stands.

    Attributes
    ----------
    key : str
        `key_of` the job; empty while the remains of another job are being removed.
    fingerprint : str
        `Job.fingerprint`, by which Blender finds the folder again (`depth_sequence.unfinished_fingerprint`).
    plate : str
        The clip: its movie, or its sequence's first file (`depth_sequence.unfinished_plate`).
    first_frame, last_frame : int
        The frames whose maps are the job's.
    staged : bool
        Whether maps are kept in the scratch folder until all are there, because a finished result stands in the
        output folder.
    phase : 'estimating' or 'publishing'
        Publishing: everything is computed, and the staged maps are taking the old result's place.
    shots : tuple of Shot
        The shots that are complete, or refused.
    sequence : DepthSequence or None
        While publishing: what ``depth.json`` will say.
    replaced : (int, int) or None
        While publishing: the frames of the old result.
    seconds : float
        Time spent so far, over all runs.
    share : float
        How much of the job's work is done, 0 to 1 (`depth_sequence.unfinished_share`).
    """

    key: Word
    first_frame: Frame
    last_frame: Frame
    fingerprint: Word = ""
    plate: FilePath = ""
    staged: bool = False
    phase: Literal["estimating", "publishing"] = "estimating"
    shots: tuple[Shot, ...] = ()
    sequence: DepthSequence | None = None
    replaced: tuple[Frame, Frame] | None = None
    seconds: Seconds = 0.0
    share: Annotated[float, Bounds(0, 1)] = 0.0

    def problems(self) -> Iterator[str]:
        """What makes it no state, for the door that it comes in by (`records`)."""
        yield from depth_sequence.shots_problems(self.shots, self.first_frame, self.last_frame)
        if self.phase == "publishing" and self.sequence is None:
            yield "is publishing and does not say what"
        if self.replaced is not None and self.replaced[1] < self.replaced[0]:
            yield "replaces frames whose end lies before their start"


def read(scratch: Path) -> State | None:
    """The state that an earlier run left; None where there is none that this version can read."""
    try:
        return records.load(State, scratch / NAME, strict=True, most=depth_sequence.LARGEST_STATE)
    except (FileNotFoundError, records.RecordError):
        return None


def write(state: State, scratch: Path) -> None:
    """Keep the state, in one step."""
    write_text(scratch / NAME, records.dumps(state) + "\n")


def key_of(
    job: Job,
    first: int,
    last: int,
    versions: dict[str, str],
    device: str,
    *,
    weights: Sequence[Weights] = (),
    given: Mapping[str, str] | None = None,
) -> str:
    """A hash that is equal exactly for runs whose maps are bit for bit the same.

    It covers the job, the files that it reads (by size and time of change, the colour configuration among them), the
    packages, the device, the weights and the depth sequences that are taken up.

    Parameters
    ----------
    job : Job
    first, last : int
        The frames that are read.
    versions : dict
        Package name to version.
    device : str
        What computes.
    weights : sequence of Weights
        With the sha256 of each.
    given : mapping
        Name of a parameter that names another depth sequence to the sha256 of its ``depth.json``.
    """
    facts = {
        "job": job.fingerprint(),
        "source": [_facts_of(path) for path in inputs.files(job, first, last)],
        "versions": versions,
        "device": [device, platform.system(), platform.machine()],
    }
    config = config_file(job.source.ocio_config)
    if config and config.is_file():  # a clip that needs none is read without one
        facts["ocio"] = [str(config), _facts_of(config)]
    if weights:  # estimators without them keep the keys that earlier versions wrote
        facts["weights"] = [[each.repository, each.file, each.sha256] for each in weights]
    if given:
        facts["given"] = dict(given)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _facts_of(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns
