"""What a lens did to the image, as an image that node groups read: the depth mesh stands where the lens saw it.

A camera of Blender's renders without lens distortion, and node groups know one of the many models of it. So for any
other the way from each place of the plate to its undistorted one is computed once and kept in the file.
"""

from __future__ import annotations

import hashlib

import bpy
import numpy as np
from numpy.typing import NDArray

from ..inference.contract.camera import Camera
from ..inference.contract.distortion import undistort
from . import tags

MARGIN = 1 / 16
"""What the map covers beyond each edge of the image, as a share of its width or height."""

_WIDTH, _HEIGHT = 256, 144
"""Linear interpolation is off by some thousandths of a pixel of a plate of 4096, with a strong lens."""

KIND = "lens"


def lens_map(camera: Camera) -> bpy.types.Image | None:
    """The image for a lens, made if the file has none yet; None where nothing is distorted.

    Red and green are what is added to a place (u, v) of the plate, in widths and heights from the lower left corner, to
    get its undistorted one. The image covers the plate with `MARGIN` around.
    """
    if not any(camera.distortion):
        return None
    values = displacement(camera)
    key = hashlib.sha256(values.tobytes()).hexdigest()
    image = next((each for each in tags.images(KIND) if tags.text(each, tags.JOB) == key), None)
    if image is None:
        image = bpy.data.images.new("Lens", _WIDTH, _HEIGHT, alpha=False, float_buffer=True, is_data=True)
        pixels = np.ones((_HEIGHT, _WIDTH, 4), np.float32)
        pixels[..., :2], pixels[..., 2] = values, 0.0
        image.pixels.foreach_set(pixels.ravel())
        image.update()
        image.pack()  # Blender saves no pixels of images that are not
        tags.set_text(tags.tag(image, KIND), tags.JOB, key)
    return image


def displacement(camera: Camera) -> NDArray[np.float32]:
    """The map [rows, columns, 2], first row at the bottom."""
    u, v = (
        np.broadcast_to(axis, (_HEIGHT, _WIDTH)) for axis in ((_centers(_WIDTH))[None, :], (_centers(_HEIGHT))[:, None])
    )
    there = undistorted(camera, np.stack([u, v], axis=-1).reshape(-1, 2)).reshape(_HEIGHT, _WIDTH, 2)
    return np.nan_to_num(there - np.stack([u, v], axis=-1), posinf=0.0, neginf=0.0).astype(np.float32)


def undistorted(camera: Camera, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undistorted places of places [N, 2] on the plate, in widths and heights from the lower left corner."""
    across, up, cx, cy = camera.intrinsics()
    x = (places[:, 0] * camera.width - 0.5 - cx) / across
    y = ((1 - places[:, 1]) * camera.height - 0.5 - cy) / up
    with np.errstate(all="ignore"):
        x, y = undistort(camera.distortion_model, camera.distortion, x, y, unit=camera.half_side / across)
    u = (x * across + cx + 0.5) / camera.width
    v = 1 - (y * up + cy + 0.5) / camera.height
    return np.stack([u, v], axis=1)


def _centers(count: int) -> NDArray[np.float64]:
    return (np.arange(count) + 0.5) / count * (1 + 2 * MARGIN) - MARGIN
