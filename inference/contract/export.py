"""An export: what of a depth sequence is written for another program, and how. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, get_args

from . import depth_sequence, exit_codes, numbering, records
from .camera import SENSOR_WIDTH, Camera, Matrix4
from .depth_sequence import DepthSequence, Shot
from .distances import percentiles, reach
from .hints import setting
from .job import JobError, Source, validated
from .numbering import Frame
from .records import Bounds, FilePath, Text

Format = Literal["exr", "png", "movie", "control", "ply", "chan"]
"""What the worker writes; Blender writes cameras, depth meshes and fog itself, see `BLENDERS`."""
FORMATS = get_args(Format)
SCRATCH = ".fathom-export"
"""Folder inside the export's that holds its lock."""
NEEDS_DISTANCES = ("exr", "ply")
"""The formats whose values are distances. That of a camera needs none: its path has the units that it has."""
NEEDS_CAMERA = ("ply", "chan")
CAMERAS = {"usd": ".usdc", "alembic": ".abc"}
MESHES = {"usd_mesh": ".usdc", "alembic_mesh": ".abc", "ply_mesh": ".ply"}
FOGS = {"fog_vdb": ".vdb"}
BLENDERS = {**CAMERAS, **MESHES, **FOGS}
"""The formats that Blender writes, of cameras, depth meshes and fog, and the endings of their files."""
Y_UP = ("chan",)
"""The formats in which y points up where an export names no axis, as in Nuke; in the others z does, as in Blender."""
SUFFIXES = {"exr": ".exr", "png": ".png", "movie": ".mp4", "control": ".mp4", "ply": ".ply", "chan": ".chan"}
_STEMS = {
    **{"exr": "depth", "png": "depth", "movie": "depth", "control": "control", "ply": "points"},
    **dict.fromkeys(("chan", *CAMERAS), "camera"),
    **dict.fromkeys(MESHES, "mesh"),
    **dict.fromkeys(FOGS, "fog"),
}
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Letters of a clip's name that would act in a terminal; the clip may be somebody else's."""
_CHANNEL = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
CONFIDENCE_CHANNEL, MATTE_CHANNEL = "confidence.A", "matte.A"
"""Channels of an EXR besides Z: the alpha of layers of their own, which every program lists as a matte."""
_POINT = 15
"""Bytes of a point without its confidence: three floats and three bytes."""
_BYTES_OF_A_POSE = 160
_COMPRESSED = 0.5
"""Bytes of a pixel of an 8-bit movie at most, roughly, at the quality that exports have."""
_Positive = Annotated[float, Bounds(1e-9, 1e12)]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The distances of a shot, and where its camera's world stands, as the artist has it in Blender.

    Attributes
    ----------
    first_frame : int
        The shot's.
    line : tuple of (source frame, slope, shift)
        a and b of ``1 / Z = a d + b``, before the limits and the scale: keys in frame order, linear in between, held
        before and after.
    near_limit, far_limit : float
        Nothing is nearer, 0: no limit; nothing is farther.
    scale : float
        Multiplies distances and the camera path alike.
    path_scale : float
        Multiplies the camera path besides: where distances are not in its units.
    world : 4x4 floats or None
        From the camera path's world with z up (x right, y ahead), scaled, to that of the export: a rotation and a
        translation; None: the same.
    camera : Camera or None
        The camera that the shot stands under in Blender, where it is not that of ``depth.json``.
    """

    first_frame: Frame
    line: tuple[tuple[Frame, float, float], ...]
    near_limit: Annotated[float, Bounds(0, 1e12)] = 0.0
    far_limit: _Positive
    scale: _Positive = 1.0
    path_scale: _Positive = 1.0
    world: Matrix4 | None = None
    camera: Camera | None = None

    def problems(self) -> Iterator[str]:
        """Why this is not a valid placement; `records` asks."""
        frames = [frame for frame, _, _ in self.line]
        if not frames or frames != sorted(set(frames)):
            yield "must have a line with keys in frame order"

    def line_at(self, frame: int) -> tuple[float, float]:
        """Slope and shift at a source frame.

        >>> Placement(first_frame=1, line=((1, 1.0, 0.0), (3, 2.0, 4.0)), far_limit=9.0).line_at(2)
        (1.5, 2.0)
        """
        for (first, *before), (last, *after) in pairwise(self.line):
            if frame < last:
                share = max(frame - first, 0) / (last - first)
                slope, shift = (a + share * (b - a) for a, b in zip(before, after))
                return slope, shift
        return self.line[-1][1:]


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export.

    Attributes
    ----------
    depth : str
        Folder of the depth sequence.
    output : str
        Folder for the files.
    format : str
        ``exr``: Z in scene units, one file a frame. ``png``: 16-bit gray, in one range for a shot, one file a frame.
        ``movie``: the same in 8 bits, as H.264. ``control``: the same for depth-conditioned generation, near white.
        ``ply``: points in the camera path's world, in the plate's colors. ``chan``: the camera, as Nuke reads it.
    first_frame, last_frame : int or None
        Source frames, both included; None: all that have depth.
    plate : Source or None
        Where the plate is now; None: as ``depth.json`` says.
    placements : tuple of Placement
        Of shots; the others have `near`, `far` and `far_limit`.
    near, far : float or None
        Distances of the nearest and the farthest percent of each shot, before `scale`; for relative disparity.
    far_limit : float or None
        Nothing is farther, before `scale`; None: as Blender's node groups have it at first.
    scale : float
        Multiplies distances and camera paths of shots without a `Placement`.
    focal_length : float or None
        In millimeters on a sensor 36 mm wide, of shots without a camera: one that does not move.
    mattes : str or None
        Folder of mattes with the plate's frame numbers: a channel of EXR files; left out of points.
    channel : str
        Name of an EXR's channel of distances.
    half : bool
        Whether an EXR has 16-bit floats instead of 32-bit ones.
    negative : bool
        Whether an EXR's distances are below 0, as those of programs whose cameras look along -z.
    confidence : bool
        Whether the estimator's confidence is a channel of EXR files.
    full_size : bool or None
        Whether maps are brought to the plate's size, along its edges. None: for EXR and PNG.
    far_white : bool
        Whether far is white in PNG files and movies, instead of near.
    percentiles : (float, float)
        Of a shot's disparity: black and white, or the other way round.
    size : int or None
        Long side of a control video in pixels; None: the maps'.
    multiple : int
        Both sides of a control video are multiples of it.
    every : int
        A movie has every so many-th frame.
    fps : float or None
        Frames a second of a movie; None: as many as make it last as long as the plate.
    merged : bool
        Whether the points of a shot go into one file, thinned to one in each voxel.
    voxel : float or None
        Side of a voxel in units of the export; None: about two pixels at the shot's median distance.
    minimum_confidence : float
        Points of less are left out.
    up : 'y', 'z' or None
        Axis that points up in the world of points and cameras. None: see `Y_UP`.
    """

    depth: FilePath
    output: FilePath
    format: Format
    first_frame: Frame | None = None
    last_frame: Frame | None = None
    plate: Source | None = None
    placements: tuple[Placement, ...] = ()
    near: _Positive | None = None
    far: _Positive | None = None
    far_limit: _Positive | None = None
    scale: _Positive = 1.0
    focal_length: Annotated[float, Bounds(1e-3, 1e6)] | None = None
    mattes: FilePath | None = None
    channel: Annotated[str, Text(most=200)] = "Z"
    half: bool = False
    negative: bool = False
    confidence: bool = False
    full_size: bool | None = None
    far_white: bool = False
    percentiles: tuple[float, float] = (1.0, 99.0)
    size: Annotated[int, Bounds(16, 16384)] | None = None
    multiple: Annotated[int, Bounds(2, 512)] = 8
    every: Annotated[int, Bounds(1, 10_000)] = 1
    fps: Annotated[float, Bounds(0.1, 1000)] | None = None
    merged: bool = False
    voxel: _Positive | None = None
    minimum_confidence: Annotated[float, Bounds(0, 1)] = 0.0
    up: Literal["y", "z"] | None = None

    @property
    def at_full_size(self) -> bool:
        """Whether maps are brought to the plate's size."""
        return self.format in ("exr", "png") if self.full_size is None else self.full_size

    @property
    def is_for_each_frame(self) -> bool:
        """Whether there is one file a frame."""
        return self.format in ("exr", "png") or (self.format == "ply" and not self.merged)


