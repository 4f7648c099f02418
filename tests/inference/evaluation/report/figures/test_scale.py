"""One scale for all images of a shot."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.evaluation.report.figures.scale import ALIGNED, NORMALIZED, error_limit, scale_of
from inference.evaluation.report.gather import gather
from inference.evaluation.report.shots import Estimate


def test_with_truth_everything_is_in_inverse_meters(make):
    gathered = gather(make())
    scale = scale_of(gathered)
    assert scale.label == ALIGNED and scale.notes == ()
    shown = scale.of(gathered.estimates[0])(gathered.estimates[0].tiles[1])
    np.testing.assert_allclose(shown[3:], 1 / make.wall(1)[3:], rtol=1e-5)
    assert (scale.low, scale.high) == pytest.approx(tuple(np.percentile(gathered.ground_truth.samples, [1, 99])))


def test_without_truth_the_shots_own_percentiles_are_0_and_1(make):
    gathered = gather(make(ground_truth=False))
    scale = scale_of(gathered)
    assert scale.label == NORMALIZED and (scale.low, scale.high) == (0, 1)
    for track in gathered.estimates:
        np.testing.assert_allclose(
            np.percentile(scale.of(track)(np.asarray(track.samples)), [1, 99]), [0, 1], atol=1e-4
        )


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_scale_and_shift_of_an_estimator_do_not_change_its_images(factor, shift):
    values = np.random.default_rng(3).random((6, 12, 16))
    from inference.evaluation.report.shots import Shot

    def shown(change):
        estimate = Estimate(name="e", disparity=lambda frame: change(values[frame]))
        gathered = gather(Shot(title="s", frames=tuple(range(6)), estimates=(estimate,)))
        scale = scale_of(gathered)
        return scale.of(gathered.estimates[0])(gathered.estimates[0].tiles[2])

    np.testing.assert_allclose(shown(lambda v: v * factor + shift), shown(lambda v: v), atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 2.5, -1.0])
def test_depth_that_is_all_equal_is_said_and_drawn_in_one_color(make, value):
    flat = Estimate(name="flat", disparity=lambda frame: np.full((4, 6), value))
    gathered = gather(make(ground_truth=False, estimates=(flat,)))
    scale = scale_of(gathered)
    assert f"flat is {value:.4g} everywhere in this shot" in scale.notes[0]
    assert (scale.of(gathered.estimates[0])(gathered.estimates[0].tiles[1]) == 0.5).all()


def test_depth_without_any_value_is_said(make):
    empty = Estimate(name="empty", disparity=lambda frame: np.full((4, 6), np.nan))
    scale = scale_of(gather(make(ground_truth=False, estimates=(empty,))))
    assert "empty has no value anywhere" in scale.notes[0]


def test_truth_that_is_all_equal_leaves_the_colors_to_the_estimates(make):
    flat = dataclasses.replace(make(), ground_truth=lambda frame: np.full((18, 32), 4.0, np.float32))
    scale = scale_of(gather(flat))
    assert scale.low < scale.high and "The ground truth is 0.25 1/m everywhere" in scale.notes[0]


def test_a_few_far_values_that_leave_no_colors_to_the_others_are_said(make):
    spread = np.linspace(0, 1, 32 * 18).reshape(18, 32)
    outliers = spread.copy()
    outliers[:, :1] = 1e4
    notes = [
        scale_of(
            gather(make(ground_truth=False, estimates=(Estimate(name="e", disparity=lambda frame, v=v: v),)))
        ).notes
        for v in (spread, outliers)
    ]
    assert notes[0] == () and "Half of all values of e are within 0.01% of its color scale" in notes[1][0]


@pytest.mark.parametrize(("error", "limit"), [(0.0, 0.001), (0.04, 0.05), (0.051, 0.1), (0.15, 0.2), (0.7, 1.0)])
def test_error_colors_end_at_a_round_number_above_nearly_all_errors(make, error, limit):
    off = make.compared("off", lambda frame: (make.right(frame) - 0.5) / (1 + error) + 0.5)
    assert error_limit(gather(make(estimates=(off,)))) == pytest.approx(limit)
