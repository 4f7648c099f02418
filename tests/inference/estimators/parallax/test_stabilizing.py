"""Depth over time, from frames of which each has an opinion of its own."""

from types import SimpleNamespace

import numpy as np
import pytest

from inference.common.files import save_array
from inference.estimators.parallax import shot_data, stabilizing
from inference.estimators.parallax.view import Views

COUNT, HEIGHT, WIDTH = 13, 24, 32
FAR, NEAR = np.float32(0.2), np.float32(0.6)
MOVING = np.s_[2:6, 2:8]


@pytest.fixture
def scene(tmp_path):
    """A wall of one color before a camera that goes sideways by a fifth of a pixel a frame."""
    poses = np.tile(np.eye(4)[:3], (COUNT, 1, 1))
    poses[:, 0, 3] = -0.02 * np.arange(COUNT)
    views = Views(
        width=WIDTH,
        height=HEIGHT,
        focal=50.0,
        center=np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2]),
        distortion=np.zeros(2),
        world_to_camera=poses,
        points=np.zeros((0, 3)),
        seen=np.zeros((0, 2), np.int32),
    )
    labels = np.zeros((HEIGHT, WIDTH), np.int16)
    labels[MOVING] = 1
    (tmp_path / shot_data.OBJECTS).mkdir()
    for frame in range(COUNT):
        save_array(tmp_path / shot_data.OBJECTS / f"{frame:06d}.npy", labels)
    color = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    images = SimpleNamespace(color=lambda frame: color)
    limits = np.float32(0.05), np.float32(2.0)
    return SimpleNamespace(folder=tmp_path, views=views, images=images, learned=None, limits=limits)


def opinions(wrong):
    """Depth of which a share is wrong, other pixels in each frame, and confidence [2, H, W] by frame."""
    random = np.random.default_rng(3)
    sure = np.full((HEIGHT, WIDTH), 0.3, np.float32)
    return [np.stack([np.where(random.random(sure.shape) < wrong, NEAR, FAR), sure]) for _ in range(COUNT)]


def agreement(maps):
    """Share of the pixels in which neighboring frames agree, away from what moves and from the borders."""
    inside = np.stack([each[8:-4, 4:-4] for each in maps])
    return float(np.mean(np.abs(np.diff(inside, axis=0)) < 0.05))


def test_frames_that_differ_come_to_agree(scene):
    stable = opinions(0.3)
    middle = range(4, COUNT - 4)
    found = [stabilizing.once_more(scene, stable.__getitem__, frame, pause=lambda: None) for frame in middle]
    before = agreement([stable[frame][0] for frame in middle])
    after = agreement([depth for depth, _ in found])
    assert before < 0.6 and after > 0.8
    for (depth, confidence), frame in zip(found, middle, strict=True):
        np.testing.assert_array_equal(depth[MOVING], stable[frame][0][MOVING])  # what moves is its own frame's
        np.testing.assert_array_equal(confidence, stable[frame][1])


def test_with_learned_depth_only_the_own_line_of_sight_counts(scene):
    scene.learned = object()
    stable = opinions(0.0)
    # something near that has moved: where it was, its old depth leads other frames far beside the pixel
    mine = stable[6].copy()
    mine[0, 12:16, 14:20] = 2.0
    stable[6] = mine
    depth, _ = stabilizing.once_more(scene, stable.__getitem__, 6, pause=lambda: None)
    assert np.median(depth[12:16, 14:20]) > 1.0
    scene.learned = None
    depth, _ = stabilizing.once_more(scene, stable.__getitem__, 6, pause=lambda: None)
    assert np.median(depth[12:16, 14:20]) < 0.3
