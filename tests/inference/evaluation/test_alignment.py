"""One scale and shift: what is found, and what it does not depend on."""

import numpy as np
import pytest
from ground_truth_maker import truth_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.evaluation.alignment import align
from inference.evaluation.datasets.protocols import MetricsError, Protocol, fitted

DEPTHS = 2 + 6 * np.random.default_rng(3).random((3, 12, 16))


@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(1e-6, 1e6),
    sign=st.sampled_from([-1, 1]),
    shift=st.floats(-1e4, 1e4),
)
def test_a_known_scale_and_shift_are_found(scale, sign, shift):
    ground_truth = truth_of(DEPTHS)
    inverse = np.array([1 / ground_truth.depth(i).astype(np.float64) for i in range(3)])
    scale *= sign
    moved = scale * (inverse + shift)
    found = align(moved.__getitem__, ground_truth, range(3))
    digits = 1e-9 * (1 + abs(shift))
    assert found.scale * scale == pytest.approx(1, rel=digits)
    assert found.shift == pytest.approx(-shift, abs=digits * max(abs(shift), 1))


def test_a_constant_disparity_tells_nothing_of_depth():
    ground_truth = truth_of(DEPTHS)
    found = align(lambda i: np.full((12, 16), 1e5 / 3), ground_truth, range(3))
    assert found.scale == 0
    assert found.shift == pytest.approx(np.mean(1 / truth_depths(ground_truth)))


def truth_depths(ground_truth):
    return np.array([ground_truth.depth(i) for i in range(len(ground_truth))], np.float64)


def test_pixels_and_frames_without_estimate_take_no_part():
    ground_truth = truth_of(DEPTHS)
    estimates = [2 / ground_truth.depth(0).astype(np.float64), None, np.full((12, 16), np.nan)]
    estimates[0][3:5] = np.nan
    estimates[0][6] = np.inf
    found = align(estimates.__getitem__, ground_truth, range(3))
    assert found.scale == pytest.approx(0.5) and found.shift == pytest.approx(0, abs=1e-12)


def test_without_any_number_there_is_nothing_to_align():
    ground_truth = truth_of(DEPTHS, name="shot7")
    with pytest.raises(MetricsError, match="estimate of shot7 has no finite value"):
        align(lambda i: np.full((12, 16), np.nan), ground_truth, range(3))
    with pytest.raises(MetricsError, match="estimate of shot7 has no finite value"):
        align(lambda i: None, ground_truth, range(3))


def test_limits_are_the_protocols():
    ground_truth = truth_of([np.full((12, 16), 50.0)])
    with pytest.raises(MetricsError, match=r"from 0\.001 to 10\.0 m"):
        align(lambda i: np.ones((12, 16)), ground_truth, range(1), Protocol(farthest=10.0))
    assert align(lambda i: np.ones((12, 16)), ground_truth, range(1)).farthest == 80


def test_depth_stays_inside_the_limits():
    found = align(lambda i: 1 / DEPTHS[i], truth_of(DEPTHS), range(3), Protocol(farthest=5.0))
    depth = found.depth(np.array([-1.0, 0.0, 1 / 3, 1e9, np.nan, np.inf, -np.inf]))
    np.testing.assert_allclose(depth, [5, 5, 3, 1e-3, np.nan, np.nan, np.nan], rtol=1e-6)


def test_maps_are_brought_to_the_truths_size_as_the_protocol_says():
    small = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert set(np.unique(fitted(small, (4, 4), Protocol(resize="nearest")))) == {0, 1, 2, 3}
    assert len(np.unique(fitted(small, (4, 4), Protocol(resize="linear")))) > 4


def test_a_map_of_another_image_is_refused():
    with pytest.raises(MetricsError, match="16 x 12 pixels and the ground truth 12 x 16"):
        fitted(np.ones((12, 16)), (16, 12))
    assert fitted(np.ones((448, 1024)), (436, 1024)).shape == (436, 1024)  # a working size of whole blocks
