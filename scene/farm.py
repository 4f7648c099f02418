"""Depth by a render farm: clips are planned in chunks and sent as one job; what is merged is loaded.

Planning and sending is the worker's, as any run. What was sent is listed as pending, and a timer looks, in a thread
beside Blender, whether its ``depth.json`` is there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import bpy

from ..inference.contract import client, depth_sequence, leftovers
from ..inference.contract.client import Steps, WorkerError
from ..inference.contract.events import Error, Event, Progress
from ..inference.contract.job import Job
from ..inference.contract.untrusted import find_program, is_file
from . import current_run, depth_list, estimation, output, places, preferences
from . import depth as depth_module
from .beside import Beside
from .depth import DepthError, place_of
from .disk_status import Seen
from .output import Claim
from .problems import Problem
from .redraw import redraw
from .settings import Settings
from .source import Plate
from .wording import worded

Kind = Literal["openjd", "flamenco", "deadline"]
TARGETS = (
    ("OPENJD", "Open Job Description", "AWS Deadline Cloud, and other farms that run such jobs"),
    ("FLAMENCO", "Flamenco 3", "Blender's own farm, whose Manager has Fathom's job type"),
    ("DEADLINE", "Deadline 10", "Thinkbox Deadline: a chain of jobs for each clip"),
)
"""Identifier, name and description of each kind of farm."""
_KINDS: dict[str, Kind] = {"OPENJD": "openjd", "FLAMENCO": "flamenco", "DEADLINE": "deadline"}
CLIENTS = {"OPENJD": "deadline", "DEADLINE": "deadlinecommand"}
"""The commands that submit a job, where they are installed."""
_FOLDER = "farm"
"""Folder of the bundles, in that of the depth sequences, where no other is chosen."""
_LOOK = 5.0
"""Seconds from one look for merged depth to the next."""


class FarmError(Problem):
    """A farm cannot get a job; the message is one sentence for the artist."""


@dataclass(frozen=True, kw_only=True)
class Farm:
    """Where jobs go.

    Attributes
    ----------
    target : str
        One of `TARGETS`.
    folder : Path or None
        Of the bundles; None: ``farm`` in that of the depth sequences.
    python, fathom : str
        Python and the folder `inference` as the farm's computers know them; empty: as on this one.
    submits : bool
        Whether the farm's client submits the job where it is installed, or the Manager gets it; else it is written.
    manager : str
        Address of the Flamenco Manager; empty: the bundle alone is written.
    chunk_seconds : float
        What a chunk takes, about; 0: the worker's choice.
    """

    target: str = "OPENJD"
    folder: Path | None = None
    python: str = ""
    fathom: str = ""
    submits: bool = True
    manager: str = ""
    chunk_seconds: float = 0.0

    @property
    def sends(self) -> bool:
        """Whether the farm gets the job at once; otherwise it is written for somebody to submit."""
        if self.target == "FLAMENCO":
            return self.submits and bool(self.manager)
        return self.submits and _is_installed(self.target)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A job of clips.

    Attributes
    ----------
    plates : tuple of Plate
    jobs : tuple of Job
        Of the plates, each with an output folder of its own.
    there : tuple of (Plate, Path)
        Plates whose depth is there already, and where.
    name : str
        In the farm's list.
    bundle : Path
        Folder of what the farm gets.
    claims : tuple of Claim
        By which the jobs' folders are held until they are planned.
    """

    plates: tuple[Plate, ...]
    jobs: tuple[Job, ...]
    there: tuple[tuple[Plate, Path], ...]
    name: str
    bundle: Path
    claims: tuple[Claim, ...] = ()


def named(target: str) -> str:
    """A kind of farm by its name, however that is spelled; FarmError for another."""
    found = target.strip().upper()
    if found not in _KINDS:
        raise FarmError(f"There is no farm {target}: choose one of {', '.join(_KINDS)}.")
    return found


def from_preferences() -> Farm:
    """The farm that the preferences name."""
    chosen = preferences.render_farm()
    if chosen is None:
        return Farm()
    return Farm(
        target=chosen.target,
        folder=output.root_folder(chosen.folder) if chosen.folder.strip() else None,
        python=chosen.python.strip(),
        fathom=chosen.fathom.strip(),
        submits=chosen.submits,
        manager=chosen.manager.strip(),
        chunk_seconds=60.0 * chosen.chunk_minutes,
    )


