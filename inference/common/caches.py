"""Where libraries keep what they work out once: in Fathom's own folder, not wherever they would by themselves.

To be settled before a library is imported: it looks once.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from pathlib import Path

from ..contract import own_files
from ..contract.environment import data_folder


def keep_in_data_folder(variable: str, name: str) -> None:
    """Settle where a library keeps its cache. Call it before the library is imported: it looks once.

    What the environment says already stands; where the data folder cannot be written, the system's temporary one
    serves.

    Parameters
    ----------
    variable : str
        Environment variable by which the library is told, such as ``NUMBA_CACHE_DIR``.
    name : str
        The library's, for its folder.
    """
    if variable in os.environ:
        return
    folder = data_folder() / "cache" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = _temporary(name)
    os.environ[variable] = str(folder)


def _temporary(name: str) -> Path:
    """A folder in the system's temporary one that nobody else can write into: what is kept there may be run."""
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
    """Keep compiled code in Fathom's own folder, not beside the source in the extension's, which may be read-only.

    What the environment says already (``NUMBA_CACHE_DIR``) stands.
    """
    keep_in_data_folder("NUMBA_CACHE_DIR", "numba")