def validate(wanted: Export) -> Export:
    """Check everything about an export that can be checked without its files; returns the export itself.

    Raises
    ------
    JobError
        One sentence on the first problem.
    """
    return validated(wanted, _problems(wanted), where="export", failure="The export cannot be made")


def _problems(wanted: Export) -> Iterator[str]:
    if not wanted.output:
        yield "The export names no output folder; choose one."
    if None not in (wanted.first_frame, wanted.last_frame) and wanted.last_frame < wanted.first_frame:  # type: ignore[operator]
        frames = f"{wanted.first_frame}-{wanted.last_frame}"
        yield f"The frame range {frames} is empty; its end must not be before its start."
    if not re.fullmatch(_CHANNEL, wanted.channel):
        yield f"{setting('channel')} must be letters and digits with dots between layers, such as Z or depth.Z."
    elif wanted.channel in (CONFIDENCE_CHANNEL, MATTE_CHANNEL):
        yield f"{setting('channel', wanted.channel)} is the name of another channel; choose Z or depth.Z."
    low, high = wanted.percentiles
    if not 0 <= low < high <= 100:
        ends = f"{low:g} and {high:g}"
        yield f"{setting('percentiles')} must be two numbers from 0 to 100 in ascending order, not {ends}."
    if (wanted.near is None) != (wanted.far is None):
        yield f"{setting('near')} and {setting('far')} belong together: give both, or none."
    elif wanted.near is not None and wanted.far is not None and not wanted.near < wanted.far:
        yield f"{setting('near')} must be less than {setting('far')}, not {wanted.near:g} and {wanted.far:g}."
    if wanted.far_limit is not None and wanted.far is not None and wanted.far_limit < wanted.far:
        yield f"{setting('far_limit')} must not be less than {setting('far')}, or nothing is as far as that."


