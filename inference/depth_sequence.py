"""The folder that an estimate leaves behind: numbered EXRs and a ``depth.json``. Standard library only."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from . import records
from .camera import Camera
from .job import Source

SCHEMA_VERSION = 1
SIDECAR = "depth.json"
CHANNEL = "Y"
SCRATCH = ".fathom"
"""Folder, in the sequence's own, of what a run keeps until the sequence is complete."""
STATE = "state.json"
"""File in the scratch folder that says where an unfinished job stands."""

Quantity = Literal["inverse_depth", "relative_disparity"]


class DepthSequenceError(ValueError):
    """A folder that is no finished depth sequence; the message is one sentence for the artist."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Spread of the disparity over all frames of a shot; p1 and p99 are its 1 % and 99 % percentiles."""

    minimum: float
    maximum: float
    p1: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A stretch of the clip without a cut.

    Attributes
    ----------
    first_frame, last_frame : int
        Source frames, both included.
    status : 'done' or 'refused'
        A refused shot has no maps; `reason` says why and what to do instead.
    range : Range or None
        None for a refused shot.
    camera : Camera or None
        None where the estimator gives none.
    """

    first_frame: int
    last_frame: int
    status: Literal["done", "refused"]
    reason: str | None = None
    range: Range | None = None
    camera: Camera | None = None


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of network weights that took part."""

    repository: str
    revision: str
    file: str
    sha256: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class DepthSequence:
    """What ``depth.json`` says.

    Attributes
    ----------
    source : Source
        The plate. In the file its path is relative to the folder where that is possible. Absolute once it is loaded,
        or, where another kind of system wrote an absolute one, as it is written: see `is_foreign`.
    first_frame, last_frame : int
        Source frames that were asked for.
    width, height : int
        Size of the maps in pixels.
    quantity : 'inverse_depth' or 'relative_disparity'
        1/Z in the units of the camera path, or 1/Z up to one scale and shift a shot.
    confidence : str or None
        How the confidence maps were brought to 0..1; None where there are none.
    fingerprint : str
        `Job.fingerprint` of the job that made it.
    versions : dict
        Package name to version, of what took part.
    seconds : float
        Time spent, over all runs that took part.
    """

    source: Source
    first_frame: int
    last_frame: int
    width: int
    height: int
    quantity: Quantity
    shots: tuple[Shot, ...]
    estimator: str
    fingerprint: str
    confidence: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    weights: tuple[Weights, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    schema_version: int = SCHEMA_VERSION

    def shot_at(self, frame: int) -> Shot:
        """The shot that shows a source frame; the nearest shot for a frame outside the sequence."""
        return min(self.shots, key=lambda s: max(s.first_frame - frame, frame - s.last_frame, 0))

    @property
    def done_shots(self) -> tuple[Shot, ...]:
        """The shots that have maps."""
        return tuple(shot for shot in self.shots if shot.status == "done")

    @property
    def refused_shots(self) -> tuple[Shot, ...]:
        """The shots that the estimator could not do; `Shot.reason` says why."""
        return tuple(shot for shot in self.shots if shot.status == "refused")


def disparity_name(frame: int) -> str:
    """File name of a frame's disparity, such as ``disparity.0042.exr``."""
    return f"disparity.{frame:04d}.exr"


def confidence_name(frame: int) -> str:
    """File name of a frame's confidence, such as ``confidence.0042.exr``."""
    return f"confidence.{frame:04d}.exr"


def save(sequence: DepthSequence, folder: str | Path) -> None:
    """Write ``depth.json`` in one step; call it last, since its presence says that the folder is complete."""
    folder = Path(folder)
    portable = replace(sequence, source=replace(sequence.source, path=_relative(sequence.source.path, folder)))
    temporary = folder / f".{SIDECAR}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(records.dumps(portable) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / SIDECAR)
    finally:
        temporary.unlink(missing_ok=True)


def load(folder: str | Path) -> DepthSequence:
    """Read a finished depth sequence.

    Parameters
    ----------
    folder : path
        The folder, or the ``depth.json`` in it.

    Returns
    -------
    DepthSequence
        With the plate's path made absolute, relative to where the folder lies now; a path of another kind of system
        stays as it is written.

    Raises
    ------
    DepthSequenceError
        One sentence: the folder has gone, there is no ``depth.json``, it is broken, or a newer Fathom wrote it.
    """
    folder = Path(folder)
    if folder.name == SIDECAR:
        folder = folder.parent
    try:
        text = (folder / SIDECAR).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DepthSequenceError(_absence(folder)) from error
    except OSError as error:
        raise DepthSequenceError(
            f"{folder / SIDECAR} cannot be read ({error.strerror}); check the folder and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise DepthSequenceError(f"{folder / SIDECAR} is not a depth sequence: it is no text.") from error
    try:
        sequence = records.loads(DepthSequence, text, where=SIDECAR, strict=False)
    except records.RecordError as error:
        raise DepthSequenceError(f"{folder / SIDECAR} is not a depth sequence: {error}.") from error
    if sequence.schema_version > SCHEMA_VERSION:
        raise DepthSequenceError(f"{folder / SIDECAR} was written by a newer Fathom; update Fathom to read it.")
    return replace(sequence, source=replace(sequence.source, path=_absolute(sequence.source.path, folder)))


def unfinished_fingerprint(folder: str | Path) -> str | None:
    """`Job.fingerprint` of the unfinished job whose work a folder keeps; None where it keeps none."""
    return _state(folder).get("fingerprint") or None


def unfinished_plate(folder: str | Path) -> str | None:
    """The clip of that job, as `plate_file`; None where nothing tells."""
    plate = _state(folder).get("plate")
    return plate if isinstance(plate, str) and plate else None


def plate_file(source: Source) -> str:
    """The movie, or the sequence's first file."""
    return str(Path(source.path) / source.files[0]) if source.files else source.path


def unfinished_share(folder: str | Path) -> float:
    """How much of that job is done, 0 to 1; 0 where nothing tells."""
    share = _state(folder).get("share")
    return min(max(float(share), 0.0), 1.0) if isinstance(share, (int, float)) else 0.0


def _state(folder: str | Path) -> dict[str, Any]:
    """What the unfinished job in a folder says of itself; empty where there is none."""
    try:
        state = json.loads((Path(folder) / SCRATCH / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def is_foreign(path: str) -> bool:
    """Whether a plate's path is one of another kind of system: of Windows (a drive, a server, or backslashes that lead
    nowhere here) elsewhere, or there of a system without drives.

    What it names cannot be here, and here it may name something else, so it is not even looked at. ``depth.json``
    holds an absolute path only where Windows found the plate on another drive than the depth.
    """
    if os.name == "nt":
        return path.startswith("/") and not path.startswith("//")
    return path.startswith("//") or ("\\" in path and not path.startswith("/")) or PureWindowsPath(path).is_absolute()


def pure_path(path: str) -> PurePath:
    """A plate's path for taking names from it, by the rules of the system that it is of."""
    if is_foreign(path):
        return PurePosixPath(path) if os.name == "nt" else PureWindowsPath(path)
    return PurePath(path)


def _absence(folder: Path) -> str:
    """Why a folder without a ``depth.json`` is no depth sequence."""
    if not folder.is_dir():
        return f"{folder} is not there: the folder was moved, renamed or deleted; say where the depth lies now."
    if unfinished_fingerprint(folder) is not None:
        return f"{folder} holds no {SIDECAR} yet, because its estimate is unfinished; estimate again to finish it."
    return f"{folder} holds no {SIDECAR}, so it is no depth sequence; choose the folder that a {SIDECAR} lies in."


def _absolute(path: str, folder: Path) -> str:
    """`path` as ``depth.json`` in `folder` means it; what cannot be here stays as it is written."""
    if is_foreign(path):
        # Relative to the folder, its backslashes may be those of a name here, or part folders as on Windows.
        is_relative = "\\" in path and not path.startswith("\\") and not PureWindowsPath(path).is_absolute()
        ways = (path, path.replace("\\", "/")) if is_relative else ()
        return next((place for way in ways if Path(place := _beside(way, folder)).exists()), path)
    return _beside(path, folder)


def _beside(path: str, folder: Path) -> str:
    found = Path(os.path.normpath(folder.absolute() / path))
    if not found.exists():  # the folder may have been reached by a link, from whose place `..` leads elsewhere
        beyond = Path(os.path.normpath(folder.resolve() / path))
        if beyond.exists():
            return str(beyond)
    return str(found)


def _relative(path: str, folder: Path) -> str:
    """`path` as seen from `folder`, with forward slashes; absolute where they share no root (Windows drives), as it is
    where another kind of system wrote it.
    """
    if is_foreign(path):
        return path
    try:
        return PurePath(os.path.relpath(path, folder.absolute())).as_posix()
    except ValueError:
        return path
