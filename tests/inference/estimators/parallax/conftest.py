"""A small scene with known depth, seen by any camera: a floor, a back wall and two boxes, textured by smooth noise."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.common.failures import Cancelled
from inference.contract.camera import Camera, Pose
from inference.contract.distortion import undistort
from inference.estimators.base import Shot

WIDTH, HEIGHT, FOCAL = 192, 144, 170.0
COUNT = 16


@pytest.fixture(scope="session", autouse=True)
def compiled_code(tmp_path_factory):
    """Machine code goes to a folder of the test's own, unless the developer keeps one."""
    os.environ.setdefault("FATHOM_HOME", str(tmp_path_factory.mktemp("home")))


def noise(seed):
    """An image [512, 512, 3] of noise at several scales, 0..255."""
    generator = np.random.default_rng(seed)
    total = np.zeros((512, 512, 3), np.float32)
    for size, weight in ((8, 1.0), (32, 1.0), (128, 1.0), (512, 0.5)):
        total += weight * cv2.resize(
            generator.standard_normal((size, size, 3)).astype(np.float32), (512, 512), interpolation=cv2.INTER_CUBIC
        )
    return np.clip(128 + 45 * total, 0, 255)


TEXTURES = [noise(seed) for seed in range(4)]
# (axis, position on it, limits on the other two axes), world axes as OpenCV's: x right, y down, z forth
WALLS = [
    (1, 1.2, ((-20, 20), (0.1, 9.0))),  # floor
    (2, 9.0, ((-20, 20), (-8, 1.2))),  # back wall
    (2, 4.0, ((-1.6, -0.4), (-0.2, 1.2))),  # left box
    (2, 5.5, ((0.6, 2.0), (-0.9, 1.2))),  # right box
]
OTHER = {0: (1, 2), 1: (0, 2), 2: (0, 1)}


