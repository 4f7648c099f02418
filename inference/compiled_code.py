"""Where numba keeps the machine code that it compiles. To be settled before numba is imported: it looks once."""

from __future__ import annotations

from . import caches


def keep_in_data_folder() -> None:
    """Keep compiled code in Fathom's own folder, not beside the source in the extension's, which may be read-only.

    What the environment says already (``NUMBA_CACHE_DIR``) stands.
    """
    caches.keep_in_data_folder("NUMBA_CACHE_DIR", "numba")
