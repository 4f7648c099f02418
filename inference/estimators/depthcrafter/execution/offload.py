"""What waits in the computer's memory while a layer runs on the device."""

from __future__ import annotations

import torch
from torch import Tensor


def park(tensor: Tensor, *, on_host: bool) -> Tensor:
    """A tensor that is not needed for a while: itself, or its copy in the computer's memory.

    The copy to pinned memory runs beside the computer's own work. Whoever reads it brings it back through the same
    stream of the device (`bring`), so that it is complete by then; the computer itself never looks into it.
    """
    if not on_host or tensor.device.type == "cpu":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=tensor.device.type == "cuda")
    return host.copy_(tensor, non_blocking=tensor.device.type == "cuda")


def bring(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor on the device and in the dtype of the work; where it is so already, itself.

    Nothing is ever copied back: a weight that was brought is let go after its layer, and the computer's own stays.
    """
    return tensor.to(device=device, dtype=dtype or tensor.dtype, non_blocking=device.type == "cuda")
