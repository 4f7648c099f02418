"""Accuracy on footage with known depth. The limits leave a little for other machines' rounding."""

from dataclasses import replace

import cv2
import pytest
from ground_truth_maker import score

from development.benchmarks import completion
from inference.estimators import parallax
from inference.evaluation.accuracy.metrics import frame_scores, summary
from inference.evaluation.datasets.folder import open_clip


@pytest.mark.slow(seconds=120)
@pytest.mark.parametrize(
    ("clip", "count", "absolute_relative", "delta1", "flicker"),
    [("7scenes_redkitchen_50", 25, 0.120, 0.895, 0.010), ("cg_street_dolly_40", 40, 0.115, 0.870, 0.015)],
)
def test_depth_is_as_accurate_as_promised(footage, make, tmp_path, clip, count, absolute_relative, delta1, flicker):
    folder = footage / "gt" / clip
    files = sorted((folder / "rgb").iterdir())[:count]
    images = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]
    run = make.shot(images, tmp_path)
    parallax.estimate(run.shot)
    scores = score(run.disparity.__getitem__, replace(open_clip(folder), frame_numbers=tuple(range(count))))
    assert scores.absolute_relative <= absolute_relative
    assert scores.delta1 >= delta1
    assert scores.flicker <= flicker


@pytest.mark.slow(seconds=120)
def test_what_moves_has_its_learned_depth_where_it_was_not_found_to_move(footage, tmp_path):
    clip = completion.opened(footage / "gt" / "cg_street_dolly_40", tmp_path)
    learned = completion.stand_in(completion.true_inverse_depth(clip.truth), 0)
    maps, _ = completion.estimate(clip, "parallax", tmp_path / "scratch", learned)
    over = summary([frame_scores(maps.__getitem__, clip.truth)])
    assert over["moving"]["absolute_relative"] <= 0.14
    assert over["static"]["absolute_relative"] <= 0.04