def prepare(wanted: Sequence[tuple[Plate, Settings]], farm: Farm, *, root: Path, new_version: bool = False) -> Sent:
    """The job of plates with their settings, whose depth goes below `root`; nothing but its claims is written.

    FarmError where the farm cannot be sent to from here; otherwise as for `estimation.prepare`.
    """
    _require(farm)
    found, there, claims, taken = [], [], [], set()
    for plate, settings in wanted:
        prepared = partial(
            estimation.prepare, plate, settings, root=root, new_version=new_version, asked=True, taken=taken
        )
        job, place, claim = output.take(prepared)
        if place.standing == "finished":
            there.append((plate, place.folder))
            continue
        claims.append(claim)
        taken.add(place.folder)
        found.append((plate, job))
    first = f"{found[0][0].name} {Path(found[0][1].output).name}" if found else ""
    name = f"{first} and {len(found) - 1} more" if len(found) > 1 else first
    folder = farm.folder or root / _FOLDER
    places.ask(folder)
    return Sent(
        plates=tuple(plate for plate, _ in found),
        jobs=tuple(job for _, job in found),
        there=tuple(there),
        name=f"Depth of {name}",
        bundle=_free(folder / output.clip_folder(name)),
        claims=tuple(claim for claim in claims if claim is not None),
    )


def steps(sent: Sent, farm: Farm, *, python: Path, home: Path) -> Steps:
    """Plan all clips, write their job and send it, where the farm is one to send to; the worker's events."""
    running = _steps(sent, farm, python, home)
    for claim in sent.claims:
        running = output.held(claim, running)
    return running


def _steps(sent: Sent, farm: Farm, python: Path, home: Path) -> Steps:
    count = len(sent.jobs)

    def planning(job: Job) -> Callable[[], Steps]:
        return lambda: client.plan(job, python=python, home=home, chunk_seconds=farm.chunk_seconds or None)

    def bundling() -> Steps:
        return client.bundle(
            _KINDS[farm.target],
            [job.output for job in sent.jobs],
            sent.bundle,
            name=sent.name,
            farm_python=farm.python,
            farm_fathom=farm.fathom,
            send=farm.sends and farm.target != "FLAMENCO",
            manager=farm.manager if farm.sends and farm.target == "FLAMENCO" else "",
            python=python,
            home=home,
        )

    parts = [planning(job) for job in sent.jobs]
    planned = (_as_part(part, index, count) for index, part in enumerate(parts))
    return current_run.in_turn(*planned, bundling)


def submit(
    wanted: Sequence[tuple[Plate, Settings]],
    farm: Farm,
    *,
    root: Path,
    python: Path | None = None,
    new_version: bool = False,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Sent:
    """Send the depth of plates to a farm and wait until it has the job, not for the depth.

    Parameters
    ----------
    wanted : sequence of (Plate, Settings)
    farm : Farm
    root : Path
        Folder of the depth sequences.
    python : Path or None
        The worker's; None: that of the preferences.
    new_version : bool
        As for `estimation.prepare`.
    on_event : callable
        Hears every event.

    Raises
    ------
    JobError, OutputError, MissingEnvironment, WorkerError, FarmError
        One sentence each.
    """
    sent = prepare(wanted, farm, root=root, new_version=new_version)
    if not sent.jobs:
        return sent
    python, home = python or preferences.worker_python(), preferences.data_folder()
    with contextlib.closing(steps(sent, farm, python=python, home=home)) as running:
        for events in running:
            for event in events:
                on_event(event)
                if isinstance(event, Error):
                    raise WorkerError(event, worded(event.message))
    return sent


def remember(scene: bpy.types.Scene, sent: Sent) -> None:
    """Put what was sent on a scene's list as pending, and what is there already; DepthError in a linked scene."""
    for plate, folder in sent.there:
        depth_list.remember(scene, depth_module.load(folder, frame_offset=plate.frame_offset))
    for plate, job in zip(sent.plates, sent.jobs, strict=True):
        depth_list.remember_pending(
            scene, Path(job.output), job=job.fingerprint(), name=plate.name, frame_offset=plate.frame_offset
        )
    watch()


# What the farm has done


@dataclass(frozen=True)
class State:
    """How far the farm is with a depth; without chunks it is not known."""

    is_merged: bool = False
    done: int = 0
    chunks: int = 0


def look() -> int:
    """Look now for pending depth that is merged, and load it; how many were."""
    return _receive(_find((_folders(), 0)))


def known_state(item: bpy.types.PropertyGroup) -> State:
    """How far the farm is with a pending entry, as far as is known: nothing is looked at, panels ask."""
    place = place_of(item.folder)
    return (_states.of(_key()) or {}).get(place, State()) if place is not None else State()


def watch() -> None:
    """Look for pending depth from now on, for as long as there is any; where a window shows it."""
    if not bpy.app.background and not bpy.app.timers.is_registered(_timer) and depth_list.pending():
        bpy.app.timers.register(_timer, first_interval=_LOOK, persistent=True)


def stop() -> None:
    """End the timer."""
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)


