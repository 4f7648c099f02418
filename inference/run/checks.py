"""Checks of a job before anything is written: of its parameters, and, once its clip is open, of everything else."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..common import devices
from ..common.failures import ClipError, Failure
from ..contract import depth_sequence, events, exit_codes, made_mattes, numbering, plate_files, records
from ..contract.camera import Camera
from ..contract.catalogue import Parameter
from ..contract.depth_sequence import DepthSequence, DepthSequenceError
from ..contract.hints import setting
from ..contract.job import Job, Source
from ..contract.untrusted import is_same_path, read_bytes
from ..estimators import requirements
from ..estimators.base import EstimatorInfo
from ..media.clip import Clip
from ..models import trained

_SAME_ASPECT = 0.01
"""Largest relative difference of the aspects of a camera's images and a clip that are taken for one."""
_SAME_RATE = 0.005
"""As `_SAME_ASPECT`, of frame rates."""
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def frames_of(job: Job, clip: Clip) -> tuple[int, int]:
    """First and last frame of a job; a `Failure` (USAGE) if they are not all in the clip."""
    first = clip.first_frame if job.first_frame is None else job.first_frame
    last = clip.last_frame if job.last_frame is None else job.last_frame
    if first < clip.first_frame or last > clip.last_frame or first > last:
        raise Failure(
            exit_codes.USAGE,
            f"The frames {first}-{last} are not all in {job.source.path}, which has the frames "
            f"{clip.first_frame}-{clip.last_frame}.",
            hint="Choose a range within the clip.",
        )
    return first, last


def check_length(info: EstimatorInfo, first: int, last: int) -> None:
    """Raise a `Failure` (USAGE) for more frames than a depth sequence can contain, before any work is done."""
    parts = f"Estimate the clip in parts with {setting('frames')}."
    if last > numbering.LARGEST:
        raise Failure(
            exit_codes.USAGE,
            f"The frames {first}-{last} go beyond Blender's last frame, {numbering.LARGEST}.",
            hint=parts,
        )
    if info.has_camera and last - first + 1 > depth_sequence.LONGEST_PATH:
        raise Failure(
            exit_codes.USAGE,
            f"The frames {first}-{last} are more than the {depth_sequence.LONGEST_PATH} that a depth sequence with a "
            "camera path can contain.",
            hint=parts,
        )


def check_source(source: Source) -> None:
    """Raise a `ClipError` for a clip whose own values no ``depth.json`` can hold, before any work is done."""
    try:
        records.check(source, where="clip")
    except records.RecordError as error:
        raise ClipError(
            f"{depth_sequence.plate_file(source)} cannot be estimated: its {str(error).removeprefix('clip.')}",
            "convert it to an image sequence of at most 65536 pixels a side, with a usual frame rate",
        ) from error


def check_camera(camera: Camera | None, first: int, last: int, *, width: int, height: int) -> None:
    """Raise a `Failure` (USAGE) for a camera of another aspect than the clip's, or a path without any of its frames."""
    if camera is None:
        return
    if abs(camera.width * height / (camera.height * width) - 1) > _SAME_ASPECT:
        raise Failure(
            exit_codes.USAGE,
            f"The camera is for images of {camera.width}x{camera.height}, which have another aspect than the clip, "
            f"{width}x{height}.",
            hint="Use a camera of this clip, or leave it out, so that the camera is solved.",
        )
    if camera.poses and not any(first <= pose.frame <= last for pose in camera.poses):
        raise Failure(
            exit_codes.USAGE,
            f"The camera has poses of the frames {camera.poses[0].frame}-{camera.poses[-1].frame} and none of the "
            f"frames {first}-{last}.",
            hint="Check the numbers of its frames, which are those of the clip's files (a movie's begin with 1).",
        )


def warn_of_unused_camera(info: EstimatorInfo, camera: Camera | None, emit: Callable[[events.Event], None]) -> None:
    """Warn before the work if the estimator that leads does not use the poses of the job's camera."""
    if camera is not None and camera.poses and not info.uses_poses:
        emit(
            events.Warning(
                message=f"{info.label} does not use the camera's poses, so its depth is not in the camera's units; "
                "Parallax does."
            )
        )


