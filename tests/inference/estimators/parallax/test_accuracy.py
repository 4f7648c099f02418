"""Accuracy on footage with known depth. The limits leave a little for other machines' rounding."""

import cv2
import pytest
from ground_truth_maker import score

from inference.estimators import parallax
from inference.evaluation.datasets.folder import open_clip


@pytest.mark.slow(seconds=120)
@pytest.mark.parametrize(
    ("clip", "absolute_relative", "delta1", "flicker"),
    [("7scenes_redkitchen_50", 0.120, 0.880, 0.015), ("cg_street_dolly_40", 0.115, 0.870, 0.015)],
)
def test_depth_is_as_accurate_as_promised(footage, make, tmp_path, clip, absolute_relative, delta1, flicker):
    folder = footage / "gt" / clip
    images = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in sorted((folder / "rgb").iterdir())]
    run = make.shot(images, tmp_path)
    parallax.estimate(run.shot)
    scores = score(run.disparity.__getitem__, open_clip(folder))
    assert scores.absolute_relative <= absolute_relative
    assert scores.delta1 >= delta1
    assert scores.flicker <= flicker
