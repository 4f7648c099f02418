"""Depth of a clip from a script: what the operator does, without an operator."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..inference import client
from ..inference.client import WorkerError
from ..inference.events import Event
from ..inference.job import Job, JobError
from . import depth as depth_module
from . import output, preferences
from . import settings as settings_module
from .depth import Depth
from .output import Place
from .settings import Settings
from .source import Plate
from .wording import worded

_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


def prepare(plate: Plate, settings: Settings, *, root: Path, new_version: bool = False) -> tuple[Job, Place]:
    """The job for a plate, and where it goes.

    Parameters
    ----------
    plate : Plate
    settings : Settings
    root : Path
        Folder of the depth sequences; see `scene.output.place`.
    new_version : bool
        Whether the job gets a new folder also where its result is there already.

    Raises
    ------
    JobError
        One sentence on what is wrong with the settings.
    """
    job = settings_module.make_job(plate, settings, output=root)
    place = output.place(root, plate.name, job, new_version=new_version)
    return replace(job, output=str(place.folder)), place


def only_frames(plate: Plate, frames: str) -> Plate:
    """A part of a plate.

    Parameters
    ----------
    plate : Plate
    frames : str
        Source frames, such as ``1001-1040`` or ``1001``.

    Raises
    ------
    JobError
        That is no range, or the plate does not show all of it.
    """
    match = _RANGE.fullmatch(frames.strip())
    if match is None:
        raise JobError(f"'{frames}' is no range of frames: write it as 1001-1040.")
    first, last = int(match[1]), int(match[2] or match[1])
    if first < plate.first_frame or last > plate.last_frame or last < first:
        raise JobError(
            f"{plate.name} shows the frames {plate.first_frame}-{plate.last_frame}: choose frames among those, not "
            f"{frames}."
        )
    return replace(plate, first_frame=first, last_frame=last, scene_start=plate.scene_start + first - plate.first_frame)


def load(plate: Plate, folder: Path) -> Depth:
    """The finished depth of a plate, placed on the timeline where the plate is."""
    return depth_module.load(folder, frame_offset=plate.frame_offset)


def estimate(
    plate: Plate,
    *,
    root: Path,
    settings: Settings | None = None,
    python: Path | None = None,
    new_version: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Depth:
    """Estimate a plate's depth and wait for it; a result that is there already is loaded.

    Parameters
    ----------
    plate : Plate
        From `scene.source`.
    root, settings, new_version
        As for `prepare`; without settings the defaults.
    python : Path or None
        The worker's; None: as the preferences say.
    on_event : callable or None
        Hears every event.

    Returns
    -------
    Depth

    Raises
    ------
    JobError, MissingEnvironment, WorkerError
        One sentence each.
    """
    job, place = prepare(plate, settings or Settings(), root=root, new_version=new_version)
    if place.standing != "finished":
        python = python or preferences.worker_python()
        home = preferences.data_folder()
        try:
            client.run_blocking(job, python=python, home=home, on_event=on_event or (lambda _event: None))
        except WorkerError as error:
            raise WorkerError(error.event, worded(error.event.message)) from error
    return load(plate, place.folder)
