"""Film grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def with_grain(image: NDArray[np.uint8], *, strength: float, seed: int) -> NDArray[np.uint8]:
    """An image [H, W, 3] under film grain, which is strongest in the middle tones.

    Without it, static regions before a locked camera would have identical bits in every frame, as in no real plate.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    strength : float
        Standard deviation in the middle tones, in steps of 8 bits; 0: none.
    seed : int
        Of the pattern; different for each frame.
    """
    if not strength:
        return image
    random = np.random.default_rng(seed)
    noise = random.normal(size=(*image.shape[:2], 1)) + 0.35 * random.normal(size=image.shape)
    soft = noise + 0.35 * sum(np.roll(noise, step, axis) for axis in (0, 1) for step in (-1, 1))
    soft *= strength / np.sqrt((1.0 + 0.35**2) * (1.0 + 4 * 0.35**2))  # to the requested deviation
    tone = image / 255.0
    grained = image + soft * (0.3 + 2.8 * tone * (1.0 - tone))
    return np.clip(grained + 0.5, 0.0, 255.0).astype(np.uint8)
