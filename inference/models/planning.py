"""What is to be got of each model, and from where, found out before the first byte is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from .. import events, exit_codes
from ..faults import Failure
from . import checksums, choosing, inspection, pins, placing, store, trust
from .checksums import Checksum, Lock
from .contents import Problem
from .facts import Model

Check = Callable[[], None]
AskRevision = Callable[[Model, str, str], bool]
"""Asks whether to take the newest revision of a model, given with its day."""


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


def plan(
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

    problems = inspection.verify(model, trust_stamps=True, check=check, before_reading=reading)
    lock = checksums.read_lock(model)
    if not problems:
        return Todo(model=model, lock=lock, files=())
    if store.is_studios(model):
        raise broken(model, problems)
    is_open, named = pins.is_open(model), wish.revisions.get(model.name)
    if wish.source is not None:
        if is_open:
            model = choosing.of_folder(model, wish.source, named)
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
        model = choosing.of_hub(model, named, newest=newest, confirm=partial(ask_revision, model))
    else:
        model = choosing.fixed(model)
    told = hub.lookup(model, token=wish.token, check=check, warn=warn)
    if is_open:
        pins.write(model, chosen="user", source=hub.endpoint())
        lock = checksums.read_lock(model)
    lock = _agreed(model, lock, told)
    checksums.write_lock(model, lock)
    problems = inspection.verify(model, trust_stamps=True, check=check, before_reading=reading)
    return _to_fetch(model, lock, problems)


def _to_fetch(model: Model, lock: Lock | None, problems: Sequence[Problem]) -> Todo:
    """What is to be downloaded of a model; the damaged files are removed."""
    wanted = tuple(each for problem in problems if lock and (each := lock.of(problem.path)))
    for each in wanted:
        placing.discard(model, each.path)
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
