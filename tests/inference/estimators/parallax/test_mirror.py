"""A solve that ended in the scene's mirror image is turned round, and a right one is left alone."""

import numpy as np
import pytest
from mapped_model import everywhere_tracks, mapped

from inference.estimators.parallax import focal_length, solve
from inference.estimators.parallax.lens import Lens

WIDTH, HEIGHT, FOCAL, COUNT, POINTS = 320, 240, 750.0, 16, 150
DISTANCE = 15.0


@pytest.fixture
def scene():
    """Points that a long lens sees from far away, swinging past them by 20 degrees: little perspective."""
    generator = np.random.default_rng(4)
    points = generator.uniform([-1.5, -1.0, -1.0], [1.5, 1.0, 1.0], (POINTS, 3))
    xy = []
    for angle in np.linspace(-0.17, 0.17, COUNT):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        at = points @ turn.T + [0, 0, DISTANCE]
        xy.append(FOCAL * at[:, :2] / at[:, 2:] + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    return everywhere_tracks(np.stack(xy) + generator.normal(0, 0.2, (COUNT, POINTS, 2))), points


@pytest.fixture
def model(scene, tmp_path):
    tracks, _ = scene
    lens = Lens(width=WIDTH, height=HEIGHT, focal=FOCAL, center=((WIDTH - 1) / 2, (HEIGHT - 1) / 2))
    return mapped(tracks, lens, tmp_path, start=FOCAL)


def agreement(model, points):
    """Correlation of the model's depths, as the middle camera sees them, with the true ones."""
    middle = next(image for image in model.images.values() if int(image.name) == COUNT // 2)
    pose = middle.cam_from_world().matrix()
    pairs = [
        (model.points3D[seen.point3D_id].xyz @ pose[2, :3], points[index, 2])
        for index, seen in enumerate(middle.points2D)
        if seen.has_point3D()
    ]
    return np.corrcoef(np.array(pairs).T)[0, 1]


def test_a_reversed_solve_is_turned_round(model, scene):
    reversed_model = solve._mirrored(model)
    focal_length.refine(reversed_model, refine_focal=False)
    assert agreement(reversed_model, scene[1]) < -0.8  # refining alone does not bring it back
    assert agreement(solve.right_way_round(reversed_model, refine_focal=False), scene[1]) > 0.99


def test_turning_keeps_a_known_focal_length(model):
    before = next(iter(model.cameras.values())).focal_length
    turned = solve.right_way_round(solve._mirrored(model), refine_focal=False)
    assert next(iter(turned.cameras.values())).focal_length == before


def test_a_right_solve_is_left_as_it_is(model, scene):
    assert agreement(model, scene[1]) > 0.99
    assert solve.right_way_round(model, refine_focal=False) is model


def test_a_model_gains_nothing_by_losing_what_it_misses(model):
    count = focal_length.observations(model)
    whole = focal_length.misfit(model, count)
    for point in sorted(model.points3D)[:40]:
        model.delete_point3D(point)
    lost = 1 - focal_length.observations(model) / count
    assert lost > 0.1
    limit = WIDTH / 640
    assert focal_length.misfit(model, count) > whole + 0.5 * lost * limit**2
