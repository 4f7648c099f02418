"""Depth maps as points in the world, and points as PLY files.

Three spaces follow each other. The camera path's own has OpenCV's axes (y down, z ahead). Turned so that z is up
(x right, y ahead) and scaled, it is the space that Blender's rig stands in; `Placement.world` leads from there into the
scene. An export with y up is that scene, turned about x.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..contract.camera import Camera, Pose
from ..contract.distortion import undistort
from ..contract.export import Placement

_TURN = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)
"""OpenCV's world (y down, z ahead) in Blender's (z up, y ahead); the same quarter takes Blender's to one with y up."""
_KEY_BITS = 21
"""Of each coordinate of a voxel in its key."""
_MOST_WAITING = 4_000_000
"""Points that are kept before they are thinned: 200 MB."""


def inverse_distance(disparity: NDArray[np.float32], placed: Placement, frame: int) -> NDArray[np.float32]:
    """1 / Z of each pixel of a frame, before the scale and within the limits.

    What is at or beyond the far limit has exactly its value. A disparity of 0 is beyond, as a sky is, and so is one
    that is no number.
    """
    known = np.isfinite(disparity) & (disparity != 0)
    farthest = np.float32(1 / placed.far_limit)
    slope, shift = placed.line_at(frame)
    inverse = np.where(known, slope * disparity + shift, farthest).astype(np.float32)
    nearest = np.float32(1 / placed.near_limit) if placed.near_limit > 0 else np.float32(np.finfo(np.float32).max)
    return np.clip(inverse, farthest, nearest)


def distance(disparity: NDArray[np.float32], placed: Placement, frame: int) -> NDArray[np.float32]:
    """Z of each pixel of a frame along the camera's axis, within the limits, in units of the export."""
    return np.float32(placed.scale) / inverse_distance(disparity, placed, frame)


def rays(camera: Camera, frame: int) -> NDArray[np.float32]:
    """The ray (x, y, 1) through the middle of each pixel [H, W, 3] of the camera's images, distortion taken off."""
    fx, fy, cx, cy = camera.intrinsics(pose_at(camera, frame))
    x, y = np.meshgrid((np.arange(camera.width) - cx) / fx, (np.arange(camera.height) - cy) / fy)
    if any(camera.distortion):
        x, y = undistort(camera.distortion_model, camera.distortion, x, y, unit=camera.half_side / fx)
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)


def pose_at(camera: Camera, frame: int) -> Pose | None:
    """The pose of a frame; None where the camera has none for it."""
    return next((pose for pose in camera.poses if pose.frame == frame), None)


def to_world(placed: Placement, up: Literal["y", "z"]) -> NDArray[np.float64]:
    """The matrix [4, 4] from the camera path's space, scaled, to that of the export."""
    world = _TURN if placed.world is None else np.asarray(placed.world, np.float64) @ _TURN
    return _TURN @ world if up == "y" else world


def pose(camera: Camera, frame: int, placed: Placement, up: Literal["y", "z"]) -> NDArray[np.float64]:
    """Camera to world [4, 4] at a frame, OpenCV's axes in the camera; one without a path stands at the origin."""
    found = pose_at(camera, frame)
    matrix = np.eye(4) if found is None else np.array(found.camera_to_world, np.float64)
    matrix[:3, 3] *= placed.scale * placed.path_scale
    return to_world(placed, up) @ matrix


def vertices(
    disparity: NDArray[np.float32],
    placed: Placement,
    frame: int,
    *,
    rays: NDArray[np.float32],
    pose: NDArray[np.float64],
    colors: NDArray[np.float32],
    confidence: NDArray[np.float32] | None = None,
    left_out: NDArray[np.bool_] | None = None,
) -> NDArray[np.void]:
    """The points of a frame, as records for `write`.

    What is at or beyond the far limit is no surface, and has none.

    Parameters
    ----------
    disparity, confidence : [H, W]
    rays : [H, W, 3]
        Of `rays`.
    pose : [4, 4]
        Of `pose`.
    colors : [H, W, 3]
        RGB, 0 to 1.
    left_out : [H, W] or None
        Pixels without a point.
    """
    inverse = inverse_distance(disparity, placed, frame)
    seen = inverse > np.float32(1 / placed.far_limit)
    if left_out is not None:
        seen &= ~left_out
    points = (rays[seen] * (placed.scale / inverse[seen].astype(np.float64))[:, None]) @ pose[:3, :3].T + pose[:3, 3]
    found = np.zeros(len(points), _record(with_confidence=confidence is not None))
    for index, name in enumerate("xyz"):
        found[name] = points[:, index]
    shown = np.round(255 * np.clip(colors[seen], 0, 1)).astype(np.uint8)
    for index, name in enumerate(("red", "green", "blue")):
        found[name] = shown[:, index]
    if confidence is not None:
        found["confidence"] = confidence[seen]
    return found


