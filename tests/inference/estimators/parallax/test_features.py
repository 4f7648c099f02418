"""Features link what tracks do not: where flow is torn, and nowhere else."""

import numpy as np
import pytest

from inference.estimators.parallax import features
from inference.estimators.parallax.tracks import Tracks, follow, key_frames


def torn(tracks, at):
    """The tracks, all of which end before a frame, where others begin."""
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    ids = np.where(frames >= at, tracks.ids + tracks.ids.max() + 1, tracks.ids).astype(np.int32)
    return Tracks(tracks.starts, ids, tracks.xy)


@pytest.fixture(scope="module")
def followed(scene):
    return follow(scene.images.__getitem__, len(scene.images))


def test_tracks_that_last_are_left_as_they_are(scene, followed):
    keys = key_frames(followed, long_side=192)
    assert features.with_features(followed, keys[:4], scene.images.__getitem__) is followed


def test_a_tear_is_bridged_by_points_of_the_scene(scene, followed, make):
    keys, images = [0, 4, 8, 12], scene.images
    broken = torn(followed, 8)
    assert not len(broken.shared(4, 8)[0])
    linked = features.with_features(broken, keys, images.__getitem__)
    for frame in range(len(images)):
        ids, xy = linked.at(frame)
        assert np.all(np.diff(ids) > 0)
        old, places = broken.at(frame)
        np.testing.assert_array_equal(xy[: len(old)], places)
        np.testing.assert_array_equal(ids[: len(old)], old)
        assert frame in keys or len(ids) == len(old)
    before, after = linked.moved(4, 8)
    assert len(before) > 40
    missed = np.linalg.norm(moved(scene, before, 4, 8) - after, axis=1)
    assert np.mean(missed < 1.0) > 0.8


def moved(scene, xy, first, second):
    """Where points [K, 2] of a frame are in another, by the scene's depth and poses."""
    x, y = np.clip(np.rint(xy).astype(int).T, 0, [[191], [143]])
    center = np.array([191, 143]) / 2
    local = np.column_stack([(xy - center) / 170.0, np.ones(len(xy))]) * scene.depth[first][y, x, None]
    world = local @ scene.poses[first][:3, :3].T + scene.poses[first][:3, 3]
    there = (world - scene.poses[second][:3, 3]) @ scene.poses[second][:3, :3]
    return 170.0 * there[:, :2] / there[:, 2:] + center


def test_what_is_covered_has_no_features(scene, followed):
    def aside(frame):
        mask = np.zeros((144, 192), bool)
        mask[:, :96] = True
        return mask

    linked = features.with_features(torn(followed, 8), [4, 8], scene.images.__getitem__, aside=aside)
    before, _ = linked.moved(4, 8)
    assert len(before) and before[:, 0].min() > 94


def test_images_without_features_add_nothing(scene, followed):
    broken = torn(followed, 8)
    same = features.with_features(broken, [4, 8], lambda frame: np.full((144, 192, 3), 128, np.uint8))
    np.testing.assert_array_equal(same.ids, broken.ids)
