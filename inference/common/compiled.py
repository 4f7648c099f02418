"""Compiled loops: numba's ``njit`` with Fathom's choices.

Machine code is kept in Fathom's data folder, because numba's default, beside the source, would write into the
extension. Compiling everything here takes some seconds once; later runs load it. Loops run without the interpreter's
lock, so frames are worked on in parallel threads, and never across threads within a frame, so sums have one order.
"""

from __future__ import annotations

from .caches import keep_compiled_code

keep_compiled_code()

import numba  # noqa: E402 - after the line above: it reads the environment when it is imported

compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
"""Decorator: compile for the first arguments' types, keep the machine code, release the interpreter's lock."""
exact = numba.njit(cache=True, nogil=True)
"""The same without fast mathematics, for loops that meet NaN."""
