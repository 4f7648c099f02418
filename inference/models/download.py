"""Getting weights: from the hub, a mirror of it, or a folder; with the licence accepted and every byte verified."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from .. import events, exit_codes
from ..faults import Failure, unwritable
from ..run import lock as running
from ..run.progress import Meter
from . import checksums, choosing, getting, inspection, licences, notes, pins, placing, store
from .checksums import Checksum, Lock
from .contents import Problem
from .facts import Model

_SPARE = 64e6
"""Bytes that must stay free on the disk."""
_TOLD = 50e6
"""Bytes of a file from which on it is told that its content is being verified, which takes a moment."""

Check = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How weights are to be got.

    Attributes
    ----------
    accepted : tuple of str
        Names of licences that the user accepts.
    source : Path or None
        A folder to copy from in the place of the hub, as for `store.inside`.
    offline : bool
        Whether the network must not be touched.
    token : str or None
        For the hub; never written anywhere.
    revisions : mapping
        Name of a model to its revision, for those that Fathom fixes none of.
    """

    accepted: tuple[str, ...] = ()
    source: Path | None = None
    offline: bool = False
    token: str | None = None
    revisions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Todo:
    """A model at its revision, its checksums, and those of its files that are to be got."""

    model: Model
    lock: Lock | None
    files: tuple[Checksum, ...]


