"""Getting weights: from the hub, a mirror of it, or a folder; with the licence accepted and every byte verified.

What is to be got of each model, and from where, is found out before the first byte is. A model that Fathom fixes no
revision of has it chosen first: named or confirmed by the user, or told by a folder. Of each file there are its bytes
first, then its content verified, then its name.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..common.failures import Failure, unwritable
from ..common.lock import acquire
from ..common.progress import Meter
from ..common.units import size_text
from ..contract import events, exit_codes, own_files
from . import access, notes, store, trust, verification
from .access import Server
from .facts import Model, ModelFile
from .notes import Checksum, Lock
from .transfer import ELSEWHERE, Connection, quoted, unexpected
from .verification import Problems

_SPARE = 64e6
"""Bytes that must stay free on the disk."""
_LONG = 50e6
"""Bytes of a file from which on verifying its content, which takes a moment, is a stage of its own."""
_CHUNK = 1 << 20
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How weights are to be got, and who hears of it.

    Attributes
    ----------
    emit : callable
        Takes events; `done` and `total` of progress are bytes.
    check : callable
        Called between steps of at most half a second; raises to cancel, and what has come is kept.
    accepted : tuple of str
        Names of licences that the user accepts.
    ask : callable
        Asks the user to accept the licence of a model.
    source : Path or None
        A folder to copy from in the place of the hub, as for `store.inside`.
    offline : bool
        Whether the network must not be touched.
    token : str or None
        For the hub; never written anywhere.
    revisions : mapping
        Name of a model to its revision, for those that Fathom fixes none of.
    ask_revision : callable
        Asks the user to take the newest revision of a model, given with its day, where Fathom fixes none.
    """

    emit: Callable[[events.Event], None]
    check: Callable[[], None] = verification.nothing
    accepted: tuple[str, ...] = ()
    ask: Callable[[Model], bool] = lambda model: False
    source: Path | None = None
    offline: bool = False
    token: str | None = None
    revisions: Mapping[str, str] = field(default_factory=dict)
    ask_revision: Callable[[Model, str, str], bool] = lambda model, revision, day: False

    def warn(self, message: str) -> None:
        """Say what does not stop the work."""
        self.emit(events.Warning(message=message))

    def problems(self, model: Model) -> Problems:
        """What is wrong with a model's files."""
        stage = events.Stage(name="verify", label=f"Checking {model.label}")
        return verification.problems_of(model, check=self.check, before_reading=lambda: self.emit(stage))

    def connection(self, model: Model) -> Connection:
        """To the server that has a model."""
        server = access.server_of(model, self.token)
        return Connection(server=server, model=model, check=self.check, warn=self.warn)


