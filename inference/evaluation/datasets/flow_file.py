"""Ground truth optical flow on disk, in the layout ``folder``: where each pixel of a frame is in the next.

An EXR (32-bit float, ZIP) with two channels: ``X``, pixels to the right, and ``Y``, pixels downward, at the size of the
ground truth's depth. NaN in either: unknown. The point may be hidden in the next frame, or outside of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import ArrayLike, NDArray

from ...common.failures import ClipError
from ...media.exr import read_channels

CHANNELS = ("X", "Y")


def write_flow(path: str | Path, flow: ArrayLike) -> None:
    """Write one frame's flow [H, W, 2], to the next frame.

    Raises
    ------
    ValueError
        The shape is wrong.
    OSError
        The folder is missing or cannot be written to.
    """
    values = np.asarray(flow, np.float32)
    if values.ndim != 3 or values.shape[2] != 2 or not values.size:
        raise ValueError(f"flow is [H, W, 2] with at least one pixel, not {list(values.shape)}")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with open(path, "wb"):  # raises an error that names the cause, which the library's own does not
        pass
    channels = {name: np.ascontiguousarray(values[..., index]) for index, name in enumerate(CHANNELS)}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


def read_flow(path: str | Path) -> NDArray[np.float32]:
    """Read what `write_flow` wrote: float32 [H, W, 2].

    Raises
    ------
    ClipError
        The file is missing or broken, or lacks a channel.
    """
    channels = read_channels(path)
    if not set(CHANNELS) <= set(channels):
        raise ClipError(
            f"{path} has the channels {', '.join(sorted(channels))} and no X and Y", "render the flow again"
        )
    return np.stack([channels[name] for name in CHANNELS], axis=-1).astype(np.float32, copy=False)
