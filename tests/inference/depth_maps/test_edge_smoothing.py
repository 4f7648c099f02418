"""Edge-aware smoothing against its linear systems."""

import numpy as np

from inference.depth_maps import edge_smoothing


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