def placement(wanted: Export, sequence: DepthSequence, shot: Shot) -> Placement:
    """The distances of a shot with maps, and where it stands.

    Raises
    ------
    JobError
        Its disparity is relative, and neither the export nor the artist in Blender has said how near and far it is.
    """
    for each in wanted.placements:
        if each.first_frame == shot.first_frame:
            return each
    if shot.range is None:
        raise ValueError("a shot without maps has no distances")
    first, (p1, p99) = shot.first_frame, percentiles(shot.range.p1, shot.range.p99)
    if sequence.quantity_of(shot) == "inverse_depth":
        far_limit = wanted.far_limit or reach(shot.range.p1, shot.range.p99)[1]
        return Placement(first_frame=first, line=((first, 1.0, 0.0),), far_limit=far_limit, scale=wanted.scale)
    if wanted.near is None or wanted.far is None:
        if wanted.format not in NEEDS_DISTANCES:
            return Placement(first_frame=first, line=((first, 0.0, 1.0),), far_limit=1.0, scale=wanted.scale)
        raise JobError(
            f"The depth of frames {first}-{shot.last_frame} is relative, so it has no distances of its own: give "
            f"{setting('near')} and {setting('far')}, the distances of the shot's nearest and farthest percent."
        )
    return Placement(
        first_frame=first,
        line=((first, *line_of(p1, p99, near=wanted.near, far=wanted.far)),),
        near_limit=0.5 * wanted.near,  # as the node groups have it at first
        far_limit=wanted.far_limit or 10.0 * wanted.far,
        scale=wanted.scale,
    )


def line_of(p1: float, p99: float, *, near: float, far: float) -> tuple[float, float]:
    """Slope and shift that give a shot's 99th percentile the distance `near`, and its first the distance `far`."""
    slope = (1.0 / near - 1.0 / far) / (p99 - p1)
    return slope, 1.0 / far - slope * p1


def shots_within(wanted: Export, sequence: DepthSequence) -> tuple[tuple[Shot, range], ...]:
    """The shots with maps that an export concerns, each with its frames.

    Raises
    ------
    JobError
        There is none.
    """
    first = sequence.first_frame if wanted.first_frame is None else wanted.first_frame
    last = sequence.last_frame if wanted.last_frame is None else wanted.last_frame
    parts = [(s, range(max(s.first_frame, first), min(s.last_frame, last) + 1)) for s in sequence.done_shots]
    found = tuple((shot, frames) for shot, frames in parts if frames and shot.range is not None)
    if not found:
        raise JobError(f"No frame from {first} to {last} has depth; choose frames of a shot that has.")
    return found


