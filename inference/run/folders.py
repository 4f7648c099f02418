"""Making a folder that people named. Needs no package, so that it can be asked before any work."""

from __future__ import annotations

from pathlib import Path

from .. import exit_codes
from ..faults import Failure, unwritable
from ..leftovers import missing_folders, remove_empty


def make_folder(folder: Path) -> tuple[Path, ...]:
    """Make a folder, with those above it, where it is not there yet.

    Returns
    -------
    tuple of Path
        The folders that were made, the innermost first.

    Raises
    ------
    Failure
        BAD_OUTPUT: a file is in the way, or nothing may be written there.
    """
    made = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        blocking = next(path for path in (folder, *folder.parents) if path.exists())
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{folder} cannot be the output folder: {blocking} is a file.",
            cure="Choose another folder.",
        ) from error
    except OSError as error:
        remove_empty(made)
        raise unwritable(error, folder) from error
    return made
