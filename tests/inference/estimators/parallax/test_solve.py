"""The camera solve finds the path where one mapper alone ends with a wrong one."""

import numpy as np
import pytest
from mapped_model import everywhere_tracks

from inference.estimators.parallax import solve
from inference.estimators.parallax.lens import Lens

WIDTH, HEIGHT, COUNT, POINTS = 320, 240, 16, 300
FOCAL = 0.9 * WIDTH
CENTER = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
LENS = Lens(width=WIDTH, height=HEIGHT, focal=FOCAL, center=tuple(CENTER))


@pytest.fixture(scope="module")
def down_the_street():
    """Tracks of a camera that goes forwards, of a level ground and of buildings above it, and the inverse depths.

    A plane's motion has two explanations (Hartley and Zisserman 13.3): here a camera that sinks before a slope is one.
    """
    random = np.random.default_rng(0)
    seen = random.uniform([0, 0], [WIDTH - 1, HEIGHT - 1], (POINTS, 2))
    below = seen[:, 1] - CENTER[1]
    inverse = np.where(below > 0, 0.2 + 8 * below / HEIGHT, random.uniform(0.15, 0.6, POINTS))
    points = np.c_[(seen - CENTER) / FOCAL, np.ones(POINTS)] / inverse[:, None]
    drift = random.normal(0, 0.3, (POINTS, 2))  # of a track, over the shot
    xy = []
    for passed in np.arange(COUNT) / COUNT:
        angle = 0.05 * np.sin(2 * passed)
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        at = (points - np.array([-0.015, 0, 0.1]) * passed) @ turn.T
        xy.append(FOCAL * at[:, :2] / at[:, 2:] + CENTER + drift * passed)
    return everywhere_tracks(np.stack(xy) + random.normal(0, 0.15, (COUNT, POINTS, 2))), inverse


def goes(views):
    way = views.positions[-1] - views.positions[0]
    return way / np.linalg.norm(way)


def test_a_camera_that_goes_forwards_above_a_ground_does_not_sink(tmp_path, down_the_street):
    views = solve.solve(down_the_street[0], LENS, seed=0, folder=tmp_path)
    assert goes(views) @ [-0.15, 0, 0.99] > 0.97


def test_a_path_is_found_by_growing_where_the_mapper_has_none(tmp_path, monkeypatch):
    random = np.random.default_rng(2)
    points = random.uniform([-2, -1.5, 4], [2, 1.5, 9], (150, 3))
    shifts = np.array([0.15, 0, 0]) * np.arange(12)[:, None]
    at = points + shifts[:, None]
    xy = FOCAL * at[..., :2] / at[..., 2:] + CENTER + random.normal(0, 0.15, (12, 150, 2))
    monkeypatch.setattr(solve, "_map", lambda *where, refine_focal: None)
    views = solve.solve(everywhere_tracks(xy), LENS, seed=0, folder=tmp_path)
    assert goes(views) @ [-1, 0, 0] > 0.99
    first = np.linalg.norm(xy[0][None] - views.project(views.sparse(0)[1])[:, None], axis=2).argmin(axis=1)
    assert len(first) > 100
    assert np.corrcoef(1 / views.sparse(0)[1][:, 2], 1 / points[first, 2])[0, 1] > 0.99
