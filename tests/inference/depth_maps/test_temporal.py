"""Depth carried from frame to frame, and settled over time."""

import numpy as np
import pytest

from inference.depth_maps import temporal


def test_depth_is_carried_along_the_flow_into_the_next_camera():
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    flat = np.full((48, 64), 0.5, np.float32)  # Z = 2 there
    still = np.zeros((48, 64, 2), np.float32)
    move = (np.eye(3), np.array([0.0, 0.0, -0.5]))  # the camera moves forth by 0.5
    carried, trust = temporal.carry(flat, still, still, move=move, matrix=matrix)
    np.testing.assert_allclose(carried, 1 / 1.5, rtol=1e-5)
    np.testing.assert_allclose(trust, 1.0)
    wrong = still + 5
    assert temporal.carry(flat, still, wrong, move=move, matrix=matrix)[1].max() < 1e-6


def test_settling_ignores_an_outlier():
    values = np.array([1.0, 1.02, 0.98, 3.0], np.float32).reshape(4, 1, 1)
    settled = temporal.settle(values, np.ones_like(values))
    assert settled[0, 0] == pytest.approx(1.0, abs=1e-6)
