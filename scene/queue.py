"""The queue of this Blender: jobs that run one after the other, whatever file is open, and what earlier ones left.

A timer that outlives files drives it; the jobs are notes in the data folder (`inference.contract.queued_jobs`), so that
the next session can resume what this one leaves unfinished. Nothing here holds anything of Blender's.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import bpy

from ..inference.contract import client, queued_jobs
from ..inference.contract.bounded_log import LARGEST
from ..inference.contract.events import Event
from ..inference.contract.job import Job, with_output
from ..inference.contract.leftovers import LOG
from ..inference.contract.queued_jobs import QueuedJob
from ..inference.contract.untrusted import RecordError, read_bytes, readable
from . import current_run, depth_list, estimation, forecast, output, places, preferences
from . import depth as depth_module
from .beside import Beside
from .current_run import Run
from .disk_status import Seen
from .output import Place
from .problems import PROBLEMS, Problem
from .redraw import redraw
from .settings import Settings
from .source import Plate
from .viewing.shown import Target
from .wording import shown

_TICK, _WAIT = 0.2, 1.0
_AGAIN = 60.0
"""Seconds from one look for what was left unfinished to the next: another Blender may have ended."""


class QueueError(Problem):
    """The queue cannot do what is asked for; the message is one sentence."""


def _new_session() -> str:
    return uuid.uuid4().hex


@dataclass
class _Queue:
    jobs: list[QueuedJob] = field(default_factory=list)
    is_paused: bool = False
    current: QueuedJob | None = None
    run: Run | None = None
    is_whole: bool = False
    """Whether the job that is running began at its beginning, so that its time counts."""
    session: str = field(default_factory=_new_session)
    changes: int = 0
    file: int = 0
    """Which file of this session is open."""
    asked_in: dict[str, int] = field(default_factory=dict)
    """The file that was open when a job was added."""
    held: dict[Path, int] = field(default_factory=dict)
    """Data folders, and the locks in them that say that this session is open."""


_queue = _Queue()


# What there is


def jobs() -> tuple[QueuedJob, ...]:
    """The jobs of this session, in their order."""
    return tuple(_queue.jobs)


def current() -> tuple[QueuedJob, Run] | None:
    """The job that is running, and its run."""
    return None if _queue.current is None or _queue.run is None else (_queue.current, _queue.run)


def is_paused() -> bool:
    """Whether no further job is begun."""
    return _queue.is_paused


def unfinished() -> list[tuple[QueuedJob, float]]:
    """Jobs outside the queue that were left unfinished, in any session, with the share that is done; panels ask.

    What another Blender is doing, or has in its queue, is not left. They are looked for beside Blender, as their
    folders may be on a server that is away.
    """
    return _outside(_left.of(_key()) or [])


def look() -> list[tuple[QueuedJob, float]]:
    """As `unfinished`, looked for now."""
    key = _key()
    found = _find_left(key)
    _left.learn(key, found)
    return _outside(found)


def _key() -> tuple[Path, int, int, int]:
    """What decides what was left unfinished, the data folder first."""
    return preferences.data_folder(), current_run.count_ended(), _queue.changes, int(time.monotonic() / _AGAIN)


def _outside(found: list[tuple[QueuedJob, float]]) -> list[tuple[QueuedJob, float]]:
    """Those that are not in the queue, nor what an operator is running in this moment."""
    own = {queued.id for queued in _queue.jobs}
    if current_run.current() is not None and _queue.run is None:
        own |= {queued.id for queued, _ in found if queued.session == _queue.session and queued.state == "running"}
    return [(queued, share) for queued, share in found if queued.id not in own]


def known_seconds(queued: QueuedJob, default_size: int | None) -> float | None:
    """How long what is left of a job will take, as far as is known; no file is looked at, panels ask.

    `default_size` is the estimator's processing resolution. Of what is running, the worker's own estimate counts.
    """
    now = current()
    forecasted = _forecasts.of((queued.id, default_size, current_run.count_ended()))
    if now is None or queued.id != now[0].id:
        return forecasted
    progress = now[1].progress
    if progress.seconds_left is not None or forecasted is None:
        return progress.seconds_left
    return forecasted * (1.0 - progress.fraction)


def log_of(queued_id: str) -> Path:
    """Where the log of a job in the queue is, if there is one: a job that ends well leaves none."""
    return Path(_queue.jobs[_index(queued_id)].job.output) / LOG


def read_log(path: Path) -> str:
    """The text of a log. QueueError where there is none.

    The folder may be somebody else's, so Blender itself, which waits for a pipe, does not open the file.
    """
    try:
        return readable(read_bytes(path, most=LARGEST).decode("utf-8", "replace"))
    except FileNotFoundError as error:
        raise QueueError(f"There is no log {path}: only a job that fails leaves one.") from error
    except OSError as error:
        raise QueueError(f"The log {path} cannot be read ({error.strerror}): correct its permissions.") from error
    except RecordError as error:
        raise QueueError(f"{error}, so it is no log of Fathom's: estimate into another folder.") from error


# What can be done with it


def add(
    plate: Plate, settings: Settings, *, root: Path, scene: bpy.types.Scene | None = None, new_version: bool = False
) -> QueuedJob | None:
    """Add the estimate of a plate to the end of the queue, for a scene whose list of depths gets the result.

    None where the result is there already, which the scene's list then has. Arguments and errors are those of
    `estimation.prepare`; QueueError where the job is in the queue already.
    """
    taken = {Path(queued.job.output) for queued in _queue.jobs if queued.state in ("waiting", "running")}
    job, place = estimation.prepare(plate, settings, root=root, new_version=new_version, asked=True, taken=taken)
    same = [queued for queued in _queue.jobs if queued.job.fingerprint() == job.fingerprint()]
    if not new_version and any(queued.state in ("waiting", "running") for queued in same):
        raise QueueError(f"{plate.name} with these settings is in the queue already.")
    if place.standing == "finished":
        if scene is not None:
            depth_list.remember(scene, depth_module.load(place.folder, frame_offset=plate.frame_offset))
        return None
    queued = note(job, plate, scene, state="waiting", new_version=new_version)
    _queue.jobs = [each for each in _queue.jobs if each.id != queued.id] + [queued]
    _queue.asked_in[queued.id] = _queue.file
    _renumber()
    return queued


def note(
    job: Job, plate: Plate, scene: bpy.types.Scene | None, *, state: queued_jobs.State, new_version: bool = False
) -> QueuedJob:
    """Note a job in the data folder, so that it is found should it stay unfinished. QueueError where that fails."""
    queued = QueuedJob(
        job=job,
        label=plate.name,
        session=_queue.session,
        state=state,
        frame_offset=plate.frame_offset,
        blend=bpy.data.filepath,
        scene=scene.name if scene is not None else "",
        new_version=new_version,
    )
    _write(queued)
    return queued


def forget(queued: QueuedJob) -> None:
    """A job is done, or nobody wants it any more: remove its note; its work stays."""
    queued_jobs.forget(preferences.data_folder(), queued)
    _queue.changes += 1


def start() -> None:
    """Begin with the first job that waits, and go on to the last; a timer does it."""
    _queue.is_paused = False
    if not bpy.app.background and not bpy.app.timers.is_registered(_timer):
        bpy.app.timers.register(_timer, persistent=True)


def pause() -> None:
    """Stop: the running job ends with its finished work saved, and waits to be resumed."""
    _queue.is_paused = True
    if _queue.run is not None:
        _queue.run.cancel()


def run_all(on_event: Callable[[QueuedJob, Event], None] = lambda _queued, _event: None) -> list[QueuedJob]:
    """Run the queue to its end and wait for it, as a script does; the jobs, with how they ended.

    QueueError where something else is running.
    """
    if current_run.current() is not None:
        raise QueueError(f"{current_run.current().title} is running: wait for it, or cancel it first.")
    _queue.is_paused = False
    begun = {queued.id for queued in _queue.jobs if queued.state == "waiting"}
    while _queue.run is not None or any(queued.state == "waiting" for queued in _queue.jobs):
        _advance(on_event)
    return [queued for queued in _queue.jobs if queued.id in begun]


def move(queued_id: str, by: int) -> None:
    """Move a job by so many places towards the end of the queue; what is running stays where it is."""
    index = _index(queued_id)
    to = min(max(index + by, 0), len(_queue.jobs) - 1)
    _queue.jobs.insert(to, _queue.jobs.pop(index))
    _renumber()


def remove(queued_id: str) -> None:
    """Take a job off the queue, or forget one that was left unfinished; its work stays. One that runs is cancelled."""
    own = next((queued for queued in _queue.jobs if queued.id == queued_id), None)
    if own is None:
        forget(_left_job(queued_id))
        return
    if _queue.current is not None and own.id == _queue.current.id and _queue.run is not None:
        _queue.run.cancel()
        return
    _queue.jobs.remove(own)
    forget(own)


def retry(queued_id: str) -> None:
    """Have a job that failed or was cancelled wait again; its finished work is resumed."""
    index = _index(queued_id)
    if _queue.jobs[index].state in ("failed", "cancelled"):
        _change(_queue.jobs[index], state="waiting", message="")
    start()


def resume(queued_id: str) -> QueuedJob:
    """Take a job that was left unfinished into the queue, and begin. QueueError where there is none."""
    left = _left_job(queued_id)
    if any(queued.id == queued_id for queued in _queue.jobs):
        raise QueueError(f"{left.label} with these settings is in the queue already.")
    if queued_jobs.is_under_way(preferences.data_folder(), left):
        raise QueueError(
            f"{left.label} is being estimated already, or waits for it in another Blender: cancel it there."
        )
    for named in (left.job.output, left.job.source.path):
        places.ask(named)
    queued = replace(left, session=_queue.session, state="waiting", message="")
    _write(queued)
    _queue.jobs.append(queued)
    _renumber()
    start()
    return queued


def load_result(queued_id: str, scene: bpy.types.Scene) -> None:
    """Put the depth of a job that is done on a scene's list."""
    queued = _queue.jobs[_index(queued_id)]
    places.ask(queued.job.output)
    depth_list.remember(scene, depth_module.load(queued.job.output, frame_offset=queued.frame_offset))


