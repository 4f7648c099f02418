"""The cameras of a shot's frames, and the sparse points triangulated from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.files import save_arrays
from ...contract.camera import Camera, Pose


@dataclass(frozen=True, kw_only=True)
class Views:
    """Pinhole cameras of all frames and the static points between them.

    Attributes
    ----------
    width, height : int
        Size in pixels of the images that the numbers refer to.
    focal : float
        In pixels.
    centre : float64 [2]
        Principal point, pixel centres at integers.
    distortion : float64 [2]
        k1, k2 as in `Camera`. Everything else here is undistorted: images and points are undistorted first.
    world_to_camera : float64 [N, 3, 4]
        OpenCV axes.
    points : float64 [P, 3]
    seen : int32 [M, 2]
        (frame, point), sorted by frame: where a point was tracked.
    lens_guessed : bool
        The focal length is that of usual lenses, since the tracks hardly determine it.
    """

    width: int
    height: int
    focal: float
    centre: NDArray[np.float64]
    distortion: NDArray[np.float64]
    world_to_camera: NDArray[np.float64]
    points: NDArray[np.float64]
    seen: NDArray[np.int32]
    lens_guessed: bool = False

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.world_to_camera)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The calibration matrix [3, 3]."""
        return np.array([[self.focal, 0, self.centre[0]], [0, self.focal, self.centre[1]], [0, 0, 1.0]])

    @property
    def positions(self) -> NDArray[np.float64]:
        """Camera centres [N, 3] in the world."""
        rotation, shift = self.world_to_camera[:, :, :3], self.world_to_camera[:, :, 3]
        return -np.einsum("nji,nj->ni", rotation, shift)

    def relative(self, source: int, target: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotation [3, 3] and shift [3] that take camera coordinates at `source` to those at `target`."""
        a, b = self.world_to_camera[source], self.world_to_camera[target]
        rotation = b[:, :3] @ a[:, :3].T
        return rotation, b[:, 3] - rotation @ a[:, 3]

    def sparse(self, frame: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Points tracked in a frame: their indices [K] and their positions [K, 3] in its camera coordinates."""
        first, last = np.searchsorted(self.seen[:, 0], [frame, frame + 1])
        chosen = self.seen[first:last, 1].astype(np.intp)
        pose = self.world_to_camera[frame]
        return chosen, self.points[chosen] @ pose[:, :3].T + pose[:, 3]

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels [K, 2] of points [K, 3] in camera coordinates."""
        return self.focal * points[:, :2] / points[:, 2:] + self.centre

    def resized(self, width: int, height: int) -> Views:
        """The same cameras for images of another size."""
        camera = Camera(
            width=self.width,
            height=self.height,
            focal_length=self.focal,
            principal_point=(float(self.centre[0]), float(self.centre[1])),
        ).scaled(width, height)
        return replace(
            self, width=width, height=height, focal=camera.focal_length, centre=np.array(camera.principal_point)
        )

    def with_points(self, points: NDArray[np.float64], seen: NDArray[np.int32]) -> Views:
        """The same cameras with other points."""
        return replace(self, points=points, seen=seen)

    def scaled(self, factor: float) -> Views:
        """The same scene in another unit: all lengths times `factor`."""
        poses = self.world_to_camera.copy()
        poses[:, :, 3] *= factor
        return replace(self, world_to_camera=poses, points=self.points * factor)

    def camera(self, numbers: Sequence[int]) -> Camera:
        """As the contract's `Camera`; `numbers` are the frames' source numbers."""
        poses = []
        for number, pose in zip(numbers, self.world_to_camera, strict=True):
            inverse = np.eye(4)
            inverse[:3, :3] = pose[:, :3].T
            inverse[:3, 3] = -pose[:, :3].T @ pose[:, 3]
            rows = tuple(tuple(float(v) for v in row) for row in inverse)
            poses.append(Pose(frame=number, camera_to_world=rows))  # type: ignore[arg-type]
        return Camera(
            width=self.width,
            height=self.height,
            focal_length=float(self.focal),
            principal_point=(float(self.centre[0]), float(self.centre[1])),
            distortion=(float(self.distortion[0]), float(self.distortion[1])),
            poses=tuple(poses),
        )

    def save(self, path: Path) -> None:
        """Write to a file in one step."""
        save_arrays(path, **{f.name: np.asarray(getattr(self, f.name)) for f in fields(self)})


def load_views(path: Path) -> Views:
    """Read what `Views.save` wrote."""
    with np.load(path) as data:
        values = {f.name: data[f.name] for f in fields(Views)}
    plain = {"width": int, "height": int, "focal": float, "lens_guessed": bool}
    return Views(**values | {name: kind(values[name]) for name, kind in plain.items()})


def undistort(
    xy: NDArray[np.floating], *, focal: float, centre: NDArray[np.float64], distortion: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Pixels [K, 2] of the undistorted pinhole image for pixels of the distorted one."""
    if not np.any(distortion) or not len(xy):
        return np.asarray(xy, np.float32)
    matrix = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]])
    coefficients = np.array([distortion[0], distortion[1], 0, 0])
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)
    undistorted = cv2.undistortPointsIter(
        np.asarray(xy, np.float64).reshape(-1, 1, 2), matrix, coefficients, None, matrix, criteria
    )
    return undistorted.reshape(-1, 2).astype(np.float32)


def distort(
    xy: NDArray[np.floating], *, focal: float, centre: NDArray[np.float64], distortion: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pixels [..., 2] of the distorted image for pixels of the undistorted one (the model of `Camera`)."""
    ray = (np.asarray(xy, np.float64) - centre) / focal
    square = np.sum(ray**2, axis=-1, keepdims=True)
    return focal * ray * (1 + distortion[0] * square + distortion[1] * square**2) + centre


def distorted(small: NDArray[np.float32], views: Views) -> NDArray[np.float32]:
    """A depth map [H, W] of the undistorted image, resampled to the distorted one."""
    if not np.any(views.distortion):
        return small
    y, x = np.mgrid[: views.height, : views.width]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    at = undistort(pixels, focal=views.focal, centre=views.centre, distortion=views.distortion)
    at = at.reshape(views.height, views.width, 2)
    return cv2.remap(small, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