def input_sequences(info: EstimatorInfo, parameters: dict[str, Any], folder: Path) -> dict[str, str]:
    """Hashes that identify the input depth sequences of a job, by the names of all its declared parameters.

    Each is the sha256 of the sequence's ``depth.json``, which a new estimate changes.

    Raises
    ------
    Failure
        USAGE: it is not a finished depth sequence. BAD_OUTPUT: the result would overwrite it.
    """
    found = {}
    for parameter in info.parameters:
        named = parameters[parameter.name] if parameter.depth_sequence else ""
        if not named:
            continue
        try:
            depth_sequence.load(named)
            found[parameter.name] = hashlib.sha256(read_bytes(Path(named) / depth_sequence.SIDECAR)).hexdigest()
        except DepthSequenceError as error:
            raise Failure(exit_codes.USAGE, f"{setting(parameter.name)} is not a depth sequence: {error}") from error
        if is_same_path(Path(named), folder):
            raise Failure(
                exit_codes.BAD_OUTPUT,
                f"The result would overwrite {named}, the depth sequence set by {setting(parameter.name)}.",
                hint="Choose another output folder.",
            )
    return found


def warn_of_other_plate(sequence: DepthSequence, source: Source, emit: Callable[[events.Event], None]) -> None:
    """Warn before the work if depth is not of the plate as it is now."""
    other = depth_sequence.other_plate(sequence, source)
    if other is not None:
        emit(events.Warning(message=other))


def warn_of_other_clip(named: str, source: Source, emit: Callable[[events.Event], None]) -> None:
    """Warn before the work if a depth sequence that a job takes is of the clip as it was, or seems to be of another.

    The plate that it names is not accessed: it may be somebody else's path.
    """
    sequence = depth_sequence.load(named)
    theirs, made = sequence.source, sequence.plate_files
    plate, other = (Path(os.path.abspath(depth_sequence.plate_file(each))) for each in (source, theirs))  # noqa: PTH100
    now = plate_files.look(source, *depth_sequence.frames_read(sequence)) if plate == other else None
    is_it = numbering.frame_in(source.files, other.name) is not None if source.files else plate.name == other.name
    what = None
    if made is not None and made.are_others(now):
        what = "was estimated before the clip changed: estimate it again"
    elif not is_it:
        what = f"is of {other.name}, and this clip is {plate.name}: choose depth of this clip"
    elif theirs.kind == source.kind == "movie" and not _is_alike(theirs.fps, source.fps):
        what = f"is of {theirs.fps:g} frames/s, and this clip has {source.fps:g}: choose depth of this clip"
    if what is not None:
        emit(events.Warning(message=f"The depth in {named} {what}, if they do not show the same."))


def warn_of_other_mattes(folder: str, source: Source, emit: Callable[[events.Event], None]) -> None:
    """Warn before the work if mattes that Fathom made are of the clip as it was, or of another."""
    made = made_mattes.made(Path(folder))
    if made is None or made.plate_files is None:
        return
    plate, other = Path(source.path).absolute(), Path(made.plate)
    what = None
    if plate.name != other.name:
        what = f"are of {other.name}, and this clip is {plate.name}: make mattes of this clip"
    elif plate == other and made.plate_files.are_others(plate_files.look(source, made.first_frame, made.last_frame)):
        what = "were made before the clip changed: make them again"
    if what is not None:
        emit(events.Warning(message=f"The mattes in {folder} {what}, if they do not show the same."))


def _is_alike(rate: float | None, other: float | None) -> bool:
    """Whether two frame rates are one, as far as they are known."""
    return not rate or not other or abs(rate / other - 1) <= _SAME_RATE


def warn_of_idle_gpu(info: EstimatorInfo, parameters: dict[str, Any], emit: Callable[[events.Event], None]) -> None:
    """Warn before the work if torch cannot use the computer's GPU, unless the job chooses another device."""
    if parameters.get("device", devices.AUTO) == devices.AUTO:
        for note in requirements.notes(info):
            emit(events.Warning(message=f"{note.what} {note.hint}"))


