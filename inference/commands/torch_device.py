"""The device that torch would use, found in a child process.

With a broken driver, importing torch can end the process; the doctor has to survive that.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run by its path in isolated mode: make the package importable
    _INFERENCE = Path(__file__).resolve().parents[1]
    sys.path[0:1] = [str(_INFERENCE.parent)]
    __package__ = f"{_INFERENCE.name}.commands"

from ..common import devices
from ..contract import records

_LIMIT = 120.0
"""Seconds that the first import of torch may take on a slow disk."""


@dataclass(frozen=True, kw_only=True)
class TorchDevice:
    """The device that torch would use, and its memory in bytes: for Apple's GPUs, the host's that Metal may use."""

    torch: str
    device: str
    name: str
    free: float = 0.0
    total: float = 0.0


class TorchUnusable(Exception):
    """Torch is installed but cannot be used; the message is the reason in a few words."""


def ask() -> TorchDevice:
    """Find the device in a child process, or raise `TorchUnusable`."""
    command = [sys.executable, "-I", "-B", __file__]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT)
    except subprocess.TimeoutExpired as error:
        raise TorchUnusable(f"it did not respond within {_LIMIT:.0f} seconds") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise TorchUnusable(said[-1] if said else f"its process ended with exit code {done.returncode}")
    return records.loads(TorchDevice, lines[-1], where="device", strict=True)


def find() -> TorchDevice:
    """Find the device in this process, which imports torch."""
    import torch

    found = devices.find()
    free = total = 0.0
    if found.startswith("cuda"):
        free, total = map(float, torch.cuda.mem_get_info(found))
    elif found == "mps":
        free = total = float(torch.mps.recommended_max_memory())
    return TorchDevice(torch=str(torch.__version__), device=found, name=devices.name(found), free=free, total=total)


if __name__ == "__main__":
    print(records.dumps(find(), indent=None))
