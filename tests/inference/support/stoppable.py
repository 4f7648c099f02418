"""A shot in memory for estimators: its frames, and a run that may be stopped anywhere."""

import dataclasses

import cv2
import numpy as np

from inference.common.failures import Cancelled
from inference.estimators.base import Shot


class Frames:
    """Frames in memory, noting which are asked for; source numbers count from 101."""

    def __init__(self, images):
        self.images, self.asked = images, []
        self.height, self.width = images.shape[1:3]
        self.numbers = range(101, 101 + len(images))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.images[index]


def moving_images(count, width=64, height=64, seed=0):
    """Something that moves: smooth random colors, shifted from frame to frame."""
    rng = np.random.default_rng(seed)
    wide = cv2.resize(rng.integers(0, 256, (6, 12, 3)).astype(np.float32), (2 * width, height))
    return np.stack([np.roll(wide, -2 * i, axis=1)[:, :width] for i in range(count)]).clip(0, 255).astype(np.uint8)


class Run:
    """What a shot's estimate leaves: maps, progress, warnings.

    `stop_at` counts the calls of `check` and of `write`; at that one the run is cancelled, as by a kill in between.
    `stop_after` counts maps: the next one is not taken.
    """

    def __init__(self, frames, folder, *, finished=(), stop_at=None, stop_after=None, parameters=None):
        self.maps, self.confidences, self.told, self.warnings = {}, {}, [], []
        self.calls, self._stop_at, self._stop_after = 0, stop_at, stop_after
        self.shot = Shot(
            frames=frames,
            parameters=parameters or {},
            seed=7,
            camera=None,
            mattes=None,
            scratch=folder,
            finished=frozenset(finished),
            write=self._write,
            progress=lambda stage, label, done, total: self.told.append((stage, label, done, total)),
            check=self._count,
            warn=self.warnings.append,
        )

    def _count(self):
        self.calls += 1
        if self.calls == self._stop_at:
            raise Cancelled

    def _write(self, index, disparity, confidence=None):
        self._count()
        if len(self.maps) == self._stop_after:
            raise Cancelled
        assert index not in self.maps
        self.maps[index], self.confidences[index] = disparity, confidence

    @property
    def clip(self):
        """All maps in order."""
        return np.stack([self.maps[index] for index in sorted(self.maps)])


def replaced(shot, **changed):
    """A shot with other facts."""
    return dataclasses.replace(shot, **changed)
