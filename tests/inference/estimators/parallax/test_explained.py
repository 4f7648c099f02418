"""A camera solve that follows a subject instead of the scene is refused."""

import numpy as np
import pytest

from inference.estimators.parallax.tracks import Tracks
from inference.estimators.parallax.unsupported import doubts, explained, supported_part, unexplained
from inference.estimators.parallax.view import Views

WIDTH, HEIGHT, COUNT, FOCAL = 320, 240, 100, 280.0
NUMBERS = range(101, 101 + COUNT)
STEP, DISTANCE, ASIDE = 0.05, 5.0, 8.0  # of the camera a frame, of the scene, and pixels by which what moves jumps


def followed(static_of, *, lasting=4):
    """Views of a camera that glides sideways, and tracks that begin all over the image every so many frames.

    Static are those that ``static_of(frame, xy)`` names where they begin; the others jump up and down.
    """
    x, y = np.meshgrid(np.arange(8, WIDTH, 16), np.arange(8, HEIGHT, 16))
    start = np.column_stack([x.ravel(), y.ravel()]).astype(np.float32)
    each, xy = len(start), []
    for frame in range(COUNT):
        age = frame % lasting
        jump = np.where(static_of(frame - age, start), 0.0, ASIDE * (-1) ** age)
        xy.append(start + np.column_stack([np.full(each, -age * FOCAL * STEP / DISTANCE), jump]))
    poses = np.repeat(np.eye(4)[None, :3], COUNT, axis=0)
    poses[:, 0, 3] = -STEP * np.arange(COUNT)
    views = Views(
        width=WIDTH,
        height=HEIGHT,
        focal=FOCAL,
        center=np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2]),
        distortion=np.zeros(2),
        world_to_camera=poses,
        points=np.empty((0, 3)),
        seen=np.empty((0, 2), np.int32),
    )
    ids = np.concatenate([np.arange(each) + each * (frame // lasting) for frame in range(COUNT)])
    return views, Tracks(np.arange(COUNT + 1) * each, ids.astype(np.int32), np.concatenate(xy).astype(np.float32))


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
    shares = explained(*followed(lambda frame, xy: on_subject(xy) | (frame >= 12)))
    assert shares[0] < 0.4 and shares[12] == 1
    reason = unexplained(shares, NUMBERS)
    assert "12 frames (101-112)" in reason.reason
    for hint in ("mattes", "leave these frames out", "Video Depth Anything", "Quick"):
        assert hint in reason.hint
    assert reason.supported == (113, 200), "the rest may be solved by itself"


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
    good = np.zeros(40, bool)
    good[list(frames)] = True
    assert supported_part(good, NUMBERS[:40]) == part


def test_a_moment_is_told_but_not_refused():
    shares = explained(*followed(lambda frame, xy: on_subject(xy) | (frame != 16)))
    assert unexplained(shares, NUMBERS) is None
    (warning,) = doubts(shares, NUMBERS)
    assert "117-120" in warning and "mattes" in warning


def test_what_is_too_far_away_for_any_parallax_is_explained():
    views, tracks = followed(everywhere)
    far = Tracks(tracks.starts, tracks.ids, np.tile(tracks.at(0)[1], (COUNT, 1)))
    np.testing.assert_array_equal(explained(views, far), 1)


def test_tracks_too_short_to_be_explained_do_not_count():
    shares = explained(*followed(lambda frame, xy: np.zeros(len(xy), bool), lasting=3))
    np.testing.assert_array_equal(shares, 1)
    np.testing.assert_array_equal(explained(*followed(lambda frame, xy: np.zeros(len(xy), bool), lasting=4)), 0)
