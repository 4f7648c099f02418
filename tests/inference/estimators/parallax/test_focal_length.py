"""An unknown focal length that the tracks do not tell is what lenses usually have; one that they tell stays."""

import numpy as np
import pytest
from mapped_model import everywhere_tracks, mapped

from inference.estimators.parallax import bundle, focal_length
from inference.estimators.parallax.lens import Lens

WIDTH, HEIGHT, FOCAL, COUNT, POINTS = 320, 240, 256.0, 12, 150
USUAL = 288.0


def turn(angle):
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


def solved(poses, folder, *, start):
    """The mapper's model of random points seen under poses (rotation, shift), at a focal length of `start`."""
    generator = np.random.default_rng(2)
    points = generator.uniform([-2, -1.5, 4], [2, 1.5, 9], (POINTS, 3))
    xy = []
    for rotation, shift in poses:
        at = points @ rotation.T + shift
        xy.append(FOCAL * at[:, :2] / at[:, 2:] + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    tracks = everywhere_tracks(np.stack(xy) + generator.normal(0, 0.15, (COUNT, POINTS, 2)))
    lens = Lens(width=WIDTH, height=HEIGHT, focal=None, centre=((WIDTH - 1) / 2, (HEIGHT - 1) / 2))
    return mapped(tracks, lens, folder, start=start)


def focal_of(model):
    return float(next(iter(model.cameras.values())).focal_length)


@pytest.fixture
def gliding(tmp_path):
    """A camera that glides sideways without turning: any focal length explains it, with a scene as deep as need be."""
    poses = [(np.eye(3), np.array([0.15 * (i - COUNT / 2), 0, 0])) for i in range(COUNT)]
    return solved(poses, tmp_path, start=150.0)


def test_where_any_focal_length_fits_the_usual_one_is_taken(gliding):
    assert focal_of(gliding) == pytest.approx(150.0)
    found = focal_length.likely(gliding, usual=USUAL)
    assert focal_of(found) == pytest.approx(USUAL, rel=0.1)
    count = bundle.observations(gliding)
    assert bundle.misfit(found, count) < 1.02 * bundle.misfit(gliding, count)


def test_a_focal_length_that_the_shot_tells_stays(tmp_path):
    """A camera that turns by forty degrees around the scene."""
    poses = []
    for angle in np.linspace(-0.35, 0.35, COUNT):
        rotation = turn(angle)
        poses.append((rotation, np.array([0, 0, 6.5]) - rotation @ [0, 0, 6.5]))
    model = solved(poses, tmp_path, start=FOCAL)
    told = focal_length.with_focal_length(model, FOCAL)
    found = focal_length.likely(told, usual=2.2 * FOCAL)
    assert focal_of(found) == pytest.approx(FOCAL, rel=0.03)


def test_a_focal_length_that_no_lens_has_is_left_to_be_refused(gliding):
    wrong = focal_length.with_focal_length(gliding, 3.0 * WIDTH)
    assert focal_length.likely(wrong, usual=USUAL) is wrong


def test_the_usual_focal_length_is_left_as_it_is(gliding):
    usual = focal_length.with_focal_length(gliding, USUAL)
    assert focal_length.likely(usual, usual=USUAL) is usual
