"""Resizing between the processing resolution and the size that the networks take."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE = 64
"""The networks halve an image six times: three in the autoencoder, three in the UNet."""


def network_size(width: int, height: int) -> tuple[int, int]:
    """The size (width, height) at which the networks see an image of the processing resolution.

    Each side becomes the nearest multiple of 64, as in DepthCrafter, so the aspect changes a little: nothing is cropped
    or padded. (Halves are rounded to the even number, as there.)
    """
    return max(SIDE, round(width / SIDE) * SIDE), max(SIDE, round(height / SIDE) * SIDE)


def to_network(images: list[NDArray[np.uint8]], size: tuple[int, int]) -> Tensor:
    """Frames [h, w, 3], uint8 RGB, as the networks' input [n, 3, H, W] of a size (width, height): float32, 0 to 1."""
    fitted = [
        image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
        for image in images
    ]
    return torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 255


def to_working(disparity: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map [H, W] resized to the processing resolution (width, height), which has the plate's aspect."""
    if disparity.shape[::-1] == size:
        return disparity
    return cv2.resize(disparity, size, interpolation=cv2.INTER_LINEAR)
