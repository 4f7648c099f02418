"""A shot whose geometry is known, and what a perfect pair network, or one with stated faults, would say of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import roma
import torch

from inference.estimators.stereodiff.stage1.pairs import PointMap, pairs
from inference.estimators.stereodiff.stage1.pairs import scores as scores_of


@dataclass
class Shot:
    """Frames with a depth each, seen by a moving camera.

    Attributes
    ----------
    depths : Tensor [T, H, W]
    poses : Tensor [T, 4, 4]
        Camera to world; the first is the identity.
    focal : float
    """

    depths: torch.Tensor
    poses: torch.Tensor
    focal: float

    def points(self, frame: int, axes: int) -> torch.Tensor:
        """The points [H, W, 3] of a frame in the axes of another's camera."""
        height, width = self.depths.shape[1:]
        v, u = torch.meshgrid(
            torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
        )
        rays = torch.stack(
            [(u - (width - 1) / 2) / self.focal, (v - (height - 1) / 2) / self.focal, torch.ones_like(u)], -1
        )
        there = torch.linalg.inv(self.poses[axes]) @ self.poses[frame]
        return (rays * self.depths[frame, ..., None]) @ there[:3, :3].T + there[:3, 3]


def shot(count: int, *, seed: int = 0, height: int = 12, width: int = 16, focal: float = 20.0) -> Shot:
    """Smooth random surfaces, 2 to 8 units away, and a camera that goes and turns on."""
    draw = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    waves, phases = draw.uniform(1, 5, (count, 2, 3)), draw.uniform(0, 6, (count, 3))
    depths = np.stack(
        [
            5 + sum(np.sin(waves[t, 0, k] * x + waves[t, 1, k] * y + phases[t, k]) for k in range(3))
            for t in range(count)
        ]
    )
    steps = torch.from_numpy(draw.normal(0, 0.1, (count, 6))).cumsum(0)
    poses = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    poses[:, :3, :3] = roma.rotvec_to_rotmat(steps[:, :3])
    poses[:, :3, 3] = steps[:, 3:]
    return Shot(torch.from_numpy(depths), torch.linalg.inv(poses[0]) @ poses, focal)


@dataclass
class Network:
    """What is known of a shot's pairs, handed out view by view; it counts what it hands out."""

    views: dict
    scores: dict
    handed: list = field(default_factory=list)

    def read(self, pair, frame) -> PointMap:
        self.handed.append((pair, frame))
        return self.views[pair, frame]


def network(truth: Shot, reach: int = 2, *, seed: int = 1, spoil=None, turn: bool = False) -> Network:
    """A network that sees right, but each pair in a unit of its own.

    Parameters
    ----------
    truth : Shot
    reach : int
    seed : int
        Of units and confidences.
    spoil : callable or None
        Called with a generator and a view's points and confidences, returns them changed.
    turn : bool
        Whether each pair's axes are turned and shifted as well, which no camera explains.
    """
    draw = np.random.default_rng(seed)
    views, scores = {}, {}
    for pair in pairs(len(truth.depths), reach):
        unit = float(np.exp(draw.normal(0, 0.7)))
        turned = roma.rotvec_to_rotmat(torch.from_numpy(draw.normal(0, 1, 3))) if turn else torch.eye(3).double()
        shift = torch.from_numpy(draw.normal(0, 1, 3)) if turn else torch.zeros(3).double()
        trust = float(draw.uniform(2, 20))
        for frame in dict.fromkeys(pair):
            points = unit * truth.points(frame, pair[0]) @ turned.T + shift
            confidence = torch.from_numpy(1 + trust * draw.uniform(0, 1, points.shape[:2]))
            if spoil is not None:
                points, confidence = spoil(draw, points, confidence)
            views[pair, frame] = PointMap(points, confidence)
        scores[pair] = float(scores_of(*(views[pair, frame].confidence for frame in pair)))
    return Network(views, scores)
