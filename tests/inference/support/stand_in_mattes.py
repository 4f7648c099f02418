"""A matte network for tests that needs no package and no weights: whoever is bright is a person."""

import contextlib
import time
from unittest import mock

import numpy as np

from inference import mattes
from inference.mattes import network

INSTALLED = "TEST_MATTES"
"""Environment variable by which the worker for tests has it: seconds that a frame takes, such as 0."""


class Bright:
    """Remembers how many frames it has seen, which are whiter the later they come."""

    def __init__(self, seconds=0.0):
        self._seconds = seconds

    def __call__(self, image, state):
        time.sleep(self._seconds)
        seen = 0 if not state else int(state[0])
        return (image.mean(axis=2) > 128) * np.float32(0.8 + 0.2 * min(seen, 40) / 40), [np.array(seen + 1)]


def installed(seconds=0.0):
    """Patches by which it is the network, and nothing is missing."""
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(mattes, "missing", list))
    stack.enter_context(mock.patch.object(network, "RobustVideoMatting", lambda: Bright(seconds)))
    return stack
