"""Where Fathom notes what it knows of weights, and how. Standard library only."""

from __future__ import annotations

import datetime
from pathlib import Path

from .. import environment
from ..faults import unwritable
from ..run.files import write_text


def now() -> str:
    """The present, as it is recorded."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def folder() -> Path:
    """Where checksums, stamps, chosen revisions and accepted licences are noted."""
    return environment.data_folder() / "models"


def write(path: Path, text: str) -> None:
    """Write a note, in one step.

    Raises
    ------
    Failure
        BAD_OUTPUT: the data folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text + "\n")
    except OSError as error:
        raise unwritable(error, path) from error