def look(pose, *, focal=FOCAL, width=WIDTH, height=HEIGHT, texture_scale=60.0, distortion=(0.0, 0.0), lens=None):
    """What a camera [4, 4] camera-to-world sees: RGB uint8 [H, W, 3] and Z float64 [H, W].

    `lens` is a camera with another lens and size than the rest of the arguments say.
    """
    fine = 2
    y, x = np.mgrid[: height * fine, : width * fine]
    ray = np.stack([(x + 0.5) / fine - 0.5, (y + 0.5) / fine - 0.5], axis=-1)
    own = (focal, focal, (width - 1) / 2, (height - 1) / 2) if lens is None else lens.intrinsics()
    ray = (ray - own[2:]) / own[:2]
    if lens is not None:
        unit = lens.half_side / own[0]
        ray = np.stack(undistort(lens.distortion_model, lens.distortion, ray[..., 0], ray[..., 1], unit=unit), axis=-1)
    straight = ray.copy()
    for _ in range(20 if any(distortion) else 0):
        square = np.sum(straight**2, axis=-1, keepdims=True)
        straight = ray / (1 + distortion[0] * square + distortion[1] * square**2)
    local = np.concatenate([straight, np.ones((*straight.shape[:2], 1))], axis=-1)
    world = local @ pose[:3, :3].T
    origin = pose[:3, 3]
    depth = np.full(local.shape[:2], np.inf)
    image = np.zeros((*local.shape[:2], 3), np.float32)
    for (axis, position, limits), texture in zip(WALLS, TEXTURES, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (position - origin[axis]) / world[..., axis]
            a, b = (origin[o] + reach * world[..., o] for o in OTHER[axis])
        inside = (reach > 0.05) & (reach < depth)
        for value, (low, high) in zip((a, b), limits, strict=True):
            inside &= (value >= low) & (value <= high)
        u, v = (np.where(inside, w * texture_scale, 0).astype(np.float32) % 511 for w in (a, b))
        color = cv2.remap(texture, u, v, cv2.INTER_LINEAR)
        image[inside] = color[inside]
        depth[inside] = reach[inside]
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(small), 0, 255).astype(np.uint8), depth[fine // 2 :: fine, fine // 2 :: fine]


def path(count=COUNT, *, step=0.08):
    """Poses [count, 4, 4]: sideways with a little rise, nod and turn."""
    poses = []
    for i in range(count):
        pose = np.eye(4)
        pose[:3, :3] = cv2.Rodrigues(np.array([0.004 * np.sin(i), -0.004 * i, 0.002 * i]))[0]
        pose[:3, 3] = [step * (i - count / 2), 0.05 * np.sin(i / 3), 0.02 * i]
        poses.append(pose)
    return np.array(poses)


class UndistortedFrames:
    """Frames in memory, as the `Frames` protocol has them."""

    def __init__(self, images, first=1):
        self.images = images
        self.height, self.width = images[0].shape[:2]
        self.numbers = range(first, first + len(images))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


@dataclass
class Run:
    """Collects what an estimate writes; `until` checks pass before it is cancelled."""

    shot: Shot
    disparity: dict
    confidence: dict
    stages: list

    def maps(self):
        return np.stack([self.disparity[i] for i in sorted(self.disparity)])


def a_shot(images, scratch, *, camera=None, until=None, finished=(), mattes=None, stop_at=None):
    """A shot over images; cancelled after `until` checks, or as soon as stage `stop_at` reports."""
    disparity, confidence, stages = {}, {}, []
    left = [until]

    def check():
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Cancelled

    def write(index, inverse_depth, sure=None):
        disparity[index], confidence[index] = inverse_depth, sure

    def progress(stage, label, done, total):
        stages.append((stage, label, done, total))
        if stop_at and stop_at in (stage, label):
            left[0] = 0

    Path(scratch).mkdir(parents=True, exist_ok=True)
    shot = Shot(
        frames=UndistortedFrames(images),
        parameters={"mattes": "own"},  # never the network
        seed=0,
        camera=camera,
        mattes=mattes,
        scratch=Path(scratch),
        finished=frozenset(finished),
        write=write,
        progress=progress,
        check=check,
    )
    return Run(shot, disparity, confidence, stages)


def known_camera(poses, *, focal=FOCAL, width=WIDTH, height=HEIGHT, first=1, distortion=(0.0, 0.0)):
    return Camera(
        width=width,
        height=height,
        focal_length=focal,
        principal_point=((width - 1) / 2, (height - 1) / 2),
        distortion=distortion,
        poses=tuple(
            Pose(frame=first + i, camera_to_world=tuple(tuple(float(v) for v in row) for row in pose))
            for i, pose in enumerate(poses)
        ),
    )


@dataclass
class Scene:
    poses: np.ndarray
    images: list
    depth: np.ndarray

    def first(self, count):
        """The scene from its first frames alone, for tests that estimate it several times."""
        return Scene(self.poses[:count], self.images[:count], self.depth[:count])


@pytest.fixture(scope="session")
def scene():
    """The scene from a moving camera."""
    poses = path()
    seen = [look(pose) for pose in poses]
    return Scene(poses, [image for image, _ in seen], np.stack([depth for _, depth in seen]))


def with_subject(scene):
    """The scene's images with a disc that moves up and down before the camera, Z [N, H, W], and where the disc is."""
    images, depth, where = [], [], []
    spots = np.random.default_rng(5).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    for frame, (image, behind) in enumerate(zip(scene.images, scene.depth, strict=True)):
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        top, left = 40 + round(18 * np.sin(0.7 * frame)), 90
        disc = (x - left) ** 2 + (y - top) ** 2 < 18**2
        shown = image.copy()
        shown[disc] = spots[(y - top)[disc] + 20, (x - left)[disc] + 20]
        images.append(shown)
        depth.append(np.where(disc, 2.5, behind))
        where.append(disc)
    return images, np.stack(depth), np.stack(where)


@pytest.fixture(scope="session")
def make():
    """The functions of this file, for tests that film something else."""
    from types import SimpleNamespace

    return SimpleNamespace(
        look=look,
        path=path,
        shot=a_shot,
        camera=known_camera,
        noise=noise,
        with_subject=with_subject,
        UndistortedFrames=UndistortedFrames,
    )
