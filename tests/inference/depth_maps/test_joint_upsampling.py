"""Maps at the plate's size."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.depth_maps.joint_upsampling import upsample


def _scene(width: int, height: int):
    """A disc in front of a slanted wall: the true map and a plate in which the disc has another color."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    disc = (x - width * 0.47) ** 2 + (y - height * 0.52) ** 2 < (height * 0.31) ** 2
    truth = np.where(disc, 2.0, 0.5 + 0.4 * x / width).astype(np.float32)
    noise = np.random.default_rng(3).normal(0, 0.01, (height, width, 3))
    plate = np.where(disc[..., None], (0.7, 0.3, 0.2), (0.3, 0.4, 0.6)) + noise
    return truth, np.clip(plate, 0, 1).astype(np.float32), disc


def _nearest(truth, size):
    """What an estimator gives at working size: no pixel is a mixture."""
    return cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST)


@pytest.mark.parametrize("size", [(80, 60), (107, 81), (53, 40)])
def test_a_step_follows_the_plates_edge_and_nothing_lies_between_its_sides(size):
    truth, plate, disc = _scene(320, 240)
    small = _nearest(truth, size)
    (found,) = upsample((small,), plate)
    plain = cv2.resize(small, (320, 240), interpolation=cv2.INTER_LINEAR)
    rim = cv2.dilate(disc.astype(np.uint8), np.ones((9, 9))) != cv2.erode(disc.astype(np.uint8), np.ones((9, 9)))
    error, plain_error = (np.abs(each - truth)[rim].mean() for each in (found, plain))
    assert error < plain_error / 5
    between = (found > 1.0) & (found < 1.9)
    assert between.mean() < 0.001
    assert ((plain > 1.0) & (plain < 1.9)).mean() > 0.01


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize(("blur", "fringe"), [(0.0, 1), (0.8, 3), (1.5, 5)])
def test_pixels_between_the_sides_of_an_edge_take_either(blur, fringe, guided):
    """Maps that are averaged and blurred, as networks give them."""
    truth, plate, _ = _scene(320, 240)
    small = cv2.resize(truth, (107, 81), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), blur) if blur else small
    (plain,), (found,) = (upsample((small,), plate, fringe=each, guided=guided) for each in (0, fringe))
    between = (found > 1.05) & (found < 1.85)
    assert ((plain > 1.05) & (plain < 1.85)).mean() > 4 * between.mean()
    assert between.mean() < 0.0015
    assert (np.abs(found - truth) > 0.2).mean() < (0.003 if guided else 0.02)


def test_a_slope_has_no_fringe():
    """A floor up to its horizon: steep in 1/Z, and linear."""
    y = np.mgrid[:60, :80][0].astype(np.float32)
    floor = 0.02 * y + 0.02
    plate = np.full((60, 80, 3), 0.5, np.float32)
    (found,) = upsample((floor,), plate, fringe=4)
    np.testing.assert_allclose(found, floor, atol=2e-3)


def test_a_thin_thing_stays():
    truth = np.full((60, 80), 0.2, np.float32)
    truth[:, 40:42] = 1.0
    plate = np.where(truth[..., None] > 0.5, 0.9, 0.1).repeat(3, axis=2).astype(np.float32)
    (found,) = upsample((truth,), plate, fringe=3)
    assert np.abs(found - truth).max() < 0.01


def test_maps_of_the_plates_size_lose_their_fringe():
    truth, plate, _ = _scene(160, 120)
    blurred = cv2.GaussianBlur(truth, (0, 0), 1.0)
    (found,) = upsample((blurred,), plate, fringe=4)
    assert (np.abs(found - truth) > 0.2).mean() < 0.003 < (np.abs(blurred - truth) > 0.2).mean()


def test_a_slanted_surface_stays_a_plane():
    y, x = np.mgrid[:90, :160].astype(np.float32)
    truth = 0.2 + 0.01 * x - 0.004 * y
    small = cv2.resize(truth, (40, 30), interpolation=cv2.INTER_AREA)
    plate = np.random.default_rng(0).random((90, 160, 3), np.float32) * 0.05 + 0.4
    (found,) = upsample((small,), plate)
    inside = (slice(8, -8), slice(8, -8))
    assert np.abs(found - truth)[inside].max() < 0.002
    steps = np.diff(found[inside], axis=1)
    assert steps.min() > 0.005, "no staircase"


def test_a_texture_on_a_flat_surface_leaves_no_trace():
    plate = np.random.default_rng(1).random((60, 80, 3), np.float32)
    (found,) = upsample((np.full((20, 27), 0.7, np.float32),), plate)
    np.testing.assert_allclose(found, 0.7, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(-4, 25), st.integers(-4, 25)),  # a working size may be rounded beyond the plate's
    st.integers(0, 2**31),
)
def test_values_stay_within_those_around_them_at_any_sizes(size, more, seed):
    rng = np.random.default_rng(seed)
    small = rng.normal(0, 1, (2, *size)).astype(np.float32)
    plate = rng.random((max(1, size[0] + more[0]), max(1, size[1] + more[1]), 3), np.float32)
    found = upsample(tuple(small), plate)
    for before, after in zip(small, found):
        assert after.shape == plate.shape[:2]
        assert np.isfinite(after).all()
        assert before.min() <= after.min() and after.max() <= before.max()


def test_every_map_is_cut_where_the_first_one_is():
    truth, plate, disc = _scene(160, 120)
    confidence = np.where(disc, 0.9, 0.1).astype(np.float32)
    small = tuple(_nearest(each, (40, 30)) for each in (truth, confidence))
    depth, sure = upsample(small, plate)
    assert (sure[depth > 1.9] > 0.8).mean() > 0.99
    assert (sure[depth < 1.0] < 0.2).mean() > 0.99


def test_the_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    truth, plate, _ = _scene(90, 61)
    small = _nearest(truth, (30, 20))
    results = []
    for count in (1, 2, 7):
        monkeypatch.setattr("os.cpu_count", lambda count=count: count)
        results.append(upsample((small,), plate)[0])
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_maps_of_the_plates_size_are_passed_through():
    small = np.random.default_rng(0).random((6, 8), np.float32)
    (found,) = upsample((small,), np.zeros((6, 8, 3), np.float32))
    assert np.array_equal(found, small)


def test_an_edge_between_two_pixels_of_the_map_is_found():
    plate = np.zeros((80, 120, 3), np.float32)
    plate[:, 57:] = 0.86
    true = np.where(np.arange(120) < 57, 1.0, 0.3) * np.ones((80, 1))
    small = true.reshape(40, 2, 60, 2).mean(axis=(1, 3)).astype(np.float32)
    (large,) = upsample((small,), plate, threads=1)
    assert large.shape == (80, 120) and large.dtype == np.float32
    assert (np.abs(large - true) > 0.1).mean() < 0.005
