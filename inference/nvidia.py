"""NVIDIA cards as their driver knows them, and whether torch was built for them. Standard library only: no torch."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from pathlib import Path

from . import packages

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_SUCCESS = 0


def cards() -> int:
    """How many cards the driver has (CUDA driver API, ``cuInit`` and ``cuDeviceGetCount``); 0 without a driver."""
    try:
        driver = ctypes.CDLL(_DRIVER)
        count = ctypes.c_int(0)
        if driver.cuInit(0) != _SUCCESS or driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
            return 0
    except (OSError, AttributeError):  # no driver; a library of that name that is none
        return 0
    return count.value


def torch_has_cuda() -> bool:
    """Whether the torch that is installed was built with CUDA, from its own note and without importing it."""
    spec = importlib.util.find_spec("torch") if packages.importable("torch") else None
    if spec is None or spec.origin is None:
        return False
    try:
        note = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return True  # a build that keeps no such note: nothing is known against it
    match = re.search(r"^cuda\b[^=\n]*=\s*(\S+)", note, re.MULTILINE)
    return match is None or match.group(1) != "None"


def unused_card() -> tuple[str, str] | None:
    """Why an NVIDIA card of this computer goes unused although torch is there, and what to do about it.

    Returns
    -------
    (str, str) or None
        Two sentences; None where torch is not installed, was built with CUDA, or there is no card.
    """
    if not packages.importable("torch") or torch_has_cuda() or not cards():
        return None
    return f"This computer has an NVIDIA card, but torch {packages.installed('torch')} is built without CUDA.", cure()


def cure() -> str:
    """What to do where torch cannot use a card because of how it was built."""
    wanted = packages.locked_on_top()["torch"]
    # Windows' CUDA build brings all that it needs, and what else that index offers is not what the lock names.
    options = "--force-reinstall --no-deps" if sys.platform == "win32" else "--force-reinstall"
    return (
        f"Install PyTorch's CUDA build as the selector on its site says (package pip, compute platform CUDA), "
        f"torch {wanted} and with this Python: {packages.pip()} install {options} torch=={wanted} "
        f"--index-url ADDRESS-FROM-THE-SELECTOR"
    )
