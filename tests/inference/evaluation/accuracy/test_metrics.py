"""Metrics against ground truth made by hand, and against real poses where footage is there."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from ground_truth_maker import HEIGHT, WIDTH, score, write_truth

from inference.evaluation.accuracy.metrics import MetricsError, align
from inference.evaluation.datasets.folder import open_clip
from inference.evaluation.datasets.ground_truth import GroundTruthError


def forward(z):
    pose = np.eye(4)
    pose[2, 3] = z
    return pose


def test_an_affine_disparity_scores_without_error(tmp_path):
    ramp = np.linspace(2, 10, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    ground_truth = write_truth(tmp_path, [ramp, ramp + 1], [None, None])
    disparity = [3 / ground_truth.depth(i).astype(np.float64) + 0.7 for i in range(2)]
    scores = score(lambda i: disparity[i], ground_truth)
    assert scores.absolute_relative < 1e-9
    assert scores.delta1 == 1
    assert scores.root_mean_square < 1e-8
    assert scores.alignment.scale == pytest.approx(1 / 3)
    assert scores.alignment.shift == pytest.approx(-0.7 / 3)
    assert scores.flicker is None


def test_errors_have_the_values_of_their_definitions(tmp_path):
    depth = np.where(np.arange(WIDTH) < WIDTH // 2, 2.0, 4.0) * np.ones((HEIGHT, 1))
    ground_truth = write_truth(tmp_path, [depth, depth], [None, None])
    right = 1 / depth
    wrong = right.copy()
    wrong[0, 0] = 1.0  # 1 m instead of 2 m
    frames = [right, wrong]
    scores = score(lambda i: frames[i], ground_truth)
    aligned = scores.alignment.depth(np.stack(frames))
    relative = np.abs(aligned - depth) / depth
    assert scores.absolute_relative == pytest.approx(relative.mean())
    assert scores.root_mean_square == pytest.approx(np.sqrt(((aligned - depth) ** 2).mean()))
    assert scores.delta1 == pytest.approx(1 - 1 / (2 * HEIGHT * WIDTH))


def test_alignment_is_one_for_the_clip(tmp_path):
    first, second = np.full((HEIGHT, WIDTH), 2.0), np.full((HEIGHT, WIDTH), 4.0)
    first[:, ::2], second[:, ::2] = 3.0, 6.0
    ground_truth = write_truth(tmp_path, [first, second], [None, None])
    perfect_each = [
        1 / ground_truth.depth(0),
        2 / ground_truth.depth(1),
    ]  # right up to a scale that differs between frames
    assert score(lambda i: perfect_each[i], ground_truth).absolute_relative > 0.05


def test_pixels_without_truth_do_not_count(tmp_path):
    depth = np.full((HEIGHT, WIDTH), 3.0)
    depth[:, ::2] = 5.0
    depth[:8] = 0
    ground_truth = write_truth(tmp_path, [depth], [None])
    estimate = np.where(depth > 0, 1 / np.maximum(depth, 1), 99.0)
    scores = score(lambda i: estimate, ground_truth)
    assert scores.absolute_relative < 1e-6
    assert scores.pixels == (HEIGHT - 8) * WIDTH


def test_maps_of_another_size_are_measured_at_the_truths_size(tmp_path):
    ground_truth = write_truth(tmp_path, [np.linspace(2, 4, HEIGHT)[:, None] * np.ones(WIDTH)], [None])
    small = cv2.resize(1 / ground_truth.depth(0), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    assert score(lambda i: small, ground_truth).absolute_relative < 0.01


def test_flicker_is_zero_for_the_truth_and_the_change_for_a_jump(tmp_path):
    depths = [np.full((HEIGHT, WIDTH), 6.0 - 0.5 * i) for i in range(3)]
    for depth in depths:
        depth[:, :4] -= 1  # two depths, so that scale and shift are determined
    ground_truth = write_truth(tmp_path, depths, [forward(0.5 * i) for i in range(3)])
    exact = [1 / ground_truth.depth(i).astype(np.float64) for i in range(3)]
    assert score(lambda i: exact[i], ground_truth).flicker < 1e-3
    jump = [exact[0], exact[1] / 1.1, exact[2]]
    scores = score(lambda i: jump[i], ground_truth)
    assert 0.05 < scores.flicker < 0.15
    holes = [frame.copy() for frame in exact]
    holes[1][10], holes[1][11], holes[1][12, 3] = np.inf, -np.inf, np.nan
    assert score(lambda i: holes[i], ground_truth).flicker < 1e-3, "what is no number is left out"


def test_exact_depth_does_not_flicker_at_edges(tmp_path):
    """Where a sample lies between two surfaces there is no depth to compare; the camera goes a third of a pixel."""
    random = np.random.default_rng(2)
    depths = [np.where(random.random((HEIGHT, WIDTH)) < 0.02, 3.0, 9.0) for _ in range(2)]
    depths[1][:, :] = depths[0]
    aside = np.eye(4)
    aside[0, 3] = 0.1
    ground_truth = write_truth(tmp_path, depths, [np.eye(4), aside])
    exact = [1 / ground_truth.depth(i).astype(np.float64) for i in range(2)]
    assert score(lambda i: exact[i], ground_truth).flicker < 1e-9


@pytest.mark.filterwarnings("error")
def test_true_depth_without_an_end_is_left_out_of_flicker(tmp_path):
    """As a renderer writes the sky."""
    near = np.full((HEIGHT, WIDTH), 4.0)
    near[:, : WIDTH // 2] = 3.0
    ground_truth = write_truth(tmp_path, [near, near], [np.eye(4), forward(0.0)])
    endless = near.astype(np.float32)
    endless[: HEIGHT // 2] = np.inf
    exact = 1 / near
    sky = replace(ground_truth, read_depth=lambda index: endless)
    assert score(lambda i: exact, sky).flicker < 1e-9
    wrong = exact.copy()
    wrong[: HEIGHT // 2 - 1] *= 2  # all of it in the sky
    assert score(lambda i: (exact, wrong)[i], sky).flicker < 1e-9


def test_flicker_is_measured_at_the_single_points_of_a_laser(tmp_path):
    depths = [np.zeros((HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))]
    for depth in depths:
        depth[::3, ::5], depth[1::6, ::5] = 4.0, 8.0
    ground_truth = write_truth(tmp_path, depths, [np.eye(4), np.eye(4)])
    estimates = [1 / np.where(depths[0] > 0, depths[0], 4.0)] * 2
    estimates[1] = estimates[1] / 1.1
    assert score(lambda i: estimates[0], ground_truth).flicker < 1e-9
    assert 0.05 < score(lambda i: estimates[i], ground_truth).flicker < 0.15


def test_moving_pixels_are_told_apart_and_left_out_of_flicker(tmp_path):
    depth = np.full((HEIGHT, WIDTH), 4.0)
    depth[:, ::2] = 5.0
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[8:16, 8:20] = True
    ground_truth = write_truth(tmp_path, [depth, depth], [np.eye(4), np.eye(4)], moving=[mask, mask])
    frames = [1 / depth, 1 / depth]
    frames[1] = np.where(mask, frames[1] * 1.5, frames[1])
    scores = score(lambda i: frames[i], ground_truth)
    assert scores.absolute_relative_moving > scores.absolute_relative_static
    assert scores.flicker < 1e-9


def test_without_measured_pixels_nothing_is_scored(tmp_path):
    ground_truth = write_truth(tmp_path, [np.zeros((HEIGHT, WIDTH))], [None])
    with pytest.raises(MetricsError, match="no depth"):
        align(lambda i: np.ones((HEIGHT, WIDTH)), ground_truth, range(1))


def test_an_empty_folder_is_no_truth(tmp_path):
    with pytest.raises(GroundTruthError, match="no depth"):
        open_clip(tmp_path)


def test_a_truth_without_camera_is_refused(tmp_path):
    write_truth(tmp_path, [np.ones((HEIGHT, WIDTH))], [None])
    (tmp_path / "camera.json").unlink()
    with pytest.raises(GroundTruthError, match=r"camera\.json"):
        open_clip(tmp_path)


def test_poses_must_match_the_depth_images(tmp_path):
    with pytest.raises(GroundTruthError, match="2 depth images and 1 poses"):
        write_truth(tmp_path, [np.ones((HEIGHT, WIDTH))] * 2, [None])


def test_a_broken_depth_image_is_named(tmp_path):
    ground_truth = write_truth(tmp_path, [np.ones((HEIGHT, WIDTH))], [None])
    (tmp_path / "depth" / "00000.png").write_bytes(b"")
    with pytest.raises(GroundTruthError, match=r"00000\.png"):
        ground_truth.depth(0)


def test_exact_depth_of_real_views_warps_onto_itself(footage):
    ground_truth = open_clip(footage / "gt" / "icl_livingroom_5")
    scores = score(lambda i: 1 / np.maximum(ground_truth.depth(i), 1e-3), ground_truth)
    assert scores.absolute_relative < 1e-3
    assert scores.delta1 == 1
    # bilinear against nearest at edges is what remains; a wrong pose convention gives several percent
    assert scores.flicker is None or scores.flicker < 0.02
