"""An estimator for tests that comes in by the door for video diffusion: weights to download, sizes in multiples of 8,
any number of frames, relative disparity, and neither camera nor confidence. Disparity is the image's brightness.
"""

import numpy as np

from inference.estimators.base import EstimatorInfo, ShotResult
from inference.models.facts import Licence, Model, ModelFile

MODEL = Model(
    name="brightness",
    label="Brightness's network",
    repository="nobody/brightness",
    revision="0123456789abcdef0123456789abcdef01234567",
    revision_checked=False,
    licence=Licence(
        name="brightness-only",
        title="Brightness license",
        summary="For tests only.",
        url="https://huggingface.co/nobody/brightness/blob/main/LICENSE",
    ),
    files=(ModelFile(path="unet.safetensors", size=3_000_000),),
)

INFO = EstimatorInfo(
    name="brightness",
    label="Brightness",
    summary="For tests only.",
    licence="GPL-3.0-or-later",
    quantity="relative_disparity",
    default_size=96,
    size_multiple=8,
    models=(MODEL,),
)


def estimate(shot):
    for index in range(len(shot.frames)):
        shot.check()
        if index not in shot.finished:
            shot.write(index, (shot.frames[index].astype(np.float32) / 255).mean(axis=2))
        shot.progress("brightness", "Looking", index + 1, len(shot.frames))
    return ShotResult()
