"""Writing files so that a half-written one is never seen, and making the folders that people named.

Needs no package, so that it can be asked before any work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..contract import exit_codes, own_files
from ..contract.leftovers import missing_folders, remove_empty
from .failures import Failure, unwritable


@contextmanager
def atomic(path: str | Path, *, via: str | Path | None = None) -> Iterator[Path]:
    """Write a file under a temporary name and rename it once it is complete and on the disk.

    Parameters
    ----------
    path : path
        The file that should appear, or be replaced, in one step.
    via : path or None
        Folder on the same disk for the temporary file; None: beside `path`.

    Yields
    ------
    Path
        The temporary name, with the same suffix; the block writes it.

    Raises
    ------
    OSError
        The file cannot be written; the temporary file is gone then and `path` untouched.

    Examples
    --------
    >>> with atomic(folder / "points.npy") as temporary:
    ...     numpy.save(temporary, points)
    """
    path = Path(path)
    temporary = Path(via or path.parent) / f"{own_files.TEMPORARY}{os.getpid()}-{path.name}"
    own_files.create(temporary)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one step."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file's content is on the disk; a system that cannot sync it lets it pass."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until renames in a folder are on the disk, where the system offers that (POSIX)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network disks do not sync folders; they have no better promise to give
        pass
    finally:
        os.close(descriptor)


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
