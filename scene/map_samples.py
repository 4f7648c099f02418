"""Values of depth maps at places of the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..inference.contract import depth_sequence
from .depth import Depth
from .viewing import maps
from .viewing.maps import MapError


def read_map(depth: Depth, frame: int) -> NDArray[np.float32]:
    """The map of a source frame [H, W], first row on top; MapError where it is missing or cannot be read."""
    try:
        return maps.read(depth.folder / depth_sequence.disparity_name(frame))
    except FileNotFoundError as error:
        raise MapError(f"The depth map of frame {frame} of {depth.name} is missing: estimate it again.") from error
    except OSError as error:
        raise MapError(f"The depth map of frame {frame} cannot be read ({error.strerror}).") from error


def bilinear(values: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """A map's values at places [N, 2] from its lower left corner, in widths and heights.

    NaN outside, and where one of the pixels around has no depth (0).
    """
    height, width = values.shape
    places = np.where(np.isfinite(places), places, -1.0)  # outside
    x = np.clip(places[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1.0 - places[:, 1]) * height - 0.5, 0, height - 1)
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    four = np.stack([values[row, column] for row in (top, bottom) for column in (left, right)]).astype(float)
    across, down = x - left, y - top
    inside = np.all((places >= 0) & (places <= 1), axis=1) & np.all(np.isfinite(four) & (four != 0), axis=0)
    four[:, ~inside] = 0.0
    upper, lower = four[0] + across * (four[1] - four[0]), four[2] + across * (four[3] - four[2])
    return np.where(inside, upper + down * (lower - upper), np.nan)
