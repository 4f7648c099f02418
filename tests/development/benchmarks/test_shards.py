"""Shards are faces that are drawn out from beside the camera where the scene's surface is not."""

import numpy as np
import pytest

from development.benchmarks import _shards

WIDTH, HEIGHT, FOCAL = 64, 36, 60.0
LENS = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1.0]])
ASIDE = np.radians(5.0)
PIVOT = 4.0


def beside(angle):
    """From the view's places to the camera's: turned about a point ahead."""
    return _shards.turned(np.degrees(angle), PIVOT)


def plane_from_beside(slope, angle):
    """Planar Z and normals of the view of the plane Z = PIVOT + slope X, and the camera's own 1 / Z of it."""
    there = beside(angle)
    normal = np.array([slope, 0.0, -1.0])  # normal . place + PIVOT = 0
    turned, offset = normal @ there[:3, :3], PIVOT + normal @ there[:3, 3]
    x = (np.arange(WIDTH) - LENS[0, 2]) / FOCAL
    y = (np.arange(HEIGHT) - LENS[1, 2])[:, None] / FOCAL
    z = -offset / (turned[0] * x + turned[1] * y + turned[2])
    true = np.broadcast_to((1 - slope * x) / PIVOT, (HEIGHT, WIDTH))
    return z, np.broadcast_to(turned / np.linalg.norm(turned), (HEIGHT, WIDTH, 3)), true


@pytest.mark.parametrize("angle", [ASIDE, -ASIDE])
@pytest.mark.parametrize("slope", [0.0, 1.0, -12.0, 12.0])
def test_a_wall_that_is_there_is_no_shard_however_steep(angle, slope):
    z, normal, true = plane_from_beside(slope, angle)
    shown = (np.abs(z) < 100) & (z > 0.5)  # an endless wall goes on behind the camera
    shown &= np.abs(np.arange(WIDTH) - LENS[0, 2]) < WIDTH / 4
    assert shown.any()
    assert not (shown & _shards.shards(z, normal, np.maximum(true, 0), LENS, beside(angle))).any()


@pytest.mark.parametrize("angle", [ASIDE, -ASIDE])
def test_a_face_drawn_out_before_a_flat_wall_is_one(angle):
    wall = np.full((HEIGHT, WIDTH), 1 / PIVOT)
    steep = [plane_from_beside(slope, angle)[:2] for slope in (-14.0, 14.0)]
    shown = [_shards.shards(z, normal, wall, LENS, beside(angle)) for z, normal in steep]
    assert max(each[:, 24:40].mean() for each in shown) > 0.9  # from the side that its slope opens to
    z, normal, _ = plane_from_beside(0.3, angle)
    assert not _shards.shards(z, normal, wall, LENS, beside(angle)).any()


def test_what_lies_behind_what_the_camera_sees_is_made_up():
    z, _, _ = plane_from_beside(0.0, ASIDE)
    front = np.full((HEIGHT, WIDTH), PIVOT)
    assert not _shards.made_up(z, front, LENS, beside(ASIDE)).any()
    front[:, : WIDTH // 2] = 0.9 * PIVOT
    found = _shards.made_up(z, front, LENS, beside(ASIDE))
    assert found[:, : WIDTH // 2 - 3].all() and not found[:, WIDTH // 2 + 3 :].any()


def test_a_view_draws_the_nearest_triangle_at_each_pixel():
    behind = np.array([[-9.0, -9.0, 6.0], [9.0, -9.0, 6.0], [0.0, 30.0, 6.0]])
    x, y = ((np.array([20, 30]) - LENS[i, 2]) * 3.0 / FOCAL for i in (0, 1))
    square = np.array([[x[0], y[0], 3.0], [x[1], y[0], 3.0], [x[1], y[1], 3.0], [x[0], y[1], 3.0]])
    places, triangles = np.concatenate([behind, square]), np.array([[3, 4, 5], [0, 1, 2], [3, 5, 6]])
    z, triangle, weights = _shards.view(places, triangles, LENS, (WIDTH, HEIGHT))
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[20:31, 20:31] = True
    assert np.allclose(z[inside], 3.0) and np.allclose(z[~inside], 6.0)
    assert set(triangle[inside]) == {0, 2} and set(triangle[~inside]) == {1}
    seen = np.einsum("hwi,hwij->hwj", weights, places[triangles[triangle]])
    column = seen[..., 0] / seen[..., 2] * FOCAL + LENS[0, 2]
    assert np.allclose(column, np.arange(WIDTH), atol=1e-6)
    z, triangle, _ = _shards.view(places - (0, 0, 10.0), triangles, LENS, (WIDTH, HEIGHT))
    assert np.isinf(z).all() and (triangle == -1).all()  # behind the camera


@pytest.mark.parametrize("degrees", [5.0, -5.0])
def test_a_mesh_is_seen_from_beside_with_its_normals(degrees):
    slope = 0.4
    x = np.array([-6.0, 6.0, 6.0, -6.0])
    places = np.stack([x, [-6.0, -6.0, 6.0, 6.0], PIVOT + slope * x], axis=-1)
    there = beside(np.radians(degrees))
    z, triangle, _, normal = _shards.seen(places, np.array([[0, 1, 2], [0, 2, 3]]), LENS, (WIDTH, HEIGHT), there)
    expected, facing, _ = plane_from_beside(slope, np.radians(degrees))
    assert (triangle >= 0).all() and np.allclose(z, np.broadcast_to(expected, z.shape))
    assert np.allclose(np.abs(np.sum(normal * facing, axis=-1)), 1.0)


def test_where_nothing_is_there_is_no_shard():
    z, normal, true = plane_from_beside(0.0, ASIDE)
    assert not _shards.shards(np.full_like(z, 1e10), normal, true, LENS, beside(ASIDE)).any()


def test_a_step_of_the_scene_does_not_excuse_a_skin():
    z, normal, _ = plane_from_beside(-14.0, ASIDE)
    wall = np.full((HEIGHT, WIDTH), 1 / PIVOT)
    stepped = wall.copy()
    stepped[:, WIDTH // 2 :] *= 0.5
    found, plain = (_shards.shards(z, normal, true, LENS, beside(ASIDE)) for true in (stepped, wall))
    assert np.array_equal(found, plain)
