"""For processes that an estimator starts: they end when the worker does. Standard library only."""

from __future__ import annotations

import os
import threading
from typing import BinaryIO

ORPHANED = 1
"""Exit code of a process that ended because the worker was gone."""


def end_with_parent(stream: BinaryIO) -> None:
    """End this process, at once and whatever it is doing, when a pipe from its parent closes.

    The system closes the pipe however the parent ends, also when it is killed. To be called first in the child,
    before any library starts threads.

    Parameters
    ----------
    stream : binary file
        The child's end of a pipe that the parent keeps open and writes nothing more to, such as
        ``sys.stdin.buffer`` after the parent started it with ``stdin=subprocess.PIPE``.
    """
    descriptor = stream.fileno()

    def wait() -> None:
        try:
            while os.read(descriptor, 4096):
                pass
        finally:
            os._exit(ORPHANED)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()
