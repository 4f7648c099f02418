"""OCIO configurations: which one applies, its contents, and the conversions that it describes.

A configuration and its tables may come from another source, with a clip or in a depth sequence. OCIO crashes on cyclic
color spaces, blocks on pipes, and expands what a few lines repeat until memory runs out. So a child process (this file
run as a program) does first what is about to be done here: if that fails, takes long or needs too much memory, the
configuration is rejected in one sentence.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":  # run by path in isolated mode: make the folder of the package importable
    _INFERENCE = Path(__file__).resolve().parents[1]
    sys.path[0:1] = [str(_INFERENCE.parent)]
    __package__ = f"{_INFERENCE.name}.media"

import psutil
import PyOpenColorIO

from ..common.failures import ClipError, first_line
from ..common.parent_watch import end_with_parent
from ..contract import exit_codes
from ..contract.untrusted import readable
from .declared import free_bytes

SRGB = "sRGB"
LINEAR = "Linear Rec.709"
DISPLAY_NAMES = (SRGB, "sRGB - Texture", "sRGB Encoded Rec.709 (sRGB)", "srgb_texture", "Utility - sRGB - Texture")
"""What configurations call the space of an sRGB image; Blender's own comes first."""
LINEAR_NAMES = (LINEAR, "Linear Rec.709 (sRGB)", "lin_rec709_scene")
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
_ERRORS = (PyOpenColorIO.Exception, PyOpenColorIO.ExceptionMissingFile, UnicodeDecodeError)
"""The last is the first whose message names a file that is no UTF-8."""
_PATIENCE, _POLL = 60.0, 0.05
"""Seconds that a trial may take, and between two looks at it."""
_SHARE = 0.5
"""Of the memory that is free what a trial may take: what it tries is done once more afterwards."""
_NO_MEMORY, _NO_FILE = 21, 22
"""Exit codes of a trial: it was given no more memory; a table is none, and is named on standard output."""


def named_config(config: str | Path | None) -> str | Path | None:
    """The configuration that a job, or else the environment variable ``OCIO``, names; None: the built-in one."""
    return config or os.environ.get("OCIO") or None


def load(path: str | Path | None) -> PyOpenColorIO.Config:
    """A configuration (`named_config`); None: the built-in one.

    Raises
    ------
    ClipError
        There is none, it cannot be read, or a trial of it ends badly.
    """
    if path is None:
        return _built_in()
    if not str(path).startswith("ocio://"):
        if not Path(path).is_file():
            raise ClipError(
                f"There is no OCIO configuration {path}", "correct the environment variable OCIO or the job"
            )
        _try(path)
    try:
        return _read(path)
    except _ERRORS as error:
        raise ClipError(
            f"The OCIO configuration {path} cannot be read ({_first_line(error)})",
            "use another configuration, or one that Blender ships",
        ) from error


def space_of(config: PyOpenColorIO.Config, name: str, path: str | Path | None) -> PyOpenColorIO.ColorSpace:
    """A color space of the configuration at a path; a ClipError with similar names if there is none."""
    space = config.getColorSpace(readable(name))
    if space is None:
        near = difflib.get_close_matches(name, _names(config), n=3, cutoff=0.4)
        other = ", or a configuration that has it" if path is None else ""
        raise ClipError(
            f"The color space {name} is not in the OCIO configuration {path or 'that OCIO has built in'}",
            f"choose another, such as {', '.join(near or _names(config)[:3])}{other}",
        )
    return space


def processor(colorspace: str, path: str | Path | None, targets: tuple[str, ...]) -> PyOpenColorIO.CPUProcessor:
    """The conversion from a color space to the first of some `targets` that the configuration at a path has.

    Raises
    ------
    ClipError
        As `load`; it has no such space, a table is not a file, or it cannot convert.
    """
    config = load(path)
    space_of(config, colorspace, path)
    if path is not None and not str(path).startswith("ocio://"):
        _try(path, colorspace, targets)
    try:
        return _processor_to(config, colorspace, targets).getDefaultCPUProcessor()
    except _ERRORS as error:
        raise ClipError(
            f"The OCIO configuration {path or 'that OCIO has built in'} cannot convert {colorspace} to sRGB "
            f"({_first_line(error)})",
            "choose another color space for the clip or another configuration",
        ) from error


def _read(path: str | Path) -> PyOpenColorIO.Config:
    return PyOpenColorIO.Config.CreateFromFile(os.fsencode(path))  # its bindings encode text strictly


