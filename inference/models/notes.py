"""Records in the data folder, one JSON file each: chosen revisions, checksums, verified files, accepted licenses.

A revision that Fathom does not fix is chosen once, before the first download, and kept until the weights are removed.
The lock of checksums is written at the first download, from the hub's metadata of the revision (or, for a folder, from
the files themselves), and never changed to match later files. The stamps record which files matched it, by size and
modification time. Standard library only.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from ..common.failures import Failure, unwritable
from ..contract import environment, exit_codes, own_files, packages, records
from ..contract.web_address import without_secrets
from . import trust
from .facts import Licence, Model

UNKNOWN = "unknown"
"""Instead of a commit hash, for files from a folder that has none."""
Note = TypeVar("Note")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """The revision that was chosen for a model.

    Attributes
    ----------
    revision : str
        Full commit hash, or `UNKNOWN`.
    chosen : 'user' or 'folder'
        Whether the user named or confirmed it, or it is that of the folder that the files were copied from.
    source : str
        The hub's address, without a password, or that folder.
    recorded : str
        When, as an ISO date and time.
    """

    repository: str
    revision: str
    chosen: Literal["user", "folder"]
    source: str
    recorded: str

    def __post_init__(self) -> None:
        if not (self.revision == UNKNOWN or trust.is_revision(self.revision)):
            raise ValueError("its revision is not a full commit hash")
        if "://" in self.source:
            object.__setattr__(self, "source", without_secrets(self.source))


@dataclass(frozen=True, kw_only=True)
class Checksum:
    """The content that a file must have.

    Attributes
    ----------
    path : str
        In the repository.
    size : int
        Bytes.
    sha256 : str
        Of the content; empty while only the git id is known.
    git_id : str
        The file's git blob id, for files that the hub stores in git, without a sha256; else empty.
    """

    path: str
    size: int
    sha256: str = ""
    git_id: str = ""

    def __post_init__(self) -> None:
        trust.validate_path(self.path)
        trust.validate_size(self.size)
        trust.validate_digests(self.sha256, self.git_id)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The checksums of a model's files at its revision.

    Attributes
    ----------
    origin : 'hub', 'folder' or 'fathom'
        Whether they are the hub's, were computed from files that came without the hub, or are fixed by Fathom itself.
    source : str
        The hub's address, the folder, or the files' own address; without a password. Empty for files on the hub
        whose checksums Fathom fixes.
    recorded : str
        When, as an ISO date and time; empty for those that Fathom fixes.
    """

    repository: str
    revision: str
    origin: Literal["hub", "folder", "fathom"]
    source: str
    recorded: str
    files: tuple[Checksum, ...]

    def __post_init__(self) -> None:
        if len({each.path.casefold() for each in self.files}) < len(self.files):
            raise ValueError("it lists a file twice")
        if self.origin != "folder":
            object.__setattr__(self, "source", without_secrets(self.source))

    def of(self, path: str) -> Checksum | None:
        """The checksum of a file; None where the lock has none."""
        return next((each for each in self.files if each.path == path), None)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Size, modification time (ns) and checksum of a file when its content was verified."""

    path: str
    size: int
    changed: int
    sha256: str

    def __post_init__(self) -> None:
        trust.validate_path(self.path)
        trust.validate_size(self.size)
        trust.validate_digests(self.sha256, "")


@dataclass(frozen=True, kw_only=True)
class Stamps:
    """The verified files in `folder`."""

    folder: str
    files: tuple[Stamp, ...] = ()

    def of(self, path: str) -> Stamp | None:
        """The stamp of a file; None where it was not verified."""
        return next((each for each in self.files if each.path == path), None)


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """That a license was accepted.

    Attributes
    ----------
    name, title, url : str
        Of the license.
    accepted : str
        When, as an ISO date and time.
    fathom : str
        The version of Fathom that asked.
    repository, revision : str
        The weights that required it; their revision identifies the text that was accepted.
    """

    name: str
    title: str
    url: str
    accepted: str
    fathom: str
    repository: str
    revision: str


def folder() -> Path:
    """The folder of all records."""
    return environment.data_folder() / "models"


def now() -> str:
    """The present time as recorded: ISO, with the time zone."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


# Revisions


def revision(model: Model) -> str:
    """The commit hash that Fathom fixes, or that was chosen on this computer; else `UNKNOWN`; errors as `read_pin`."""
    pin = read_pin(model)
    return model.revision or (pin.revision if pin else UNKNOWN)


def is_open(model: Model) -> bool:
    """Whether the revision of a model is still to be chosen."""
    return not model.revision and read_pin(model) is None


def at(model: Model, revision: str) -> Model:
    """The model at a revision that is about to be chosen."""
    return replace(model, revision=revision, revision_checked=True)


def read_pin(model: Model) -> Pin | None:
    """The revision chosen for a model; None where none was chosen, or Fathom fixes it.

    Raises
    ------
    Failure
        MISSING: the file cannot be read.
    """
    if model.revision:
        return None
    hint = "Delete that file and download the weights again."
    pin = _read(Pin, _pin_path(model), "The record {} of the chosen revision", hint)
    return pin if pin and pin.repository == model.repository else None


