"""A camera solve that follows a subject instead of the scene is refused."""

import numpy as np
import pytest

from inference.estimators.parallax.tracks import Tracks
from inference.estimators.parallax.unsupported import doubts, explained, supported_part, unexplained
from inference.estimators.parallax.view import Views

WIDTH, HEIGHT, COUNT = 320, 240, 40
NUMBERS = range(101, 101 + COUNT)


def followed(static_of, *, lasting=COUNT):
    """Views and tracks of points all over the image; static are those that ``static_of(frame, xy)`` names."""
    x, y = np.meshgrid(np.arange(8, WIDTH, 16), np.arange(8, HEIGHT, 16))
    xy = np.column_stack([x.ravel(), y.ravel()]).astype(np.float32)
    each = len(xy)
    seen = [
        np.column_stack([np.full(each, frame), np.arange(each)])[static_of(frame, xy)].astype(np.int32)
        for frame in range(COUNT)
    ]
    center = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    views = Views(
        width=WIDTH,
        height=HEIGHT,
        focal=280.0,
        center=center,
        distortion=np.zeros(2),
        world_to_camera=np.repeat(np.eye(4)[None, :3], COUNT, axis=0),
        points=np.column_stack([(xy - center) / 280.0, np.ones(each)]),
        seen=np.concatenate(seen),
    )
    ids = np.concatenate([np.arange(each) + each * (frame // lasting) for frame in range(COUNT)])
    return views, Tracks(np.arange(COUNT + 1) * each, ids.astype(np.int32), np.tile(xy, (COUNT, 1)))


def on_subject(xy):
    return (xy[:, 0] > 120) & (xy[:, 0] < 200)


def everywhere(frame, xy):
    return np.ones(len(xy), bool)


def test_a_solve_of_the_whole_image_passes():
    shares = explained(*followed(everywhere))
    np.testing.assert_array_equal(shares, 1)
    assert unexplained(shares, NUMBERS) is None
    assert doubts(shares, NUMBERS) == ()


def test_a_moving_subject_before_an_explained_scene_passes():
    shares = explained(*followed(lambda frame, xy: ~on_subject(xy)))
    assert 0.6 < shares.max() < 1
    assert unexplained(shares, NUMBERS) is None
    assert doubts(shares, NUMBERS) == ()


def test_a_solve_that_follows_the_subject_for_a_while_is_refused_and_says_where_and_what_to_do():
    shares = explained(*followed(lambda frame, xy: on_subject(xy) | (frame >= 10)))
    assert shares[0] < 0.4 and shares[10] == 1
    reason = unexplained(shares, NUMBERS)
    assert "10 frames (101-110)" in reason.reason
    for hint in ("mattes", "leave these frames out", "Video Depth Anything", "Quick"):
        assert hint in reason.hint
    assert reason.supported == (111, 140), "the rest may be solved by itself"


PARTS = {
    "its end": (range(8, 40), (109, 140)),
    "its middle": (range(10, 35), (111, 135)),
    "less than half": (range(23, 40), None),
    "less than a second": (range(17, 40), None),
    "all of it": (range(40), None),
    "nothing": (range(0), None),
    "two parts": ([*range(24), *range(30, 40)], (101, 124)),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_worth_solving_that_is_long_and_not_all(name):
    frames, part = PARTS[name]
    good = np.zeros(COUNT, bool)
    good[list(frames)] = True
    assert supported_part(good, NUMBERS) == part


def test_a_moment_is_told_but_not_refused():
    shares = explained(*followed(lambda frame, xy: on_subject(xy) | (frame not in {4, 17})))
    assert unexplained(shares, NUMBERS) is None
    (warning,) = doubts(shares, NUMBERS)
    assert "105, 118" in warning and "mattes" in warning


def test_tracks_too_short_to_be_explained_do_not_count():
    shares = explained(*followed(lambda frame, xy: np.zeros(len(xy), bool), lasting=3))
    np.testing.assert_array_equal(shares, 1)
    np.testing.assert_array_equal(explained(*followed(lambda frame, xy: np.zeros(len(xy), bool), lasting=4)), 0)
