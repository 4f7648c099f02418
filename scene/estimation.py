"""Depth of a clip from a script: what the operator does, without an operator."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from ..inference.contract import client
from ..inference.contract.client import WorkerError
from ..inference.contract.depth_sequence import is_absolute
from ..inference.contract.events import Event
from ..inference.contract.job import Job, validate
from . import depth as depth_module
from . import output, places, preferences, source
from . import settings as settings_module
from .depth import Depth
from .output import Place
from .settings import Settings
from .source import Plate
from .wording import worded


def prepare(
    plate: Plate,
    settings: Settings,
    *,
    root: Path,
    new_version: bool = False,
    asked: bool = False,
    taken: Collection[Path] = (),
) -> tuple[Job, Place]:
    """The job for a plate, and where it goes below `root`, see `output.place`; `taken` as there.

    Where the artist `asked` for it, all places that are named may be looked at, see `places`. JobError and OutputError
    have one sentence on what is wrong with the settings or the folder.
    """
    if asked:
        for named in (
            root,
            plate.source.path,
            *_mattes(settings),
            *_camera_file(settings),
            *filter(is_absolute, map(str, settings.parameters.values())),
        ):
            places.ask(named)
    plate = source.in_range(plate, settings.frames)
    wanted = settings_module.make_job(plate, settings, output=root, asked=asked)
    place = output.place(root, plate.name, wanted, new_version=new_version, taken=taken)
    return validate(replace(wanted, output=str(place.folder))), place


def _mattes(settings: Settings) -> tuple[str, ...]:
    """The place that the mattes lie at, if there are any."""
    return (places.expanded(settings.mattes),) if settings.mattes else ()


def _camera_file(settings: Settings) -> tuple[str, ...]:
    """The place that a camera file lies at, if there is one."""
    choice = settings.camera
    return (places.expanded(choice.name),) if choice is not None and choice.kind == "FILE" else ()


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

    `root`, `settings` and `new_version` are as for `prepare`, without settings the defaults; without `python` the
    worker runs in the one of the preferences. `on_event` hears every event.

    Raises
    ------
    JobError, OutputError, MissingEnvironment, WorkerError
        One sentence each.
    """
    job, place, taken = output.take(
        lambda: prepare(plate, settings or Settings(), root=root, new_version=new_version, asked=True)
    )
    if place.standing != "finished":
        try:
            python = python or preferences.worker_python()
            home = preferences.data_folder()
            client.run_blocking(job, python=python, home=home, on_event=on_event or (lambda _event: None))
        except WorkerError as error:
            raise WorkerError(error.event, worded(error.event.message)) from error
        finally:
            if taken is not None:
                taken.release()
    return depth_module.load(place.folder, frame_offset=plate.frame_offset)
