"""What computes: a GPU or the processor, by the name that an artist gives it. Without torch only the processor is.

NVIDIA cards are also counted as their driver knows them, and torch asked whether it was built for them, without
importing it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from pathlib import Path

from ..contract import exit_codes, packages
from .failures import Failure

AUTO = "auto"
_KNOWN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_SUCCESS = 0


def find(wanted: str = AUTO) -> str:
    """The device that a job gets.

    Parameters
    ----------
    wanted : str
        ``auto`` (a GPU where there is one), ``cuda``, ``cuda:1`` (the second card), ``mps`` (Apple's GPUs) or ``cpu``.

    Returns
    -------
    str
        As torch spells it: ``cuda:0``, ``mps`` or ``cpu``.

    Raises
    ------
    Failure
        USAGE: there is no such kind of device; MISSING: this computer, or this torch, has none of that kind.
    """
    if not _KNOWN.fullmatch(wanted):
        raise Failure(
            exit_codes.USAGE, f"There is no kind of device '{wanted}'.", cure="Choose auto, cuda, cuda:1, mps or cpu."
        )
    kind, _, index = wanted.partition(":")
    cards = _cards() if kind in ("auto", "cuda") else 0
    if kind == "cuda" and int(index or 0) >= cards:
        unused = unused_card() if not cards else None
        cure = unused[1] if unused else "Choose another device, or auto."
        raise Failure(exit_codes.MISSING, _no_card(wanted, cards), cure=cure)
    if kind == "mps" and not _apple():
        raise Failure(
            exit_codes.MISSING,
            f"The device '{wanted}' is not here: torch finds no Apple GPU.",
            cure="Choose another device, or auto.",
        )
    if kind == "auto":
        kind = "cuda" if cards else "mps" if _apple() else "cpu"
    return f"cuda:{index or _current()}" if kind == "cuda" else kind


def name(device: str) -> str:
    """What a device is called in records and messages: the card's own name, ``Apple GPU`` or ``cpu``."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return "Apple GPU" if device == "mps" else device


def _cards() -> int:
    if not packages.importable("torch"):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _current() -> int:
    import torch

    return int(torch.cuda.current_device())


def _apple() -> bool:
    if not packages.importable("torch"):
        return False
    import torch

    return bool(torch.backends.mps.is_available())


def _no_card(wanted: str, cards: int) -> str:
    if cards:
        return f"The device '{wanted}' is not here: the last of {cards} NVIDIA cards is cuda:{cards - 1}."
    if not packages.importable("torch"):
        return f"The device '{wanted}' cannot be used: torch is not installed."
    import torch

    version = torch.__version__
    reason = "finds no NVIDIA card with a working driver" if torch.version.cuda else "is built without CUDA"
    return f"The device '{wanted}' is not here: torch {version} {reason}."


def nvidia_cards() -> int:
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
    if not packages.importable("torch") or torch_has_cuda() or not nvidia_cards():
        return None
    return (
        f"This computer has an NVIDIA card, but torch {packages.installed('torch')} is built without CUDA.",
        cuda_cure(),
    )


def cuda_cure() -> str:
    """What to do where torch cannot use a card because of how it was built."""
    wanted = packages.locked_on_top()["torch"]
    # Windows' CUDA build brings all that it needs, and what else that index offers is not what the lock names.
    options = "--force-reinstall --no-deps" if sys.platform == "win32" else "--force-reinstall"
    return (
        f"Install PyTorch's CUDA build as the selector on its site says (package pip, compute platform CUDA), "
        f"torch {wanted} and with this Python: {packages.pip()} install {options} torch=={wanted} "
        f"--index-url ADDRESS-FROM-THE-SELECTOR"
    )
