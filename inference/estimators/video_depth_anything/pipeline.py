"""Video Depth Anything on a whole clip in memory, as it was published; `streaming` takes clips of any length."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from . import windows
from .joining import joined_in_turn
from .network import VideoDepthAnything, resized


def estimate_clip(
    network: VideoDepthAnything, frames: NDArray[np.float32], *, input_size: int = windows.INPUT_SIZE
) -> NDArray[np.float32]:
    """Estimate a clip.

    Parameters
    ----------
    network : VideoDepthAnything
        In evaluation mode; it works where its weights are.
    frames : array [T, H, W, 3]
        float32, RGB, 0 to 1.
    input_size : int
        Shorter side of the frames that the network sees; see `windows.network_size`.

    Returns
    -------
    array [T, H, W]
        float32: disparity up to one scale and shift, larger is nearer, or depth in meters of a metric network.
    """
    count, height, width, _ = frames.shape
    size = windows.network_size(width, height, input_size)
    device = next(network.parameters()).device

    windows_maps = []
    for window in range(windows.window_count(count)):
        fed = [windows.normalized(frames[index], size) for index in windows.window_frames(window, count)]
        with torch.inference_mode():
            maps = network(torch.from_numpy(np.stack(fed))[None].to(device))
            windows_maps.append(resized(maps, (height, width))[0].cpu().numpy())
    joined = joined_in_turn(lambda window, place: windows_maps[window][place], count, metric=network.metric)
    return np.stack(list(joined))
