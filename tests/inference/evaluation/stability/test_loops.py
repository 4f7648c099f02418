"""Compiled loops against the same in plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.evaluation.stability import optical_flow, warping
from inference.evaluation.stability.warping import sampled


def bilinear(values, u, v):
    """By weights of all pixels of the map, at one place."""
    height, width = values.shape
    if not (0 <= u <= width - 1 and 0 <= v <= height - 1):
        return np.nan
    weights = np.outer(
        np.maximum(1 - np.abs(np.arange(height) - v), 0), np.maximum(1 - np.abs(np.arange(width) - u), 0)
    )
    return (weights * np.where(weights > 0, values, 0)).sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 7), st.sampled_from([np.float32, np.float64]))
def test_sampling_averages_the_pixels_around(seed, height, width, dtype):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(height, width)).astype(dtype)
    values[rng.random(values.shape) < 0.1] = np.nan
    u, v = rng.uniform(-1, width, 60), rng.uniform(-1, height, 60)
    u[:20], v[10:30] = np.round(u[:20]), np.round(v[10:30])  # at pixels, where those beside do not count
    u[-1] = np.nan
    expected = [bilinear(values.astype(np.float64), *place) for place in zip(u, v, strict=True)]
    np.testing.assert_allclose(sampled(values, u, v), expected, atol=1e-12)


def test_sampling_takes_any_shape_and_whole_numbers():
    values = np.arange(12).reshape(3, 4)
    u, v = np.mgrid[:3, :2]
    np.testing.assert_array_equal(sampled(values, u, v), values[v, u])
    assert sampled(values, np.float64(0.5), np.float64(1.0)) == pytest.approx(4.5)


def test_flow_leads_where_it_points_and_far_outside_where_it_is_unknown():
    flow = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    flow[1, 2, 0], flow[3, 3, 1] = np.nan, np.inf
    u, v = optical_flow.positions(flow)
    y, x = np.mgrid[:4, :5]
    known = np.isfinite(flow).all(axis=-1)
    np.testing.assert_allclose(u[known], (x + flow[..., 0])[known], rtol=1e-6)
    np.testing.assert_allclose(v[known], (y + flow[..., 1])[known], rtol=1e-6)
    assert (u[~known] == v[~known]).all()
    assert (u[~known] < -100).all()


def test_the_distance_from_lines_is_sampsons():
    rng = np.random.default_rng(1)
    matrix, points, onward = rng.normal(size=(3, 3)), rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    found = np.empty(30)
    warping.off_lines(matrix, points, onward, found)
    first, second = np.column_stack([points, np.ones(30)]), np.column_stack([onward, np.ones(30)])
    ahead, behind = first @ matrix.T, second @ matrix
    slope = (ahead[:, :2] ** 2).sum(axis=1) + (behind[:, :2] ** 2).sum(axis=1)
    np.testing.assert_allclose(found, np.abs((second * ahead).sum(axis=1)) / np.sqrt(slope))


def test_edges_keep_a_value_only_where_nothing_moves():
    smooth = np.array([[True, True, False, True, True]])
    there = np.array([[True, False, True, True, True]])
    flow = np.zeros((1, 5, 2), np.float32)
    flow[0, :, 0] = [1, 0.05, 0.05, -1, 0.4]
    values = np.array([[1.0, 2, 3, 4, 5]])
    warping.keep_smooth(smooth, there, flow, 0.1, values)
    np.testing.assert_array_equal(values, [[np.nan, 2, 3, 4, 5]])  # 0 goes to an edge, 4 stays nearest to itself
