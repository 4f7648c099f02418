"""Compiled loops: numba's ``njit`` with Fathom's choices.

Machine code is cached in Fathom's data folder, because numba's default is beside the source, in the extension.
Compilation takes some seconds once. Loops release the interpreter's lock, so threads process frames in parallel; within
a frame there is one thread, so sums have one order.
"""

from __future__ import annotations

from .caches import keep_compiled_code

keep_compiled_code()

import numba  # noqa: E402 - after the line above, since it reads the environment on import

compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
"""Decorator: compile for the first arguments' types, cache the machine code, release the interpreter's lock."""
exact = numba.njit(cache=True, nogil=True)
"""The same without fast math, for loops over values that may be NaN."""
