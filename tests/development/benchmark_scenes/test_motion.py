"""True flow from depth, cameras and objects' movements, on cases with a known answer."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mathutils import Euler, Matrix

from development.benchmark_scenes import motion

CALIBRATION = np.array([[40.0, 0.0, 15.5], [0.0, 40.0, 8.5], [0.0, 0.0, 1.0]])
SHAPE = (18, 32)
STILL = np.eye(4)


def moved(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0)):
    return np.array(Matrix.Translation((x, y, z)) @ Euler(turn).to_matrix().to_4x4())


def flow(depth, *, index=None, camera=STILL, next_camera=STILL, moves=None):
    index = np.zeros(SHAPE, int) if index is None else index
    return motion.flow(
        np.broadcast_to(depth, SHAPE),
        index,
        calibration=CALIBRATION,
        camera=camera,
        next_camera=next_camera,
        moves=moves or {},
    )


def test_nothing_moves_without_a_reason():
    assert np.abs(flow(3.0)).max() < 1e-6


def test_a_camera_that_goes_right_sends_the_image_left_by_focal_length_over_depth():
    found = flow(5.0, next_camera=moved(x=0.25))
    assert np.allclose(found[..., 0], -40.0 * 0.25 / 5.0) and np.allclose(found[..., 1], 0.0, atol=1e-6)


def test_a_camera_that_goes_ahead_spreads_the_image_from_its_center():
    found = flow(4.0, next_camera=moved(z=2.0))
    x, y = np.meshgrid(np.arange(32), np.arange(18))
    assert np.allclose(found, np.stack((x - 15.5, y - 8.5), axis=-1), atol=1e-4)


def test_the_sky_turns_with_the_camera_and_knows_no_other_movement():
    turned = moved(turn=(0.0, 0.1, 0.0))
    sky = flow(np.inf, next_camera=moved(x=3.0, turn=(0.0, 0.1, 0.0)))
    assert np.allclose(sky, flow(np.inf, next_camera=turned), atol=1e-4)
    assert np.allclose(sky, flow(1e7, next_camera=turned), atol=1e-3)
    middle = 40.0 * np.tan(np.arctan((16.0 - 15.5) / 40.0) - 0.1) - 0.5
    assert abs(float(np.mean(sky[8:10, 16, 0])) - middle) < 0.01


def test_only_the_object_that_moves_moves():
    index = np.zeros(SHAPE, int)
    index[4:8, 10:20], index[12:14, 2:6] = 1, 2
    found = flow(5.0, index=index, moves={1: moved(x=0.5), 2: moved(y=-0.25)})
    assert np.allclose(found[index == 0], 0.0, atol=1e-6)
    assert np.allclose(found[index == 1], (40.0 * 0.5 / 5.0, 0.0), atol=1e-5)
    assert np.allclose(found[index == 2], (0.0, -40.0 * 0.25 / 5.0), atol=1e-5)


def test_what_the_camera_passes_is_not_known():
    assert np.isnan(flow(1.0, next_camera=moved(z=1.5))).all()


small = st.floats(-0.3, 0.3)
placed = st.builds(moved, small, small, small, st.tuples(small, small, small))


@settings(max_examples=25, deadline=None)
@given(camera=placed, next_camera=placed, move=placed, depth=st.floats(2.0, 30.0))
def test_a_pixel_lands_where_the_moved_point_is_projected(camera, next_camera, move, depth):
    found = flow(depth, index=np.ones(SHAPE, int), camera=camera, next_camera=next_camera, moves={1: move})
    for y, x in ((0, 0), (9, 16), (17, 31)):
        ray = np.linalg.solve(CALIBRATION, (x, y, 1.0))
        world = camera[:3, :3] @ (ray * depth) + camera[:3, 3]
        later = move[:3, :3] @ world + move[:3, 3]
        seen = CALIBRATION @ (next_camera[:3, :3].T @ (later - next_camera[:3, 3]))
        assert np.allclose(found[y, x] + (x, y), seen[:2] / seen[2], atol=1e-3)
