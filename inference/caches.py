"""Where libraries keep what they work out once: in Fathom's own folder, not wherever they would by themselves."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .environment import data_folder


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
        folder = Path(tempfile.gettempdir()) / f"fathom-{name}-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    os.environ[variable] = str(folder)
