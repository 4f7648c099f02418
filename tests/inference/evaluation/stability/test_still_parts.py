"""What stands still in the image, where the motion cannot be told."""

import numpy as np

from inference.evaluation.stability import optical_flow


def test_a_motion_for_which_opencv_finds_no_matrix_is_none_that_is_shared(monkeypatch):
    def fail(*_):
        raise optical_flow.cv2.error("(-215:Assertion failed) !model.empty() in function 'setModelParameters'")

    monkeypatch.setattr(optical_flow.cv2, "findFundamentalMat", fail)
    points = np.random.default_rng(1).uniform(0, 100, (200, 2))
    assert optical_flow._model(points, points + 5, 1.0) is None
