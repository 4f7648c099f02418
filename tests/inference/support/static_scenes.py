"""Scenes that are planes, seen by a moving camera: depth, flow and images are exact, in closed form."""

from dataclasses import dataclass

import cv2
import numpy as np

from inference.evaluation.datasets.ground_truth import GroundTruth

HEIGHT, WIDTH, FOCAL = 48, 64, 60.0
MATRIX = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Plane:
    """The plane normal · X = distance in the world, under a texture of its own."""

    normal: tuple[float, float, float] = (0.2, 0.3, 1.0)
    distance: float = 4.0
    texture: int = 1

    def depth(self, pose):
        """Z [H, W] of the plane, seen from a camera-to-world pose."""
        normal = np.array(self.normal)
        return (self.distance - normal @ pose[:3, 3]) / (rays() @ pose[:3, :3].T @ normal)

    def image(self, pose):
        """Its texture, uint8 RGB [H, W, 3]."""
        points = world(self.depth(pose), pose)
        where = (np.array([200.0, 200.0]) + 40 * points[..., :2]).astype(np.float32)
        return cv2.remap(noise(self.texture), where[..., 0], where[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)


def noise(seed, size=(400, 400), blur=1.5):
    rng = np.random.default_rng(seed)
    values = cv2.GaussianBlur(rng.normal(size=(*size, 3)), (0, 0), blur)
    return np.clip(128 + 60 * values / values.std(), 0, 255).astype(np.uint8)


def rays():
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    return np.stack([(x - MATRIX[0, 2]) / FOCAL, (y - MATRIX[1, 2]) / FOCAL, np.ones_like(x)], axis=-1)


def world(depth, pose):
    return (rays() * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]


def pose(x=0.0, y=0.0, z=0.0, *, turn=0.0):
    """Camera-to-world: at a place, turned about the vertical by so many radians."""
    found = np.eye(4)
    found[:3, :3] = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    found[:3, 3] = x, y, z
    return found


def flow(depth, before, after):
    """Where each pixel of what stands still is in the next frame, as a vector [H, W, 2]."""
    move = np.linalg.inv(after) @ before
    there = (rays() * depth[..., None]) @ move[:3, :3].T + move[:3, 3]
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    u = FOCAL * there[..., 0] / there[..., 2] + MATRIX[0, 2]
    v = FOCAL * there[..., 1] / there[..., 2] + MATRIX[1, 2]
    return np.stack([u - x, v - y], axis=-1)


def walk(count, step=0.02):
    """A path forward and to the side, while the camera turns."""
    return [pose(step * i, 0.3 * step * i, step * i, turn=0.003 * i) for i in range(count)]


def truth_of(plane, poses, *, given=True, images=False, moving=None, known=None):
    """The ground truth of a plane; `given`: with its flow, `known` [H, W]: where it is measured."""
    depths = [plane.depth(at).astype(np.float32) for at in poses]

    def read_flow(index):
        return flow(plane.depth(poses[index]), poses[index], poses[index + 1]) if index + 1 < len(poses) else None

    return GroundTruth(
        name="plane",
        frame_numbers=tuple(range(len(poses))),
        read_depth=lambda index: depths[index] if known is None else np.where(known, depths[index], np.float32(0)),
        read_moving=moving,
        read_flow=read_flow if given else None,
        read_image=(lambda index: plane.image(poses[index])) if images else None,
        matrix=MATRIX,
        poses=tuple(poses),
    )