def clear() -> None:
    """Take off the queue what is over; notes of unfinished work stay."""
    _queue.jobs = [queued for queued in _queue.jobs if queued.state in ("waiting", "running")]
    _queue.changes += 1


def file_opened() -> None:
    """Another file is open: jobs go on, and their results are for the file that asked."""
    _queue.file += 1
    if _queue.run is not None:
        _queue.run.target = None


def is_running(run: Run | None) -> bool:
    """Whether a run is the queue's: it goes on when another file is opened."""
    return run is not None and run is _queue.run


def stop() -> None:
    """End the timer and what is running; the notes stay, for the next session."""
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)
    if _queue.run is not None:
        current_run.end(_queue.run)
    _queue.jobs, _queue.current, _queue.run, _queue.is_paused = [], None, None, False
    while _queue.held:
        home, descriptor = _queue.held.popitem()
        queued_jobs.let_go(home, _queue.session, descriptor)
    _queue.session = _new_session()  # where the extension is enabled again, what was noted so far is left


# How it goes on


def _timer() -> float | None:
    waits = _advance()
    redraw()
    return waits


def _advance(on_event: Callable[[QueuedJob, Event], None] = lambda _queued, _event: None) -> float | None:
    """Do the next step; seconds until the one after it, None where there is nothing to do."""
    if _queue.run is None:
        waiting = next((queued for queued in _queue.jobs if queued.state == "waiting"), None)
        if waiting is None or _queue.is_paused:
            return None
        if current_run.current() is not None:
            return _WAIT
        _begin(waiting)
        return _TICK
    run, queued = _queue.run, _queue.current
    try:
        for event in run.advance():
            on_event(queued, event)
    except Exception as error:  # a mistake of ours; the others go on
        run.outcome, run.message = "failed", f"{type(error).__name__}: {error}"
    if run.outcome == "running":
        return _TICK
    _queue.run = _queue.current = None
    current_run.end(run)
    _conclude(queued, run)
    return _TICK


