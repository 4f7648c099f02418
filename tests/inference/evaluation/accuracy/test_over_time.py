"""Distances, flicker and bands of a comparison: that they are handed on as what measures them says."""

from dataclasses import replace

import numpy as np
import pytest
from depth_writer import write_depth
from ground_truth_maker import truth_of

from inference.evaluation.accuracy.comparison import compare
from inference.evaluation.accuracy.over_time import bands, measure
from inference.evaluation.stability.spectrum import band_values

COUNT, HEIGHT, WIDTH = 12, 24, 32
DEPTHS = np.stack([3 + np.mgrid[:HEIGHT, :WIDTH][1] / 16 for _ in range(COUNT)]).astype(np.float32)
NAMES = ("absolute_relative", "distance", "warp_error", "flicker")


def still_camera():
    """A wall before a camera that does not move, with exact flow: none."""
    return replace(
        truth_of(DEPTHS, moving=np.zeros(DEPTHS.shape, bool)),
        read_flow=lambda index: np.zeros((HEIGHT, WIDTH, 2), np.float32) if index + 1 < COUNT else None,
        matrix=np.array([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]]),
        poses=(np.eye(4),) * COUNT,
    )


def of(folder, ground_truth, factor=lambda index: 1.0):
    maps = {n: factor(n) / DEPTHS[n].astype(np.float64) for n in range(COUNT)}
    write_depth(folder, maps, files=[f"{n:05d}.png" for n in range(COUNT)])
    return compare(folder, ground_truth)


def test_an_exact_estimate_has_neither_distance_nor_flicker(tmp_path):
    found = measure(of(tmp_path, still_camera()), NAMES)
    assert list(found.values) == ["distance", "warp_error", "flicker"] and found.notes == ()
    assert all(value == pytest.approx(0, abs=1e-5) for value in found.values.values())


def test_an_estimate_that_drifts_has_both(tmp_path):
    found = measure(of(tmp_path, still_camera(), lambda index: 1 + 0.02 * index), NAMES)
    assert 0.1 < found.values["distance"] < 2 and 0.005 < found.values["warp_error"] < 0.04
    assert found.values["flicker"] == pytest.approx(found.values["warp_error"], rel=0.1)


def test_only_what_is_asked_for_is_measured(tmp_path):
    assert measure(of(tmp_path, still_camera()), ("delta1", "flicker")).values.keys() == {"flicker"}
    assert measure(of(tmp_path / "b", still_camera()), ("delta1",)).values == {}


def test_truth_without_a_camera_is_said(tmp_path):
    found = measure(of(tmp_path, truth_of(DEPTHS)), NAMES)
    assert found.values == {"distance": None, "warp_error": None, "flicker": None}
    assert "no camera path" in found.notes[0]


def test_pairs_that_could_not_be_compared_are_counted(tmp_path):
    ground_truth = still_camera()
    poses = (None, None, *ground_truth.poses[2:])
    comparison = of(tmp_path, replace(ground_truth, poses=poses))
    (tmp_path / "disparity.0006.exr").unlink()
    found = measure(compare(tmp_path, replace(ground_truth, poses=poses)), NAMES)
    assert found.notes == (
        "1 of 1 pairs of frames 10 apart could not be compared in space: 1 with no true pose.",
        "4 of 11 pairs of neighboring frames could not be compared in space: 2 with no true pose, 2 with no estimate.",
    )
    assert found.values["distance"] is None and comparison.without_estimate == ()


def test_measured_flow_says_what_the_truth_itself_would_score(tmp_path):
    random = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    ground_truth = replace(still_camera(), read_flow=None, read_image=lambda index: random)
    (said,) = measure(of(tmp_path, ground_truth), NAMES).notes
    assert "with which the true depth itself scores a distance of 0.0000 m and a warp error of 0.0000" in said


def test_bands_are_those_of_the_error_sequences(tmp_path):
    comparison = of(tmp_path, still_camera(), lambda index: 1 + 0.05 * (-1) ** index)
    found, scores = bands(comparison), comparison.parts[0].scores.values["all"]
    assert found["absolute_relative"] == [band_values(scores["absolute_relative"])]
    assert found["delta1"] == [band_values(1 - scores["delta1"])]
    assert found["absolute_relative"][0][0] == pytest.approx(scores["absolute_relative"].mean())
