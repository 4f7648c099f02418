"""What is done to finished maps: noise, skies, the place of edges."""

import cv2
import numpy as np
import pytest

from inference.contract.camera import Camera, Pose
from inference.depth_maps import refining
from inference.depth_maps.along_flow import ComparedFrame

WIDTH, HEIGHT, STEP, COUNT = 128, 80, 2, 5


def texture(seed, width):
    rough = np.random.default_rng(seed).uniform(30, 225, (HEIGHT // 8, width // 8, 3)).astype(np.float32)
    return np.clip(cv2.resize(rough, (width, HEIGHT), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pan():
    """Frames of a wall that goes left past a square that goes right, with their true maps."""
    wide, square, frames = texture(1, WIDTH + 16), texture(2, 48)[:40], []
    for i in range(COUNT):
        image = wide[:, STEP * i : STEP * i + WIDTH].copy()
        true = np.full((HEIGHT, WIDTH), 0.3, np.float32)
        image[20:60, 30 + STEP * i : 78 + STEP * i] = square
        true[20:60, 30 + STEP * i : 78 + STEP * i] = 1.0
        frames.append((image, true))
    return frames


def smoothed(frames, maps, index, *, reach=2, camera=None):
    looks = [ComparedFrame(image, values) for (image, _), values in zip(frames, maps)]
    return refining.Smoothing(range(len(maps)), looks.__getitem__, reach=reach, value_range=0.7, camera=camera).smooth(
        index, check=lambda: None
    )


def test_noise_goes_and_edges_stay_sharp(pan):
    random = np.random.default_rng(0)
    noisy = [true + random.normal(0, 0.02, true.shape).astype(np.float32) for _, true in pan]
    found, true = smoothed(pan, noisy, 2), pan[2][1]
    inside = (slice(8, -8), slice(8, -8))
    assert np.abs(found - true)[inside].mean() < 0.7 * np.abs(noisy[2] - true)[inside].mean()
    between = (found > 0.45) & (found < 0.85)
    assert between[inside].mean() < 0.002


@pytest.mark.parametrize("index", [0, 2])
def test_a_frames_own_level_stays(pan, index):
    """A camera that comes nearer: each map is more than the one before, and so it is after smoothing, at ends too."""
    maps = [true * np.float32(1 + 0.03 * i) for i, (_, true) in enumerate(pan)]
    found = smoothed(pan, maps, index)
    inside = (slice(8, -8), slice(8, -8))
    assert np.median(found[inside] / maps[index][inside]) == pytest.approx(1.0, abs=0.004)


def test_a_camera_brings_neighbors_to_the_frames_place(pan):
    """A still image of a wall that the camera walks to: 1/Z of the neighbors is that from where they are."""
    frames = [pan[0]] * 3
    poses = tuple(
        Pose(frame=i, camera_to_world=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0.2 * i), (0, 0, 0, 1))) for i in range(3)
    )
    camera = Camera(width=WIDTH, height=HEIGHT, focal_length=100.0, principal_point=(63.5, 39.5), poses=poses)
    maps = [np.full((HEIGHT, WIDTH), 1 / (4 - 0.2 * i), np.float32) for i in range(3)]
    np.testing.assert_allclose(smoothed(frames, maps, 0, camera=camera), maps[0], rtol=1e-4)


def test_a_single_frame_stays_as_it_is(pan):
    values = np.random.default_rng(1).random((HEIGHT, WIDTH), np.float32)
    np.testing.assert_array_equal(smoothed(pan[:1], [values], 0), values)


def test_near_sides_grow_and_shrink_and_slopes_stay():
    values = np.tile(np.linspace(0.30, 0.36, 60, dtype=np.float32), (40, 1))
    values[10:30, 20:40] = 1.0
    more, less = (refining.shifted(values, pixels) for pixels in (2.0, -2.0))
    assert (more[8:32, 22:38] == 1).all() and (more[10:30, 18:42] == 1).all()
    assert (less[12:28, 22:38] == 1).all() and (less[10:12, 20:40] < 0.5).all()
    far = np.s_[34:, :]
    np.testing.assert_array_equal(more[far], values[far])
    np.testing.assert_array_equal(less[far], values[far])
    assert refining.shifted(values, 0.0) is values


def test_a_sky_is_found_down_to_the_roofs():
    y = np.mgrid[:90, :160][0]
    image = np.repeat((200 - 0.4 * y)[..., None], 3, axis=2)
    random = np.random.default_rng(2)
    image[50:] = random.uniform(20, 140, (40, 160, 1))
    image[25:60, 60:90] = random.uniform(40, 120, (35, 30, 1))  # a tower
    disparity = np.where(y < 50, 0.02, 0.4).astype(np.float32)
    disparity[25:60, 60:90] = 0.3
    sky = refining.find_sky(np.uint8(image), disparity, None, far=0.02, near=0.5)
    true = np.zeros((90, 160), bool)
    true[:50] = True
    true[25:60, 60:90] = False
    assert (sky > 0)[true].mean() > 0.98 and (sky > 0)[~true].mean() < 0.01
    near = refining.find_sky(np.uint8(image), disparity + 0.3, None, far=0.02, near=0.5)
    assert not near.any(), "what is near is no sky, however smooth it is"


def test_a_skys_value_is_beyond_every_limit():
    assert refining.below_sky("inverse_depth", far=0.1, near=1.0) == 0.0
    value = refining.below_sky("relative_disparity", far=2.0, near=6.0)
    share = (value - 2.0) / (6.0 - 2.0)
    for near, far in ((1.0, 10.0), (2.0, 2.5)):
        assert share * (1 / near - 1 / far) + 1 / far < 0