def _begin(queued: QueuedJob) -> None:
    try:
        queued, taken = _placed(queued)
        if queued.state == "done":
            _finish(queued, "")
            return
        _queue.is_whole = queued_jobs.share_done(queued) is None
        steps = client.estimate(queued.job, python=preferences.worker_python(), home=preferences.data_folder())
        target = _target(queued) if _queue.asked_in.get(queued.id) == _queue.file else None
        title = f"Estimating the depth of {queued.label}"
        _queue.run = current_run.start(title, output.held(taken, steps), target=target)
    except (OSError, *PROBLEMS) as problem:
        _change(queued, state="failed", message=str(problem))
        return
    except Exception as error:  # a mistake of ours; the others go on
        _change(queued, state="failed", message=f"{type(error).__name__}: {error}")
        return
    _queue.current = _change(queued, state="running")


def _target(queued: QueuedJob) -> Target:
    """Where the maps come in, to be looked at in the file that asked for them."""
    job = queued.job
    first = job.first_frame if job.first_frame is not None else 1
    last = job.last_frame if job.last_frame is not None else first
    plate = Plate(source=job.source, first_frame=first, last_frame=last, scene_start=first + queued.frame_offset)
    return Target(Path(job.output), plate)


def _placed(queued: QueuedJob) -> tuple[QueuedJob, output.Claim | None]:
    """A job that waits with the folder that is its own now, taken: others may have been estimated since it was added.

    See `output.take`.
    """
    left = queued_jobs.share_done(queued)
    if left is not None:
        return queued, None
    folder = Path(queued.job.output)
    if len(folder.parents) < 2:  # a note that is damaged; whoever starts the job says what is wrong
        return queued, None
    others = {Path(each.job.output) for each in _queue.jobs if each.id != queued.id and each.state == "waiting"}

    def find() -> tuple[Path, Place]:
        place = output.place(folder.parents[1], queued.label, queued.job, new_version=queued.new_version, taken=others)
        if place.standing != "finished" and (not folder.exists() or output.is_free(folder)):
            place = Place(folder=folder, standing="new")
        return place.folder, place

    found, place, taken = output.take(find)
    if place.standing != "finished" and found == folder:
        return queued, taken
    state = "done" if place.standing == "finished" else queued.state
    return _replaced(queued, replace(queued, job=with_output(queued.job, str(found)), state=state)), taken


