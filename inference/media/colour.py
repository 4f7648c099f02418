"""From the plate's own colour space to an ordinary display picture (sRGB), through OCIO as Blender does it."""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PyOpenColorIO
from numpy.typing import NDArray

from ..common.failures import ClipError
from ..contract.records import readable

Picture = NDArray[np.float32]

SRGB = "sRGB"
LINEAR = "Linear Rec.709"
DISPLAY_NAMES = (SRGB, "sRGB - Texture", "sRGB Encoded Rec.709 (sRGB)", "srgb_texture", "Utility - sRGB - Texture")
"""What configurations call the space of an sRGB picture; Blender's own comes first."""


BLENDERS_NAMES = {
    "srgb_rec709_display": SRGB,
    "srgb_rec709_scene": SRGB,
    "lin_rec709_scene": LINEAR,
    "g22_rec709_scene": "Gamma 2.2 Encoded Rec.709",
    "g24_rec709_display": "Rec.1886",
    "g24_rec2020_display": "Rec.2020",
    "lin_rec2020_scene": "Linear Rec.2020",
    "pq_rec2020_display": "Rec.2100-PQ",
    "hlg_rec2020_display": "Rec.2100-HLG",
    "srgb_p3d65_display": "Display P3",
    "lin_p3d65_scene": "Linear DCI-P3 D65",
    "lin_ciexyzd65_scene": "Linear CIE-XYZ D65",
    "lin_ciexyze_scene": "Linear CIE-XYZ E",
    "lin_ap0_scene": "ACES2065-1",
    "lin_ap1_scene": "ACEScg",
    "data": "Non-Color",
}
"""What Blender 5 calls the spaces that files name, by their identifiers (Color Interop Forum; XYZ of E has none)."""
BUILT_IN = "ocio://studio-config-latest"
_LINEAR_NAMES = (LINEAR, "Linear Rec.709 (sRGB)", "lin_rec709_scene")
_HDR_WHITE = 100 / 203
_HIGHLIGHT = 65504.0
_ERRORS = (PyOpenColorIO.Exception, UnicodeDecodeError)
"""The latter is the former whose message names a file that is no UTF-8."""


