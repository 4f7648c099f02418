"""Conversion from the plate's color space to display-referred sRGB, with OCIO, as in Blender."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PyOpenColorIO
from numpy.typing import NDArray

from .color_config import (
    BLENDERS_NAMES,
    DISPLAY_NAMES,
    LINEAR,
    LINEAR_NAMES,
    SRGB,
    load,
    named_config,
    processor,
    space_of,
)

Image = NDArray[np.float32]

_HDR_WHITE = 100 / 203
_HIGHLIGHT = 65504.0


def to_display(colorspace: str, config: str | Path | None, *, deep_still: bool = False) -> Callable[[Image], Image]:
    """A function that converts images for display.

    Parameters
    ----------
    colorspace : str
        Name of the images' color space.
    config : path or None
        OCIO configuration; None: the one in the environment variable ``OCIO``, or OCIO's built-in studio configuration
        with Blender's names added.
    deep_still : bool
        Whether the images are stills of more than 8 bits. Blender 5 stores those as scene-linear floats: data counts
        as linear, and the white of HDR video is 203 cd/m² (ITU-R BT.2408) instead of 100.

    Returns
    -------
    callable
        Takes [H, W, 3] float32 and returns the same shape, sRGB-encoded without a tone curve (Blender's view
        transform "Standard"), clamped to [0, 1]; NaN becomes 0.

    Raises
    ------
    ClipError
        The configuration cannot be read, or does not have the color space.
    """
    if colorspace == SRGB:  # nothing to convert, whatever the configuration
        return _clamped
    if colorspace == LINEAR and named_config(config) is None:
        return lambda image: encode_srgb(_clamped(image))
    if deep_still:
        space = space_of(load(named_config(config)), colorspace, named_config(config))
        if space.isData():
            return lambda image: encode_srgb(_clamped(image))
        if space.getEncoding() == "hdr-video":
            to_linear = processor(colorspace, named_config(config), LINEAR_NAMES)
            return lambda image: encode_srgb(_clamped(_applied(to_linear, image) * _HDR_WHITE))
    conversion = processor(colorspace, named_config(config), DISPLAY_NAMES)

    def convert(image: Image) -> Image:
        return _clamped(_applied(conversion, image))

    return convert


def find(space: str, config: str | Path | None) -> str | None:
    """The name of a color space, from the identifier that files use, such as ``pq_rec2020_display``; None if unknown.

    Blender's name if it is in the configuration, else the configuration's own.
    """
    known = load(named_config(config))
    name = BLENDERS_NAMES.get(space)
    if name is not None and known.getColorSpace(name) is not None:
        return name
    found = known.getColorSpace(space)
    return None if found is None else found.getName()


def finite(image: Image) -> Image:
    """The image with NaN replaced by 0 and infinities by the largest half float, which is far above display white."""
    if np.isfinite(image).all():
        return image
    return np.nan_to_num(image, nan=0.0, posinf=_HIGHLIGHT, neginf=-_HIGHLIGHT)


def encode_srgb(linear: Image) -> Image:
    """The sRGB transfer function (IEC 61966-2-1) on values in [0, 1]."""
    return np.where(linear <= 0.0031308, linear * np.float32(12.92), 1.055 * np.power(linear, 1 / 2.4) - 0.055).astype(
        np.float32
    )


def _clamped(image: Image) -> Image:
    return np.clip(finite(image), 0.0, 1.0)


def _applied(conversion: PyOpenColorIO.CPUProcessor, image: Image) -> Image:
    values = np.array(finite(image), np.float32, order="C")  # a copy, since OCIO works in place
    conversion.applyRGB(values)
    return values
