"""The camera of a shot, as both processes exchange it. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from .hints import setting
from .numbering import Frame
from .records import Bounds

Pixels = Annotated[int, Bounds(1, 1 << 16)]
"""Length of one side of an image."""
_Entry = Annotated[float, Bounds(-1e12, 1e12)]
_Number = Annotated[float, Bounds(-1e9, 1e9)]
_Row = tuple[_Entry, _Entry, _Entry, _Entry]
Matrix4 = tuple[_Row, _Row, _Row, _Row]
SENSOR_WIDTH = 36.0
"""Sensor width in millimetres that a focal length refers to unless another is set."""
_FOCAL_LENGTH = re.compile(r"([0-9]{0,18}\.?[0-9]{1,18})\s*(px|mm)?")
_ROTATION_OFF = 0.01
"""How far a rotation times its transpose may differ from the identity, per entry."""


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Position and orientation of the camera at one frame.

    Attributes
    ----------
    frame : int
        Source frame, in Blender's numbering.
    camera_to_world : 4x4 floats, row by row
        OpenCV axes (x right, y down, z into the scene); the unit of length is the camera path's own.
    """

    frame: Frame
    camera_to_world: Matrix4

    def problems(self) -> Iterator[str]:
        """Why this is not a valid pose; `records` asks."""
        (a, b, c), last = (row[:3] for row in self.camera_to_world[:3]), self.camera_to_world[3]
        products = ((1, a, a), (1, b, b), (1, c, c), (0, a, b), (0, b, c), (0, c, a), (1, _cross(a, b), c))
        rotates = all(abs(sum(x * y for x, y in zip(u, v)) - wanted) < _ROTATION_OFF for wanted, u, v in products)
        if not rotates or any(abs(x - y) > 1e-6 for x, y in zip(last, (0, 0, 0, 1))):
            yield "has a camera_to_world that is not a rotation and a translation with the last row 0, 0, 0, 1"


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Intrinsics and path of the camera that filmed a shot.

    Attributes
    ----------
    width, height : int
        Image size in pixels that the intrinsics refer to: the displayed plate's.
    focal_length : float
        In pixels, the same along both axes.
    principal_point : (float, float)
        In pixels from the centre of the top left pixel, as in OpenCV: the centre of the image is
        ``((width - 1) / 2, (height - 1) / 2)``.
    distortion : (float, float)
        Radial coefficients k1, k2 of OpenCV's model on normalised coordinates: a ray ``(x, y, 1)`` projects to
        ``focal_length * (x, y) * (1 + k1 r^2 + k2 r^4) + principal_point``.
    poses : tuple of Pose
        In frame order; empty if only the intrinsics are known.
    """

    width: Pixels
    height: Pixels
    focal_length: Annotated[float, Bounds(1e-3, 1e9)]
    principal_point: tuple[_Number, _Number]
    distortion: tuple[_Number, _Number] = (0.0, 0.0)
    poses: tuple[Pose, ...] = ()

    @classmethod
    def from_lens(cls, focal_length: float, sensor_width: float, *, width: int, height: int) -> Camera:
        """A camera known by its focal length and sensor width alone, both in millimetres."""
        middle = ((width - 1) / 2, (height - 1) / 2)
        return cls(width=width, height=height, focal_length=focal_length / sensor_width * width, principal_point=middle)

    def problems(self) -> Iterator[str]:
        """Why this is not a valid camera; `records` asks."""
        for before, after in zip(self.poses, self.poses[1:]):
            if after.frame <= before.frame:
                yield f"has poses that are not in frame order: {after.frame} follows {before.frame}"

    def scaled(self, width: int, height: int) -> Camera:
        """The same camera with its intrinsics for another image size.

        Pixels may become slightly non-square if rounding changes the aspect ratio; the focal length then follows
        the width, as Blender's horizontal sensor fit does.
        """
        sx, sy = width / self.width, height / self.height
        cx, cy = self.principal_point
        return replace(
            self,
            width=width,
            height=height,
            focal_length=self.focal_length * sx,
            principal_point=((cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5),
        )


def parse_lens(focal_length: str, sensor_width: float | None, *, width: int) -> tuple[float, float]:
    """Focal length and sensor width in millimetres from the values of command-line options.

    Parameters
    ----------
    focal_length : str
        In millimetres (``35`` or ``35mm``), or in pixels of the plate (``850px``).
    sensor_width : float or None
        In millimetres; None: `SENSOR_WIDTH`.
    width : int
        Of the plate, in pixels.

    Raises
    ------
    ValueError
        One sentence: a value is not valid, or the two cannot be combined.

    >>> parse_lens("35", None, width=1920), parse_lens("960px", None, width=1920)
    ((35.0, 36.0), (18.0, 36.0))
    """
    match = _FOCAL_LENGTH.fullmatch(focal_length.strip())
    if not match or not float(match[1]) > 0:
        raise ValueError(
            f"{setting('focal_length')} must be in millimetres (35) or pixels of the plate (850px), not "
            f"'{focal_length}'."
        )
    if sensor_width is not None and not 0 < sensor_width < math.inf:
        raise ValueError(f"{setting('sensor_width')} must be more than 0 millimetres, not {sensor_width:g}.")
    if match[2] != "px":
        return float(match[1]), sensor_width or SENSOR_WIDTH
    if sensor_width is not None:
        raise ValueError(f"{setting('sensor_width')} is for a {setting('focal_length')} in millimetres.")
    return float(match[1]) / width * SENSOR_WIDTH, SENSOR_WIDTH


def _cross(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
