"""What estimators are told of the true camera."""

from dataclasses import replace

import numpy as np
import pytest
from ground_truth_maker import truth_of, write_truth

from inference.evaluation.accuracy.metrics import MetricsError
from inference.evaluation.suites.suite import known_camera

DEPTHS = [np.full((24, 32), 2.0)] * 3
POSES = [np.eye(4) + np.diag([index / 10] * 3, 1) for index in range(3)]


def test_the_lens_and_the_path_are_those_of_the_truth(tmp_path):
    ground_truth = write_truth(tmp_path, DEPTHS, POSES, rgb=True)
    assert known_camera(ground_truth, "unknown", first_frame=5) is None
    lens = known_camera(ground_truth, "lens", first_frame=5)
    assert (lens.width, lens.height, lens.focal_length, lens.principal_point) == (32, 24, 30.0, (15.5, 11.5))
    assert lens.poses == ()
    path = known_camera(ground_truth, "path", first_frame=5)
    assert [pose.frame for pose in path.poses] == [5, 6, 7]
    assert np.array_equal([pose.camera_to_world for pose in path.poses], POSES)


def test_images_larger_than_the_depth_have_the_same_camera_at_their_size(tmp_path):
    ground_truth = write_truth(tmp_path, DEPTHS, POSES, rgb=True)
    large = replace(ground_truth, read_image=lambda index: np.zeros((48, 64, 3), np.uint8))
    lens = known_camera(large, "lens", first_frame=0)
    assert (lens.width, lens.focal_length, lens.principal_point) == (64, 60.0, (31.5, 23.5))


def test_what_the_truth_lacks_is_said(tmp_path):
    with pytest.raises(MetricsError, match="has no calibration"):
        known_camera(truth_of(DEPTHS), "lens", first_frame=0)
    ground_truth = write_truth(tmp_path, DEPTHS, [*POSES[:2], None], rgb=True)
    assert known_camera(ground_truth, "lens", first_frame=0) is not None
    with pytest.raises(MetricsError, match="has no pose at 1 of its frames"):
        known_camera(ground_truth, "path", first_frame=0)
