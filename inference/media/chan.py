"""Cameras as .chan files, which Nuke, Houdini and others read: a line of text a frame.

A line has the frame, the position, the rotation about x, y and z in degrees, and the vertical field of view in degrees.
Cameras look along -z with y up. Rotations are applied in the order ZXY (the matrix is Ry Rx Rz), which is what Nuke's
cameras have unless somebody changes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def text(frames: Sequence[int], camera_to_world: ArrayLike, fields_of_view: Sequence[float]) -> str:
    """The contents of a file.

    Parameters
    ----------
    frames : sequence of int
    camera_to_world : [N, 4, 4]
        Rotations and translations; cameras look along -z with y up.
    fields_of_view : sequence of float
        Vertical ones, in degrees.
    """
    matrices = np.asarray(camera_to_world, np.float64)
    turns = rotations(matrices[:, :3, :3])
    lines = (
        " ".join([f"{frame:d}", *(f"{value:.9g}" for value in (*matrix[:3, 3], *turn, field))])
        for frame, matrix, turn, field in zip(frames, matrices, turns, fields_of_view, strict=True)
    )
    return "".join(f"{line}\n" for line in lines)


def rotations(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles [N, 3] about x, y and z in degrees of rotations [N, 3, 3], without jumps from frame to frame."""
    from scipy.spatial.transform import Rotation  # takes a while to import, and few commands need it

    y, x, z = Rotation.from_matrix(matrices).as_euler("YXZ", degrees=True).T
    return np.unwrap(np.stack([x, y, z], axis=-1), period=360, axis=0)


def vertical_field(focal_length: float, height: int) -> float:
    """The vertical field of view in degrees of a focal length in pixels."""
    return math.degrees(2 * math.atan(height / (2 * focal_length)))