def offline_is_set() -> bool:
    """Whether the environment forbids the network (``HF_HUB_OFFLINE``)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def download(models: Sequence[Model], wish: Wish) -> None:
    """Get models, or what is missing or damaged of them; interrupted downloads go on where they were.

    Raises
    ------
    Failure
        REFUSED: a licence was not accepted, or a revision not chosen. MISSING: weights could not be got, or are not
        what they should be. BAD_OUTPUT: the disk is full or closed, or another download is at work. USAGE: a revision
        is named that cannot be meant.
    """
    _check_named_revisions(models, wish.revisions)
    folder = notes.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, folder) from error
    held = acquire(folder / ".downloading")
    try:
        _need_licences(models, wish)
        work = [_plan(model, wish) for model in models]
        for model, _ in work:
            notes.accept(model)
        _need_room(work, wish)
        meter = Meter(wish.emit, frames=0)
        meter.plan(sum(file.size for _, wanted in work for file in wanted))
        for model, wanted in work:
            _get(model, wanted, wish, meter)
        if any(wanted for _, wanted in work):
            meter.finish()
    finally:
        held.release()


def _check_named_revisions(models: Sequence[Model], named: Mapping[str, str]) -> None:
    """Refuse (USAGE) what is no commit hash, another than the one that is fixed or was chosen, or of another model."""
    there = {model.name: model for model in models}
    for name, revision in named.items():
        model, hint = there.get(name), ""
        pin = notes.read_pin(model) if model else None
        if model is None:
            what = f"A revision is named for '{name}', which is not among what is to be got."
        elif not trust.is_revision(revision):
            what = (
                f"'{revision}' is no revision of {name}: it takes the full commit hash, 40 digits and letters from a "
                "to f, for names such as main may mean something else tomorrow."
            )
        elif model.revision and revision != model.revision:
            what = f"Fathom fixes the revision of {name}, {model.revision}, and takes no other."
            hint = f"Leave out --revision {name}={revision}."
        elif pin and revision != pin.revision:
            what = (
                f"{model.label} is at the revision {pin.revision} since {pin.recorded[:10]}, and two cannot be told "
                "apart in what they make."
            )
            hint = f"Remove it first. Run: {store.command('remove', name)}"
        else:
            continue
        raise Failure(exit_codes.USAGE, what, cure=hint)


def _need_licences(models: Sequence[Model], wish: Wish) -> None:
    """Record what is accepted, and refuse to go on without the rest."""
    refused = []
    for model in models:
        if not notes.accepted(model.licence):
            if model.licence.name in wish.accepted or wish.ask(model):
                if not notes.is_open(model):  # else once it is known at which revision
                    notes.accept(model)
            elif model.licence not in refused:
                refused.append(model.licence)
    if refused:
        raise Failure(
            exit_codes.REFUSED,
            f"Nothing was downloaded, since these licences were not accepted: {', '.join(x.title for x in refused)}.",
            " ".join(f"{licence.summary} Its text: {licence.url}" for licence in refused),
            f"Accept them with {' '.join(f'--accept-licence {licence.name}' for licence in refused)}.",
        )


def _need_room(work: Sequence[tuple[Model, Sequence[Checksum]]], wish: Wish) -> None:
    """Refuse to begin what the disk cannot take; what an interrupted download has left counts as had."""
    needed = sum(
        each.size - (0 if wish.source else _had(store.partial_path(model, each), each))
        for model, wanted in work
        for each in wanted
    )
    if needed <= 0:
        return
    folder = next(path for path in (store.cache_folder(), *store.cache_folder().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"The weights need {size_text(needed)} more in {store.cache_folder()}, and the disk has "
            f"{size_text(free)} left.",
            cure="Free some room, or set FATHOM_HOME to a folder on another disk.",
        )


# What is to be got


def _plan(model: Model, wish: Wish) -> tuple[Model, Sequence[Checksum]]:
    """A model at its revision, and the files that are to be got of it; damaged files are removed."""
    problems, lock = wish.problems(model), notes.read_lock(model)
    if not problems:
        return model, ()
    if store.is_studios(model):
        raise verification.broken(model, problems)
    if wish.source is not None:
        return _plan_copy(model, lock, wish.source, wish.revisions.get(model.name), problems)
    if wish.offline:
        what = f"{model.label} is not whole on this computer, and offline mode forbids to download it."
        hint = "Download it where there is a network, or copy it with --from DIR."
        raise Failure(exit_codes.MISSING, what, cure=hint)
    if not model.address:
        model, lock = _ask_hub(model, lock, wish)
        problems = wish.problems(model)
    wanted = [each for path in problems if lock and (each := lock.of(path))]
    for each in wanted:
        store.discard(model, each.path)
    return model, wanted


def _ask_hub(model: Model, lock: Lock | None, wish: Wish) -> tuple[Model, Lock]:
    """A model at its revision, and the lock that holds after the hub was asked."""
    hub_address, is_open = access.hub().address, notes.is_open(model)
    wish.emit(events.Stage(name="lookup", label=f"Asking {hub_address} for {model.label}"))
    if is_open:
        model = notes.at(model, wish.revisions.get(model.name) or _newest(model, wish))
    elif notes.revision(model) == notes.UNKNOWN:
        raise Failure(
            exit_codes.MISSING,
            f"{model.label} came from a folder that does not tell its revision, so the hub cannot be asked for it.",
            cure="Copy it again with --from DIR, or remove it and download it again. Run: "
            f"{store.command('remove', model.name)}",
        )
    elif not model.revision:
        model = notes.at(model, notes.revision(model))
    answer = _lookup(wish.connection(model))
    if is_open:
        notes.write_pin(model, chosen="user", source=hub_address)
        lock = notes.read_lock(model)
    lock = _agreed(model, lock, answer)
    notes.write_lock(model, lock)
    return model, lock


def _newest(model: Model, wish: Wish) -> str:
    """The newest revision, if the user wants it."""
    revision, day = _newest_on_hub(wish.connection(model))
    if wish.ask_revision(model, revision, day):
        return revision
    raise Failure(
        exit_codes.REFUSED,
        f"Fathom fixes no revision of {model.repository}, and does not take the newest unasked, which is {revision} "
        f"of {day}.",
        cure=f"Take it, or an older one, with --revision {model.name}={revision}; from then on it stays that one.",
    )


def _lookup(connection: Connection) -> Lock:
    """What the hub says of a model's files at its revision: sha256 of those outside git, git ids of the others."""
    model, server = connection.model, connection.server
    answer = connection.ask(f"/api/models/{model.repository}/revision/{quote(model.revision, safe='')}?blobs=True")
    if answer.get("sha") != model.revision:
        what = f"the revision {quoted(answer.get('sha'))} of {model.repository} where {model.revision} was asked for"
        raise _refused(f"{server.address} answers with {what}.", "Try without the mirror")
    siblings = answer.get("siblings")
    if not isinstance(siblings, list):
        raise unexpected(server, f"it lists no files of {model.repository}")
    files = tuple(_checksum(model, server, file, siblings) for file in model.files)
    return notes.new_lock(model, "hub", server.address, files)


