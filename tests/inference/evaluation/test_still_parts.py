"""What stands still in the picture, where the motion cannot be told."""

import numpy as np

from inference.evaluation import still_parts


def test_a_motion_for_which_opencv_finds_no_matrix_is_none_that_is_shared(monkeypatch):
    def fail(*_):
        raise still_parts.cv2.error("(-215:Assertion failed) !model.empty() in function 'setModelParameters'")

    monkeypatch.setattr(still_parts.cv2, "findFundamentalMat", fail)
    points = np.random.default_rng(1).uniform(0, 100, (200, 2))
    assert still_parts._model(points, points + 5, 1.0) is None
