"""The cameras of a shot's frames, and the sparse points triangulated from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import UnsupportedShot
from ...common.files import load_arrays, save_arrays
from ...contract import distortion as lens_models
from ...contract.camera import Camera, DistortionModel, Pose
from ...contract.hints import setting

_WIDEST = 0.4  # least focal length of undistorted images, of the filmed ones': below, their middle has too few pixels
_UNDONE = 0.01  # of a normalized coordinate: largest error of distorting again what was undistorted
_BORDER = 33  # points along each side of an image at which its distortion is looked at


@dataclass(frozen=True, kw_only=True)
class Filmed:
    """The lens of an input camera: what takes its filmed images to the undistorted ones of `Views`, and back.

    The undistorted image of a frame is that of a pinhole camera with the same principal point, whose focal length is
    the frame's own times `shrinks`, so that all of the filmed image is in it.

    Attributes
    ----------
    intrinsics : float64 [N, 4]
        Focal lengths along width and height, and principal point, of each frame, in the pixels of the views.
    model : str
    coefficients : float64 [K]
        As in `Camera`.
    half_side : float
        As of `Camera`, in the pixels of the views.
    shrinks : float
        At most 1.
    """

    intrinsics: NDArray[np.float64]
    model: DistortionModel
    coefficients: NDArray[np.float64]
    half_side: float
    shrinks: float = 1.0

    @property
    def bends(self) -> bool:
        """Whether there is any distortion."""
        return bool(np.any(self.coefficients))

    @property
    def is_constant(self) -> bool:
        """Whether all frames have the same intrinsics."""
        return bool(np.all(self.intrinsics == self.intrinsics[:1]))

    def straight(self, xy: NDArray[np.floating], frames: NDArray[np.integer] | int) -> NDArray[np.float64]:
        """Pixels [..., 2] of undistorted images for those of the filmed ones, of a frame or of frames [...]."""
        scale, center, unit = self._of(frames)
        ray = (np.asarray(xy, np.float64) - center) / scale
        if self.bends:
            ray = np.stack(lens_models.undistort(self.model, self._k, ray[..., 0], ray[..., 1], unit=unit), axis=-1)
        return ray * scale * self.shrinks + center

    def bent(self, xy: NDArray[np.floating], frames: NDArray[np.integer] | int) -> NDArray[np.float64]:
        """Pixels [..., 2] of filmed images for those of the undistorted ones; as `straight`."""
        scale, center, unit = self._of(frames)
        ray = (np.asarray(xy, np.float64) - center) / (scale * self.shrinks)
        if self.bends:
            ray = np.stack(lens_models.distort(self.model, self._k, ray[..., 0], ray[..., 1], unit=unit), axis=-1)
        return ray * scale + center

    def resized(self, across: float, down: float) -> Filmed:
        """The same lens for images whose sides are so many times as long."""
        factors = np.array([across, down, across, down])
        half = np.array([0, 0, 0.5, 0.5])
        moved = (self.intrinsics + half) * factors - half
        return replace(self, intrinsics=moved, half_side=self.half_side * across)

    @property
    def _k(self) -> list[float]:
        return [float(value) for value in self.coefficients]

    def _of(self, frames: NDArray[np.integer] | int) -> tuple[NDArray, NDArray, Any]:
        """Focal lengths [..., 2], principal points [..., 2], and half the longer side over the focal length."""
        own = self.intrinsics[frames]
        return own[..., :2], own[..., 2:], self.half_side / own[..., 0]


@dataclass(frozen=True, kw_only=True)
class Views:
    """Pinhole cameras of all frames and the static points between them.

    Attributes
    ----------
    width, height : int
        Size in pixels of the images that the numbers refer to.
    focal : float
        In pixels.
    center : float64 [2]
        Principal point, pixel centers at integers.
    distortion : float64 [2]
        k1, k2 of the ``polynomial`` model in `Camera`, without `filmed`. Everything else here is undistorted: images
        and points are undistorted first.
    world_to_camera : float64 [N, 3, 4]
        OpenCV axes. Where frames have intrinsics of their own (`filmed`), what makes those of `focal` and `center` is
        in here: ``K^-1 K_i [R | t]``. Its third row, and so all depth, is that of ``[R | t]``, and whatever projects
        by `matrix` gets the frame's own pixels; but its first three columns are then no rotation.
    points : float64 [P, 3]
    seen : int32 [M, 2]
        (frame, point), sorted by frame: where a point was tracked.
    lens_guessed : bool
        The focal length is that of usual lenses, since the tracks hardly determine it.
    filmed : Filmed or None
        The lens of an input camera's path; None: `focal`, `center` and `distortion`, for all frames.
    """

    width: int
    height: int
    focal: float
    center: NDArray[np.float64]
    distortion: NDArray[np.float64]
    world_to_camera: NDArray[np.float64]
    points: NDArray[np.float64]
    seen: NDArray[np.int32]
    lens_guessed: bool = False
    filmed: Filmed | None = None

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.world_to_camera)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The calibration matrix [3, 3]."""
        return np.array([[self.focal, 0, self.center[0]], [0, self.focal, self.center[1]], [0, 0, 1.0]])

    @property
    def bends(self) -> bool:
        """Whether filmed images differ from undistorted ones."""
        return self.filmed.bends if self.filmed is not None else bool(np.any(self.distortion))

    @property
    def to_world(self) -> NDArray[np.float64]:
        """What takes camera coordinates to the world's axes [N, 3, 3]."""
        linear = self.world_to_camera[:, :, :3]
        return linear.transpose(0, 2, 1) if self.filmed is None else np.asarray(np.linalg.inv(linear), np.float64)

    @property
    def positions(self) -> NDArray[np.float64]:
        """Camera centers [N, 3] in the world."""
        return -np.einsum("nij,nj->ni", self.to_world, self.world_to_camera[:, :, 3])

    def relative(self, source: int, target: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotation [3, 3] and shift [3] that take camera coordinates at `source` to those at `target`.

        Between frames with intrinsics of their own it is no rotation, see `world_to_camera`.
        """
        a, b = self.world_to_camera[source], self.world_to_camera[target]
        rotation = b[:, :3] @ (a[:, :3].T if self.filmed is None else np.linalg.inv(a[:, :3]))
        return rotation, b[:, 3] - rotation @ a[:, 3]

    def straight(self, xy: NDArray[np.floating], frames: NDArray[np.integer] | int) -> NDArray[np.float32]:
        """Pixels [K, 2] of undistorted images for those of the filmed ones, of a frame or of frames [K]."""
        if self.filmed is not None:
            return self.filmed.straight(xy, frames).astype(np.float32)
        return undistort(xy, focal=self.focal, center=self.center, distortion=self.distortion)

    def bent(self, xy: NDArray[np.floating], frame: int) -> NDArray[np.float64]:
        """Pixels [..., 2] of a frame's filmed image for those of its undistorted one."""
        if self.filmed is not None:
            return self.filmed.bent(xy, frame)
        return distort(xy, focal=self.focal, center=self.center, distortion=self.distortion)

    def sparse(self, frame: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Points tracked in a frame: their indices [K] and their positions [K, 3] in its camera coordinates."""
        first, last = np.searchsorted(self.seen[:, 0], [frame, frame + 1])
        chosen = self.seen[first:last, 1].astype(np.intp)
        pose = self.world_to_camera[frame]
        return chosen, self.points[chosen] @ pose[:, :3].T + pose[:, 3]

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels [K, 2] of points [K, 3] in camera coordinates."""
        return self.focal * points[:, :2] / points[:, 2:] + self.center

    def resized(self, width: int, height: int) -> Views:
        """The same cameras for images of another size."""
        camera = Camera(
            width=self.width,
            height=self.height,
            focal_length=self.focal,
            principal_point=(float(self.center[0]), float(self.center[1])),
        ).scaled(width, height)
        filmed = self.filmed and self.filmed.resized(width / self.width, height / self.height)
        return replace(
            self,
            width=width,
            height=height,
            focal=camera.focal_length,
            center=np.array(camera.principal_point),
            filmed=filmed,
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
            principal_point=(float(self.center[0]), float(self.center[1])),
            distortion=(float(self.distortion[0]), float(self.distortion[1])),
            poses=tuple(poses),
        )

    def save(self, path: Path) -> None:
        """Write to a file in one step."""
        own = {name: np.asarray(value) for name, value in vars(self).items() if name != "filmed"}
        lens = {} if self.filmed is None else vars(self.filmed)
        save_arrays(path, **own, **{f"filmed_{name}": np.asarray(value) for name, value in lens.items()})


def load_views(path: Path) -> Views:
    """Read what `Views.save` wrote."""
    plain: dict[str, Any] = {"width": int, "height": int, "focal": float, "lens_guessed": bool}
    lens = {"filmed_model": str, "filmed_half_side": float, "filmed_shrinks": float}
    kept = load_arrays(path)
    values: dict[str, Any] = {name: (plain | lens).get(name, np.asarray)(value) for name, value in kept.items()}
    filmed = {f.name: values.pop(f"filmed_{f.name}") for f in fields(Filmed) if f"filmed_{f.name}" in values}
    return Views(**values, filmed=Filmed(**filmed) if filmed else None)


def of_camera(camera: Camera, numbers: Sequence[int]) -> Views:
    """The views of an input camera's path, without points.

    Parameters
    ----------
    camera : Camera
        At the size of the images.
    numbers : sequence of int
        Source numbers of the frames.

    Raises
    ------
    UnsupportedShot
        A frame has no pose, or the lens's distortion cannot be undone.
    """
    poses = {pose.frame: pose for pose in camera.poses}
    missing = [number for number in numbers if number not in poses]
    if missing:
        raise UnsupportedShot(
            f"The camera has no pose for {'frame' if len(missing) == 1 else 'frames'} {_range_of(missing)}.",
            "Solve the camera there as well, or leave these frames out.",
        )
    filmed = _filmed(camera)
    matrix = np.array([[camera.focal_length, 0, camera.principal_point[0]], [0, camera.focal_length, 0], [0, 0, 1]])
    matrix[1, 2] = camera.principal_point[1]
    matrix[:2, :2] *= filmed.shrinks
    of_frame = dict(zip(poses, filmed.intrinsics, strict=True))
    own = np.array([of_frame[number] for number in numbers])
    lenses = np.zeros((len(own), 3, 3))
    lenses[:, 0, 0], lenses[:, 1, 1] = own[:, 0] * filmed.shrinks, own[:, 1] * filmed.shrinks
    lenses[:, :2, 2], lenses[:, 2, 2] = own[:, 2:], 1
    to_world = np.array([poses[number].camera_to_world for number in numbers], np.float64)
    turned = to_world[:, :3, :3].transpose(0, 2, 1)
    rigid = np.concatenate([turned, -turned @ to_world[:, :3, 3:]], axis=2)
    return Views(
        width=camera.width,
        height=camera.height,
        focal=matrix[0, 0],
        center=np.array(camera.principal_point, np.float64),
        distortion=np.zeros(2),
        world_to_camera=np.linalg.inv(matrix) @ lenses @ rigid,
        points=np.empty((0, 3)),
        seen=np.empty((0, 2), np.int32),
        filmed=replace(filmed, intrinsics=own),
    )


def _range_of(numbers: Sequence[int]) -> str:
    """The first and the last of some frames."""
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def _filmed(camera: Camera) -> Filmed:
    """The lens of a camera, with the intrinsics of each of its poses; `UnsupportedShot` where it cannot be undone."""
    lens = Filmed(
        intrinsics=np.array([camera.intrinsics(pose) for pose in camera.poses], np.float64),
        model=camera.distortion_model,
        coefficients=np.array(camera.distortion, np.float64),
        half_side=camera.half_side,
    )
    if not lens.bends:
        return lens
    x, y = (np.linspace(0, side - 1, _BORDER) for side in (camera.width, camera.height))
    ends = (np.full(_BORDER, 0.0), np.full(_BORDER, camera.width - 1.0), np.full(_BORDER, camera.height - 1.0))
    sides = [(x, ends[0]), (x, ends[2]), (ends[0], y), (ends[1], y)]
    border = np.concatenate([np.stack(side, axis=-1) for side in sides])
    shrinks = 1.0
    # the widest and the longest focal length bend the border most and least
    for frame in {int(lens.intrinsics[:, 0].argmin()), int(lens.intrinsics[:, 0].argmax())}:
        with np.errstate(all="ignore"):
            there = lens.straight(border, frame)
            missed = np.abs(lens.bent(there, frame) - border) / lens.intrinsics[frame, 0]
        center = lens.intrinsics[frame, 2:]
        keeps_order = np.all(np.sum((there - center) * (border - center), axis=-1) > 0)
        with np.errstate(all="ignore"):
            room = np.where(there > center, [camera.width - 1, camera.height - 1] - center, center) / np.abs(
                there - center
            )
        least = float(np.nanmin(room, initial=1.0))
        if not (np.all(missed < _UNDONE) and keeps_order and least >= _WIDEST):
            raise UnsupportedShot(
                "The lens distortion of the input camera cannot be undone out to the edges of the image.",
                f"Check its model and coefficients ({setting('camera')}), or undistort the plate first.",
            )
        shrinks = min(shrinks, least)
    return replace(lens, shrinks=shrinks)


def undistort(
    xy: NDArray[np.floating], *, focal: float, center: NDArray[np.float64], distortion: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Pixels [K, 2] of the undistorted pinhole image for pixels of the distorted one."""
    if not np.any(distortion) or not len(xy):
        return np.asarray(xy, np.float32)
    matrix = np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1.0]])
    coefficients = np.array([distortion[0], distortion[1], 0, 0])
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)
    undistorted = cv2.undistortPointsIter(
        np.asarray(xy, np.float64).reshape(-1, 1, 2), matrix, coefficients, None, matrix, criteria
    )
    return undistorted.reshape(-1, 2).astype(np.float32)


def distort(
    xy: NDArray[np.floating], *, focal: float, center: NDArray[np.float64], distortion: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pixels [..., 2] of the distorted image for pixels of the undistorted one (the model of `Camera`)."""
    ray = (np.asarray(xy, np.float64) - center) / focal
    square = np.sum(ray**2, axis=-1, keepdims=True)
    return focal * ray * (1 + distortion[0] * square + distortion[1] * square**2) + center


def distorted(small: NDArray[np.float32], views: Views, frame: int) -> NDArray[np.float32]:
    """A depth map [H, W] of a frame's undistorted image, resampled to the filmed one."""
    if not views.bends:
        return small
    y, x = np.mgrid[: views.height, : views.width]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    at = views.straight(pixels, frame).reshape(views.height, views.width, 2)
    return cv2.remap(small, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