def to_display(colorspace: str, config: str | Path | None, *, deep_still: bool = False) -> Callable[[Picture], Picture]:
    """A function that brings pictures to display.

    Parameters
    ----------
    colorspace : str
        Name of the space that the values are in.
    config : path or None
        OCIO configuration; None: the one that the environment variable ``OCIO`` names, else the studio configuration
        that OCIO has built in, which knows Blender's names as well.
    deep_still : bool
        Whether the pictures are stills of more than 8 bits. Blender 5 keeps those as scene-linear floats, on whose way
        data counts as linear and the white of HDR video is 203 cd/m² (ITU-R BT.2408) in the place of 100.

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
    if colorspace == SRGB:  # nothing to convert, whatever the configuration
        return _clamped
    if colorspace == LINEAR and named_config(config) is None:
        return lambda picture: encode_srgb(_clamped(picture))
    if deep_still:
        space = _space(_load(named_config(config)), colorspace, named_config(config))
        if space.isData():
            return lambda picture: encode_srgb(_clamped(picture))
        if space.getEncoding() == "hdr-video":
            to_linear = _processor(colorspace, named_config(config), _LINEAR_NAMES)
            return lambda picture: encode_srgb(_clamped(_applied(to_linear, picture) * _HDR_WHITE))
    processor = _processor(colorspace, named_config(config), DISPLAY_NAMES)

    def convert(picture: Picture) -> Picture:
        return _clamped(_applied(processor, picture))

    return convert


def named_config(config: str | Path | None) -> str | Path | None:
    """The configuration that a job or else the environment variable ``OCIO`` names; None: the built-in one."""
    return config or os.environ.get("OCIO") or None


def config_file(config: str | Path | None) -> Path | None:
    """The file of `named_config`; None where it is one that OCIO has built in."""
    named = named_config(config)
    return None if named is None or str(named).startswith("ocio://") else Path(named)


def find(space: str, config: str | Path | None) -> str | None:
    """What a space is called, by the identifier that files name it by.

    Parameters
    ----------
    space : str
        Such as ``pq_rec2020_display``.
    config : path or None
        As for `to_display`.

    Returns
    -------
    str or None
        Blender's name where it has one and the configuration knows it, else the configuration's; None where it has
        no such space.
    """
    known = _load(named_config(config))
    name = BLENDERS_NAMES.get(space)
    if name is not None and known.getColorSpace(name) is not None:
        return name
    found = known.getColorSpace(space)
    return None if found is None else found.getName()


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


def _applied(processor: PyOpenColorIO.CPUProcessor, picture: Picture) -> Picture:
    values = np.array(finite(picture), np.float32, order="C")  # a copy, since OCIO works in place
    processor.applyRGB(values)
    return values


def _space(config: PyOpenColorIO.Config, name: str, path: str | Path | None) -> PyOpenColorIO.ColorSpace:
    space = config.getColorSpace(readable(name))
    if space is None:
        near = difflib.get_close_matches(name, _names(config), n=3, cutoff=0.4)
        other = ", or a configuration that has it" if path is None else ""
        raise ClipError(
            f"The colour space {name} is not in the OCIO configuration {path or 'that OCIO has built in'}",
            f"choose another, such as {', '.join(near or _names(config)[:3])}{other}",
        )
    return space


def _processor(colorspace: str, path: str | Path | None, targets: tuple[str, ...]) -> PyOpenColorIO.CPUProcessor:
    config = _load(path)
    _space(config, colorspace, path)
    for file in _tables(config, colorspace, set()):
        if file.exists() and not file.is_file():
            raise ClipError(
                f"The OCIO configuration {path} takes {file} for a table of {colorspace}, which is no file",
                "correct it, or use another configuration",
            )
    try:
        return _processor_to(config, colorspace, targets).getDefaultCPUProcessor()
    except _ERRORS as error:
        raise ClipError(
            f"The OCIO configuration {path or 'that OCIO has built in'} cannot convert {colorspace} to sRGB "
            f"({_first_line(error)})",
            "choose another colour space for the clip or another configuration",
        ) from error


def _tables(config: PyOpenColorIO.Config, name: str, seen: set[str]) -> Iterator[Path]:
    """The files that hold tables of a space; OCIO would wait for ever for what a pipe or a device says."""
    space = config.getColorSpace(name)
    if space is None or space.getName() in seen:
        return
    seen.add(space.getName())
    waiting = [
        space.getTransform(way)
        for way in (PyOpenColorIO.COLORSPACE_DIR_TO_REFERENCE, PyOpenColorIO.COLORSPACE_DIR_FROM_REFERENCE)
    ]
    while waiting:
        transform = waiting.pop()
        if isinstance(transform, PyOpenColorIO.GroupTransform):
            waiting.extend(transform)
        elif isinstance(transform, PyOpenColorIO.ColorSpaceTransform):
            for other in (transform.getSrc(), transform.getDst()):
                yield from _tables(config, other, seen)
        elif isinstance(transform, PyOpenColorIO.FileTransform):
            with contextlib.suppress(*_ERRORS):  # it is missing, which is told where it is needed
                yield Path(config.getCurrentContext().resolveFileLocation(transform.getSrc()))


def _processor_to(config: PyOpenColorIO.Config, colorspace: str, targets: tuple[str, ...]) -> PyOpenColorIO.Processor:
    for name in targets:
        if config.getColorSpace(name) is not None:
            return config.getProcessor(colorspace, name)
    # A configuration that has other names for it: OCIO finds the way through its own built-in configuration.
    return PyOpenColorIO.Config.GetProcessorToBuiltinColorSpace(config, colorspace, targets[1])


def _load(path: str | Path | None) -> PyOpenColorIO.Config:
    if path is None:
        return _built_in()
    if not str(path).startswith("ocio://") and not Path(path).is_file():
        raise ClipError(f"There is no OCIO configuration {path}", "correct the environment variable OCIO or the job")
    try:
        return PyOpenColorIO.Config.CreateFromFile(os.fsencode(path))  # its bindings encode text strictly
    except _ERRORS as error:
        raise ClipError(
            f"The OCIO configuration {path} cannot be read ({_first_line(error)})",
            "use another configuration, or one that Blender ships",
        ) from error


@functools.cache
def _built_in() -> PyOpenColorIO.Config:
    """OCIO's own studio configuration, with Blender's names beside its own and the two spaces that it lacks."""
    config = PyOpenColorIO.Config.CreateFromFile(BUILT_IN)
    config.addColorSpace(
        PyOpenColorIO.ColorSpace(
            PyOpenColorIO.REFERENCE_SPACE_DISPLAY,
            "Rec.2020",
            aliases=["g24_rec2020_display"],
            fromReference=PyOpenColorIO.BuiltinTransform("DISPLAY - CIE-XYZ-D65_to_REC.1886-REC.2020"),
        )
    )
    # Bradford's adaptation from the white E to D65; the built-in transform brings those to ACES2065-1.
    to_d65 = [0.95318743, -0.02659057, 0.02387315, 0, -0.03824666, 1.02884062, 0.00940604, 0]
    to_d65 += [0.00260677, -0.00303325, 1.08925647, 0, 0, 0, 0, 1]
    aces = PyOpenColorIO.BuiltinTransform("UTILITY - ACES-AP0_to_CIE-XYZ-D65_BFD", PyOpenColorIO.TRANSFORM_DIR_INVERSE)
    config.addColorSpace(
        PyOpenColorIO.ColorSpace(
            PyOpenColorIO.REFERENCE_SPACE_SCENE,
            "Linear CIE-XYZ E",
            aliases=["lin_ciexyze_scene"],
            toReference=PyOpenColorIO.GroupTransform([PyOpenColorIO.MatrixTransform(to_d65), aces]),
        )
    )
    for space, name in BLENDERS_NAMES.items():
        found = config.getColorSpace(space)
        if config.getColorSpace(name) is None:
            found.addAlias(name)
            config.addColorSpace(found)
    return config


def _names(config: PyOpenColorIO.Config) -> list[str]:
    return list(config.getColorSpaceNames(PyOpenColorIO.SEARCH_REFERENCE_SPACE_ALL, PyOpenColorIO.COLORSPACE_ACTIVE))


def _first_line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode("utf-8", "replace").strip().splitlines()[0].rstrip(".")
    return str(error).strip().splitlines()[0].rstrip(".")
