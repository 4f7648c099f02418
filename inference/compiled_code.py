"""Where numba keeps the machine code that it compiles. To be settled before numba is imported: it looks once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .environment import data_folder


def keep_in_data_folder() -> None:
    """Keep compiled code in Fathom's own folder, not beside the source in the extension's, which may be read-only.

    What the environment says already (``NUMBA_CACHE_DIR``) stands.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    folder = data_folder() / "cache" / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"fathom-numba-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
