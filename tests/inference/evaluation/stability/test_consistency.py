"""Consistency in space of scenes whose depth, camera and flow are known exactly."""

import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

from inference.evaluation.datasets.folder import open_clip
from inference.evaluation.datasets.protocols import MetricsError
from inference.evaluation.stability.consistency import consistency
from tests.inference.support.static_scenes import HEIGHT, WIDTH, Plane, flow, noise, pose, rays, truth_of, walk

PLANE = Plane()


def exact(plane, poses):
    return lambda index: plane.depth(poses[index])


def test_a_known_rigid_motion_gives_no_distance():
    poses = walk(21)
    found = consistency(exact(PLANE, poses), truth_of(PLANE, poses))
    assert found.correspondences == "given"
    assert found.spaced.frames == (0, 10)
    assert found.neighbors.frames == tuple(range(20))
    assert found.spaced.points > HEIGHT * WIDTH
    assert found.spaced.distance < 1e-5
    assert found.neighbors.relative < 1e-6
    assert found.spaced.floor < 1e-5


def test_a_scale_that_changes_gives_the_distance_that_it_makes():
    poses = walk(11)
    later = PLANE.depth(poses[10])

    def grown(index):
        return PLANE.depth(poses[index]) * (1.1 if index == 10 else 1.0)

    found = consistency(grown, truth_of(PLANE, poses))
    assert found.spaced.relative == pytest.approx(0.1, abs=1e-5)
    nearest, farthest = (bound(np.linalg.norm(rays() * later[..., None], axis=-1)) for bound in (np.min, np.max))
    assert 0.1 * nearest < found.spaced.distance < 0.1 * farthest
    assert found.spaced.by_pair == (pytest.approx(found.spaced.distance),)
    assert found.spaced.floor < 1e-5
    assert found.neighbors.by_pair[8] < 1e-5
    assert found.neighbors.by_pair[9] == pytest.approx(found.spaced.distance, rel=0.1)


def test_a_wrong_camera_path_gives_a_distance():
    poses = walk(11)
    nothing_moves = truth_of(PLANE, poses, moving=lambda index: np.zeros((HEIGHT, WIDTH), bool))
    wrong = replace(nothing_moves, poses=tuple(walk(11, step=0.03)))
    assert consistency(exact(PLANE, poses), wrong).spaced.distance > 0.05


def test_what_moves_is_left_out_by_its_mask():
    poses = walk(11)
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[10:30, 20:40] = True

    def with_box(index):
        return np.where(box, 1.0 + 0.1 * index, PLANE.depth(poses[index]))

    masked = truth_of(PLANE, poses, moving=lambda index: box)
    assert consistency(with_box, masked).spaced.distance < 1e-5
    assert consistency(with_box, truth_of(PLANE, poses, moving=lambda index: box & False)).spaced.distance > 0.1


def test_what_moves_is_left_out_by_its_motion_where_nobody_says():
    poses = walk(11)
    ground_truth = truth_of(PLANE, poses)
    box = np.zeros((HEIGHT, WIDTH, 1), bool)
    box[10:30, 20:30] = True

    def drawn(index):  # the box slides over the plane by 4 pixels a frame
        still = ground_truth.flow(index)
        return None if still is None else np.where(box, still + np.array([4.0, 0.0]), still)

    sliding = replace(ground_truth, read_flow=drawn)
    found = consistency(exact(PLANE, poses), sliding)
    assert found.neighbors.distance < 1e-5
    assert found.neighbors.points < 0.95 * consistency(exact(PLANE, poses), ground_truth).neighbors.points


def test_what_gets_hidden_is_left_out():
    near, far = Plane((0, 0, 1), 2.0), Plane((0, 0, 1), 6.0)
    poses = [pose(x=0.05 * index) for index in range(11)]

    def depth(index):  # a post at x = 0 ... 0.4 m in front of a wall
        shown = near.depth(poses[index])
        x = (rays() * shown[..., None])[..., 0] + poses[index][0, 3]
        return np.where((x > 0) & (x < 0.4), shown, far.depth(poses[index]))

    wall = truth_of(far, poses)
    ground_truth = replace(
        wall,
        read_depth=lambda index: depth(index).astype(np.float32),
        read_flow=lambda index: flow(depth(index), poses[index], poses[index + 1]) if index < 10 else None,
        read_moving=lambda index: np.zeros((HEIGHT, WIDTH), bool),
    )
    found = consistency(depth, ground_truth)
    assert found.spaced.distance < 1e-5
    assert found.spaced.points < consistency(exact(far, poses), wall).spaced.points


def test_flow_is_measured_where_none_is_given():
    poses = walk(11)
    ground_truth = truth_of(PLANE, poses, given=False, images=True)
    found = consistency(exact(PLANE, poses), ground_truth)
    assert found.correspondences == "measured"
    assert found.spaced.points > 0.5 * HEIGHT * WIDTH
    assert found.spaced.relative < 0.002
    assert found.spaced.floor == pytest.approx(found.spaced.distance, rel=1e-3)
    steps = consistency(lambda index: PLANE.depth(poses[index]) * 1.05**index, ground_truth)
    assert steps.neighbors.relative == pytest.approx(0.05, abs=0.002)


def test_single_points_of_a_laser_are_enough():
    poses = walk(11)
    known = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.15
    found = consistency(exact(PLANE, poses), truth_of(PLANE, poses, known=known))
    assert found.spaced.points > 100
    assert found.spaced.distance < 1e-5


