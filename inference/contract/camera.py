"""The camera of a shot, as both processes exchange it. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from .hints import setting
from .numbering import Frame
from .records import Bounds, Word

Pixels = Annotated[int, Bounds(1, 1 << 16)]
"""Length of one side of an image."""
_Entry = Annotated[float, Bounds(-1e12, 1e12)]
_Number = Annotated[float, Bounds(-1e9, 1e9)]
_FocalLength = Annotated[float, Bounds(1e-3, 1e9)]
_Row = tuple[_Entry, _Entry, _Entry, _Entry]
Matrix4 = tuple[_Row, _Row, _Row, _Row]
DistortionModel = Literal["polynomial", "division", "nuke", "brown"]
MOST_COEFFICIENTS = {"polynomial": 3, "division": 2, "nuke": 4, "brown": 6}
"""Of each distortion model; those that are left out are 0."""
SENSOR_WIDTH = 36.0
"""Sensor width in millimeters that a focal length refers to unless another is set."""
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
    focal_length, principal_point : float, (float, float) or None
        At this frame, in the units of the camera's, of a lens that zooms or shifts; None: the camera's.
    """

    frame: Frame
    camera_to_world: Matrix4
    focal_length: _FocalLength | None = None
    principal_point: tuple[_Number, _Number] | None = None

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
        In pixels, along the width; see `pixel_aspect`.
    principal_point : (float, float)
        In pixels from the center of the top left pixel, as in OpenCV: the center of the image is
        ``((width - 1) / 2, (height - 1) / 2)``.
    distortion : tuple of float
        Coefficients of `distortion_model`; all 0: none.
    poses : tuple of Pose
        In frame order; empty if only the intrinsics are known.
    distortion_model : str
        Model of the lens, by Blender's names; `distortion` computes them. Undistorted ``(x, y)`` and distorted
        ``(x', y')`` coordinates are normalized: a pixel less the principal point, over the focal length;
        r^2 = x^2 + y^2.

        - ``polynomial``: k1, k2, k3; ``(x', y') = (x, y) (1 + k1 r^2 + k2 r^4 + k3 r^6)``, as OpenCV's radial model;
        - ``division``: k1, k2; ``(x', y') = (x, y) / (1 + k1 r^2 + k2 r^4)``;
        - ``nuke``: k1, k2, p1, p2; ``(x, y) = (x', y') / (1 + k1 r'^2 + k2 r'^4)``, normalized by half the longer side
          of the image (in square pixels) instead of the focal length, and with ``+ p1 y'^2`` in the divisor of x,
          ``+ p2 x'^2`` in that of y;
        - ``brown``: k1, k2, k3, k4, p1, p2; ``x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8) + 2 p1 x y +
          p2 (r^2 + 2 x^2)``, and ``+ p1 (r^2 + 2 y^2) + 2 p2 x y`` in y', as OpenCV's.
    pixel_aspect : float
        Width of a pixel over its height: the focal length along the height, in pixels, is ``focal_length`` times this.
    origin : str
        What the poses are of, for people and for finding it again, such as ``CAMERA Camera`` or a file's name.
    """

    width: Pixels
    height: Pixels
    focal_length: _FocalLength
    principal_point: tuple[_Number, _Number]
    distortion: tuple[_Number, ...] = (0.0, 0.0)
    poses: tuple[Pose, ...] = ()
    distortion_model: DistortionModel = "polynomial"
    pixel_aspect: Annotated[float, Bounds(0.01, 100)] = 1.0
    origin: Word = ""

    @classmethod
    def from_lens(cls, focal_length: float, sensor_width: float, *, width: int, height: int) -> Camera:
        """A camera known by its focal length and sensor width alone, both in millimeters."""
        middle = ((width - 1) / 2, (height - 1) / 2)
        return cls(width=width, height=height, focal_length=focal_length / sensor_width * width, principal_point=middle)

    def problems(self) -> Iterator[str]:
        """Why this is not a valid camera; `records` asks."""
        most = MOST_COEFFICIENTS[self.distortion_model]
        if len(self.distortion) > most:
            given = len(self.distortion)
            yield f"has {given} distortion coefficients, and the {self.distortion_model} model has {most}"
        for before, after in zip(self.poses, self.poses[1:]):
            if after.frame <= before.frame:
                yield f"has poses that are not in frame order: {after.frame} follows {before.frame}"

    def intrinsics(self, pose: Pose | None = None) -> tuple[float, float, float, float]:
        """Focal lengths along width and height, and the principal point, in pixels; at a pose's frame."""
        focal = self.focal_length if pose is None or pose.focal_length is None else pose.focal_length
        point = self.principal_point if pose is None or pose.principal_point is None else pose.principal_point
        return focal, focal * self.pixel_aspect, *point

    @property
    def half_side(self) -> float:
        """Half the longer side of the image in pixels along the width: the unit of the ``nuke`` model."""
        return max(self.width, self.height / self.pixel_aspect) / 2

    def scaled(self, width: int, height: int) -> Camera:
        """The same camera with its intrinsics for another image size.

        Pixels may become slightly non-square if rounding changes the aspect ratio; the focal length then follows
        the width, as Blender's horizontal sensor fit does.
        """
        sx, sy = width / self.width, height / self.height

        def placed(point: tuple[float, float]) -> tuple[float, float]:
            return (point[0] + 0.5) * sx - 0.5, (point[1] + 0.5) * sy - 0.5

        def scaled(pose: Pose) -> Pose:
            if pose.focal_length is None and pose.principal_point is None:
                return pose
            return replace(
                pose,
                focal_length=None if pose.focal_length is None else pose.focal_length * sx,
                principal_point=None if pose.principal_point is None else placed(pose.principal_point),
            )

        return replace(
            self,
            width=width,
            height=height,
            focal_length=self.focal_length * sx,
            principal_point=placed(self.principal_point),
            poses=tuple(map(scaled, self.poses)),
        )


def parse_lens(focal_length: str, sensor_width: float | None, *, width: int) -> tuple[float, float]:
    """Focal length and sensor width in millimeters from the values of command-line options.

    Parameters
    ----------
    focal_length : str
        In millimeters (``35`` or ``35mm``), or in pixels of the plate (``850px``).
    sensor_width : float or None
        In millimeters; None: `SENSOR_WIDTH`.
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
            f"{setting('focal_length')} must be in millimeters (35) or pixels of the plate (850px), not "
            f"'{focal_length}'."
        )
    if sensor_width is not None and not 0 < sensor_width < math.inf:
        raise ValueError(f"{setting('sensor_width')} must be more than 0 millimeters, not {sensor_width:g}.")
    if match[2] != "px":
        return float(match[1]), sensor_width or SENSOR_WIDTH
    if sensor_width is not None:
        raise ValueError(f"{setting('sensor_width')} is for a {setting('focal_length')} in millimeters.")
    return float(match[1]) / width * SENSOR_WIDTH, SENSOR_WIDTH


def _cross(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
