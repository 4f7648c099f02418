"""The folder that an estimate writes: numbered EXRs and a ``depth.json``. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from . import numbering, own_files, plate_files, records
from .camera import Camera, Pixels
from .job import LONGEST_CUTS, Seed, Source
from .numbering import Frame
from .plate_files import PlateFiles
from .records import Bounds, FilePath, ForPeople, RecordError, Seconds, Text, Word
from .untrusted import LARGEST_FILE, is_folder, is_there, read_text

SCHEMA_VERSION = 3
"""3: cameras name their distortion model and what they are of, and poses may have a lens of their own.
2: shots name their quantity and their estimators; a file of version 1 has neither, and one for all shots."""
SIDECAR = "depth.json"
CHANNEL = "Y"
SCRATCH = ".fathom"
"""Folder inside the sequence's for a run's working files, until the sequence is complete."""
STATE = "state.json"
"""File in the scratch folder with the state of an unfinished job."""
LARGEST_STATE = 2 * LARGEST_FILE
"""Bytes: at the end it holds the shots twice, by themselves and in the future ``depth.json``."""

LONGEST_PATH = 50_000
"""Largest number of frames whose camera path fits in one ``depth.json`` and one state (`records`)."""
_Disparity = Annotated[float, Bounds(-3.4028235e38, 3.4028235e38)]
"""A float32, as in the maps."""

Quantity = Literal["inverse_depth", "relative_disparity"]


class DepthSequenceError(ValueError):
    """A folder is not a finished depth sequence; the message is one sentence for the artist."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Value range of the disparity over all frames of a shot; p1 and p99 are its 1 % and 99 % percentiles."""

    minimum: _Disparity
    maximum: _Disparity
    p1: _Disparity
    p99: _Disparity

    def problems(self) -> Iterator[str]:
        """Why this is not a valid range; `records` asks."""
        if not self.minimum <= self.p1 <= self.p99 <= self.maximum:
            yield "must have minimum, p1, p99 and maximum in ascending order"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A stretch of the clip without a cut.

    Attributes
    ----------
    first_frame, last_frame : int
        Source frames, both included.
    status : 'done' or 'refused'
        'refused': an unsupported shot, without maps.
    reason : str or None
        Of an unsupported shot: why, and what to do instead. Of another: why these estimators were chosen for it.
    range : Range or None
        None for an unsupported shot.
    camera : Camera or None
        None if the estimator finds none.
    quantity : 'inverse_depth', 'relative_disparity' or None
        None: the sequence's; see `DepthSequence.quantity_of`.
    estimators : tuple of str
        Those whose depth the maps have, the leading one first; empty: the sequence's alone.
    """

    first_frame: Frame
    last_frame: Frame
    status: Literal["done", "refused"]
    reason: ForPeople | None = None
    range: Range | None = None
    camera: Camera | None = None
    quantity: Quantity | None = None
    estimators: tuple[Word, ...] = ()

    def problems(self) -> Iterator[str]:
        """Why this is not a valid shot; `records` asks."""
        if self.last_frame < self.first_frame:
            yield f"ends with frame {self.last_frame}, before it begins with frame {self.first_frame}"
        poses = self.camera.poses if self.camera else ()
        if poses and (len(poses), poses[0].frame) != (self.last_frame - self.first_frame + 1, self.first_frame):
            yield f"has camera poses for other frames than its own {self.first_frame}-{self.last_frame}"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of network weights that was used."""

    repository: Word
    revision: Word
    file: Word
    sha256: Word
    licence: Word


