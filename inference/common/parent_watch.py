"""For processes that others start: they end when whoever started them does. Standard library only.

Run as a program, ``PYTHON parent_watch.py MODULE [ARGUMENT …]`` runs a module of another's, such as ``venv``, that way.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

ORPHANED = 1
"""Exit code of a process that ended because its parent was gone."""


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
    when_closed(stream.fileno(), lambda: os._exit(ORPHANED))


def end_family_with_parent() -> None:
    """Likewise with all that this process starts, by the pipe that is its standard input.

    The processes that it starts find an empty input instead. On POSIX they are those of its process group, which it
    leads where its parent gave it one of its own; on Windows those of a job object.
    """
    pipe = input_of_its_own()
    if os.name == "nt":
        _join_job()

    def end() -> None:
        if os.name == "posix" and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(ORPHANED)

    when_closed(pipe, end)


def input_of_its_own() -> int:
    """Move this process's standard input away, and return where to: neither libraries nor children read it then."""
    pipe = os.dup(0)  # not inherited by children
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def when_closed(descriptor: int, call: Callable[[], None]) -> None:
    """Call a function, in a thread, when a pipe closes or breaks."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(descriptor, 4096):
                pass
        call()

    threading.Thread(target=wait, name="parent-pipe", daemon=True).start()


class _JobLimits(ctypes.Structure):
    """``JOBOBJECT_EXTENDED_LIMIT_INFORMATION`` of Windows, of which only the flags are set."""

    _fields_ = (
        ("times", ctypes.c_int64 * 2),
        ("flags", ctypes.c_uint32),
        ("working_set", ctypes.c_size_t * 2),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_and_class", ctypes.c_uint32 * 2),
        ("transfers", ctypes.c_uint64 * 6),
        ("memory", ctypes.c_size_t * 4),
    )


def _join_job() -> None:
    """Join a new job object of Windows, which children join too and whose end ends them all.

    It ends when the last handle to it is closed: this process' own, which is not inherited and is left to the system
    to close however the process ends.
    """
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
    for function in (kernel.CreateJobObjectW, kernel.GetCurrentProcess):
        function.restype = ctypes.c_void_p
    job = kernel.CreateJobObjectW(None, None)
    limits = _JobLimits(flags=0x2000)  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    # 9: JobObjectExtendedLimitInformation
    kernel.SetInformationJobObject(ctypes.c_void_p(job), 9, ctypes.byref(limits), ctypes.sizeof(limits))
    kernel.AssignProcessToJobObject(ctypes.c_void_p(job), ctypes.c_void_p(kernel.GetCurrentProcess()))


if __name__ == "__main__":
    end_family_with_parent()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
