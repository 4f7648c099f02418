"""The colors that depth is shown in, far to near.

*Turbo* (Mikhailov, "Turbo, An Improved Rainbow Colormap for Visualization", 2019) tells most levels apart. *Inferno*
(Smith and van der Walt, 2015, public domain) rises evenly in lightness, so it also reads in print and without color
vision. Both are given by samples of their published tables, as sRGB codes in hexadecimal, at equal distances.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COUNT = 256
"""Colors of a table."""
_SAMPLES = {
    "TURBO": (
        "30123b 392a73 4040a1 4456c7 466be3 467ff6 4293ff 37a7fa 29bbec 1dcdd8 18dcc3 1ee8b0 31f299 4cf97e 6bfd64 "
        "8aff4d a3fd3c b8f735 cced34 dee037 edd03a f8c03a fdae35 fe982c fb8022 f56817 ec520f e04009 d23105 c02302 "
        "ac1701 950d01 7a0403"
    ),
    "INFERNO": (
        "000004 040312 0b0724 150b37 210c4a 2e0a5a 3c0965 4a0c6b 57106d 63146e 70196e 7d1e6d 89226a 962766 a32b61 "
        "af315c bb3755 c63e4d d14644 db4f3b e35932 eb6528 f1711e f67f14 f98d0a fb9c06 fcab0f fbba1f f9ca32 f5d949 "
        "f2e865 f3f586 fcffa4"
    ),
    "GRAY": "000000 ffffff",
}


def table(name: str) -> NDArray[np.float32]:
    """The colors of a map [COUNT, 4], RGBA, sRGB-encoded, far first; `name` as in the scene's setting."""
    samples = np.array([list(bytes.fromhex(each)) for each in _SAMPLES[name].split()], np.float32) / 255.0
    places, at = np.linspace(0.0, 1.0, COUNT), np.linspace(0.0, 1.0, len(samples))
    channels = [np.interp(places, at, samples[:, channel]) for channel in range(3)]
    return np.stack([*channels, np.ones(COUNT)], axis=-1).astype(np.float32)


def levels(
    disparity: NDArray[np.float32], *, low: float, high: float, near: float, far: float, gamma: float
) -> NDArray[np.float32]:
    """Where in the colors values lie, 0 far to 1 near: what the shader computes, for scripts and tests.

    ``t = (d - low) / (high - low)``, with the shot's percentiles; then ``((t - far) / (near - far)) ** (1 / gamma)``,
    clamped to 0..1 before the power. `near` below `far` inverts.
    """
    offset, factor = scaling(low=low, high=high, near=near, far=far)
    return np.clip((disparity - offset) * factor, 0.0, 1.0) ** (1.0 / gamma)


def scaling(*, low: float, high: float, near: float, far: float) -> tuple[float, float]:
    """What is subtracted from disparity, and what the rest is multiplied by, to lie in 0..1 from far to near.

    A shot of one value, or near at far, gives a threshold: a step as steep as floats have it.
    """
    span = high - low
    start, length = low + far * span, (near - far) * span
    least = 1e-6 * max(abs(low), abs(high), 1e-6)
    if abs(length) < least:
        length = least if length >= 0 else -least
    return start, 1.0 / length