def _newest_on_hub(connection: Connection) -> tuple[str, str]:
    """The newest revision of a model's repository on the hub, which only a person may choose, and its ISO date."""
    repository = connection.model.repository
    answer = connection.ask(f"/api/models/{repository}")
    revision, day = str(answer.get("sha")), answer.get("lastModified")
    if not trust.is_revision(revision):
        raise unexpected(connection.server, f"it tells no revision of {repository}")
    match = _DAY.match(day) if isinstance(day, str) else None
    return revision, match[0] if match else "a day that it does not tell"


def _path_of(model: Model, file: str) -> str:
    """The path of a file on the server that its model is asked of."""
    if model.address:
        return f"/{model.revision}/{quote(file)}"
    return f"/{model.repository}/resolve/{quote(model.revision, safe='')}/{quote(file)}"


def _checksum(model: Model, server: Server, file: ModelFile, siblings: list[Any]) -> Checksum:
    """What the hub tells of a file, which is only taken where it can be."""
    hub, found = server.address, [each for each in siblings if isinstance(each, dict)]
    found = [each for each in found if each.get("rfilename") == file.path]
    if not found:
        what = f"{hub} has no file {file.path} in {model.repository} at the revision {model.revision}."
        raise _refused(what, "Look for a newer Fathom")
    if len(found) > 1:
        raise unexpected(server, f"it lists {file.path} of {model.repository} twice")
    sibling, lfs = found[0], found[0].get("lfs")
    sha256: Any = lfs.get("sha256") if isinstance(lfs, dict) else ""
    size = lfs.get("size") if isinstance(lfs, dict) else sibling.get("size")
    git_id: Any = "" if sha256 else sibling.get("blobId")
    if size is None or not (sha256 or git_id):
        what = f"{hub} tells no checksums of {model.repository}, so what it sends could not be verified."
        raise _refused(what, "Try without the mirror")
    try:
        checksum = Checksum(path=file.path, size=size, sha256=sha256 or "", git_id=git_id or "")
    except ValueError as error:
        raise unexpected(server, f"of {file.path} in {model.repository}, {error}") from error
    if size > file.most:
        what = f"{hub} tells {size} bytes of {file.path} of {model.repository}, which has about {file.size}."
        raise _refused(what, "Try without the mirror")
    return checksum


def _refused(what: str, hint: str) -> Failure:
    return Failure(exit_codes.MISSING, what, cure=f"{hint}, {ELSEWHERE}.")


def _agreed(model: Model, lock: Lock | None, answer: Lock) -> Lock:
    """The first lock, as long as the hub does not contradict it (MISSING)."""
    if lock is None:
        return answer
    together = []
    for now in answer.files:
        then = lock.of(now.path) or now
        pairs = ((then.sha256, now.sha256), (then.git_id, now.git_id))
        if then.size != now.size or any(known and heard and known != heard for known, heard in pairs):
            raise Failure(
                exit_codes.MISSING,
                f"{answer.source} tells another checksum of {now.path} in {model.repository} at the same revision "
                f"than {lock.source} did on {lock.recorded[:10]}, so one of the two is not to be trusted.",
                cure="Nothing was changed. Ask somebody else for their checksums; to take the new ones, remove the "
                f"weights first. Run: {store.command('remove', model.name)}",
            )
        together.append(replace(now, sha256=now.sha256 or then.sha256, git_id=now.git_id or then.git_id))
    return replace(lock if lock.origin == "hub" else answer, files=tuple(together))


