"""Between the size that the artist works at and the one that the networks take."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE = 64
"""The networks halve a picture six times: three in the autoencoder, three in the UNet."""


def network_size(width: int, height: int) -> tuple[int, int]:
    """The size at which the networks see a picture of the working size.

    Each side becomes the nearest multiple of 64, as DepthCrafter was published, so the aspect changes a little: nothing
    is cut off or padded. (Python rounds halves to the even number, and so did they.)

    Returns
    -------
    (width, height)
    """
    return max(SIDE, round(width / SIDE) * SIDE), max(SIDE, round(height / SIDE) * SIDE)


def to_network(pictures: list[NDArray[np.uint8]], size: tuple[int, int]) -> Tensor:
    """Frames of the working size as the networks take them.

    Parameters
    ----------
    pictures : list of array [h, w, 3]
        uint8 RGB.
    size : (width, height)

    Returns
    -------
    Tensor [n, 3, H, W]
        float32, 0 to 1.
    """
    fitted = [
        picture if picture.shape[1::-1] == size else cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        for picture in pictures
    ]
    return torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 255


def to_working(disparity: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map of the networks' size [H, W] at the working size (width, height), which has the plate's aspect."""
    if disparity.shape[::-1] == size:
        return disparity
    return cv2.resize(disparity, size, interpolation=cv2.INTER_LINEAR)
