"""An estimator for tests that comes in by the door for video diffusion: weights to download, sizes in multiples of 8,
any number of frames, relative disparity, and neither camera nor confidence. Disparity is the picture's brightness.
"""

import numpy as np

from inference.depth_sequence import Weights
from inference.estimators.base import EstimatorInfo, ShotResult

INFO = EstimatorInfo(
    name="brightness",
    label="Brightness",
    summary="For tests only.",
    licence="GPL-3.0-or-later",
    quantity="relative_disparity",
    default_size=96,
    size_multiple=8,
    weights=(
        Weights(repository="nobody/brightness", revision="r1", file="unet.bin", sha256="0" * 64, licence="CC-BY-4.0"),
    ),
)


def estimate(shot):
    for index in range(len(shot.frames)):
        shot.check()
        if index not in shot.finished:
            shot.write(index, (shot.frames[index].astype(np.float32) / 255).mean(axis=2))
        shot.progress("brightness", "Looking", index + 1, len(shot.frames))
    return ShotResult()
