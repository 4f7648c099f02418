"""What there is to know of weights, as one record each, without reading any of them. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import checksums, inspection, licences, pins, store
from .facts import Licence, Model
from .pins import Pin

State = Literal["missing", "incomplete", "unverified", "changed", "ready"]


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """A file of a model: `size` in bytes (about, before it was asked for), `sha256` empty while unknown."""

    path: str
    size: int
    sha256: str
    there: bool


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A model and how it stands on this computer.

    Attributes
    ----------
    name, label, repository, revision_checked, licence
        As in `facts.Model`.
    revision : str
        Full commit hash, or `pins.UNKNOWN`.
    revision_open : bool
        Whether Fathom fixes none, and none was chosen on this computer.
    pin : Pin or None
        How it was chosen, where Fathom fixes none.
    estimators : tuple of str
        That need it.
    files : tuple of ListedFile
    size, missing_size : int
        Bytes of all files, and of those that are not there.
    folder : str
        Where they lie, or would.
    studio : bool
        Whether that is the studio's folder, which Fathom does not change.
    state : str
        ``missing``; ``incomplete``; ``unverified`` (no checksums are known); ``changed`` (a file is not as it was
        when it was verified, and will be read in full); ``ready``.
    checksums : 'hub', 'folder', 'fathom' or None
        Where the checksums come from.
    accepted : str or None
        When the licence was accepted, as an ISO date and time.
    can_run : bool
        Whether the files are there and the licence is accepted.
    download : str
        The command that gets it.
    """

    name: str
    label: str
    repository: str
    revision: str
    revision_checked: bool
    revision_open: bool
    pin: Pin | None
    licence: Licence
    estimators: tuple[str, ...]
    files: tuple[ListedFile, ...]
    size: int
    missing_size: int
    folder: str
    studio: bool
    state: State
    checksums: Literal["hub", "folder", "fathom"] | None
    accepted: str | None
    can_run: bool
    download: str


def describe(model: Model, estimators: tuple[str, ...]) -> Listed:
    """How a model stands.

    Raises
    ------
    Failure
        The lock of checksums cannot be read, or ``FATHOM_WEIGHTS`` names no folder.
    """
    folder, lock, acceptance = store.folder(model), checksums.read_lock(model), licences.accepted(model.licence)
    files = []
    for file in model.files:
        known = lock.of(file.path) if lock else None
        files.append(
            ListedFile(
                path=file.path,
                size=known.size if known else file.size,
                sha256=known.sha256 if known else "",
                there=(folder / file.path).is_file(),
            )
        )
    return Listed(
        name=model.name,
        label=model.label,
        repository=model.repository,
        revision=store.used_revision(model),
        revision_open=pins.is_open(model),
        pin=pins.read(model),
        revision_checked=model.revision_checked,
        licence=model.licence,
        estimators=estimators,
        files=tuple(files),
        size=sum(file.size for file in files),
        missing_size=sum(file.size for file in files if not file.there),
        folder=str(folder),
        studio=store.is_studios(model),
        state=_state(model, files),
        checksums=lock.origin if lock else None,
        accepted=acceptance.accepted if acceptance else None,
        can_run=not inspection.lacks([model]),
        download=store.command("download", model.name),
    )


def _state(model: Model, files: list[ListedFile]) -> State:
    if not any(file.there for file in files):
        return "missing"
    if not all(file.there for file in files):
        return "incomplete"
    if any(not file.sha256 for file in files):
        return "unverified"
    return "ready" if inspection.is_as_verified(model) else "changed"
