"""Depth carried from frame to frame, and settled over time."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from inference.depth_maps import temporal


def test_depth_is_carried_along_the_flow_into_the_next_camera():
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    flat = np.full((48, 64), 0.5, np.float32)  # Z = 2 there
    there = np.stack(np.meshgrid(np.arange(64), np.arange(48)), axis=-1).astype(np.float32)
    move = (np.eye(3), np.array([0.0, 0.0, -0.5]))  # the camera moves forth by 0.5
    carried, valid = temporal.carry(flat, there, move=move, matrix=matrix)
    np.testing.assert_allclose(carried, 1 / 1.5, rtol=1e-5)
    assert valid.all()
    behind = (np.eye(3), np.array([0.0, 0.0, -2.5]))
    assert not temporal.carry(flat, there, move=behind, matrix=matrix)[1].any()


def test_projected_depth_is_that_of_the_nearest_point():
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    depth = np.full((48, 64), 0.25, np.float32)  # Z = 4
    depth[20:28, 30:36] = 0.5  # Z = 2, in front of it
    depth[0] = 0  # nothing
    move = np.eye(3), np.array([0.4, 0.0, -1.0])  # everything comes nearer by 1 and moves to the right
    seen = temporal.projected(depth, move=move, matrix=matrix)
    # the box, at Z = 1 now, is twice as large, and its left edge goes from 30 - 31.5 = -1.5 to 2 * -1.5 + 50 * .4
    assert set(np.unique(np.round(seen, 5))) == {0, np.float32(0.33333), 1}
    columns = np.flatnonzero((seen == 1).any(axis=0))
    assert (columns.min(), columns.max()) == (49, 59)
    rows = np.flatnonzero((seen == 1).any(axis=1))
    assert rows.min() == 17 and rows.max() == 31
    behind = temporal.projected(depth, move=(np.eye(3), np.array([0.0, 0.0, -5.0])), matrix=matrix)
    assert not behind.any()


def test_points_are_looked_up_where_their_own_depth_says_they_are():
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    generator = np.random.default_rng(0)
    wall = generator.integers(0, 255, (48, 96, 3)).astype(np.uint8)
    here, there = wall[:, 10:74].copy(), wall[:, 20:84].copy()  # Z = 2: 10 pixels to the left there
    bars = np.zeros((48, 64), bool)
    bars[:, 4::12] = True
    there[bars] = 255 - there[bars]  # something before the wall
    theirs = np.where(bars, np.float32(1.0), np.float32(0.5))
    own = np.full((48, 64), 0.5, np.float32)
    move = np.eye(3), np.array([-0.4, 0.0, 0.0])
    found, weight = temporal.looked_up(own, theirs, (here, there), move=move, matrix=matrix)
    hidden = np.zeros_like(bars)
    hidden[:, 10:] = bars[:, :-10]
    np.testing.assert_allclose(found[:, 10:], np.where(hidden, 1.0, 0.5)[:, 10:], rtol=1e-5)
    assert weight[:, 10:][~hidden[:, 10:]].min() > 0.99 and np.median(weight[hidden]) < 0.2
    assert not weight[:, :9].any()  # outside of the other's image
    nearer, _ = temporal.looked_up(own, own, (here, here), move=(np.eye(3), np.array([0, 0, -0.5])), matrix=matrix)
    np.testing.assert_allclose(nearer[20:28, 28:36], 1 / 2.5, rtol=1e-5)  # the other is ahead by .5 and sees Z = 2


NO_NUMBER = """
import numpy as np
from inference.depth_maps import temporal
image, matrix = np.zeros((480, 640, 3), np.uint8), np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
for value in (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-38):
    own, right = np.full((480, 640), value, np.float32), np.full((480, 640), 0.5, np.float32)
    for pair in ((own, right), (right, own)):
        temporal.looked_up(*pair, (image, image), move=(np.eye(3), np.array([0.1, 0, 0])), matrix=matrix)
