"""Mattes that the worker makes: their files, what describes them, and what is missing to make them. Standard library
only.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from . import client, records
from .catalogue import MissingRequirement
from .numbering import Frame
from .plate_files import PlateFiles
from .records import FilePath, RecordError, Word
from .untrusted import is_file, read_text

SIDECAR = "mattes.json"
"""Name of the file beside the mattes that says of what they are; it is written last."""
SCRATCH = ".fathom-matte"
"""Folder inside the mattes' for a run's working files."""
STATE = "state.json"
"""File in it by which a later run of the same job resumes."""
WEIGHTS = "robust-video-matting"
"""Name of the matte network's weights, as `contract.weights` lists them."""
PACKAGES = "ONNX Runtime, which runs the network: 17 to 28 MB, MIT license"
"""What the packages of `environment.MATTES` are, in words."""
_SCHEMA = 1


class MattesError(RuntimeError):
    """The worker does not say what is missing for mattes; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class MadeMattes:
    """What the mattes in a folder are of.

    Attributes
    ----------
    fingerprint : str
        `Job.fingerprint` of the job that made them.
    plate : str
        The movie, or the folder of the image sequence.
    first_frame, last_frame : int
        Source frames, both included.
    network, sha256 : str
        Name of the network's weights, and the checksum of their file.
    plate_files : PlateFiles or None
        As in `depth_sequence.DepthSequence`.
    """

    fingerprint: Word
    plate: FilePath
    first_frame: Frame
    last_frame: Frame
    network: Word
    sha256: Word
    plate_files: PlateFiles | None = None
    schema_version: int = _SCHEMA


@dataclass(frozen=True, kw_only=True)
class UnfinishedMattes:
    """The state of a run that has not ended.

    Attributes
    ----------
    fingerprint : str
        `Job.fingerprint` of its job.
    key : str
        Equal exactly for runs whose mattes are bit for bit the same.
    is_writing : bool
        Whether all mattes are written, and are being moved into the folder.
    """

    fingerprint: Word
    key: Word
    is_writing: bool = False


def name(number: int) -> str:
    """The file name of a frame's matte."""
    return f"matte.{number:04d}.exr"


def made(folder: Path) -> MadeMattes | None:
    """What the mattes in a folder are of; None where they are not whole, or not of the worker's making."""
    try:
        found = records.loads(MadeMattes, read_text(folder / SIDECAR), where=SIDECAR, strict=False)
    except (OSError, RecordError):
        return None
    frames = range(found.first_frame, found.last_frame + 1)
    is_whole = found.schema_version == _SCHEMA and all(is_file(folder / name(number)) for number in frames)
    return found if is_whole and frames else None


def unfinished(folder: Path) -> UnfinishedMattes | None:
    """The state of an unfinished run in a folder; None where there is none."""
    with contextlib.suppress(OSError, RecordError):
        text = read_text(folder / SCRATCH / STATE)
        return records.loads(UnfinishedMattes, text, where=STATE, strict=False)
    return None


def missing(python: str | Path, home: Path) -> tuple[MissingRequirement, ...]:
    """Ask the worker what is missing on this computer to make mattes, and wait, half a second; empty: nothing.

    Raises
    ------
    MattesError
        Why it does not answer.
    """
    try:
        code, output, _ = client.ask(python, ["matte", "--missing"], home=home).answer()
    except OSError as error:
        raise MattesError(f"The worker's Python {python} cannot be started ({error.strerror or error}).") from error
    try:
        data = records.parse(output.decode("utf-8", "replace"), where="What mattes need")
        if code or not isinstance(data, list):
            raise RecordError(f"The worker does not say what mattes need (code {code})")
        return tuple(records.from_json(MissingRequirement, item, where="requirement", strict=False) for item in data)
    except RecordError as error:
        raise MattesError(f"{error}.") from error
