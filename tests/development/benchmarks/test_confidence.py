"""The benchmark of parallax's confidence: what it counts, and its plot."""

import re

import cv2
import numpy as np
import pytest

from development.benchmarks import confidence
from inference.estimators.parallax import calibration
from tests.development.benchmarks.test_completion import clip  # noqa: F401 - fixture
from tests.inference.estimators.parallax.conftest import UndistortedFrames, scene  # noqa: F401 - fixture


def made_up(chances, *, held_out=False):
    """Pixels of random confidence, right as often as `chances` of it says."""
    random = np.random.default_rng(0)
    sure = random.uniform(0, 1, 50_000).astype(np.float32)
    sure[:1000] = 0
    right = random.uniform(0, 1, len(sure)) < chances(sure)
    error = np.where(right, 0.02, 0.5).astype(np.float32)
    known = np.ones(len(sure), bool)
    return confidence.Measured(
        clip="made up", kind="as it is", held_out=held_out, confidence=sure, error=error, known=known
    )


def test_confident_pixels_determine_scale_and_shift_whatever_the_others_are():
    random = np.random.default_rng(1)
    depth = random.uniform(1, 20, 5000)
    disparity = (1 / depth - 0.02) / 3
    wrong = random.uniform(0, 1, 5000) < 0.4
    disparity[wrong] = random.uniform(0, 2, wrong.sum())
    found = confidence.aligned(disparity, depth, np.where(wrong, 0.2, 0.9))
    assert np.median(np.abs(found / depth - 1)[~wrong]) < 0.03


def test_shares_are_those_of_the_table_where_confidence_tells_the_truth():
    rows = confidence.shares([made_up(lambda sure: sure), made_up(lambda sure: 0 * sure, held_out=True)])
    assert len(rows) > 8
    for first, last, share, pixels in rows[1:]:
        low, high = np.interp([first, last], calibration.EVIDENCE, calibration.SHARES)
        assert low - 0.03 < share < high + 0.03
        assert pixels > 0


def test_held_out_clips_alone_count_nothing():
    assert confidence.shares([made_up(lambda sure: sure, held_out=True)]) == []


@pytest.mark.parametrize("kind", confidence.CHANGES)
def test_degraded_images_differ_and_are_the_same_each_time(kind):
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    frames = confidence.Degraded(frames=UndistortedFrames([image] * 2), change=confidence.CHANGES[kind])
    assert (len(frames), frames.width, frames.height) == (2, 60, 40)
    assert frames[0].shape == image.shape and frames[0].dtype == np.uint8
    assert (frames[0] != image).mean() > 0.3
    np.testing.assert_array_equal(frames[1], frames[1])


def test_few_frames_are_the_first():
    images = [np.full((4, 6, 3), value, np.uint8) for value in range(20)]
    few = confidence.First(frames=UndistortedFrames(images), count=14)
    assert (len(few), few.width, few.height, list(few.numbers)) == (14, 6, 4, list(range(1, 15)))
    assert few[13][0, 0, 0] == 13


def test_a_plot_has_every_clip():
    drawn = confidence.picture([made_up(lambda sure: sure), made_up(lambda sure: sure**2, held_out=True)])
    image = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] > 800 and image.std() > 5


@pytest.mark.slow
def test_the_tables_are_of_a_clip_s_own_maps(clip, tmp_path, capsys):  # noqa: F811
    plot = tmp_path / "plot.png"
    assert (
        confidence.main([str(clip), "--degrade", "few", "--work", str(tmp_path / "work"), "--picture", str(plot)]) == 0
    )
    shown = capsys.readouterr().out
    rows = [re.split(r"\s{2,}", line.strip()) for line in shown.splitlines() if line.startswith("boxes")]
    assert [row[1] for row in rows] == ["as it is", "few"]
    for row in rows:
        mean, right, relative = map(float, row[2:])
        assert abs(mean - right) < 0.25 and relative < 0.2
    assert plot.stat().st_size > 10_000


def test_a_clip_that_is_not_there_is_one_line(tmp_path, capsys):
    assert confidence.main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("dev.py: ")
