"""What is checked of a job once its clip is open, before anything is written."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import depth_sequence, devices, events, exit_codes, numbering
from ..camera import Camera
from ..depth_sequence import DepthSequenceError
from ..estimators import registry
from ..estimators.base import EstimatorInfo
from ..faults import Failure
from ..hints import setting
from ..job import Job, output_problem
from ..media.clip import Clip
from ..untrusted import read_bytes


def frames_of(job: Job, clip: Clip) -> tuple[int, int]:
    """First and last frame of a job; a `Failure` (USAGE) where they are not all in the clip."""
    first = clip.first_frame if job.first_frame is None else job.first_frame
    last = clip.last_frame if job.last_frame is None else job.last_frame
    if first < clip.first_frame or last > clip.last_frame or first > last:
        raise Failure(
            exit_codes.USAGE,
            f"The frames {first}-{last} are not all in {job.source.path}, which has the frames "
            f"{clip.first_frame}-{clip.last_frame}.",
            cure="Choose a range within them.",
        )
    return first, last


def check_length(info: EstimatorInfo, first: int, last: int) -> None:
    """Refuse (USAGE) frames that no depth sequence can hold: before the work, not when it is to be written down."""
    parts = f"Estimate the clip in parts, by {setting('frames')}."
    if last > numbering.LARGEST:
        raise Failure(
            exit_codes.USAGE,
            f"The frames {first}-{last} go beyond {numbering.LARGEST}, to which Blender counts.",
            cure=parts,
        )
    if info.gives_camera and last - first + 1 > depth_sequence.LONGEST_PATH:
        raise Failure(
            exit_codes.USAGE,
            f"The frames {first}-{last} are more than the {depth_sequence.LONGEST_PATH} whose camera one depth "
            "sequence holds.",
            cure=parts,
        )


def check_camera(camera: Camera | None, first: int, last: int) -> None:
    """Refuse (USAGE) a camera prior that is none, or whose path leaves out a frame."""
    if camera is None:
        return
    if not (camera.focal_length > 0 and math.isfinite(camera.focal_length)):
        raise Failure(exit_codes.USAGE, f"The camera's focal length must be above 0, not {camera.focal_length:g}.")
    if camera.width < 1 or camera.height < 1:
        raise Failure(
            exit_codes.USAGE, f"The camera's picture must have a size, which is {camera.width}x{camera.height} pixels."
        )
    have = {pose.frame for pose in camera.poses}
    missing = [number for number in range(first, last + 1) if number not in have]
    if have and missing:
        raise Failure(
            exit_codes.USAGE,
            f"The camera path that was given has no pose for frame {missing[0]}.",
            cure="Give a pose for every frame, or only the focal length.",
        )


def check_output(job: Job) -> None:
    """Refuse (BAD_OUTPUT) to write a result among the files of the clip that is read."""
    problem = output_problem(job)
    if problem:
        raise Failure(exit_codes.BAD_OUTPUT, problem)


def given_sequences(info: EstimatorInfo, parameters: dict[str, Any], folder: Path) -> dict[str, str]:
    """What identifies the depth sequences that parameters name.

    Parameters
    ----------
    info : EstimatorInfo
    parameters : dict
        Every declared one.
    folder : Path
        Of the result.

    Returns
    -------
    dict
        Name of the parameter to the sha256 of the sequence's ``depth.json``, which a new estimate changes.

    Raises
    ------
    Failure
        USAGE: it is no finished depth sequence. BAD_OUTPUT: the result would be written over it.
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
            raise Failure(exit_codes.USAGE, f"{setting(parameter.name)} names no depth sequence: {error}") from error
        if Path(named).resolve() == folder.resolve():
            raise Failure(
                exit_codes.BAD_OUTPUT,
                f"The result would be written over the depth sequence {named} that {setting(parameter.name)} names.",
                cure="Choose another output folder.",
            )
    return found


def warn_of_idle_card(info: EstimatorInfo, parameters: dict[str, Any], emit: Callable[[events.Event], None]) -> None:
    """Say so before the work where a card would do it and torch cannot use it, unless the job wants it that way."""
    if parameters.get("device", devices.AUTO) == devices.AUTO:
        for note in registry.notes(info):
            emit(events.Warning(message=f"{note.what} {note.cure}"))


def warn_of_little_room(folder: Path, needed: float, emit: Callable[[events.Event], None]) -> None:
    """Say so before the work where the disk may not take its result; EXR packs maps by an unknown factor."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        emit(
            events.Warning(
                message=f"The disk of {folder} has {free / 1e6:.0f} MB left and the result may take up to "
                f"{needed / 1e6:.0f} MB; if it does not fit, make room and start the same job again."
            )
        )