def _tables(config: PyOpenColorIO.Config) -> Iterator[Path]:
    """The files with tables of a configuration, as far as they can be found."""
    spaces = config.getColorSpaces(PyOpenColorIO.SEARCH_REFERENCE_SPACE_ALL, PyOpenColorIO.COLORSPACE_ALL)
    ways = (PyOpenColorIO.COLORSPACE_DIR_TO_REFERENCE, PyOpenColorIO.COLORSPACE_DIR_FROM_REFERENCE)
    waiting = [space.getTransform(way) for space in spaces for way in ways]
    ways = (PyOpenColorIO.VIEWTRANSFORM_DIR_TO_REFERENCE, PyOpenColorIO.VIEWTRANSFORM_DIR_FROM_REFERENCE)
    waiting += [view.getTransform(way) for view in config.getViewTransforms() for way in ways]
    ways = (PyOpenColorIO.TRANSFORM_DIR_FORWARD, PyOpenColorIO.TRANSFORM_DIR_INVERSE)
    named = config.getNamedTransforms(PyOpenColorIO.NAMEDTRANSFORM_ALL)
    waiting += [each.getTransform(way) for each in named for way in ways]
    for look in config.getLooks():
        waiting += [look.getTransform(), look.getInverseTransform()]
    while waiting:
        transform = waiting.pop()
        if isinstance(transform, PyOpenColorIO.GroupTransform):
            waiting.extend(transform)
        elif isinstance(transform, PyOpenColorIO.FileTransform):
            with contextlib.suppress(*_ERRORS):  # it is missing, which is told where it is needed
                yield Path(config.getCurrentContext().resolveFileLocation(transform.getSrc()))


def _processor_to(config: PyOpenColorIO.Config, colorspace: str, targets: tuple[str, ...]) -> PyOpenColorIO.Processor:
    for name in targets:
        if config.getColorSpace(name) is not None:
            return config.getProcessor(colorspace, name)
    # A configuration that has other names for it: OCIO finds the way through its own built-in configuration.
    return PyOpenColorIO.Config.GetProcessorToBuiltinColorSpace(config, colorspace, targets[1])


def _try(path: str | Path, colorspace: str = "", targets: tuple[str, ...] = ()) -> None:
    """Reject (ClipError) a configuration that a child process cannot read, or that does not convert a color space."""
    facts = Path(path).stat()
    _tried(os.fspath(path), (facts.st_mtime_ns, facts.st_size), colorspace, targets)


@functools.lru_cache
def _tried(path: str, _facts: tuple[int, int], colorspace: str, targets: tuple[str, ...]) -> None:
    command = [sys.executable, "-I", "-B", __file__, json.dumps([path, colorspace, targets])]
    most, until = _SHARE * free_bytes(), time.monotonic() + _PATIENCE
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            while (code := child.poll()) is None and time.monotonic() < until:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_POLL)
                with contextlib.suppress(psutil.Error):  # it has just ended
                    if psutil.Process(child.pid).memory_info().rss > most:
                        code = _NO_MEMORY
                        break
        finally:
            child.kill()
        if code == 0:
            return
        if code == _NO_FILE and child.stdout is not None:
            table = json.load(child.stdout)
            raise ClipError(
                f"The OCIO configuration {path} takes {table} for a table of colors, which is no file",
                "correct it, or use another configuration",
            )
    if code == _NO_MEMORY:
        how = "takes more memory for it than is free"
    elif code is None:
        how = f"was not done with it after {_PATIENCE:.0f} seconds"
    else:
        how = f"{exit_codes.ending(code)[0]} over it"
    raise ClipError(
        f"The OCIO configuration {path} cannot be used: OCIO {how}",
        "use another configuration, or one that Blender ships",
    )


def _child(task: str) -> int:
    path, colorspace, targets = json.loads(task)
    try:
        with contextlib.suppress(*_ERRORS):  # those are told by who asks
            config = _read(path)
            for file in _tables(config) if colorspace else ():
                if file.exists() and not file.is_file():  # OCIO would wait for ever for what a pipe or a device says
                    print(json.dumps(str(file)))
                    return _NO_FILE
            if colorspace:
                _processor_to(config, colorspace, targets).getDefaultCPUProcessor()
    except MemoryError:
        return _NO_MEMORY
    return 0


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
    return first_line(error.object.decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else error)


if __name__ == "__main__":
    end_with_parent(sys.stdin.buffer)
    raise SystemExit(_child(sys.argv[1]))
