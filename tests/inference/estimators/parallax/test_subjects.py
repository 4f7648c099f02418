"""Subjects: the outline that a matte gives them, and a depth that does not jump from frame to frame."""

import cv2
import numpy as np
import pytest

from inference.estimators.parallax import moving, object_depth
from inference.estimators.parallax.tracks import Tracks

HEIGHT, WIDTH = 90, 160


def box(left, top, right, bottom):
    found = np.zeros((HEIGHT, WIDTH), bool)
    found[top:bottom, left:right] = True
    return found


def points(region, count, seed=0):
    """Points [count, 2] inside a mask, as x and y."""
    y, x = np.nonzero(region)
    chosen = np.random.default_rng(seed).choice(len(x), count, replace=False)
    return np.stack([x[chosen], y[chosen]], axis=1).astype(np.float32)


NO_TRACKS = Tracks(np.zeros(31, np.int64), np.empty(0, np.int32), np.empty((0, 2), np.float32))
GREY = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def test_around_a_matte_the_outline_of_the_tracks_is_dropped():
    matte = box(60, 20, 80, 70)
    ragged = points(box(57, 15, 90, 75), 60)  # votes on the subject and raggedly beside it
    votes = np.zeros(60, bool), np.ones(60, bool)
    assert (moving.mask(ragged, *votes, GREY) & ~matte).any(), "by tracks alone it is too large"
    beside = moving.mask(ragged, *votes, GREY, matte) & ~matte
    reach = cv2.dilate(matte.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert not (beside & reach).any()
    assert moving.mask(ragged, *votes, GREY, matte)[matte].all()


def test_what_moves_far_from_every_matte_is_found_by_its_tracks():
    matte, ball = box(10, 20, 30, 70), box(110, 30, 130, 50)
    there = points(ball, 80)
    votes = np.zeros(80, bool), np.ones(80, bool)
    found = moving.mask(there, *votes, GREY, matte)
    assert found[matte].all() and found[40, 120]


def test_whoever_sits_still_belongs_to_the_scene():
    sitting, walking = box(10, 20, 40, 80), box(100, 20, 130, 80)
    xy = np.concatenate([points(sitting, 40), points(walking, 40)])
    still = np.arange(80) < 40
    found = moving.of_matte(sitting | walking, xy, still, ~still)
    assert not found[sitting].any() and found[walking].all()


def test_without_tracks_a_matte_counts_as_moving():
    matte = box(10, 20, 40, 80)
    nothing = np.empty(0, bool)
    assert moving.of_matte(matte, np.empty((0, 2), np.float32), nothing, nothing)[matte].all()


@pytest.mark.parametrize("shift", [-3, 3])
def test_an_enlarged_edge_moves_to_the_mattes(shift):
    matte = box(60, 20, 100, 70)
    values = np.where(box(60 + shift, 20 + shift, 100 + shift, 70 + shift), 0.9, 0.1).astype(np.float32)
    np.testing.assert_array_equal(moving.cut_out(values, matte, reach=5), np.where(matte, 0.9, 0.1).astype(np.float32))


def test_an_empty_or_a_full_matte_changes_nothing():
    values = np.random.default_rng(0).random((HEIGHT, WIDTH)).astype(np.float32)
    for matte in (np.zeros((HEIGHT, WIDTH), bool), np.ones((HEIGHT, WIDTH), bool)):
        np.testing.assert_array_equal(moving.cut_out(values, matte, reach=5), values)


def levels_of(regions, depths):
    """The inverse depth of each frame's subject after `object_depth`, without any tracks."""
    maps = [(np.where(region, depth, 0.1).astype(np.float32), region.astype(np.int32))
            for region, depth in zip(regions, depths, strict=True)]  # fmt: skip
    factors = object_depth.factors(maps.__getitem__, NO_TRACKS, np.empty(0, bool), outlined=True, check=lambda: None)
    return np.array([depth * factor[1] for depth, factor in zip(depths, factors, strict=True)])


def test_outlines_that_overlap_are_one_subject_whose_depth_does_not_jump():
    regions = [box(30 + index, 20, 60 + index, 70) for index in range(30)]
    depths = 0.5 + 0.2 * (np.arange(30) % 5 == 2)  # the ground below jumps every fifth frame
    assert np.ptp(levels_of(regions, depths)) < 1e-3


def test_feet_out_of_the_image_do_not_decide():
    """Half of the time the subject is cut off below, where the ground at the edge is too far away."""
    regions = [box(40, 20, 70, 70) if index < 8 else box(40, 30, 70, HEIGHT) for index in range(30)]
    depths = np.where(np.arange(30) < 8, 0.6, 0.3)
    found = levels_of(regions, depths)
    np.testing.assert_allclose(found[:19], 0.6, rtol=1e-3)


def test_subjects_apart_keep_their_own_depth():
    regions = [box(20, 20, 50, 70) if index < 15 else box(100, 20, 130, 70) for index in range(30)]
    depths = np.where(np.arange(30) < 15, 0.6, 0.3)
    np.testing.assert_allclose(levels_of(regions, depths), depths, rtol=1e-3)