@dataclass(frozen=True, kw_only=True)
class DepthSequence:
    """The contents of ``depth.json``.

    Attributes
    ----------
    source : Source
        The plate. In the file its path is relative to the folder if possible. Loading makes it absolute; an absolute
        path from another operating system stays as written: see `is_foreign`.
    first_frame, last_frame : int
        Source frames that were requested, both included.
    width, height : int
        Size of the maps in pixels.
    quantity : 'inverse_depth' or 'relative_disparity'
        1/Z in the units of the camera path, or 1/Z up to one scale and shift a shot; of the shots that name none.
    unit : 'metres' or None
        Of distances, where the quantity is ``inverse_depth`` and no camera path gives one.
    confidence : str or None
        How the confidence maps were mapped to 0..1; None if there are none.
    fingerprint : str
        `Job.fingerprint` of the job that made it.
    versions : dict
        Package name to version, of every package used.
    seconds : float
        Time spent, over all runs.
    size : int or None
        Processing resolution of the job; None: the estimator's, or unknown.
    processing_size : (int, int) or None
        Width and height that the estimator worked at.
    full_size : bool
        Whether the maps were upsampled to the plate's size.
    cuts : str or None
        As in the job; None: unknown.
    focal_length : float or None
        Known focal length of the job, in pixels of the plate, where nothing more of the camera was known.
    camera : str
        `Camera.origin` of the job's camera path; empty: it had none.
    refinement : dict
        The settings that the estimated maps were refined with (`refinement.Refinement.settings`); empty: they were not.
    plate_files : PlateFiles or None
        The plate's files in these frames, as they were read; None: unknown.
    other_files : PlateFiles or None
        The files that were read beside the plate (`plate_files.beside`) with the color configuration, and of a refined
        depth those that it is of; None: unknown, or none.
    """

    source: Source
    first_frame: Frame
    last_frame: Frame
    width: Pixels
    height: Pixels
    quantity: Quantity
    shots: tuple[Shot, ...]
    estimator: Word
    fingerprint: Word
    unit: Literal["metres"] | None = None
    confidence: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: Seed = 0
    weights: tuple[Weights, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    seconds: Seconds = 0.0
    size: Pixels | None = None
    processing_size: tuple[Pixels, Pixels] | None = None
    full_size: bool = False
    cuts: Annotated[str, Text(most=LONGEST_CUTS)] | None = None
    focal_length: Annotated[float, Bounds(1e-3, 1e9)] | None = None
    camera: Word = ""
    refinement: dict[str, Any] = field(default_factory=dict)
    plate_files: PlateFiles | None = None
    other_files: PlateFiles | None = None
    schema_version: int = SCHEMA_VERSION

    def problems(self) -> Iterator[str]:
        """Why this is not a valid depth sequence; `records` asks."""
        yield from shots_problems(self.shots, self.first_frame, self.last_frame)
        if not self.shots:
            yield "lists no shots; estimate the clip again"
        try:
            if self.source.files:
                numbering.frame_numbers(self.source.files)
        except numbering.NumberingError as error:
            yield f"has a plate whose files are not a sequence ({error.what})"

    def shot_at(self, frame: int) -> Shot:
        """The shot that contains a source frame; for a frame outside the sequence, the nearest shot."""
        return min(self.shots, key=lambda s: max(s.first_frame - frame, frame - s.last_frame, 0))

    def quantity_of(self, shot: Shot) -> Quantity:
        """What a shot's maps hold."""
        return shot.quantity or self.quantity

    @property
    def done_shots(self) -> tuple[Shot, ...]:
        """The shots that have maps."""
        return tuple(shot for shot in self.shots if shot.status == "done")

    @property
    def unsupported_shots(self) -> tuple[Shot, ...]:
        """The unsupported shots; `Shot.reason` says why."""
        return tuple(shot for shot in self.shots if shot.status == "refused")


def shots_problems(shots: Sequence[Shot], first: int, last: int) -> Iterator[str]:
    """What is wrong with the shots of the frames `first` to `last`, both included."""
    if last < first:
        yield f"ends with frame {last}, before it begins with frame {first}"
    for shot in shots:
        if shot.first_frame < first or shot.last_frame > last:
            yield f"has a shot {shot.first_frame}-{shot.last_frame} outside its frames {first}-{last}"
    for before, after in pairwise(shots):
        if after.first_frame <= before.last_frame:
            yield (
                f"has shots that overlap or are not in order: {after.first_frame}-{after.last_frame} follows "
                f"{before.first_frame}-{before.last_frame}"
            )


def disparity_name(frame: int) -> str:
    """File name of a frame's disparity, such as ``disparity.0042.exr``."""
    return f"disparity.{frame:04d}.exr"


def confidence_name(frame: int) -> str:
    """File name of a frame's confidence, such as ``confidence.0042.exr``."""
    return f"confidence.{frame:04d}.exr"


def save(sequence: DepthSequence, folder: str | Path) -> None:
    """Write ``depth.json`` in one step; call it last, since it marks the folder as complete."""
    folder = Path(folder)
    portable = replace(sequence, source=replace(sequence.source, path=_relative(sequence.source.path, folder)))
    own_files.save_text(folder / SIDECAR, records.dumps(portable) + "\n")


def load(folder: str | Path) -> DepthSequence:
    """Read a finished depth sequence and locate its plate: `read` and `located`."""
    return located(read(folder), folder)


def read(folder: str | Path) -> DepthSequence:
    """Read a finished depth sequence, by its folder or the ``depth.json`` in it, with the plate's path as written.

    Raises
    ------
    DepthSequenceError
        One sentence: the folder or its ``depth.json`` does not exist, is damaged, or a newer Fathom wrote it.
    """
    folder = Path(folder)
    if folder.name == SIDECAR:
        folder = folder.parent
    try:
        text = read_text(folder / SIDECAR)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DepthSequenceError(_absence(folder)) from error
    except OSError as error:
        raise DepthSequenceError(
            f"{folder / SIDECAR} cannot be read ({error.strerror}); check the folder and its permissions."
        ) from error
    except RecordError as error:
        raise DepthSequenceError(
            f"{error}, so it is not a depth sequence; choose a folder that contains a {SIDECAR}."
        ) from error
    try:
        data = records.parse(text, where=SIDECAR)
        version = data.get("schema_version") if isinstance(data, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise DepthSequenceError(f"{folder / SIDECAR} was written by a newer Fathom; update Fathom to read it.")
        sequence = records.from_json(DepthSequence, data, where=SIDECAR, strict=False)
    except RecordError as error:
        raise DepthSequenceError(f"{folder / SIDECAR} is not a depth sequence: {error}.") from error
    return sequence


def stamp(folder: str | Path) -> tuple[int, int] | None:
    """Size and time of a folder's ``depth.json``; None where it has none, as while its maps are replaced."""
    try:
        found = (Path(folder) / SIDECAR).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def located(sequence: DepthSequence, folder: str | Path) -> DepthSequence:
    """A sequence from `read` with the plate's path made absolute, relative to where the folder is now.

    A path that is absolute, or from another operating system, stays as written and is not accessed: in somebody
    else's file it may name a server.
    """
    folder = Path(folder)
    folder = folder.parent if folder.name == SIDECAR else folder
    return replace(sequence, source=replace(sequence.source, path=_absolute(sequence.source.path, folder)))


def names_elsewhere(written: DepthSequence, folder: str | Path) -> bool:
    """Whether a sequence from `read` names a plate by an absolute path, or one that leads far from the folder
    (`lies_near`): such a plate is not accessed before the artist asks for it.
    """
    path = written.source.path
    return is_absolute(path) or not lies_near(located(written, folder).source.path, folder)


def is_absolute(path: str) -> bool:
    """Whether a path is absolute, or names a drive or a server, by the rules of any operating system."""
    windows = PureWindowsPath(path)
    return bool(windows.drive or windows.root) or PurePosixPath(path).is_absolute()


def unfinished_fingerprint(folder: str | Path) -> str | None:
    """`Job.fingerprint` of the unfinished job in a folder; None if there is none."""
    return _unfinished(folder).fingerprint or None


def unfinished_plate(folder: str | Path) -> str | None:
    """The clip of that job, as `plate_file`; None if unknown."""
    return _unfinished(folder).plate or None


def plate_file(source: Source) -> str:
    """The movie, or the sequence's first file."""
    return str(Path(source.path) / source.files[0]) if source.files else source.path


def frames_read(sequence: DepthSequence) -> tuple[int, int]:
    """The frames whose plate files a depth sequence records: of a refined one, those that have depth."""
    shots = sequence.done_shots
    if sequence.refinement and shots:
        return shots[0].first_frame, shots[-1].last_frame
    return sequence.first_frame, sequence.last_frame


def other_plate(sequence: DepthSequence, source: Source) -> str | None:
    """That depth is not of the plate as it is now; None where it is, or nobody knows.

    A plate that was copied elsewhere may have times of its own, and is another where its size is.
    """
    made, plate = sequence.plate_files, plate_file(source)
    now = plate_files.look(source, *frames_read(sequence)) if made is not None else None
    if made is None or now is None:
        return None
    is_there = os.path.realpath(plate) == os.path.realpath(plate_file(sequence.source))
    if not (made.are_others(now) if is_there else made.size != now.size):
        return None
    return (
        f"{plate} is not the file that the depth was estimated from, or has changed since: if it shows anything else, "
        "estimate its depth again."
    )


def unfinished_progress(folder: str | Path) -> float:
    """How much of that job is done, 0 to 1; 0 if unknown."""
    share = _unfinished(folder).share
    return float(min(max(share, 0), 1)) if isinstance(share, (int, float)) else 0.0


def unfinished_shots(folder: str | Path) -> tuple[Shot, ...]:
    """The shots that an unfinished job has finished so far; none if unknown."""
    try:
        path = Path(folder) / SCRATCH / STATE
        return records.load(_UnfinishedShots, path, strict=False, most=LARGEST_STATE).shots
    except (OSError, RecordError):
        return ()


@dataclass(frozen=True, kw_only=True)
class _UnfinishedShots:
    """The part of an unfinished job's state that shows its maps."""

    shots: tuple[Shot, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Unfinished:
    """The part of an unfinished job's state (`run.output.State`) that Blender needs."""

    fingerprint: Word = ""
    plate: FilePath = ""
    share: Any = 0.0


def _unfinished(folder: str | Path) -> _Unfinished:
    """The state of the unfinished job in a folder; empty if there is none."""
    try:
        path = Path(folder) / SCRATCH / STATE
        return records.load(_Unfinished, path, strict=False, most=LARGEST_STATE)
    except (OSError, RecordError):
        return _Unfinished()


def is_foreign(path: str) -> bool:
    """Whether a plate's path is from another operating system: on Windows, one without drives; elsewhere, one of
    Windows (with a drive, a server, or backslashes).

    On this system such a path names nothing, or something else, so it is not accessed. ``depth.json`` holds an
    absolute path only if Windows found the plate on another drive than the depth.
    """
    if os.name == "nt":
        return path.startswith("/") and not path.startswith("//")
    return path.startswith("//") or ("\\" in path and not path.startswith("/")) or PureWindowsPath(path).is_absolute()


def pure_path(path: str) -> PurePath:
    """A plate's path, by the rules of the operating system that it is from, for taking names from it."""
    if is_foreign(path):
        return PurePosixPath(path) if os.name == "nt" else PureWindowsPath(path)
    return PurePath(path)


def _absence(folder: Path) -> str:
    """Why a folder without a ``depth.json`` is not a depth sequence."""
    if not is_folder(folder):
        return f"{folder} does not exist: it was moved, renamed or deleted; choose the folder where the depth is now."
    if unfinished_fingerprint(folder) is not None:
        return f"{folder} contains no {SIDECAR} yet, because its estimate is unfinished; estimate again to finish it."
    return f"{folder} contains no {SIDECAR}, so it is not a depth sequence; choose a folder that contains one."


def _absolute(path: str, folder: Path) -> str:
    """A path in the ``depth.json`` of `folder`, made absolute; one from another operating system stays as written."""
    if is_foreign(path):
        # In a relative path, backslashes may belong to a name on this system, or separate folders as on Windows.
        is_relative = "\\" in path and not path.startswith("\\") and not PureWindowsPath(path).is_absolute()
        ways = (path, path.replace("\\", "/")) if is_relative else ()
        places = [_beside(way, folder) for way in ways]
        return next((place for place in places if lies_near(place, folder) and is_there(place)), path)
    if PurePath(path).is_absolute() or (os.name == "nt" and is_absolute(path)):
        return os.path.normpath(folder.absolute() / path)
    return _beside(path, folder)


def _beside(path: str, folder: Path) -> str:
    found = Path(os.path.normpath(folder.absolute() / path))
    if lies_near(found, folder) and not is_there(found):
        # If the folder was reached by a link, `..` leads elsewhere from the link than from its target.
        beyond = Path(os.path.normpath(folder.resolve() / path))
        if lies_near(beyond, folder.resolve()) and is_there(beyond):
            return str(beyond)
    return str(found)


def lies_near(path: str | Path, folder: str | Path) -> bool:
    """Whether a path from the ``depth.json`` in `folder` shares a folder with it, other than the root of a disk.

    Any other may name a server, which opening it would contact, so it is not accessed until the artist asks for the
    plate. This function accesses no file. The path is as `load` returns it.
    """
    if is_foreign(str(path)):
        return False
    one, other = (PurePath(os.path.normpath(Path(each).absolute())) for each in (path, folder))
    return one.anchor == other.anchor and one.parts[1:2] == other.parts[1:2] != ()


def _relative(path: str, folder: Path) -> str:
    """`path` relative to `folder`, with forward slashes; absolute if they share no root (Windows drives), and unchanged
    if it is from another operating system.
    """
    if is_foreign(path):
        return path
    try:
        return PurePath(os.path.relpath(path, folder.absolute())).as_posix()
    except ValueError:
        return path
