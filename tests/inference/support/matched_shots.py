"""Shots for tests of stage 1, without the runner, and what is asked of them."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from inference.estimators.base import Shot
from inference.estimators.stereodiff import INFO
from inference.estimators.stereodiff.settings import Settings
from inference.estimators.stereodiff.stage1 import run as stage1

CPU = torch.device("cpu")
SETTINGS = Settings(**{parameter.name: parameter.default for parameter in INFO.parameters})


class Frames(list):
    """Images by random access with their source numbers; they note what the shot was told of them."""

    def __init__(self, images, first=1001):
        super().__init__(images)
        self.height, self.width = images[0].shape[:2]
        self.numbers = range(first, first + len(images))
        self.warned, self.told = [], []


def panned(count, size=(64, 48), seed=0):
    """Cut-outs of one soft texture that move on."""
    width, height = size
    rng = np.random.default_rng(seed)
    wide = cv2.resize(rng.integers(0, 256, (height // 8, width // 4, 3)).astype(np.float32), (2 * width, height))
    return [wide.clip(0, 255).astype(np.uint8)[:, 3 * i : 3 * i + width] for i in range(count)]


def made(images, folder, **changed):
    """A shot whose warnings and progress are in lists on its frames."""
    (folder / "stage1").mkdir(parents=True, exist_ok=True)
    frames = Frames(images)
    facts = {
        "frames": frames,
        "parameters": {},
        "seed": 0,
        "camera": None,
        "mattes": None,
        "scratch": folder,
        "finished": frozenset(),
        "write": None,
        "progress": lambda stage, label, done, total: frames.told.append((stage, done, total)),
        "check": lambda: None,
        "warn": frames.warned.append,
    }
    return Shot(**(facts | changed))


def run(shot, settings=SETTINGS):
    """Stage 1 on the processor."""
    return stage1.match_shot(shot, settings, CPU, progress=shot.progress)


def contents(prior, count):
    """All that a prior says, as bytes and numbers."""
    maps = [(prior.disparity(index).tobytes(), prior.confidence(index).tobytes()) for index in range(count)]
    return maps, prior.camera


def stopping(after):
    """A check that stops on its call after so many; ``calls`` counts them."""
    calls = []

    def check():
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt

    check.calls = calls
    return check
