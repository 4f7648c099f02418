"""The camera of a shot as both processes know it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace

Matrix4 = tuple[
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where the camera stands at one frame.

    Attributes
    ----------
    frame : int
        Source frame, in Blender's numbering.
    camera_to_world : 4x4 floats, row by row
        OpenCV axes (x right, y down, z into the scene); the unit of length is the camera path's own.
    """

    frame: int
    camera_to_world: Matrix4


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Intrinsics and path of the camera that filmed a shot.

    Attributes
    ----------
    width, height : int
        Size in pixels that the other numbers refer to: the displayed plate's.
    focal_length : float
        In pixels, the same along both axes.
    principal_point : (float, float)
        In pixels from the centre of the top left pixel, as OpenCV counts: the middle of the picture is
        ``((width - 1) / 2, (height - 1) / 2)``.
    distortion : (float, float)
        Radial coefficients k1, k2 of OpenCV's model on normalised coordinates: a ray ``(x, y, 1)`` falls on
        ``focal_length * (x, y) * (1 + k1 r^2 + k2 r^4) + principal_point``.
    poses : tuple of Pose
        In order of frame; empty where only the intrinsics are known.
    """

    width: int
    height: int
    focal_length: float
    principal_point: tuple[float, float]
    distortion: tuple[float, float] = (0.0, 0.0)
    poses: tuple[Pose, ...] = ()

    def scaled(self, width: int, height: int) -> Camera:
        """The same camera, its numbers referring to a picture of another size.

        Pixels may become slightly non-square where the aspect changes by rounding; the focal length then follows
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
