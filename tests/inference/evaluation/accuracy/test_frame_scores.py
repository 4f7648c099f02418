"""Errors of each frame: values by hand, what they do not depend on, and what is counted."""

import numpy as np
import pytest
from ground_truth_maker import score, truth_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.evaluation.accuracy.metrics import (
    NAMES,
    Alignment,
    MetricsError,
    frame_scores,
    pixel_errors,
    summary,
)
from inference.evaluation.datasets.protocols import Protocol

RANDOM = np.random.default_rng(5)
DEPTHS = 2 + 6 * RANDOM.random((3, 12, 16))
ESTIMATE = 1 / DEPTHS * np.exp(0.2 * RANDOM.standard_normal(DEPTHS.shape))
IDENTITY = Alignment(scale=1.0, shift=0.0)


def test_an_exact_prediction_has_no_errors():
    scores = frame_scores((1 / np.float32(DEPTHS).astype(np.float64)).__getitem__, truth_of(DEPTHS))
    for name in NAMES:
        np.testing.assert_allclose(scores.values["all"][name], 1 if name.startswith("delta") else 0, atol=1e-9)
    assert scores.pixels["all"].tolist() == [192] * 3 and scores.without_estimate.sum() == 0


@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(1e-5, 1e5),
    sign=st.sampled_from([-1, 1]),
    shift=st.floats(-1e3, 1e3),
    average=st.sampled_from(["frames", "pixels"]),
)
def test_affine_changes_of_a_prediction_do_not_change_the_metrics(scale, sign, shift, average):
    ground_truth = truth_of(DEPTHS, moving=DEPTHS > 6)
    before = summary([frame_scores(ESTIMATE.__getitem__, ground_truth)], average)
    changed = sign * scale * (ESTIMATE + shift)
    after = summary([frame_scores(changed.__getitem__, ground_truth)], average)
    for region, values in before.items():
        for name, value in values.items():
            assert after[region][name] == pytest.approx(value, rel=1e-6), (region, name)


def test_values_are_those_of_the_definitions():
    errors = pixel_errors(np.array([2.0, 2.0, 2.0, 1.0]), np.array([2.0, 1.6, 3.0, 4.0]))
    np.testing.assert_allclose(errors[0], [0, 0.25, 1 / 3, 0.75])
    np.testing.assert_allclose(errors[1], [0, 0.16, 1, 9])
    assert errors[2].tolist() == [1, 0, 0, 0]  # 1.25 itself is not below 1.25
    assert errors[3].tolist() == [1, 1, 1, 0]
    assert errors[4].tolist() == [1, 1, 1, 0]


def test_delta_has_three_steps():
    ground_truth = truth_of([np.full((2, 3), 4.0)])
    wrong = np.array([[1.0, 1.2, 1.3], [1.5, 1.6, 2.0]]) / 4
    scores = frame_scores(lambda i: wrong, ground_truth, alignment=IDENTITY)
    found = {name: scores.values["all"][name][0] for name in ("delta1", "delta2", "delta3")}
    assert found == {"delta1": pytest.approx(2 / 6), "delta2": pytest.approx(4 / 6), "delta3": pytest.approx(5 / 6)}


def test_frames_count_alike_or_pixels_do():
    depths = np.full((2, 2, 4), 2.0)
    depths[1, :, 1:] = 0  # the second frame has two pixels of ground truth
    estimate = np.stack([np.full((2, 4), 0.5), np.full((2, 4), 0.25)])  # exact, and 4 m instead of 2 m
    part = frame_scores(estimate.__getitem__, truth_of(depths), alignment=IDENTITY)
    assert part.values["all"]["absolute_relative"].tolist() == [0, 1]
    by_frame, by_pixel = (summary([part], how)["all"] for how in ("frames", "pixels"))
    assert by_frame["absolute_relative"] == 0.5 and by_pixel["absolute_relative"] == pytest.approx(0.2)
    assert by_frame["root_mean_square"] == 1 and by_pixel["root_mean_square"] == pytest.approx(np.sqrt(0.8))