class VoxelError(ValueError):
    """Voxels are too small for how far the points spread."""


class VoxelGrid:
    """Points thinned to one in each voxel: their mean, with the mean of their colors and confidence.

    Parameters
    ----------
    voxel : float
        Side of a voxel.
    with_confidence : bool

    Memory grows with the voxels that have points, not with the frames.
    """

    def __init__(self, voxel: float, *, with_confidence: bool) -> None:
        self.voxel, self._with_confidence = voxel, with_confidence
        self._keys = np.zeros(0, np.int64)
        self._sums = np.zeros((0, 7 + with_confidence))
        self._waiting: list[NDArray[np.void]] = []
        self._origin: NDArray[np.float64] | None = None
        self._names = [*"xyz", "red", "green", "blue", *(["confidence"] if with_confidence else [])]

    def add(self, points: NDArray[np.void]) -> None:
        """Take in the points of a frame.

        Raises
        ------
        VoxelError
        """
        if not len(points):
            return
        self._waiting.append(points)
        if sum(map(len, self._waiting)) > _MOST_WAITING:
            self._thin()

    def points(self) -> NDArray[np.void]:
        """One point for each voxel, as records for `write`."""
        self._thin()
        found = np.zeros(len(self._keys), _record(with_confidence=self._with_confidence))
        means = self._sums[:, 1:] / self._sums[:, :1]
        for index, name in enumerate(self._names):
            found[name] = np.round(means[:, index]) if name in ("red", "green", "blue") else means[:, index]
        return found

    def _thin(self) -> None:
        if not self._waiting:
            return
        points = np.concatenate(self._waiting)
        self._waiting = []
        places = np.stack([points[name].astype(np.float64) for name in "xyz"], axis=-1)
        if self._origin is None:
            self._origin = places.mean(axis=0)
        cells = np.floor((places - self._origin) / self.voxel)
        half = 1 << (_KEY_BITS - 1)
        if np.abs(cells).max() >= half:
            raise VoxelError("voxels are too small for how far the points spread")
        whole = cells.astype(np.int64) + half
        keys = (whole[:, 0] << (2 * _KEY_BITS)) | (whole[:, 1] << _KEY_BITS) | whole[:, 2]
        values = np.stack([np.ones(len(points)), *(points[name].astype(np.float64) for name in self._names)], axis=-1)
        keys, values = np.concatenate([self._keys, keys]), np.concatenate([self._sums, values])
        self._keys, inverse = np.unique(keys, return_inverse=True)
        self._sums = np.stack([np.bincount(inverse, column, len(self._keys)) for column in values.T], axis=-1)


def write(path: Path, points: NDArray[np.void], comments: tuple[str, ...] = ()) -> None:
    """Write points as a binary PLY file, in place; `comments` are lines of ASCII for its header."""
    kinds = {np.dtype("<f4"): "float", np.dtype("u1"): "uchar"}
    names = points.dtype.names or ()
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {line.encode('ascii', 'replace').decode()}" for line in comments),
        f"element vertex {len(points)}",
        *(f"property {kinds[points.dtype[name]]} {name}" for name in names),
        "end_header",
    ]
    with open(path, "wb") as file:
        file.write("".join(f"{line}\n" for line in header).encode("ascii"))
        file.write(points.tobytes())


def _record(*, with_confidence: bool) -> np.dtype[np.void]:
    colors = [(name, "u1") for name in ("red", "green", "blue")]
    return np.dtype(
        [*((name, "<f4") for name in "xyz"), *colors, *([("confidence", "<f4")] if with_confidence else [])]
    )
