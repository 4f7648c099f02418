"""Getting weights: from the hub, a mirror of it, or a folder; with the licence accepted and every byte verified."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence

from .. import events, exit_codes
from ..faults import Failure, unwritable
from ..run import lock as running
from ..run.progress import Meter
from . import choosing, getting, inspection, licences, notes, pins, store
from .checksums import Checksum
from .facts import Model
from .planning import AskRevision, Check, Todo, Wish, broken, plan

_SPARE = 64e6
"""Bytes that must stay free on the disk."""
_TOLD = 50e6
"""Bytes of a file from which on it is told that its content is being verified, which takes a moment."""


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
    ask_revision: AskRevision = lambda model, revision, day: False,
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
        work = [plan(model, wish, emit, check, ask_revision) for model in models]
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


def _need_room(work: Sequence[Todo], wish: Wish) -> None:
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


def _get(todo: Todo, wish: Wish, meter: Meter, emit: Callable[[events.Event], None], check: Check) -> None:
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
        raise broken(model, problems)