def test_regions_are_told_apart():
    moving = np.zeros((3, 12, 16), bool)
    moving[0, :4] = True
    ground_truth = truth_of(DEPTHS, moving=moving)
    estimate = 1 / np.float32(DEPTHS).astype(np.float64)
    estimate[0, :4] /= 2
    part = frame_scores(estimate.__getitem__, ground_truth, alignment=IDENTITY)
    assert part.values["moving"]["absolute_relative"][0] == pytest.approx(1)
    assert np.isnan(part.values["moving"]["absolute_relative"][1:]).all(), "nothing moves there"
    np.testing.assert_allclose(part.values["static"]["absolute_relative"], 0, atol=1e-12)
    assert (part.pixels["moving"] + part.pixels["static"] == part.pixels["all"]).all()
    assert summary([part], "frames")["moving"]["absolute_relative"] == pytest.approx(1)


def test_without_masks_there_are_no_regions():
    part = frame_scores(ESTIMATE.__getitem__, truth_of(DEPTHS))
    found = summary([part])
    assert found["moving"]["delta1"] is None and found["static"]["delta1"] is None and found["all"]["delta1"] > 0


def test_what_has_no_estimate_is_counted_and_left_out():
    holes = 1 / np.float32(DEPTHS).astype(np.float64)
    holes[0, 0, :5] = np.nan
    holes[0, 1, 0] = np.inf
    depths = DEPTHS.copy()
    depths[0, 0, 0] = 0  # not measured at all
    frames = [holes[0], None, np.full((12, 16), np.nan)]
    part = frame_scores(frames.__getitem__, truth_of(depths))
    assert part.without_estimate.tolist() == [5, 0, 192]
    assert part.missing == (1,)
    assert part.pixels["all"].tolist() == [192 - 6, 0, 0]
    assert np.isnan(part.values["all"]["absolute_relative"][1:]).all()
    assert summary([part], "frames")["all"]["absolute_relative"] == pytest.approx(0, abs=1e-9)


def test_shots_with_alignments_of_their_own_make_one_figure():
    ground_truth = truth_of(DEPTHS)
    both = [
        frame_scores(ESTIMATE.__getitem__, ground_truth, frames=[0]),
        frame_scores(ESTIMATE.__getitem__, ground_truth, frames=[1, 2]),
    ]
    means = [part.values["all"]["absolute_relative"] for part in both]
    assert summary(both, "frames")["all"]["absolute_relative"] == pytest.approx(np.concatenate(means).mean())


def test_estimates_of_another_size_are_said_to_be():
    part = frame_scores(lambda i: ESTIMATE[i, ::2, ::2], truth_of(DEPTHS))
    assert part.sizes == ((8, 6), (16, 12))
    assert frame_scores(ESTIMATE.__getitem__, truth_of(DEPTHS)).sizes is None


def test_truth_without_a_valid_pixel_is_a_sentence_and_a_frame_without_one_is_not():
    depths = DEPTHS.copy()
    depths[1] = 0
    part = frame_scores(ESTIMATE.__getitem__, truth_of(depths))
    assert part.pixels["all"].tolist() == [192, 0, 192] and part.missing == ()
    assert np.isnan(part.values["all"]["delta1"]).tolist() == [False, True, False]
    with pytest.raises(MetricsError, match="ground truth of clip has no depth from"):
        frame_scores(ESTIMATE.__getitem__, truth_of(depths * 0))


def test_the_clips_figures_are_those_of_its_frames():
    ground_truth = truth_of(DEPTHS, moving=DEPTHS > 6)
    part = summary([frame_scores(ESTIMATE.__getitem__, ground_truth)])
    scores = score(ESTIMATE.__getitem__, ground_truth)
    assert {name: getattr(scores, name) for name in NAMES} == part["all"]
    assert scores.absolute_relative_moving == part["moving"]["absolute_relative"]
    assert scores.pixels == DEPTHS.size and scores.pixels_without_estimate == 0
    capped = score(ESTIMATE.__getitem__, ground_truth, protocol=Protocol(farthest=5.0))
    assert capped.pixels == np.count_nonzero(np.float32(DEPTHS) < 5)