def _conclude(queued: QueuedJob, run: Run) -> None:
    if run.outcome == "done":
        count = len(run.shots)
        shots = "1 shot has" if count == 1 else f"{count} shots have"
        if _queue.is_whole and run.done is not None:
            forecast.note(queued.job, run.done, home=preferences.data_folder())
        _finish(queued, f"{shots} no depth" if count else "")
    elif run.outcome == "cancelled":
        _change(queued, state="waiting" if _queue.is_paused else "cancelled")
    else:
        _change(queued, state="failed", message=run.headline or run.message)


def _finish(queued: QueuedJob, message: str) -> None:
    """A job's result is there: its scene's list gets it, if that file is open."""
    done = _change(queued, state="done", message=message)
    forget(done)
    is_open = _queue.asked_in.get(done.id) == _queue.file or (done.blend and done.blend == bpy.data.filepath)
    scene = bpy.data.scenes.get(done.scene) if done.scene and is_open else None
    if scene is None:
        return
    try:
        load_result(done.id, scene)
    except PROBLEMS as problem:
        _change(done, message=str(problem), is_noted=False)


def _change(queued: QueuedJob, *, is_noted: bool = True, **changes: object) -> QueuedJob:
    """A job with other facts, in the queue and, where that can be written, in its note."""
    return _replaced(queued, replace(queued, **changes), is_noted=is_noted)  # type: ignore[arg-type]


def _replaced(old: QueuedJob, new: QueuedJob, *, is_noted: bool = True) -> QueuedJob:
    _queue.jobs = [new if each.id == old.id else each for each in _queue.jobs]
    if old.id != new.id:
        forget(old)
        _queue.asked_in[new.id] = _queue.asked_in.pop(old.id, -1)
    if is_noted and new.state != "done":
        _write_if_possible(new)
    return new


def _write_if_possible(queued: QueuedJob) -> None:
    """As `_write`; the queue goes on where its data folder is full or away, and the note stays as it is."""
    with contextlib.suppress(QueueError):
        _write(queued)


def _write(queued: QueuedJob) -> None:
    home = preferences.data_folder()
    try:
        queued_jobs.note(home, queued)
    except OSError as error:
        raise QueueError(
            f"The job cannot be noted in the data folder {home} ({error.strerror or error}): make room there, or "
            "choose another in Fathom's preferences."
        ) from error
    if home not in _queue.held and (descriptor := queued_jobs.hold(home, _queue.session)) is not None:
        _queue.held[home] = descriptor
    _queue.changes += 1


def _renumber() -> None:
    _queue.jobs = [replace(queued, place=float(place)) for place, queued in enumerate(_queue.jobs)]
    if _queue.current is not None:
        _queue.current = _queue.jobs[_index(_queue.current.id)]
    for queued in _queue.jobs:
        if queued.state in ("waiting", "running"):
            _write_if_possible(queued)


def _index(queued_id: str) -> int:
    found = [index for index, queued in enumerate(_queue.jobs) if queued.id == queued_id]
    if not found:
        raise QueueError("That job is not in the queue any more.")
    return found[0]


def _left_job(queued_id: str) -> QueuedJob:
    found = next((queued for queued in queued_jobs.noted(preferences.data_folder()) if queued.id == queued_id), None)
    if found is None:
        raise QueueError("That job is not there any more: it was resumed or removed elsewhere.")
    return found


def _find_left(key: tuple[Path, int, int, int]) -> list[tuple[QueuedJob, float]]:
    """Runs in a thread: nothing of Blender's is touched."""
    found = ((queued, queued_jobs.share_done(queued)) for queued in queued_jobs.noted(key[0]))
    return [
        (replace(queued, label=shown(queued.label, 200)), share or 0.0)
        for queued, share in found
        if (share is not None or queued.state == "waiting") and not queued_jobs.is_under_way(key[0], queued)
    ]


def _forecast(key: tuple[str, int | None, int]) -> float | None:
    """How long what is not done of a job will take; LookupError where it is not in the queue any more."""
    queued = next((each for each in _queue.jobs if each.id == key[0]), None)
    if queued is None:
        raise LookupError(key[0])
    found = forecast.seconds(queued.job, default_size=key[1], home=preferences.data_folder())
    if found is None or queued.state == "running":
        return found
    return found * (1.0 - (queued_jobs.share_done(queued) or 0.0))


_forecasts = Seen(_forecast, holds=15.0)
_left: Beside[tuple[Path, int, int, int], list[tuple[QueuedJob, float]]] = Beside(_find_left)
