"""What is known of the content of weights: the lock file of checksums, and the stamps of what was verified.

The lock is written once, at the first download, from the hub's metadata of the pinned revision (or, for a studio's
folder that never saw the hub, from the files themselves) and never changed to fit anything later. The stamps are a
note of which files were found to agree with it, by size and time of change. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import exit_codes, records
from ..faults import Failure
from ..web_address import without_secrets
from . import notes, pins, trust
from .facts import Model


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
        Of the content; empty as long as only the git id is known.
    git_id : str
        The file's git blob id, for files that the hub keeps in git itself and gives no sha256 of; else empty.
    """

    path: str
    size: int
    sha256: str = ""
    git_id: str = ""

    def __post_init__(self) -> None:
        trust.need_path(self.path)
        trust.need_size(self.size)
        trust.need_digests(self.sha256, self.git_id)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The checksums of a model's files at its revision.

    Attributes
    ----------
    origin : 'hub', 'folder' or 'fathom'
        Whether they are the hub's, were computed from files that came without the hub, or are fixed by Fathom itself.
    source : str
        The hub's address, or the folder, or the files' own address; a password is taken out of it.
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
            raise ValueError("it names a file twice")
        if self.origin != "folder":
            object.__setattr__(self, "source", without_secrets(self.source))

    def of(self, path: str) -> Checksum | None:
        """The checksum of a file; None where the lock has none."""
        return next((each for each in self.files if each.path == path), None)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A file as it was when its content was verified."""

    path: str
    size: int
    changed: int
    sha256: str

    def __post_init__(self) -> None:
        trust.need_path(self.path)
        trust.need_size(self.size)
        trust.need_digests(self.sha256, "")


@dataclass(frozen=True, kw_only=True)
class Stamps:
    """The verified files in `folder`."""

    folder: str
    files: tuple[Stamp, ...] = ()

    def of(self, path: str) -> Stamp | None:
        """The stamp of a file; None where it was not verified."""
        return next((each for each in self.files if each.path == path), None)


def lock_path(model: Model) -> Path:
    """The lock file of a model at its revision."""
    return notes.folder() / "checksums" / f"{model.name}-{pins.revision(model)[:12]}.json"


def read_lock(model: Model) -> Lock | None:
    """The checksums of a model, those that Fathom fixes or those recorded; None where none were recorded yet.

    Raises
    ------
    Failure
        MISSING: the lock file cannot be read, or is of another revision.
    """
    if model.address:
        return _fixed(model)
    path = lock_path(model)
    try:
        lock = records.load(Lock, path, strict=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Failure(
            exit_codes.MISSING,
            f"The lock file of checksums {path} cannot be read ({error}).",
            cure=f"Remove the weights '{model.name}' (models remove {model.name}) and download them again.",
        ) from error
    revision = pins.revision(model)
    if (lock.repository, lock.revision) != (model.repository, revision):
        raise Failure(
            exit_codes.MISSING,
            f"The lock file of checksums {path} is of {lock.repository} at {lock.revision}, not of {model.repository} "
            f"at {revision}.",
            cure=f"Remove the weights '{model.name}' (models remove {model.name}) and download them again.",
        )
    return lock


def _fixed(model: Model) -> Lock:
    files = tuple(Checksum(path=file.path, size=file.size, sha256=file.sha256) for file in model.files)
    return Lock(
        repository=model.repository,
        revision=model.revision,
        origin="fathom",
        source=model.address,
        recorded="",
        files=files,
    )


def write_lock(model: Model, lock: Lock) -> None:
    """Keep the checksums of a model."""
    notes.write(lock_path(model), records.dumps(lock))


def read_stamps(model: Model, folder: Path) -> Stamps:
    """What was verified of a model's files in `folder`; nothing where that cannot be told."""
    try:
        stamps = records.load(Stamps, _stamps_path(model), where="stamps", strict=False)
    except (OSError, ValueError):
        return Stamps(folder=str(folder))
    return stamps if stamps.folder == str(folder) else Stamps(folder=str(folder))


def write_stamps(model: Model, stamps: Stamps) -> None:
    """Keep what was verified."""
    notes.write(_stamps_path(model), records.dumps(stamps))


def forget(model: Model) -> None:
    """Remove the lock and the stamps of a model, and what was chosen of it."""
    for path in (lock_path(model), _stamps_path(model)):
        path.unlink(missing_ok=True)
    pins.forget(model)


def _stamps_path(model: Model) -> Path:
    return notes.folder() / "verified" / f"{model.name}-{pins.revision(model)[:12]}.json"
