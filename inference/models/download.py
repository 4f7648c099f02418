"""Getting weights: from the hub, a mirror of it, or a folder; with the licence accepted and every byte verified.

What is to be got of each model, and from where, is found out before the first byte is. A model that Fathom fixes no
revision of has it chosen first: named or confirmed by the user, or told by a folder. Of each file there are its bytes
first, then its content verified, then its name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..common.failures import Failure, unwritable
from ..common.lock import acquire
from ..common.progress import Meter
from ..contract import events, exit_codes, own_files
from . import checksums, inspection, licences, pins, store, trust
from .checksums import Checksum, Lock, Problem
from .facts import Model

_SPARE = 64e6
"""Bytes that must stay free on the disk."""
_TOLD = 50e6
"""Bytes of a file from which on it is told that its content is being verified, which takes a moment."""
Check = Callable[[], None]
AskRevision = Callable[[Model, str, str], bool]
"""Asks whether to take the newest revision of a model, given with its day."""
_CHUNK = 1 << 20


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
    check_named_revision(models, wish.revisions)
    folder = pins.notes_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, folder) from error
    held = acquire(folder / ".downloading")
    try:
        _need_licences(models, wish, ask)
        work = [plan_download(model, wish, emit, check, ask_revision) for model in models]
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
            needed += wanted.size - (0 if wish.source else had(todo.model, wanted))
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

        steps = Steps(check=check, report=report, warn=lambda text: emit(events.Warning(message=text)), reading=reading)
        try:
            if wish.source:
                copy_file(model, wanted, wish.source, steps)
            else:
                fetch_file(model, wanted, wish.token, steps)
        except OSError as error:
            raise unwritable(error, store.repository_folder(model), needed_bytes=wanted.size - came) from error
    problems = inspection.problems_of(model, trust_stamps=True, check=check)
    if problems:
        raise broken(model, problems)


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
class Todo:
    """A model at its revision, its checksums, and those of its files that are to be got."""

    model: Model
    lock: Lock | None
    files: tuple[Checksum, ...]


def plan_download(
    model: Model,
    wish: Wish,
    emit: Callable[[events.Event], None],
    check: Check,
    ask_revision: AskRevision,
) -> Todo:
    """Find out what is to be got of a model; damaged files are removed.

    Parameters
    ----------
    model : Model
    wish : Wish
    emit, check, ask_revision : callable
        As for `download.download`.

    Raises
    ------
    Failure
        As for `download.download`.
    """

    def reading() -> None:
        emit(events.Stage(name="verify", label=f"Checking {model.label}"))

    problems = inspection.problems_of(model, trust_stamps=True, check=check, before_reading=reading)
    lock = checksums.read_lock(model)
    if not problems:
        return Todo(model=model, lock=lock, files=())
    if store.is_studios(model):
        raise broken(model, problems)
    is_open, named = pins.is_open(model), wish.revisions.get(model.name)
    if wish.source is not None:
        if is_open:
            model = revision_of_folder(model, wish.source, named)
            lock = checksums.read_lock(model)
        found = _in_source(model, lock, wish.source, problems)
        if is_open:
            pins.write(model, chosen="user" if named else "folder", source=str(wish.source))
        return Todo(model=model, lock=lock, files=found)
    if wish.offline:
        what = f"{model.label} is not whole on this computer, and offline mode forbids to download it."
        raise Failure(
            exit_codes.MISSING, what, cure="Download it where there is a network, or copy it with --from DIR."
        )
    if model.address:
        return _to_fetch(model, lock, problems)
    from . import hub

    def warn(text: str) -> None:
        emit(events.Warning(message=text))

    emit(events.Stage(name="lookup", label=f"Asking {hub.endpoint()} for {model.label}"))
    if is_open:
        newest = partial(hub.newest, model, token=wish.token, check=check, warn=warn)
        model = revision_of_hub(model, named, newest=newest, confirm=partial(ask_revision, model))
    else:
        model = fixed_revision(model)
    told = hub.lookup(model, token=wish.token, check=check, warn=warn)
    if is_open:
        pins.write(model, chosen="user", source=hub.endpoint())
        lock = checksums.read_lock(model)
    lock = _agreed(model, lock, told)
    checksums.write_lock(model, lock)
    problems = inspection.problems_of(model, trust_stamps=True, check=check, before_reading=reading)
    return _to_fetch(model, lock, problems)


def _to_fetch(model: Model, lock: Lock | None, problems: Sequence[Problem]) -> Todo:
    """What is to be downloaded of a model; the damaged files are removed."""
    wanted = tuple(each for problem in problems if lock and (each := lock.of(problem.path)))
    for each in wanted:
        store.discard(model, each.path)
    return Todo(model=model, lock=lock, files=wanted)


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
    wanted, sizes = [], {file.path: file for file in model.files}
    for problem in problems:
        path = folder / problem.path
        if not path.is_file():
            raise Failure(exit_codes.MISSING, f"{path} is missing.", cure="Copy it there, or choose another folder.")
        if not trust.is_inside(path, source):
            what = f"{path} is not copied: it is a link that leads out of {source}."
            raise Failure(exit_codes.MISSING, what, cure="Put the file itself there, or choose the folder it lies in.")
        known = lock.of(problem.path) if lock else None
        size, most = path.stat().st_size, sizes[problem.path].most
        if size > most:
            what = f"{path} has {size} bytes, and such a file has about {sizes[problem.path].size}."
            raise Failure(exit_codes.MISSING, what, cure="Put the right file there, or choose another folder.")
        wanted.append(known or Checksum(path=problem.path, size=size))
    return tuple(wanted)


def broken(model: Model, problems: Sequence[Problem]) -> Failure:
    """What is wrong with a model's files, and how to mend them."""
    return Failure(exit_codes.MISSING, " ".join(problem.what for problem in problems), cure=inspection.cure(model))


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Who hears of the work.

    Attributes
    ----------
    check : callable
        Called between steps; raises to break off.
    report : callable
        Told the bytes that came; negative for bytes that must come anew.
    warn : callable
        Told, in a sentence, what does not stop the work.
    reading : callable
        Called before a content is verified.
    """

    check: Callable[[], None]
    report: Callable[[int], None]
    warn: Callable[[str], None]
    reading: Callable[[], None]


def had(model: Model, wanted: Checksum) -> int:
    """The bytes that an earlier, interrupted download has left of a file."""
    partial = store.partial_path(model, wanted)
    size = partial.stat().st_size if partial.is_file() else 0
    return size if size <= wanted.size else 0


def fetch_file(model: Model, wanted: Checksum, token: str | None, steps: Steps) -> None:
    """Download a file from the hub, or from the address of its own.

    What an earlier run had left of it and proves to be damaged in the end is downloaded once more, from its start.

    Raises
    ------
    Failure
        MISSING: see `hub.fetch`; or what came is not what its checksum says.
    OSError
        The data folder cannot be written.
    """
    from . import address, hub

    partial, begun = store.partial_path(model, wanted), had(model, wanted)
    if partial.is_file() and not begun:  # longer than the file ever was
        partial.unlink()
    steps.report(begun)
    for fresh in (not begun, True):
        if model.address:
            address.fetch(model, wanted, partial, check=steps.check, report=steps.report, warn=steps.warn)
        else:
            hub.fetch(model, wanted, partial, token=token, check=steps.check, report=steps.report, warn=steps.warn)
        if _take(model, wanted, partial, steps):
            return
        partial.unlink()
        if fresh:
            break
        steps.warn(f"What an earlier run had left of {wanted.path} is damaged; it is downloaded anew.")
        steps.report(-wanted.size)
    sender = address.server(model).address if model.address else hub.endpoint()
    raise Failure(
        exit_codes.MISSING,
        f"{sender} sent {wanted.path} of {model.repository} damaged: it is not what its checksum says.",
        cure="Start the same command again; if it stays so, try without the mirror or from another network.",
    )


def copy_file(model: Model, wanted: Checksum, source: Path, steps: Steps) -> None:
    """Copy a file from a folder that `store.inside` finds the model in.

    Parameters
    ----------
    wanted : Checksum
        Where neither of its checksums is known, those of the copy are recorded.

    Raises
    ------
    Failure
        MISSING: its content is not what it should be.
    OSError
        The file cannot be read, or the data folder not be written.
    """
    origin = (store.inside(source, model) or source) / wanted.path
    if not os.access(origin, os.R_OK):
        raise _bad_origin(f"{origin} cannot be read.")
    temporary = store.own(store.repository_folder(model) / "blobs" / f"copy-{os.getpid()}{store.PARTIAL}")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)  # a link would be followed
    try:
        own_files.create(temporary)
        with open(origin, "rb") as reader, open(temporary, "wb") as writer:
            while piece := reader.read(_CHUNK):
                steps.check()
                writer.write(piece)
                steps.report(len(piece))
        if not (wanted.sha256 or wanted.git_id):
            sha256 = checksums.digest(origin, check=steps.check)
            problem = checksums.content_problem(origin, wanted.path, sha256, None)
            if problem:
                raise _bad_origin(problem.what)
            wanted = checksums.checksum_of(origin, wanted.path, sha256)
            _record(model, wanted, source)
        if not _take(model, wanted, temporary, steps):
            raise _bad_origin(f"{origin} is not what the checksum says that was recorded for {wanted.path}.")
    finally:
        temporary.unlink(missing_ok=True)


def _take(model: Model, wanted: Checksum, partial: Path, steps: Steps) -> bool:
    """Give a file its name if its content is the wanted one, and note that it was verified."""
    own_files.sync(partial)
    steps.reading()
    sha256 = checksums.digest(partial, check=steps.check)
    if checksums.content_problem(partial, wanted.path, sha256, wanted):
        return False
    store.place(model, wanted, partial)
    inspection.stamp(model, wanted.path, sha256)
    return True


def _record(model: Model, found: Checksum, source: Path) -> None:
    """Record the checksum of a file that came without the hub."""
    lock = checksums.read_lock(model) or Lock(
        repository=model.repository,
        revision=pins.revision(model),
        origin="folder",
        source=str(source),
        recorded=pins.now(),
        files=(),
    )
    checksums.write_lock(model, replace(lock, files=(*lock.files, found)))


def _bad_origin(what: str) -> Failure:
    return Failure(exit_codes.MISSING, what, cure="Put the right file there, or choose another folder.")


def check_named_revision(models: Sequence[Model], named: Mapping[str, str]) -> None:
    """Refuse revisions that cannot be meant.

    Parameters
    ----------
    models : sequence of Model
        All that are to be got.
    named : mapping
        Name of a model to the revision that the user wants of it.

    Raises
    ------
    Failure
        USAGE: no commit hash, another revision than the one that is fixed or was chosen, or of another model.
    """
    there = {model.name: model for model in models}
    for name, revision in named.items():
        model = there.get(name)
        if model is None:
            raise Failure(exit_codes.USAGE, f"A revision is named for '{name}', which is not among what is to be got.")
        if not trust.is_revision(revision):
            raise Failure(
                exit_codes.USAGE,
                f"'{revision}' is no revision of {name}: it takes the full commit hash, 40 digits and letters from a "
                "to f, for names such as main may mean something else tomorrow.",
            )
        if model.revision and revision != model.revision:
            raise Failure(
                exit_codes.USAGE,
                f"Fathom fixes the revision of {name}, {model.revision}, and takes no other.",
                cure=f"Leave out --revision {name}={revision}.",
            )
        pin = pins.read(model)
        if pin and revision != pin.revision:
            raise Failure(
                exit_codes.USAGE,
                f"{model.label} is at the revision {pin.revision} since {pin.recorded[:10]}, and two cannot be told "
                "apart in what they make.",
                cure=f"Remove it first. Run: {store.command('remove', name)}",
            )


def fixed_revision(model: Model) -> Model:
    """A model at the revision that is fixed or was chosen, so that the hub can be asked for it.

    Raises
    ------
    Failure
        MISSING: it came from a folder that told none.
    """
    if model.revision:
        return model
    revision = pins.revision(model)
    if revision == pins.UNKNOWN:
        raise Failure(
            exit_codes.MISSING,
            f"{model.label} came from a folder that does not tell its revision, so the hub cannot be asked for it.",
            cure="Copy it again with --from DIR, or remove it and download it anew. Run: "
            f"{store.command('remove', model.name)}",
        )
    return pins.at(model, revision)


def revision_of_folder(model: Model, source: Path, named: str | None) -> Model:
    """A model at the revision that a folder of files has it at; it is not noted yet.

    Parameters
    ----------
    model : Model
        Of which no revision was chosen yet.
    source : Path
        As for `store.inside`.
    named : str or None
        What the user says.
    """
    return pins.at(model, named or store.only_snapshot(source, model) or pins.UNKNOWN)


def revision_of_hub(
    model: Model, named: str | None, newest: Callable[[], tuple[str, str]], confirm: Callable[[str, str], bool]
) -> Model:
    """A model at the revision that the user wants; it is not noted yet.

    Parameters
    ----------
    model : Model
        Of which no revision was chosen yet.
    named : str or None
        What the user says.
    newest : callable
        Asks the hub for its newest revision and the day of that.
    confirm : callable
        Asks the user whether to take it.

    Raises
    ------
    Failure
        REFUSED: the user has not said which.
    """
    if named:
        return pins.at(model, named)
    revision, day = newest()
    if confirm(revision, day):
        return pins.at(model, revision)
    raise Failure(
        exit_codes.REFUSED,
        f"Fathom fixes no revision of {model.repository}, and does not take the newest unasked, which is {revision} "
        f"of {day}.",
        cure=f"Take it, or an older one, with --revision {model.name}={revision}; from then on it stays that one.",
    )