def count_frames(wanted: Export, sequence: DepthSequence) -> int:
    """How many frames with depth an export has; JobError as `shots_within`."""
    shots = [frames for _, frames in shots_within(wanted, sequence)]
    if wanted.format not in ("movie", "control"):
        return sum(map(len, shots))
    taken = range(shots[0][0], shots[-1][-1] + 1, wanted.every)
    return sum(number in taken for frames in shots for number in frames)


def name_of(sequence: DepthSequence) -> str:
    """The clip's name, with which the names of an export's files begin."""
    source = sequence.source
    path = depth_sequence.pure_path(source.path).as_posix()
    return _NOT_IN_NAMES.sub("_", numbering.name_of(path, source.files, stream=source.stream)) or "clip"


def file_name(wanted: str, sequence: DepthSequence, *, frame: int | None = None, shot: Shot | None = None) -> str:
    """The name of a file of a format; with the plate's number of a frame, or a shot's frames where there are several.

    Such as ``street_depth.1001.exr``, ``street_control.mp4`` and ``street_camera_1001-1040.chan``.
    """
    stem, suffix = f"{name_of(sequence)}_{_STEMS[wanted]}", SUFFIXES.get(wanted) or BLENDERS[wanted]
    if frame is not None:
        return f"{stem}.{frame:0{numbering.digits(sequence.source.files)}d}{suffix}"
    if shot is not None and len(sequence.shots) > 1:
        stem = f"{stem}_{shot.first_frame}-{shot.last_frame}"
    return f"{stem}{suffix}"


def image_size(wanted: Export, sequence: DepthSequence) -> tuple[int, int]:
    """Width and height of an export's images, as far as ``depth.json`` tells: of a plate without a size, the maps'."""
    width, height = sequence.width, sequence.height
    source = sequence.source
    if wanted.plate is not None and wanted.plate.width and wanted.plate.height:
        source = wanted.plate
    if wanted.at_full_size and source.width and source.height:
        width, height = source.width, source.height
    if wanted.format == "control":
        if wanted.size is not None:
            longest = max(width, height)
            width, height = round(wanted.size * width / longest), round(wanted.size * height / longest)
        return to_multiple(width, wanted.multiple), to_multiple(height, wanted.multiple)
    return (to_multiple(width, 2), to_multiple(height, 2)) if wanted.format == "movie" else (width, height)


def to_multiple(length: int, multiple: int) -> int:
    """The multiple that is nearest to a length, at least one.

    >>> to_multiple(855, 64), to_multiple(20, 64)
    (832, 64)
    """
    return max(multiple, multiple * math.floor(length / multiple + 0.5))


def estimated_bytes(wanted: Export, sequence: DepthSequence) -> float:
    """How much of the disk an export takes at most, roughly: compression is unknown, and so are points that fall out.

    Raises
    ------
    JobError
        As `shots_within`.
    """
    frames = count_frames(wanted, sequence)
    width, height = image_size(wanted, sequence)
    pixels = float(width * height)
    if wanted.format == "exr":
        return frames * pixels * (2 if wanted.half else 4) * (1 + wanted.confidence + (wanted.mattes is not None))
    if wanted.format == "png":
        return frames * pixels * 2
    if wanted.format == "ply":
        return frames * pixels * (_POINT + 4 * (sequence.confidence is not None))
    if wanted.format == "chan":
        return float(frames * _BYTES_OF_A_POSE)
    return frames * pixels * _COMPRESSED


def focal_length_in_widths(millimeters: float) -> float:
    """A focal length on a sensor 36 mm wide, in widths of the image."""
    return millimeters / SENSOR_WIDTH


def save(wanted: Export, path: str | Path) -> None:
    """Write an export as JSON."""
    Path(path).write_text(records.dumps(wanted) + "\n", encoding="utf-8")


def load(path: str | Path) -> Export:
    """Read and validate an export.

    Raises
    ------
    JobError
        One sentence: the file cannot be read, or is no valid export.
    """
    try:
        return validate(records.load(Export, path, strict=True))
    except OSError as error:
        raise JobError(f"The export file {path} cannot be read ({error.strerror}); check the path.") from error
    except records.RecordError as error:
        raise JobError(f"The file {path} is not an export: {error}.", exit_codes.USAGE) from error
