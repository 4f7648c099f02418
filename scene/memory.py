"""How much memory is free, asked before Blender is given what a file says is large: Blender itself does not ask."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

PER_PIXEL = 16
"""Bytes that Blender takes for a pixel of an image while it is drawn: four floats."""
_CGROUP = Path("/sys/fs/cgroup")


def shortage(width: int, height: int) -> str | None:
    """What an image of a size takes and what is free, as the end of a sentence; None where there is enough.

    >>> shortage(1, 1)
    """
    needed, free = width * height * PER_PIXEL, free_bytes()
    if free is None or needed <= free:
        return None
    return f"{width}x{height}, which take {needed / 1e9:.1f} GB of memory to show, and {free / 1e9:.1f} GB are free"


def free_bytes() -> int | None:
    """Bytes of memory that Blender can still have; None where the system does not tell.

    On macOS, which tells only how much host memory there is, that.
    """
    if sys.platform == "win32":
        return _free_on_windows()
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        with contextlib.suppress(OSError, ValueError):  # no limit
            limit, used = (int((_CGROUP / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
            free = min(free, max(limit - used, 0))
        return free
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _free_on_windows() -> int | None:
    class Status(ctypes.Structure):
        _fields_ = [
            ("dwLength", ctypes.c_ulong),
            ("dwMemoryLoad", ctypes.c_ulong),
            *((f"ull{name}", ctypes.c_ulonglong) for name in ("TotalPhys", "AvailPhys", "TotalPageFile")),
            *((f"ull{name}", ctypes.c_ulonglong) for name in ("AvailPageFile", "TotalVirtual", "AvailVirtual")),
            ("ullAvailExtendedVirtual", ctypes.c_ulonglong),
        ]

    status = Status(dwLength=ctypes.sizeof(Status))
    is_told = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined, unused-ignore]
    return int(status.ullAvailPhys) if is_told else None
