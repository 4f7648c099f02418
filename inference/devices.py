"""What computes: a GPU or the processor, by the name that an artist gives it. Without torch only the processor is."""

from __future__ import annotations

import re

from . import exit_codes, nvidia, packages
from .faults import Failure

AUTO = "auto"
_KNOWN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


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
        unused = nvidia.unused_card() if not cards else None
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