def write_pin(model: Model, *, chosen: Literal["user", "folder"], source: str) -> None:
    """Record that a model is used at its revision (see `at`)."""
    pin = Pin(repository=model.repository, revision=model.revision, chosen=chosen, source=source, recorded=now())
    write(_pin_path(model), pin)


# Checksums


def read_lock(model: Model) -> Lock | None:
    """The checksums of a model, fixed by Fathom or recorded; None where none are recorded yet.

    Raises
    ------
    Failure
        MISSING: the lock file cannot be read, or is of another revision.
    """
    if model.is_fixed:
        files = tuple(Checksum(path=file.path, size=file.size, sha256=file.sha256) for file in model.files)
        return new_lock(model, "fathom", model.origin, files, recorded="")
    path, revision_ = lock_path(model), revision(model)
    hint = f"Remove the weights '{model.name}' (models remove {model.name}) and download them again."
    lock = _read(Lock, path, "The lock file of checksums {}", hint)
    if lock and (lock.repository, lock.revision) != (model.repository, revision_):
        raise Failure(
            exit_codes.MISSING,
            f"The lock file of checksums {path} is of {lock.repository} at {lock.revision}, not of {model.repository} "
            f"at {revision_}.",
            hint=hint,
        )
    return lock


def new_lock(
    model: Model,
    origin: Literal["hub", "folder", "fathom"],
    source: str,
    files: tuple[Checksum, ...] = (),
    *,
    recorded: str | None = None,
) -> Lock:
    """A lock of a model at its revision; `recorded` defaults to now."""
    recorded = now() if recorded is None else recorded
    return Lock(
        repository=model.repository,
        revision=revision(model),
        origin=origin,
        source=source,
        recorded=recorded,
        files=files,
    )


def lock_path(model: Model) -> Path:
    """The lock file of a model at its revision."""
    return folder() / "checksums" / f"{model.name}-{revision(model)[:12]}.json"


def write_lock(model: Model, lock: Lock) -> None:
    """Save the checksums of a model."""
    write(lock_path(model), lock)


def read_stamps(model: Model, folder: Path) -> Stamps:
    """The verified files of a model in `folder`; none where the file is missing or unreadable."""
    try:
        stamps = records.load(Stamps, _stamps_path(model), strict=False)
    except (OSError, ValueError):
        return Stamps(folder=str(folder))
    return stamps if stamps.folder == str(folder) else Stamps(folder=str(folder))


def write_stamps(model: Model, stamps: Stamps) -> None:
    """Save the verified files."""
    write(_stamps_path(model), stamps)


def read_converted(name: str) -> Checksum | None:
    """The content of a file that was converted from a released one; None where none is recorded."""
    try:
        return records.load(Checksum, _converted_path(name), strict=False)
    except (OSError, ValueError):
        return None


def write_converted(checksum: Checksum) -> None:
    """Record the content of a converted file under its name."""
    write(_converted_path(checksum.path), checksum)


def forget(model: Model) -> None:
    """Remove the lock, the stamps and the chosen revision of a model."""
    for path in (lock_path(model), _stamps_path(model), _pin_path(model)):
        path.unlink(missing_ok=True)


def forget_converted(name: str) -> None:
    """Remove the record of a converted file."""
    _converted_path(name).unlink(missing_ok=True)


# Licenses


def accepted(licence: Licence) -> Acceptance | None:
    """The acceptance of a license; None where it was not accepted."""
    try:
        return records.load(Acceptance, _licence_path(licence), strict=False)
    except (OSError, ValueError):
        return None


def is_permitted(licence: Licence) -> bool:
    """Whether weights under a license may be used: it was accepted, or need not be."""
    return not licence.needs_acceptance or accepted(licence) is not None


def accept(model: Model) -> None:
    """Record that the license of a model is accepted, where it has to be; an earlier record stays as it is."""
    licence = model.licence
    if is_permitted(licence):
        return
    acceptance = Acceptance(
        name=licence.name,
        title=licence.title,
        url=licence.url,
        accepted=now(),
        fathom=packages.fathom_version(),
        repository=model.repository,
        revision=revision(model),
    )
    write(_licence_path(licence), acceptance)


# Files


def write(path: Path, note: object) -> None:
    """Write a record, in one step.

    Raises
    ------
    Failure
        BAD_OUTPUT: the data folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        own_files.save_text(path, records.dumps(note) + "\n")
    except OSError as error:
        raise unwritable(error, path) from error


def _read(kind: type[Note], path: Path, what: str, hint: str) -> Note | None:
    """A record; None where the file does not exist."""
    try:
        return records.load(kind, path, strict=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Failure(exit_codes.MISSING, f"{what.format(path)} cannot be read ({error}).", hint=hint) from error


def _pin_path(model: Model) -> Path:
    return folder() / "revisions" / f"{model.name}.json"


def _stamps_path(model: Model) -> Path:
    return folder() / "verified" / f"{model.name}-{revision(model)[:12]}.json"


def _converted_path(name: str) -> Path:
    return folder() / "converted" / f"{name}.json"


def _licence_path(licence: Licence) -> Path:
    return folder() / "licences" / f"{licence.name}.json"
