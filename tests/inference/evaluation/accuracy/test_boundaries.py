"""Boundary F1: edges where the ground truth has them, and nowhere else."""

import numpy as np
import pytest

from inference.evaluation.accuracy.boundaries import THRESHOLDS, boundary_f1, edge_counts

HEIGHT, WIDTH = 24, 32


def step(column, near=2.0, far=4.0):
    """A near wall up to a column, and a far one behind it."""
    return np.where(np.arange(WIDTH) < column, near, far) * np.ones((HEIGHT, 1))


def scores(depth, true):
    counts = [edge_counts(depth, true)]
    return boundary_f1(counts, exact=True), boundary_f1(counts, exact=False)


def test_the_ground_truth_itself_has_all_edges():
    assert scores(step(9), step(9)) == (1.0, 1.0)


def test_an_edge_one_pixel_beside_is_met_within_one_pixel_only():
    assert scores(step(10), step(9)) == (0.0, 1.0)
    assert scores(step(11), step(9)) == (0.0, 0.0)


def test_an_edge_the_other_way_is_none():
    assert scores(step(9, near=4.0, far=2.0), step(9)) == (0.0, 0.0)


def test_no_edge_found_scores_nothing_and_none_to_find_has_no_score():
    flat = np.full((HEIGHT, WIDTH), 3.0)
    assert scores(flat, step(9)) == (0.0, 0.0)
    assert scores(step(9), flat) == (None, None)


def test_a_low_step_counts_at_the_thresholds_below_it():
    true = step(9, far=2.0 * 1.17)  # an edge at 5, 10 and 15 %
    assert scores(step(9, far=2.0 * 1.12), true)[0] == pytest.approx((0.05 + 0.10) / (0.05 + 0.10 + 0.15))
    assert sum(THRESHOLDS) == pytest.approx(0.75)


def test_precision_and_recall_are_of_edges():
    two = np.where((np.arange(WIDTH) >= 9) & (np.arange(WIDTH) < 20), 4.0, 2.0) * np.ones((HEIGHT, 1))
    counts = edge_counts(two, step(9))
    # both directions of each edge: from near to far only, so one edge in each row
    assert counts[0, 0].tolist() == [2 * HEIGHT, HEIGHT, HEIGHT, HEIGHT]
    assert boundary_f1([counts], exact=True) == pytest.approx(2 * 0.5 / 1.5)


def test_frames_count_together_by_their_edges():
    right, wrong = edge_counts(step(9), step(9)), edge_counts(step(20), step(9))
    assert boundary_f1([right, wrong], exact=True) == pytest.approx(0.5)


def test_pixels_without_depth_have_no_edges():
    unknown = step(9)
    unknown[:, 9] = np.nan
    assert scores(step(9), unknown) == (None, None)
    assert scores(unknown, step(9)) == (None, None)
