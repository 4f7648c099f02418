"""Which revision of a model is used, where Fathom itself fixes none, and how such notes are kept.

It is chosen once, before the first file is taken, noted here, and never another one until the weights are removed.
Standard library only.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..common.failures import Failure, unwritable
from ..contract import environment, exit_codes, own_files, records
from ..contract.web_address import without_secrets
from . import trust
from .facts import Model

UNKNOWN = "unknown"
"""In the place of a commit hash, for files from a folder that does not tell any."""


@dataclass(frozen=True, kw_only=True)
class Pin:
    """The revision that was chosen for a model.

    Attributes
    ----------
    revision : str
        Full commit hash, or `UNKNOWN`.
    chosen : 'user' or 'folder'
        Whether the user named or confirmed it, or the folder that the files were copied from told it.
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
            raise ValueError("its revision is no full commit hash")
        if "://" in self.source:
            object.__setattr__(self, "source", without_secrets(self.source))


def revision(model: Model) -> str:
    """The commit hash that Fathom fixes, or that was chosen on this computer; else `UNKNOWN`.

    Raises
    ------
    Failure
        MISSING: the note of what was chosen cannot be read.
    """
    if model.revision:
        return model.revision
    pin = read(model)
    return pin.revision if pin else UNKNOWN


def is_open(model: Model) -> bool:
    """Whether the revision of a model is still to be chosen."""
    return not model.revision and read(model) is None


def at(model: Model, revision: str) -> Model:
    """The model at a revision that is about to be chosen, which is nobody else's pin."""
    return replace(model, revision=revision, revision_checked=True)


def read(model: Model) -> Pin | None:
    """What was chosen for a model; None where nothing was, or where there is nothing to choose."""
    if model.revision:
        return None
    path = _path(model)
    try:
        pin = records.load(Pin, path, strict=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Failure(
            exit_codes.MISSING,
            f"The note {path} of the chosen revision cannot be read ({error}).",
            cure="Delete that file and download the weights again.",
        ) from error
    return pin if pin.repository == model.repository else None


def write(model: Model, *, chosen: Literal["user", "folder"], source: str) -> None:
    """Note that a model is used at its revision (see `at`) from now on."""
    pin = Pin(repository=model.repository, revision=model.revision, chosen=chosen, source=source, recorded=now())
    write_note(_path(model), records.dumps(pin))


def forget(model: Model) -> None:
    """Leave the revision open again."""
    _path(model).unlink(missing_ok=True)


def _path(model: Model) -> Path:
    return notes_folder() / "revisions" / f"{model.name}.json"


def now() -> str:
    """The present, as it is recorded."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def notes_folder() -> Path:
    """Where checksums, stamps, chosen revisions and accepted licences are noted."""
    return environment.data_folder() / "models"


def write_note(path: Path, text: str) -> None:
    """Write a note, in one step.

    Raises
    ------
    Failure
        BAD_OUTPUT: the data folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        own_files.save_text(path, text + "\n")
    except OSError as error:
        raise unwritable(error, path) from error
