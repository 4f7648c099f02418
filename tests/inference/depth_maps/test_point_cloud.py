import cv2
import numpy as np
import pytest

from inference.contract.camera import Camera, Pose
from inference.contract.distortion import distort
from inference.contract.export import Placement
from inference.depth_maps import point_cloud

KEYS = ((1, 1.0, 0.0), (3, 2.0, 0.5))


def placed(**more):
    return Placement(**{"first_frame": 1, "line": ((1, 1.0, 0.0),), "far_limit": 10.0} | more)


def test_distance_within_the_limits():
    disparity = np.array([[0.5, 0.25, 0.01, 0.0, np.nan, 100.0]], np.float32)
    z = point_cloud.distance(disparity, placed(near_limit=1.0, scale=3.0), 1)
    assert z[0] == pytest.approx([6, 12, 30, 30, 30, 3])


def test_distance_follows_keys():
    disparity = np.full((1, 1), 0.5, np.float32)
    found = [float(point_cloud.distance(disparity, placed(line=KEYS), frame)[0, 0]) for frame in (0, 1, 2, 3, 9)]
    assert found == pytest.approx([2, 2, 1, 1 / 1.5, 1 / 1.5])


@pytest.mark.parametrize("distortion", [(0.0, 0.0), (-0.2, 0.05)])
def test_rays_lead_back_to_their_pixels(distortion):
    camera = Camera(width=40, height=30, focal_length=35.0, principal_point=(21.0, 12.5), distortion=distortion)
    rays = point_cloud.rays(camera, 1).astype(np.float64)
    matrix = np.array([[35.0, 0, 21.0], [0, 35.0, 12.5], [0, 0, 1]])
    lens = np.array([*distortion, 0.0, 0.0])
    back, _ = cv2.projectPoints(rays.reshape(-1, 3), np.zeros(3), np.zeros(3), matrix, lens)
    rows, columns = np.mgrid[0:30, 0:40]
    assert np.abs(back.reshape(30, 40, 2) - np.stack([columns, rows], axis=-1)).max() < 1e-3


def test_rays_of_a_lens_that_zooms_through_wide_pixels():
    still = ((1, 0, 0, 0.0), (0, 1, 0, 0.0), (0, 0, 1, 0.0), (0, 0, 0, 1))
    poses = (Pose(frame=1, camera_to_world=still), Pose(frame=2, camera_to_world=still, focal_length=70.0))
    camera = Camera(width=40, height=30, focal_length=35.0, principal_point=(20.0, 15.0), poses=poses, pixel_aspect=2.0)
    assert point_cloud.rays(camera, 1)[29, 39] == pytest.approx([19 / 35, 14 / 70, 1])
    assert point_cloud.rays(camera, 2)[29, 39] == pytest.approx([19 / 70, 14 / 140, 1])


@pytest.mark.parametrize("model", ["polynomial", "division", "nuke", "brown"])
def test_rays_of_every_lens_model(model):
    camera = Camera(
        width=40, height=30, focal_length=35.0, principal_point=(20.0, 15.0), distortion=(-0.1, 0.01),
        distortion_model=model,
    )  # fmt: skip
    x, y, _ = np.moveaxis(point_cloud.rays(camera, 1).astype(np.float64), -1, 0)
    back = distort(model, camera.distortion, x, y, unit=camera.half_side / 35)
    rows, columns = np.mgrid[0:30, 0:40]
    assert np.abs(35 * back[0] + 20 - columns).max() < 1e-3 and np.abs(35 * back[1] + 15 - rows).max() < 1e-3


def test_worlds_of_either_axis_up():
    """A point ahead of and above a camera that stands at x = 1, in a scene that is turned by a quarter about z."""
    pose = Pose(frame=7, camera_to_world=((1, 0, 0, 1.0), (0, 1, 0, 0.0), (0, 0, 1, 0.0), (0, 0, 0, 1)))
    camera = Camera(width=4, height=4, focal_length=4.0, principal_point=(1.5, 1.5), poses=(pose,))
    point = np.array([0, -1, 5, 1.0])  # OpenCV's: up and ahead
    plain, scaled = placed(), placed(scale=2.0, path_scale=3.0)
    assert point_cloud.pose(camera, 7, plain, "z") @ point == pytest.approx([1, 5, 1, 1])
    assert point_cloud.pose(camera, 7, plain, "y") @ point == pytest.approx([1, 1, -5, 1])
    assert point_cloud.pose(camera, 7, scaled, "z") @ point == pytest.approx([6, 5, 1, 1])
    assert point_cloud.pose(camera, 8, plain, "z") @ point == pytest.approx([0, 5, 1, 1])
    quarter = placed(world=((0, -1, 0, 0.0), (1, 0, 0, 0.0), (0, 0, 1, 10.0), (0, 0, 0, 1.0)))
    assert point_cloud.pose(camera, 7, quarter, "z") @ point == pytest.approx([-5, 1, 11, 1])


def cloud(places, gray):
    """Records of points."""
    places = np.asarray(places, float)
    points = np.zeros(len(places), point_cloud._record(with_confidence=False))
    for i, name in enumerate("xyz"):
        points[name] = places[:, i]
    for name in ("red", "green", "blue"):
        points[name] = gray
    return points


def test_voxels_hold_the_mean_of_their_points(monkeypatch):
    rng = np.random.default_rng(1)
    places = rng.uniform(-3, 3, (3000, 3))
    whole = point_cloud.VoxelGrid(0.5, with_confidence=False)
    whole.add(cloud(places, 100))
    monkeypatch.setattr(point_cloud, "_MOST_WAITING", 500)
    parts = point_cloud.VoxelGrid(0.5, with_confidence=False)
    parts._origin = places.mean(axis=0)  # as it is of all at once
    for start in range(0, 3000, 300):
        parts.add(cloud(places[start : start + 300], 100))
    one, other = whole.points(), parts.points()
    assert len(one) == len(other) == len(np.unique(np.floor((places.astype("f4") - places.mean(axis=0)) / 0.5), axis=0))
    for name in "xyz":
        assert np.allclose(one[name], other[name], atol=1e-5)
    assert np.all(one["red"] == 100)


def test_two_colors_in_a_voxel_are_mixed():
    grid = point_cloud.VoxelGrid(1.0, with_confidence=False)
    grid.add(np.concatenate([cloud([(0.1, 0, 0)], 0), cloud([(-0.1, 0, 0)], 200)]))
    grid.add(cloud(np.zeros((0, 3)), 0))
    points = grid.points()
    assert points["red"].sum() in (100, 200) and abs(points["x"].sum()) < 0.2


def test_a_cloud_without_points(tmp_path):
    point_cloud.write(tmp_path / "empty.ply", cloud(np.zeros((0, 3)), 0), ("nothing",))
    assert (tmp_path / "empty.ply").read_bytes().endswith(b"property uchar blue\nend_header\n")
