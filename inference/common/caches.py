"""Cache folders of libraries, in Fathom's data folder, and their settings; to be set before a library is imported."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..contract import own_files
from ..contract.environment import data_folder


def keep_in_data_folder(variable: str, name: str) -> None:
    """Set the cache folder of a library; call it before the library is imported, which reads the variable once.

    A variable that is set already stays. If the data folder cannot be written, the system's temporary folder is used.
    """
    if variable in os.environ:
        return
    folder = data_folder() / "cache" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # it may be there and read-only, such as a studio's
    except OSError:
        folder = _temporary(name)
    os.environ[variable] = str(folder)


def _temporary(name: str) -> Path:
    """A temporary folder that nobody else can write into, since compiled code from it is run."""
    user = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir()) / f"fathom-{name}-{'cache' if user is None else user}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        facts = os.lstat(folder)
        is_ours = stat.S_ISDIR(facts.st_mode) and not own_files.is_link(facts)
        if is_ours and (user is None or (facts.st_uid == user and not facts.st_mode & 0o022)):
            return folder
    except OSError:
        pass
    else:
        return folder
    own = Path(tempfile.mkdtemp(prefix=f"fathom-{name}-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


def keep_compiled_code() -> None:
    """Store numba's compiled code in Fathom's data folder, not in the extension's, which may be read-only."""
    keep_in_data_folder("NUMBA_CACHE_DIR", "numba")


@contextlib.contextmanager
def without_file(name: str) -> Iterator[None]:
    """Import a library that reads its settings from a file in the current folder, without that file.

    The folder may be somebody else's, and such settings name files that are written, and more.
    """
    if not os.path.lexists(name):
        yield
        return
    here = Path.cwd()
    os.chdir(Path(__file__).parent)
    try:
        yield
    finally:
        os.chdir(here)
