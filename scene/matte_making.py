"""Mattes of the people in a clip, made by the worker: what that needs, where they go, and making them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..inference.contract import client, environment, environment_setup, made_mattes
from ..inference.contract.catalogue import MissingRequirement
from ..inference.contract.client import Steps, WorkerError
from ..inference.contract.events import Error, Event
from ..inference.contract.job import Job, validate
from . import current_run, output, places, preferences, source, weights
from .output import OutputError, Place
from .problems import Problem
from .settings import Settings, cuts_of
from .source import Plate
from .wording import worded

_FOLDER = "mattes"
"""Folder of their versions, beside those of the clip's depth."""


def prepare(
    plate: Plate, settings: Settings, *, root: Path, new_version: bool = False, asked: bool = False
) -> tuple[Job, Place]:
    """The job that makes a plate's mattes, and where it goes: ``<root>/<clip>/mattes/v001`` and on.

    Of the settings, the range and the cuts count. The newest version that holds the same job, finished or not, is the
    job's own, unless the clip is newer, or with `new_version`; mattes that were retouched stay. Where the artist
    `asked` for it, all places that are named may be looked at, see `places`. JobError and OutputError have one sentence
    on what is wrong.
    """
    if asked:
        for named in (root, plate.source.path):
            places.ask(named)
    plate = source.in_range(plate, settings.frames)
    wanted = Job(
        source=plate.source,
        first_frame=plate.first_frame,
        last_frame=plate.last_frame,
        cuts=cuts_of(settings, plate),
        output=str(root),
    )
    try:
        place = _place(output.clip_root(root, plate.name, wanted) / _FOLDER, wanted, new_version=new_version)
    except OSError as error:
        raise OutputError(
            f"The output folder {root} cannot be read ({error.strerror or error}): choose a folder that you may write "
            "to."
        ) from error
    return validate(replace(wanted, output=str(place.folder))), place


def _place(folder: Path, wanted: Job, *, new_version: bool) -> Place:
    there, fingerprint = output.versions_in(folder), wanted.fingerprint()
    for _, version in sorted(there.items(), reverse=True) if not new_version else ():
        made, unfinished = made_mattes.made(version), made_mattes.unfinished(version)
        is_ours = made is not None and made.fingerprint == fingerprint
        if is_ours and not output.input_changed(wanted, version, made):
            return Place(folder=version, standing="finished")
        if made is None and unfinished is not None and unfinished.fingerprint == fingerprint:
            return Place(folder=version, standing="unfinished")
    last = max(there, default=0)
    if last and output.is_free(there[last]):  # left by a run that ended before its first frame
        return Place(folder=there[last], standing="new")
    return Place(folder=folder / output.version_name(last + 1), standing="new")


def missing() -> tuple[MissingRequirement, ...]:
    """What is missing on this computer to make mattes: packages, weights; asked of the worker, for half a second.

    MissingEnvironment where there is no worker, MattesError where it does not answer.
    """
    return made_mattes.missing(preferences.worker_python(), preferences.data_folder())


def install() -> Steps:
    """The steps that add the packages that run the matte network to Fathom's own environment.

    Problem where the worker's Python is another, which Fathom does not change.
    """
    state = preferences.look()
    if state.problem is not None:
        raise state.problem
    if state.own is None:
        needed = next((each for each in missing() if each.kind == "packages"), None)
        raise Problem(f"{needed.what} {needed.hint}" if needed else preferences.INSTALLED)
    yield from environment_setup.add(preferences.own_environment(state.own), environment.MATTES)


def steps(
    job: Job, *, taken: output.Claim | None = None, download: bool = False, licences: Sequence[str] = ()
) -> Steps:
    """Make a job's mattes in a folder that is `taken`; with `download`, get what is missing first, under licenses that
    the artist accepts.
    """
    yield from output.held(taken, _steps(job, download, licences))


def _steps(job: Job, download: bool, licences: Sequence[str]) -> Steps:
    python, home = preferences.worker_python(), preferences.data_folder()
    kinds = {each.kind for each in made_mattes.missing(python, home)} if download else set()
    parts: list[Callable[[], Steps]] = []
    if "packages" in kinds:
        reason = preferences.install_offline_reason(preferences.look())
        if reason is not None:
            raise Problem(f"The packages that mattes need are not installed. {reason}")
        parts.append(install)
    if "weights" in kinds:
        parts.append(lambda: weights.download([made_mattes.WEIGHTS], licences=licences))
    yield from current_run.in_turn(*parts, lambda: client.matte(job, python=python, home=home))


def make(
    plate: Plate,
    *,
    root: Path,
    settings: Settings | None = None,
    download: bool = False,
    licences: Sequence[str] = (),
    new_version: bool = False,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Path:
    """Make the mattes of a plate and wait for them; those that are there already are not made again.

    `root`, `settings` and `new_version` are as for `prepare`, `download` and `licences`, names of those that you
    accept, as for `steps`. `on_event` hears every event.

    Returns
    -------
    Path
        The folder of the mattes.

    Raises
    ------
    JobError, OutputError, MissingEnvironment, MattesError, Problem, WorkerError
        One sentence each.
    """
    job, place, taken = output.take(
        lambda: prepare(plate, settings or Settings(), root=root, new_version=new_version, asked=True)
    )
    if place.standing != "finished":
        with contextlib.closing(steps(job, taken=taken, download=download, licences=licences)) as running:
            for event in itertools.chain.from_iterable(running):
                on_event(event)
                if isinstance(event, Error):
                    raise WorkerError(event, worded(event.message))
    return place.folder
