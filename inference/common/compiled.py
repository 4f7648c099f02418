"""Compiled loops: numba's ``njit`` with Fathom's choices.

Machine code is cached in Fathom's data folder, because numba's default is beside the source, in the extension.
Compilation takes some seconds once. Loops release the interpreter's lock, so threads process frames in parallel; within
a frame there is one thread, so sums have one order.
"""

from __future__ import annotations

import os

from .caches import keep_compiled_code, without_file

_HONORED = {"NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_DISABLE_INTEL_SVML"}
"""numba's settings for where compiled code is and for which processor; others are made for other programs."""

keep_compiled_code()
for _name in [name for name in os.environ if name.startswith("NUMBA_") and name not in _HONORED]:
    del os.environ[_name]
with without_file(".numba_config.yaml"):
    import numba
    import numba.core.config

numba.core.config._config_fname = os.devnull  # it is read again with every compilation

compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
"""Decorator: compile for the first arguments' types, cache the machine code, release the interpreter's lock."""
exact = numba.njit(cache=True, nogil=True)
"""The same without fast math, for loops over values that may be NaN."""
