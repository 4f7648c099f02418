"""The device that computes, a GPU or the CPU, by the artist's choice. Without torch there is only the CPU.

NVIDIA GPUs are also counted by their driver, and torch's build is checked for CUDA, without importing torch.
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
    """The device for a job.

    Parameters
    ----------
    wanted : str
        ``auto`` (a GPU if there is one), ``cuda``, ``cuda:1`` (the second GPU), ``mps`` (Apple's GPUs) or ``cpu``.

    Returns
    -------
    str
        As torch spells it: ``cuda:0``, ``mps`` or ``cpu``.

    Raises
    ------
    Failure
        USAGE: the name is not valid; MISSING: this computer, or this torch, has no such device.
    """
    if not _KNOWN.fullmatch(wanted):
        raise Failure(
            exit_codes.USAGE, f"'{wanted}' is not a valid device.", hint="Choose auto, cuda, cuda:1, mps or cpu."
        )
    kind, _, index = wanted.partition(":")
    gpus = _gpus() if kind in ("auto", "cuda") else 0
    if kind == "cuda" and int(index or 0) >= gpus:
        unused = unused_gpu() if not gpus else None
        hint = unused[1] if unused else "Choose another device, or auto."
        raise Failure(exit_codes.MISSING, _no_gpu(wanted, gpus), hint=hint)
    if kind == "mps" and not _apple():
        raise Failure(
            exit_codes.MISSING,
            f"The device '{wanted}' is not available: torch finds no Apple GPU.",
            hint="Choose another device, or auto.",
        )
    if kind == "auto":
        kind = "cuda" if gpus else "mps" if _apple() else "cpu"
    return f"cuda:{index or _current()}" if kind == "cuda" else kind


def name(device: str) -> str:
    """A device's name in records and messages: the GPU's own name, ``Apple GPU`` or ``cpu``."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return "Apple GPU" if device == "mps" else device


def _gpus() -> int:
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


def _no_gpu(wanted: str, gpus: int) -> str:
    if gpus:
        return f"The device '{wanted}' is not available: the last of {gpus} NVIDIA GPUs is cuda:{gpus - 1}."
    if not packages.importable("torch"):
        return f"The device '{wanted}' cannot be used: torch is not installed."
    import torch

    version = torch.__version__
    reason = "finds no NVIDIA GPU with a working driver" if torch.version.cuda else "is built without CUDA"
    return f"The device '{wanted}' is not available: torch {version} {reason}."


def nvidia_gpus() -> int:
    """The driver's number of GPUs (CUDA driver API, ``cuInit`` and ``cuDeviceGetCount``); 0 without a driver."""
    try:
        driver = ctypes.CDLL(_DRIVER)
        count = ctypes.c_int(0)
        if driver.cuInit(0) != _SUCCESS or driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
            return 0
    except (OSError, AttributeError):  # no driver; another library with its name
        return 0
    return count.value


def torch_has_cuda() -> bool:
    """Whether the installed torch was built with CUDA, from its file ``version.py``, without importing it."""
    spec = importlib.util.find_spec("torch") if packages.importable("torch") else None
    if spec is None or spec.origin is None:
        return False
    try:
        note = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return True  # a build without this file: assume CUDA
    match = re.search(r"^cuda\b[^=\n]*=\s*(\S+)", note, re.MULTILINE)
    return match is None or match.group(1) != "None"


def unused_gpu() -> tuple[str, str] | None:
    """Why an NVIDIA GPU of this computer is unused although torch is installed, and what to do about it.

    None if torch is not installed or was built with CUDA, or if there is no GPU.
    """
    if not packages.importable("torch") or torch_has_cuda() or not nvidia_gpus():
        return None
    return (
        f"This computer has an NVIDIA GPU, but torch {packages.installed('torch')} is built without CUDA.",
        cuda_hint(),
    )


def cuda_hint() -> str:
    """The hint if torch was built without CUDA."""
    wanted = packages.locked_on_top()["torch"]
    # The CUDA build for Windows is complete, and the index's other packages differ from the lock.
    options = "--force-reinstall --no-deps" if sys.platform == "win32" else "--force-reinstall"
    return (
        f"Install PyTorch's CUDA build as the selector on its site says (package pip, compute platform CUDA), "
        f"torch {wanted} and with this Python: {packages.pip()} install {options} torch=={wanted} "
        f"--index-url ADDRESS-FROM-THE-SELECTOR"
    )
