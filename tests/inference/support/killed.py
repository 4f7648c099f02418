"""A process that is killed just before one of its changes to a folder: what a computer that dies leaves behind."""

import os
import signal
import sys
from pathlib import Path

AT = "KILLED_AT"
"""Environment variable: how many changes are made, and the folder, as ``12:/path``."""
_CHANGES = frozenset({"os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"})


def prepare() -> None:
    """Have this process killed as the environment says; nothing where it does not.

    Files that are opened for writing count, made, renamed, linked and removed ones, and folders.
    """
    count, _, name = os.environ.get(AT, "").partition(":")
    if not count:
        return
    left, folder = int(count), str(Path(name))

    def audit(event: str, arguments: tuple) -> None:
        nonlocal left
        if event not in _CHANGES and not (event == "open" and _writes(arguments[2])):
            return
        paths = [os.fspath(each) for each in arguments[:2] if isinstance(each, (str, os.PathLike))]
        # a name alone is relative to a folder that is open: only the folder's own files are changed so
        if any(path.startswith(folder) or not os.path.isabs(path) for path in paths):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
