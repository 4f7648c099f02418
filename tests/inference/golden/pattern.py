"""Deterministic test frames made of whole numbers alone, so that no clip need be stored."""

import numpy as np

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _triangle(value, period):
    return np.abs(value % period * 2 - period) * 255 // period


def clip(frames, height, width, phase=0):
    """A textured background that drifts and a brighter box that crosses it, uint8 [frames,height,width,3]."""
    time, y, x, channel = np.ogrid[:frames, :height, :width, :3]
    time = time + phase
    texture = (
        _triangle(3 * x + 2 * time + 17 * channel, 61)
        + _triangle(5 * y - 3 * time + 29 * channel, 83)
        + _triangle(x * y // 5 + 7 * time, 131)
    ) // 3
    side = max(2, min(height, width) // 3)
    inside = ((x - 2 * time) % width < side) & ((y - time) % height < side)
    box = 120 + _triangle(4 * x + 9 * y + 11 * time + 40 * channel, 101) // 2
    return np.where(inside, box, texture).astype(np.uint8)


def normalized(frames):
    """The network's input for frames that already have its size: float32 [frames,3,height,width]."""
    scaled = (frames.astype(np.float32) / 255.0 - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)
