"""From the plate's own colour space to an ordinary display picture (sRGB), through OCIO as Blender does it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PyOpenColorIO
from numpy.typing import NDArray

from .errors import ClipError

Picture = NDArray[np.float32]

SRGB = "sRGB"
LINEAR = "Linear Rec.709"
DISPLAY_NAMES = (SRGB, "sRGB - Texture", "sRGB Encoded Rec.709 (sRGB)", "srgb_texture", "Utility - sRGB - Texture")
"""What configurations call the space of an sRGB picture; Blender's own comes first."""


_HIGHLIGHT = 65504.0


def to_display(colorspace: str, config: str | Path | None) -> Callable[[Picture], Picture]:
    """A function that brings pictures to display.

    Parameters
    ----------
    colorspace : str
        Name of the space that the values are in.
    config : path or None
        OCIO configuration; None: the one that the environment variable ``OCIO`` names, or built-in conversions for
        ``sRGB`` and ``Linear Rec.709``.

    Returns
    -------
    callable
        Takes [H, W, 3] float32 and returns the same shape, sRGB-encoded without a tone curve (Blender's view
        transform "Standard"), clamped to [0, 1]; NaN becomes 0.

    Raises
    ------
    ClipError
        The configuration cannot be read, or does not know the colour space.
    """
    config = config or os.environ.get("OCIO") or None
    if colorspace == SRGB:  # nothing to convert, whatever the configuration
        return _clamped
    if config is None:
        if colorspace == LINEAR:
            return lambda picture: encode_srgb(_clamped(picture))
        raise ClipError(
            f"The colour space {colorspace} needs an OCIO configuration and none is given",
            f"set the environment variable OCIO to a configuration that has it, or use {SRGB} or {LINEAR}",
        )
    processor = _processor(colorspace, config)

    def convert(picture: Picture) -> Picture:
        values = np.array(finite(picture), np.float32, order="C")  # a copy, since OCIO works in place
        processor.applyRGB(values)
        return _clamped(values)

    return convert


def finite(picture: Picture) -> Picture:
    """The picture without NaN (becomes 0) and infinities (become the largest half float); unchanged where it has none.

    An infinite highlight is a highlight: 65504 lies far above any display white.
    """
    if np.isfinite(picture).all():
        return picture
    return np.nan_to_num(picture, nan=0.0, posinf=_HIGHLIGHT, neginf=-_HIGHLIGHT)


def encode_srgb(linear: Picture) -> Picture:
    """The sRGB transfer function (IEC 61966-2-1) on values in [0, 1]."""
    return np.where(linear <= 0.0031308, linear * np.float32(12.92), 1.055 * np.power(linear, 1 / 2.4) - 0.055).astype(
        np.float32
    )


def _clamped(picture: Picture) -> Picture:
    return np.clip(finite(picture), 0.0, 1.0)


def _processor(colorspace: str, path: str | Path) -> PyOpenColorIO.CPUProcessor:
    config = _load(path)
    if config.getColorSpace(colorspace) is None:
        near = difflib.get_close_matches(colorspace, _names(config), n=3, cutoff=0.4)
        raise ClipError(
            f"The colour space {colorspace} is not in the OCIO configuration {path}",
            f"choose another, such as {', '.join(near or _names(config)[:3])}",
        )
    try:
        return _display_processor(config, colorspace).getDefaultCPUProcessor()
    except PyOpenColorIO.Exception as error:
        raise ClipError(
            f"The OCIO configuration {path} cannot convert {colorspace} to sRGB ({_first_line(error)})",
            "choose another colour space for the clip or another configuration",
        ) from error


def _display_processor(config: PyOpenColorIO.Config, colorspace: str) -> PyOpenColorIO.Processor:
    for name in DISPLAY_NAMES:
        if config.getColorSpace(name) is not None:
            return config.getProcessor(colorspace, name)
    # A configuration that calls sRGB something else: OCIO finds the way through its own built-in configuration.
    return PyOpenColorIO.Config.GetProcessorToBuiltinColorSpace(config, colorspace, "sRGB - Texture")


def _load(path: str | Path) -> PyOpenColorIO.Config:
    if not str(path).startswith("ocio://") and not Path(path).is_file():
        raise ClipError(f"There is no OCIO configuration {path}", "correct the environment variable OCIO or the job")
    try:
        return PyOpenColorIO.Config.CreateFromFile(str(path))
    except PyOpenColorIO.Exception as error:
        raise ClipError(
            f"The OCIO configuration {path} cannot be read ({_first_line(error)})",
            "use another configuration, or one that Blender ships",
        ) from error


def _names(config: PyOpenColorIO.Config) -> list[str]:
    return list(config.getColorSpaceNames(PyOpenColorIO.SEARCH_REFERENCE_SPACE_ALL, PyOpenColorIO.COLORSPACE_ACTIVE))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