def offline_is_set() -> bool:
    """Whether the environment forbids the network (``HF_HUB_OFFLINE``)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def download(
    models: Sequence[Model],
    wish: Wish,
    *,
    emit: Callable[[events.Event], None],
    check: Check = lambda: None,
    ask: Callable[[Model], bool] = lambda model: False,
    ask_revision: Callable[[Model, str, str], bool] = lambda model, revision, day: False,
) -> int:
    """Get models, or what is missing or damaged of them; interrupted downloads go on where they were.

    Parameters
    ----------
    models : sequence of Model
    wish : Wish
    emit : callable
        Takes events; `done` and `total` of progress are bytes.
    check : callable
        Called between steps of at most half a second; raises to cancel, and what has come is kept.
    ask : callable
        Asks the user to accept the licence of a model.
    ask_revision : callable
        Asks the user to take the newest revision of a model, given with its day, where Fathom fixes none.

    Returns
    -------
    int
        How many files were got.

    Raises
    ------
    Failure
        REFUSED: a licence was not accepted, or a revision not chosen. MISSING: weights could not be got, or are not
        what they should be. BAD_OUTPUT: the disk is full or closed, or another download is at work. USAGE: a revision
        is named that cannot be meant.
    """
    choosing.check_named(models, wish.revisions)
    folder = notes.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, folder) from error
    held = running.acquire(folder / ".downloading")
    try:
        _need_licences(models, wish, ask)
        work = [_plan(model, wish, emit, check, ask_revision) for model in models]
        for todo in work:
            licences.accept(todo.model)
        _need_room(work, wish)
        meter = Meter(emit, frames=0)
        meter.plan(sum(file.size for todo in work for file in todo.files))
        for todo in work:
            _get(todo, wish, meter, emit, check)
        count = sum(len(todo.files) for todo in work)
        if count:
            meter.finish()
        return count
    finally:
        held.release()


def _need_licences(models: Sequence[Model], wish: Wish, ask: Callable[[Model], bool]) -> None:
    """Record what is accepted, and refuse to go on without the rest."""
    refused = []
    for model in models:
        if not licences.accepted(model.licence):
            if model.licence.name in wish.accepted or ask(model):
                if not pins.is_open(model):  # else once it is known at which revision
                    licences.accept(model)
            elif model.licence not in refused:
                refused.append(model.licence)
    if refused:
        raise Failure(
            exit_codes.REFUSED,
            f"Nothing was downloaded, since these licences were not accepted: {', '.join(x.title for x in refused)}.",
            " ".join(f"{licence.summary} Its text: {licence.url}" for licence in refused),
            f"Accept them with {' '.join(f'--accept-licence {licence.name}' for licence in refused)}.",
        )


def _plan(
    model: Model,
    wish: Wish,
    emit: Callable[[events.Event], None],
    check: Check,
    ask_revision: Callable[[Model, str, str], bool],
) -> _Todo:
    """Find out what is to be got of a model; damaged files are removed."""

    def reading() -> None:
        emit(events.Stage(name="verify", label=f"Checking {model.label}"))

    problems = inspection.verify(model, trust_stamps=True, check=check, before_reading=reading)
    lock = checksums.read_lock(model)
    if not problems:
        return _Todo(model=model, lock=lock, files=())
    if store.is_studios(model):
        raise _broken(model, problems)
    is_open, named = pins.is_open(model), wish.revisions.get(model.name)
    if wish.source is not None:
        model = choosing.of_folder(model, wish.source, named) if is_open else model
        found = _in_source(model, lock, wish.source, problems)
        if is_open:
            pins.write(model, chosen="user" if named else "folder", source=str(wish.source))
        return _Todo(model=model, lock=lock, files=found)
    if wish.offline:
        what = f"{model.label} is not whole on this computer, and offline mode forbids to download it."
        raise Failure(
            exit_codes.MISSING, what, cure="Download it where there is a network, or copy it with --from DIR."
        )
    from . import hub

    def warn(text: str) -> None:
        emit(events.Warning(message=text))

    emit(events.Stage(name="lookup", label=f"Asking {hub.endpoint()} for {model.label}"))
    if is_open:
        newest = partial(hub.newest, model, token=wish.token, check=check, warn=warn)
        model = choosing.of_hub(model, named, newest=newest, confirm=partial(ask_revision, model))
    else:
        model = choosing.fixed(model)
    told = hub.lookup(model, token=wish.token, check=check, warn=warn)
    if is_open:
        pins.write(model, chosen="user", source=hub.endpoint())
    lock = _agreed(model, lock, told)
    checksums.write_lock(model, lock)
    problems = inspection.verify(model, trust_stamps=True, check=check, before_reading=reading)
    wanted = tuple(each for problem in problems if (each := lock.of(problem.path)))
    for each in wanted:
        placing.discard(model, each.path)
    return _Todo(model=model, lock=lock, files=wanted)


def _agreed(model: Model, lock: Lock | None, told: Lock) -> Lock:
    """The lock that holds after the hub was asked: the first one, as long as the hub does not contradict it.

    Raises
    ------
    Failure
        MISSING: it does.
    """
    if lock is None:
        return told
    files = []
    for now in told.files:
        then = lock.of(now.path)
        if then is None:
            files.append(now)
            continue
        differ = then.size != now.size
        for known, heard in ((then.sha256, now.sha256), (then.git_id, now.git_id)):
            differ |= bool(known and heard and known != heard)
        if differ:
            raise Failure(
                exit_codes.MISSING,
                f"{told.source} tells another checksum of {now.path} in {model.repository} at the same revision than "
                f"{lock.source} did on {lock.recorded[:10]}, so one of the two is not to be trusted.",
                cure="Nothing was changed. Ask somebody else for their checksums; to take the new ones, remove the "
                f"weights first. Run: {store.command('remove', model.name)}",
            )
        files.append(replace(now, sha256=now.sha256 or then.sha256, git_id=now.git_id or then.git_id))
    first = lock if lock.origin == "hub" else told
    return replace(first, files=tuple(files))


def _in_source(model: Model, lock: Lock | None, source: Path, problems: Sequence[Problem]) -> tuple[Checksum, ...]:
    """The files to copy; without a lock, whatever the folder holds is wanted."""
    folder = store.inside(source, model)
    if folder is None:
        what = (
            f"{source} holds no {model.repository}, neither as {model.repository}/… nor as a Hugging Face cache does."
        )
        raise Failure(exit_codes.MISSING, what, cure="Choose the folder in which that folder lies.")
    wanted = []
    for problem in problems:
        path = folder / problem.path
        if not path.is_file():
            raise Failure(exit_codes.MISSING, f"{path} is missing.", cure="Copy it there, or choose another folder.")
        known = lock.of(problem.path) if lock else None
        wanted.append(known or Checksum(path=problem.path, size=path.stat().st_size))
    return tuple(wanted)


def _need_room(work: Sequence[_Todo], wish: Wish) -> None:
    """Refuse to begin what the disk cannot take; what an interrupted download has left counts as had."""
    needed = 0
    for todo in work:
        for wanted in todo.files:
            needed += wanted.size - (0 if wish.source else getting.had(todo.model, wanted))
    if needed <= 0:
        return
    folder = next(path for path in (store.cache_folder(), *store.cache_folder().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"The weights need {store.size_text(needed)} more in {store.cache_folder()}, and the disk has "
            f"{store.size_text(free)} left.",
            cure="Free some room, or set FATHOM_HOME to a folder on another disk.",
        )


def _get(todo: _Todo, wish: Wish, meter: Meter, emit: Callable[[events.Event], None], check: Check) -> None:
    model = todo.model
    size = store.size_text(sum(file.size for file in todo.files))
    for wanted in todo.files:
        meter.stage("download", f"{'Copying' if wish.source else 'Downloading'} {model.label} ({size})")
        meter.begin(wanted.size)
        came = 0

        def report(count: int, wanted: Checksum = wanted) -> None:
            nonlocal came
            came += count
            meter.part(came / max(wanted.size, 1))

        def reading(wanted: Checksum = wanted) -> None:
            if wanted.size >= _TOLD:
                meter.stage("verify", f"Checking {model.label}")

        steps = getting.Steps(
            check=check, report=report, warn=lambda text: emit(events.Warning(message=text)), reading=reading
        )
        try:
            if wish.source:
                getting.copy(model, wanted, wish.source, steps)
            else:
                getting.fetch(model, wanted, wish.token, steps)
        except OSError as error:
            raise unwritable(error, store.repository_folder(model), needed_bytes=wanted.size - came) from error
    problems = inspection.verify(model, trust_stamps=True, check=check)
    if problems:
        raise _broken(model, problems)


def _broken(model: Model, problems: Sequence[Problem]) -> Failure:
    return Failure(exit_codes.MISSING, " ".join(problem.what for problem in problems), cure=inspection.cure(model))