"""


def test_depth_that_is_no_number_reads_no_other_memory():
    """In a process of its own, which would crash."""
    ended = subprocess.run([sys.executable, "-c", NO_NUMBER], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_what_is_looked_up_counts_on_the_same_line_of_sight_alone():
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    plain = np.full((48, 64, 3), 128, np.uint8)  # its colors tell nothing apart
    someone, wall = np.full((48, 64), 0.5, np.float32), np.full((48, 64), 0.1, np.float32)  # who has gone from there

    def weight(theirs, aside, beside=1.0):
        turn = cv2.Rodrigues(np.array([0.0, 0.05, 0.0]))[0]
        move = turn, turn @ np.array([-aside, 0.0, 0.0])
        found = temporal.looked_up(someone, theirs, (plain, plain), move=move, matrix=matrix, beside=beside)
        return found[1][20:28, 28:36]

    assert weight(wall, 0.4, np.inf).min() > 0.99
    assert weight(someone, 0.4).min() > 0.95
    assert weight(wall, 0.4).max() < 1e-3  # 8 pixels beside
    assert weight(wall, 0.005).min() > 0.9  # a tenth of a pixel: the wall may be what is seen
    assert 0.3 < np.median(weight(wall, 0.05)) < 0.45  # a pixel


def test_what_another_frame_shows_of_a_wall_and_of_bars_before_it():
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    wall = np.random.default_rng(0).integers(0, 255, (48, 96, 3)).astype(np.uint8)
    here, there = wall[:, 10:74].copy(), wall[:, 20:84].copy()  # Z = 2: 10 pixels to the left there
    bars = np.zeros((48, 64), bool)
    bars[:, 4::12] = True
    theirs = np.where(bars, np.float32(1.0), np.float32(0.5))
    moved = np.roll(bars, 20, axis=1) & (np.arange(64) >= 20)  # Z = 1: 20 pixels
    there[bars], here[moved] = 20, 20
    hidden = np.roll(bars, 10, axis=1) & ~moved  # of the wall, by the bars there
    move, images = (np.eye(3), np.array([-0.4, 0.0, 0.0])), (here, there)
    found, weight = temporal.shown(theirs, np.ones_like(bars), images, move=move, matrix=matrix)
    true, inside = np.where(moved, 1.0, 0.5), np.arange(64) >= 20
    known = inside & ~hidden
    np.testing.assert_allclose(found[known], true[known], rtol=1e-5)
    assert weight[known].min() > 0.99
    assert np.median(weight[hidden & inside]) < 0.01
    found, weight = temporal.shown(theirs, ~bars, images, move=move, matrix=matrix)
    assert not weight[found > 0.5].any(), "what does not count shows nothing"


def test_settling_ignores_what_has_no_weight():
    values = np.array([[3.0, 1.0, 9.0, 1.1], [2.0, 7.0, 8.0, 9.0]], np.float32).T.reshape(4, 1, 2)
    weights = np.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]], np.float32).T.reshape(4, 1, 2)
    np.testing.assert_allclose(temporal.settle(values, weights)[0], [1.05, 2.0])


def test_settling_ignores_an_outlier():
    values = np.array([1.0, 1.02, 0.98, 3.0], np.float32).reshape(4, 1, 1)
    settled = temporal.settle(values, np.ones_like(values))
    assert settled[0, 0] == pytest.approx(1.0, abs=1e-6)


def test_a_smaller_share_is_enough_for_what_is_behind():
    values = np.array([1.0, 1.0, 3.0, 3.0, 3.0], np.float32).reshape(5, 1, 1)
    weights = np.ones_like(values)
    assert temporal.settle(values, weights)[0, 0] == pytest.approx(3.0)
    assert temporal.settle(values, weights, share=0.4)[0, 0] == pytest.approx(1.0)
    assert temporal.settle(values, weights, share=0.3)[0, 0] == pytest.approx(1.0)


THIN = """
import cv2
import numpy as np
from inference.depth_maps import temporal
for preset in (cv2.DISOPTICAL_FLOW_PRESET_FAST, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM):
    for size in ((1, 1), (7, 12), (8, 64), (14, 40), (28, 160), (28, 320), (64, 12), (320, 28), (14, 1280), (31, 31)):
        image = np.random.default_rng(0).integers(0, 256, size, np.uint8)
        for start in (None, np.zeros((*size, 2), np.float32)):
            for finest in (None, 0):
                found = temporal.flow(image, np.roll(image, 1, 1), start, preset=preset, finest=finest)
            assert found.shape == (*size, 2) and found.dtype == np.float32, size
"""


def test_flow_of_thin_images_crashes_nothing():
    """In a process of its own, which OpenCV would end."""
    ended = subprocess.run([sys.executable, "-c", THIN], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("is_tall", [False, True])
@pytest.mark.parametrize("size", [(20, 160), (24, 320)])
def test_flow_of_thin_images_is_right(size, is_tall):
    texture = np.random.default_rng(3).integers(0, 256, (size[0], size[1] + 2), np.uint8)
    texture = cv2.GaussianBlur(texture, (0, 0), 1.5)
    before, after = texture[:, 2:], texture[:, :-2]
    found = temporal.flow(before.T.copy(), after.T.copy()).swapaxes(0, 1) if is_tall else temporal.flow(before, after)
    np.testing.assert_allclose(np.median(found[2:-2, 4:-4], axis=(0, 1)), [0, 2] if is_tall else [2, 0], atol=0.35)
