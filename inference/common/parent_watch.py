"""End child processes when their parent ends. Standard library only.

As a program, ``PYTHON parent_watch.py MODULE [ARGUMENT …]`` runs another module, such as ``venv``, that way.
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
"""Exit code of a process that ended because its parent had ended."""


def end_with_parent(stream: BinaryIO) -> None:
    """End this process at once when a pipe from its parent closes, such as its standard input.

    The parent keeps its end open and writes nothing more to it; the operating system closes the pipe however the parent
    ends, even if it is killed. Call this first in the child, before any library starts threads.
    """
    when_closed(stream.fileno(), lambda: os._exit(ORPHANED))


def end_family_with_parent() -> None:
    """End this process and its children when its standard input closes.

    The children get an empty standard input instead. On POSIX they are the process group that this process leads, if
    its parent gave it one; on Windows they are those of a job object.
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
    """Move standard input to a new descriptor, which is returned, so that neither libraries nor children read it."""
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
    """Windows' ``JOBOBJECT_EXTENDED_LIMIT_INFORMATION``, of which only the flags are set."""

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
    """Join a new Windows job object, which children join too and whose end ends them all.

    It ends when its last handle closes: this process's own, which is not inherited, and which the operating system
    closes however the process ends.
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
