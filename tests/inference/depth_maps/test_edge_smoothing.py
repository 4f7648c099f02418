"""Edge-aware smoothing against its linear systems, and what is made larger with it."""

import numpy as np

from inference.depth_maps import edge_smoothing
from inference.depth_maps.edge_upsampling import upsample


def test_smoothing_solves_its_linear_systems():
    generator = np.random.default_rng(5)
    values = generator.normal(size=(4, 6, 2)).astype(np.float32)
    weights = generator.uniform(0.1, 1, (4, 5)).astype(np.float32)
    solved = values.copy()
    edge_smoothing._along_rows(solved, weights, np.float32(3.0))
    for y in range(4):
        laplacian = np.zeros((6, 6))
        for x in range(5):
            laplacian[x : x + 2, x : x + 2] += 3.0 * weights[y, x] * np.array([[1, -1], [-1, 1]])
        np.testing.assert_allclose(solved[y], np.linalg.solve(np.eye(6) + laplacian, values[y]), atol=1e-5)
    turned = np.ascontiguousarray(values.transpose(1, 0, 2))
    edge_smoothing._along_columns(turned, np.ascontiguousarray(weights.T), np.float32(3.0))
    np.testing.assert_allclose(turned.transpose(1, 0, 2), solved, atol=1e-5)


def test_smoothing_keeps_to_its_side_of_an_edge():
    guide = np.zeros((20, 30, 3), np.uint8)
    guide[:, 15:] = 255
    values = np.where(np.arange(30) < 15, 1.0, 5.0)[None, :, None] * np.ones((20, 1, 1))
    noisy = (values + np.random.default_rng(6).normal(0, 0.5, values.shape)).astype(np.float32)
    smooth = edge_smoothing.smooth(noisy, edge_smoothing.edge_weights(guide, 5.0), strength=1000.0)
    assert np.abs(smooth - values).max() < 0.15


def test_upsampling_follows_the_plates_edge():
    plate = np.zeros((80, 120, 3), np.uint8)
    plate[:, 57:] = 220
    true = np.where(np.arange(120) < 57, 1.0, 0.3) * np.ones((80, 1))
    small = true.reshape(40, 2, 60, 2).mean(axis=(1, 3)).astype(np.float32)
    large = upsample(small, plate)
    assert large.shape == (80, 120) and large.dtype == np.float32
    assert (np.abs(large - true) > 0.1).mean() < 0.005
