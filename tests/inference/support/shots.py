"""Shots for tests of estimators, without the runner."""

from __future__ import annotations

import cv2
import numpy as np

from inference.estimators.base import Shot


class Frames(list):
    """Pictures by random access, with the source numbers that they have."""

    def __init__(self, pictures, first=1001):
        super().__init__(pictures)
        self.height, self.width = pictures[0].shape[:2]
        self.numbers = range(first, first + len(pictures))


def panned(count, size=(64, 48), seed=0):
    """Cut-outs of one soft texture that move on."""
    width, height = size
    rng = np.random.default_rng(seed)
    wide = cv2.resize(rng.integers(0, 256, (height // 8, width // 4, 3)).astype(np.float32), (2 * width, height))
    return [wide.clip(0, 255).astype(np.uint8)[:, 3 * i : 3 * i + width] for i in range(count)]