def _plan_copy(
    model: Model, lock: Lock | None, source: Path, named: str | None, problems: Problems
) -> tuple[Model, Sequence[Checksum]]:
    """A model at its revision, and the files to copy; without a lock, whatever the folder holds is wanted."""
    is_open = notes.is_open(model)
    if is_open:
        model = notes.at(model, named or store.only_snapshot(source, model) or notes.UNKNOWN)
        lock = notes.read_lock(model)
    folder = store.inside(source, model)
    if folder is None:
        what = f"{source} holds no {model.repository}, neither as {model.repository}/… nor as a Hugging Face cache does"
        raise Failure(exit_codes.MISSING, f"{what}.", cure="Choose the folder in which that folder lies.")
    wanted, facts = [], {file.path: file for file in model.files}
    for name in problems:
        path, file, what = folder / name, facts[name], ""
        if not path.is_file():
            what = f"{path} is missing."
        elif not trust.is_inside(path, source):
            what = f"{path} is not copied: it is a link that leads out of {source}."
        elif path.stat().st_size > file.most:
            what = f"{path} has {path.stat().st_size} bytes, and such a file has about {file.size}."
        if what:
            raise _bad_origin(what)
        known = lock.of(file.path) if lock else None
        wanted.append(known or Checksum(path=file.path, size=path.stat().st_size))
    if is_open:
        notes.write_pin(model, chosen="user" if named else "folder", source=str(source))
    return model, wanted


# Getting it


def _get(model: Model, sums: Sequence[Checksum], wish: Wish, meter: Meter) -> None:
    size = size_text(sum(each.size for each in sums))
    for wanted in sums:
        meter.stage("download", f"{'Copying' if wish.source else 'Downloading'} {model.label} ({size})")
        meter.begin(wanted.size)
        try:
            if wish.source:
                _copy(model, wanted, wish.source, wish, meter)
            else:
                _fetch(model, wanted, wish, meter)
        except OSError as error:
            left = wanted.size - meter.came
            raise unwritable(error, store.repository_folder(model), needed_bytes=left) from error
    problems = wish.problems(model)
    if problems:
        raise verification.broken(model, problems)


def _fetch(model: Model, wanted: Checksum, wish: Wish, meter: Meter) -> None:
    """Download a file; what an earlier run had left of it and proves to be damaged is downloaded once more."""
    partial, connection = store.partial_path(model, wanted), wish.connection(model)
    had = _had(partial, wanted)
    if partial.is_file() and not had:  # longer than the file ever was
        partial.unlink()
    meter.count(had)
    connection.fetch(_path_of(model, wanted.path), wanted, partial, meter.count)
    if _take(model, wanted, partial, wish, meter):
        return None
    partial.unlink()
    if had:
        wish.warn(f"What an earlier run had left of {wanted.path} is damaged; it is downloaded again.")
        meter.count(-wanted.size)
        return _fetch(model, wanted, wish, meter)
    raise Failure(
        exit_codes.MISSING,
        f"{connection.server.address} sent {wanted.path} of {model.repository} damaged: it is not what its checksum "
        "says.",
        cure="Start the same command again; if it stays so, try without the mirror or from another network.",
    )


def _had(partial: Path, wanted: Checksum) -> int:
    """The bytes that an earlier, interrupted download has left of a file."""
    size = partial.stat().st_size if partial.is_file() else 0
    return size if size <= wanted.size else 0


def _copy(model: Model, wanted: Checksum, source: Path, wish: Wish, meter: Meter) -> None:
    """Copy a file; where neither of its checksums is known, those of the copy are recorded."""
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
                wish.check()
                writer.write(piece)
                meter.count(len(piece))
        if not (wanted.sha256 or wanted.git_id):
            wanted = verification.first_checksum(model, origin, wanted.path, source, check=wish.check)
        if not _take(model, wanted, temporary, wish, meter):
            raise _bad_origin(f"{origin} is not what the checksum says that was recorded for {wanted.path}.")
    finally:
        temporary.unlink(missing_ok=True)


def _take(model: Model, wanted: Checksum, path: Path, wish: Wish, meter: Meter) -> bool:
    """Verify a file that has come, and give it its name."""
    own_files.sync(path)
    if wanted.size >= _LONG:
        meter.stage("verify", f"Checking {model.label}")
    return verification.take(model, wanted, path, check=wish.check)


def _bad_origin(what: str) -> Failure:
    return Failure(exit_codes.MISSING, what, cure="Put the right file there, or choose another folder.")
