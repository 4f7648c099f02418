"""The worker's exit codes, and the meaning of other processes' codes. Standard library only."""

from __future__ import annotations

import signal

OK = 0
FAILED = 1
"""Something unexpected went wrong; the log has the details."""
USAGE = 2
"""The command line or the job is not valid."""
UNSUPPORTED = 3
"""The shot or the task is unsupported; the message says what to do instead."""
BAD_CLIP = 4
"""The clip cannot be read correctly."""
BAD_OUTPUT = 5
"""The output folder cannot be written: it is locked, finished already, read-only or full."""
MISSING = 6
"""A package, weights or a device that the estimator needs is missing."""
EARLY = 7
"""A chunk's phase cannot begin yet, since chunks of the one before are missing; try again later."""
INCOMPLETE = 8
"""Chunks are missing or damaged, which the message lists; do them, then merge again."""
CANCELLED = 130
"""The run was cancelled; finished work is saved."""

_KILLED = {"SIGKILL"}
_CRASHED = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"}
_WINDOWS = {
    0xC0000005: "crashed (access violation)",
    0xC0000017: "ran out of memory",
    0xC00000FD: "crashed (stack overflow)",
    0xC000012D: "ran out of memory",
    0xC0000374: "crashed (heap corruption)",
    0xC0000409: "crashed (abort)",
}
"""NTSTATUS values, which Windows uses as exit codes."""


def ending(code: int) -> tuple[str, bool]:
    """How a process ended: words that follow its name, and whether a lack of memory is the likely reason.

    The code is as the parent process sees it: the negative number of a signal; a shell in between makes that 128 +
    signal.
    """
    if code % 2**32 in _WINDOWS:
        words = _WINDOWS[code % 2**32]
        return words, "memory" in words
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with exit code {code}", False
    if name in _KILLED:
        return f"was killed ({name}), as the system does when memory runs out", True
    return (f"crashed ({name})" if name in _CRASHED else f"was ended from outside ({name})"), False