def warn_of_little_room(folder: Path, needed: float, emit: Callable[[events.Event], None]) -> None:
    """Warn before the work if the disk may be too small for the result; EXR compresses maps by an unknown factor."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        emit(
            events.Warning(
                message=f"The disk of {folder} has {free / 1e6:.0f} MB left and the result may need up to "
                f"{needed / 1e6:.0f} MB; if it does not fit, free some space and start the same job again."
            )
        )


class Declares(Protocol):
    """What has parameters: an estimator, or the recipe of a training."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...


def resolve_parameters(info: Declares, given: dict[str, Any], *, who: str = "The estimator") -> dict[str, Any]:
    """Every parameter that an estimator declares, with its value in the job or its default; `who` begins a message.

    Raises
    ------
    Failure
        USAGE: an unknown name, or a value with the wrong type or outside its bounds.
    """
    declared = {parameter.name: parameter for parameter in info.parameters}
    for name in given:
        if name not in declared:
            has = f"it has {', '.join(sorted(declared))}" if declared else "it has none"
            raise Failure(exit_codes.USAGE, f"{who} {info.name} has no parameter '{name}'; {has}.")
    return {name: _checked(given[name], p, info) if name in given else p.default for name, p in declared.items()}


def parse_parameters(info: Declares, texts: list[str]) -> dict[str, Any]:
    """Parse ``NAME=VALUE`` texts into values of the declared types; `resolve_parameters` checks the rest."""
    declared = {parameter.name: parameter for parameter in info.parameters}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise Failure(exit_codes.USAGE, f"--parameter must be NAME=VALUE, not '{text}'.")
        values[name.strip()] = _typed(value.strip(), declared[name.strip()]) if name.strip() in declared else value
    return values


def _typed(text: str, parameter: Parameter) -> Any:
    kind = type(parameter.default)
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
    elif kind is str:
        return _folder(text, parameter)
    else:
        try:
            return kind(text)
        except ValueError:
            pass
    raise Failure(exit_codes.USAGE, f"{setting(parameter.name)} must be {_kind(parameter)}, not '{text}'.")


def _checked(value: object, parameter: Parameter, info: Declares) -> object:
    kind = type(parameter.default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if parameter.choices and type(value) is int:  # a choice such as "1" that was parsed as JSON
        value = str(value)
    name = f"{setting(parameter.name)} of {info.label}"
    if type(value) is not kind:
        raise Failure(exit_codes.USAGE, f"{name} must be {_kind(parameter)}, not {value!r}.")
    if parameter.choices and value not in parameter.choices:
        raise Failure(exit_codes.USAGE, f"{name} must be one of {', '.join(parameter.choices)}, not {value!r}.")
    below = parameter.minimum is not None and isinstance(value, (int, float)) and not value >= parameter.minimum
    above = parameter.maximum is not None and isinstance(value, (int, float)) and not value <= parameter.maximum
    if below or above:
        bounds = [f"at least {parameter.minimum:g}"] if parameter.minimum is not None else []
        bounds += [f"at most {parameter.maximum:g}"] if parameter.maximum is not None else []
        raise Failure(exit_codes.USAGE, f"{name} must be {' and '.join(bounds)}, not {value}.")
    return _folder(value, parameter) if isinstance(value, str) else value


def _folder(text: str, parameter: Parameter) -> str:
    """A text as it is, or a folder, absolute; the folder's own record names it as well. Empty for none."""
    if not text or not (parameter.depth_sequence or parameter.folder):
        return text
    path = Path(text).absolute()
    record = depth_sequence.SIDECAR if parameter.depth_sequence else trained.RECORD
    return str(path.parent if path.name == record else path)


def _kind(parameter: Parameter) -> str:
    if parameter.choices:
        return f"one of {', '.join(parameter.choices)}"
    if parameter.depth_sequence or parameter.folder:
        return "a folder"
    return {bool: "yes or no", int: "a whole number", float: "a number", str: "a text"}[type(parameter.default)]