def _timer() -> float | None:
    if not depth_list.pending():
        return None
    if _receive(_states.of(_key()) or {}):
        redraw()
    return _LOOK


def _folders() -> tuple[Path, ...]:
    found = (place_of(item.folder) for item in depth_list.pending())
    return tuple(dict.fromkeys(place for place in found if place is not None))


def _key() -> tuple[tuple[Path, ...], int]:
    return _folders(), int(time.monotonic() / _LOOK)


def _find(key: tuple[tuple[Path, ...], int]) -> dict[Path, State]:
    """Runs in a thread: nothing of Blender's is touched."""
    return {folder: _state(folder) for folder in key[0]}


def _state(folder: Path) -> State:
    chunks = leftovers.chunks_of(folder)
    # a result that is replaced stays until the merge, which removes the plan after it
    if chunks is None:
        return State(is_merged=is_file(folder / depth_sequence.SIDECAR))
    return State(done=chunks[0], chunks=chunks[1])


def _receive(states: dict[Path, State]) -> int:
    """Load the pending depth that is merged; one that cannot be read stays pending, and the panel says why."""
    count = 0
    for item in depth_list.pending():
        place = place_of(item.folder)
        if place is not None and states.get(place, State()).is_merged:
            with contextlib.suppress(DepthError):
                depth_list.receive(item)
                count += 1
    return count


_states: Beside[tuple[tuple[Path, ...], int], dict[Path, State]] = Beside(_find)


# How it is sent


def _require(farm: Farm) -> None:
    """Raise a FarmError where the farm cannot be sent to from here."""
    if farm.sends and not bpy.app.online_access:
        how = (
            "start it without --offline-mode"
            if preferences.is_kept_offline()
            else "switch on Preferences > System > Network > Allow Online Access"
        )
        raise FarmError(f"Blender may not go online, so no job is submitted: {how}, or switch off Submit.")


def _is_installed(target: str) -> bool:
    """Whether a farm's client is installed here; Deadline's installer names its folder in the environment."""
    installed = os.environ.get("DEADLINE_PATH", "") if target == "DEADLINE" else ""
    return find_program(CLIENTS[target], installed) is not None


_clients = Seen(_is_installed, holds=10.0)


def known_client(target: str) -> bool | None:
    """Whether a farm's client is installed here, as far as is known: no file is looked at, panels ask."""
    return _clients.of(target) if target in CLIENTS else None


def _free(folder: Path) -> Path:
    """A folder that is not there yet."""
    names = (folder, *(folder.with_name(f"{folder.name} {number}") for number in range(2, 10_000)))
    return next((each for each in names if not each.exists()), folder)


def _as_part(part: Callable[[], Steps], index: int, count: int) -> Callable[[], Steps]:
    """One of several plans, whose progress is that of all."""

    def whole(event: Event) -> Event:
        if not isinstance(event, Progress):
            return event
        # a plan counts no frames, as it makes no depth
        return replace(event, done=index + event.fraction, total=float(count), frames=0, frames_total=0)

    return lambda: _mapped(part(), whole)


def _mapped(running: Steps, word: Callable[[Event], Event]) -> Steps:
    """The same steps with their events in other words."""
    with contextlib.closing(running):
        cancel: bool | None = None
        while True:
            try:
                heard = running.send(cancel)
            except StopIteration:
                return
            cancel = yield tuple(map(word, heard))