def test_the_edge_of_what_has_no_truth_is_an_edge():
    poses = walk(11)
    known = np.zeros((HEIGHT, WIDTH), bool)
    known[20:] = True

    def with_sky(index):
        return np.where(known, PLANE.depth(poses[index]), 70.0)

    assert consistency(with_sky, truth_of(PLANE, poses, known=known)).spaced.distance < 1e-5


def test_truth_out_of_range_does_not_count():
    poses = walk(11)
    far = Plane(distance=400.0)
    found = consistency(exact(far, poses), truth_of(far, poses))
    assert found.spaced.points == 0
    assert found.spaced.distance is None
    assert found.spaced.floor is None
    assert found.spaced.without_points == 1
    assert np.isnan(found.spaced.by_pair).all()


def test_pixels_and_frames_of_no_use_are_counted():
    poses = walk(11)

    def holed(index):
        depth = PLANE.depth(poses[index])
        depth[:4, :5] = np.nan, np.inf, 0, -1, 2
        depth[:4, 4] = PLANE.depth(poses[index])[:4, 4]
        return None if index == 5 else depth

    found = consistency(holed, truth_of(PLANE, poses))
    assert found.neighbors.without_depth == 2  # pairs (4, 5) and (5, 6)
    assert found.neighbors.unusable >= 8 * 16
    assert found.neighbors.distance < 1e-5
    nothing = consistency(lambda index: np.full((HEIGHT, WIDTH), np.nan), truth_of(PLANE, poses))
    assert nothing.spaced.distance is None
    assert nothing.spaced.without_depth == 1


def test_frames_without_a_pose_are_counted():
    poses = walk(11)
    ground_truth = truth_of(PLANE, poses)
    ground_truth = replace(ground_truth, poses=(*ground_truth.poses[:10], None))
    found = consistency(exact(PLANE, poses), ground_truth)
    assert found.spaced.without_pose == 1
    assert found.spaced.distance is None
    assert found.neighbors.without_pose == 1
    assert found.neighbors.distance < 1e-5


def test_a_spacing_of_one_is_the_neighbors():
    poses = walk(4)
    found = consistency(lambda index: PLANE.depth(poses[index]) + 0.1 * index, truth_of(PLANE, poses), spacing=1)
    assert found.spaced == found.neighbors
    with pytest.raises(ValueError, match="at least 1"):
        consistency(exact(PLANE, poses), truth_of(PLANE, poses), spacing=0)


def test_one_frame_has_no_pairs():
    found = consistency(exact(PLANE, walk(1)), truth_of(PLANE, walk(1)))
    assert found.spaced.distance is None
    assert found.spaced.frames == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"matrix": None}, "no camera path"),
        ({"poses": (None,) * 11}, "no camera path"),
        ({"read_flow": None}, "neither flow nor images"),
        ({"read_flow": None, "read_image": lambda index: noise(1, (40, 40))}, "another shape"),
        ({"read_flow": lambda index: flow(PLANE.depth(pose()), pose(), pose()) if index < 3 else None}, "none for"),
    ],
)
def test_truth_that_does_not_do_is_refused_in_one_sentence(change, sentence):
    poses = walk(11)
    with pytest.raises(MetricsError, match=sentence) as told:
        consistency(exact(PLANE, poses), replace(truth_of(PLANE, poses), **change))
    assert str(told.value).count(". ") == 0


def test_images_too_small_to_measure_flow_in_are_refused():
    ground_truth = replace(
        truth_of(PLANE, walk(2), given=False), read_image=lambda index: np.zeros((6, 8, 3), np.uint8)
    )
    with pytest.raises(MetricsError, match="8x6 pixels, too few"):
        consistency(
            lambda index: np.ones((6, 8)), replace(ground_truth, read_depth=lambda index: np.ones((6, 8), np.float32))
        )


def test_an_estimate_of_another_size_is_refused():
    with pytest.raises(MetricsError, match="frame 0 of plane has 32x24 pixels and the ground truth 64x48"):
        consistency(lambda index: np.ones((24, 32)), truth_of(PLANE, walk(2)))


def peak(count):
    poses = walk(count, step=0.001)
    ground_truth = truth_of(PLANE, [poses[0]])
    ground_truth = replace(
        ground_truth,
        frame_numbers=tuple(range(count)),
        read_depth=lambda index: PLANE.depth(poses[index]).astype(np.float32),
        read_flow=lambda index: np.zeros((HEIGHT, WIDTH, 2), np.float32),
        poses=tuple(poses),
    )
    tracemalloc.start()
    consistency(lambda index: np.ones((HEIGHT, WIDTH)), ground_truth)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest


def test_a_long_shot_takes_no_more_memory():
    peak(12)  # what is imported late
    assert peak(90) < 1.1 * peak(30)


def test_real_depth_is_as_consistent_as_its_flow(footage):
    ground_truth = open_clip(footage / "gt" / "cg_street_dolly_40")
    found = consistency(ground_truth.depth, ground_truth, range(6), spacing=5)
    assert found.correspondences == "measured"
    assert found.spaced.relative < 0.02
    flat = consistency(lambda index: np.full(ground_truth.depth(index).shape, 10.0), ground_truth, range(6), spacing=5)
    assert flat.spaced.distance > 5 * found.spaced.distance
    assert flat.spaced.floor == pytest.approx(found.spaced.distance)


def test_images_are_brought_to_the_size_of_the_depth():
    poses = walk(3)
    ground_truth = truth_of(PLANE, poses, given=False, images=True)
    double = (2 * WIDTH, 2 * HEIGHT)
    large = replace(ground_truth, read_image=lambda index: cv2.resize(PLANE.image(poses[index]), double))
    assert consistency(exact(PLANE, poses), large).neighbors.relative < 0.002
