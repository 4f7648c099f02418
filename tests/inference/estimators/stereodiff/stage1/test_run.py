"""Stage 1 from frames to maps with camera, by a tiny network, stopped and taken up; and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.common.failures import UnsupportedShot
from inference.estimators.stereodiff.prior import Prior, value_range
from inference.estimators.stereodiff.stage1 import batches, joining, matching
from inference.estimators.stereodiff.stage1 import run as stage1
from inference.estimators.stereodiff.stage1.pair_store import PairStore, packed
from inference.estimators.stereodiff.stage1.pairs import pairs
from tests.inference.support import pair_scene
from tests.inference.support.matched_shots import CPU, SETTINGS, contents, panned, run, stopping


@pytest.mark.parametrize(
    ("count", "size"), [(1, (64, 48)), (2, (64, 48)), (1, (48, 64)), (3, (48, 64)), (8, (70, 41)), (2, (16, 90))]
)
def test_a_shot_gets_depth_confidence_and_a_camera(shot_of, count, size):
    shot = shot_of(panned(count, size))
    prior: Prior = run(shot)
    width, height = prior.size
    assert (width, height) == matching.image_size(*size) and prior.has_confidence
    for index in reversed(range(count)):
        disparity, confidence = prior.disparity(index), prior.confidence(index)
        assert disparity.shape == confidence.shape == (height, width)
        assert disparity.dtype == confidence.dtype == np.float32
        assert np.isfinite(disparity).all() and disparity.min() > 0
        assert confidence.min() >= 0 and 0.2 < confidence.max() <= 1
    camera = prior.camera
    assert (camera.width, camera.height) == prior.size and camera.focal_length > 0
    assert [pose.frame for pose in camera.poses] == list(range(1001, 1001 + count))
    np.testing.assert_allclose(camera.poses[0].camera_to_world, np.eye(4), atol=1e-12)
    assert np.isfinite([pose.camera_to_world for pose in camera.poses]).all()
    low, high = value_range(prior, count, 0.01)
    assert 0 < low < high and shot.frames.warned == []


def test_progress_never_runs_back_and_ends_at_the_stages_work(shot_of):
    shot = shot_of(panned(6))
    run(shot)
    done = [done for stage, done, _ in shot.frames.told if stage in ("match", "align")]
    assert done == sorted(done)
    totals = {total for _, _, total in shot.frames.told}
    assert totals == {stage1.work_of(6, SETTINGS, (64, 48))} and done[-1] == pytest.approx(totals.pop())
    assert list(dict.fromkeys(stage for stage, _, _ in shot.frames.told)) == ["load", "plan", "match", "align"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits_wherever_it_stopped(shot_of):
    images = panned(6)
    check = stopping(10**9)
    expected = contents(run(shot_of(images, "whole", check=check)), 6)
    number = len(check.calls)
    for after in np.linspace(0, number - 1, 5).astype(int):
        with pytest.raises(KeyboardInterrupt):
            run(shot_of(images, f"cut{after}", check=stopping(after)))
        assert contents(run(shot_of(images, f"cut{after}")), 6) == expected


@pytest.mark.parametrize("robust", [True, False])
def test_the_settings_reach_matching_and_alignment(shot_of, monkeypatch, tmp_path, robust):
    asked = []
    real = joining.join
    monkeypatch.setattr(joining, "join", lambda *given, **more: asked.append(more) or real(*given, **more))
    shot = shot_of(panned(6))
    stage1.match_shot(shot, replace(SETTINGS, robust=robust, reach=3), CPU, progress=shot.progress)
    assert [more["robust"] for more in asked] == [robust]
    scores = next((tmp_path / "scratch").rglob("scores.jsonl")).read_text().splitlines()
    assert len(scores) == len(pairs(6, 3))


def test_what_is_done_needs_no_network_any_more(shot_of, monkeypatch):
    expected = contents(run(shot_of(panned(5))), 5)
    monkeypatch.setattr(batches, "_network", lambda *given: pytest.fail("the network was loaded"))
    assert contents(run(shot_of(panned(5))), 5) == expected


def test_once_all_maps_are_written_the_disk_is_free_and_the_camera_still_known(shot_of, tmp_path):
    prior = run(shot_of(panned(5)))
    expected = contents(prior, 5)
    assert len(list((tmp_path / "scratch").rglob("*.npy"))) == 5, "only what the maps are read from is kept"
    prior.clear()
    assert not list((tmp_path / "scratch").rglob("*.npy")) and prior.camera == expected[1]
    finished = shot_of(panned(5), finished=frozenset(range(5)))
    assert run(finished).camera == expected[1] and finished.frames.told == []
    # a map got lost: everything is computed again, to the same bits
    assert contents(run(shot_of(panned(5), finished=frozenset(range(4)))), 5) == expected


def test_a_view_that_got_lost_is_computed_again(shot_of, tmp_path):
    expected = contents(run(shot_of(panned(5))), 5)
    next((tmp_path / "scratch").rglob("*.npy")).unlink()
    assert contents(run(shot_of(panned(5))), 5) == expected


@pytest.mark.parametrize("gray", [0, 128, 255])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_frames_without_any_texture_end_in_depth_or_a_sentence(shot_of, gray, count):
    shot = shot_of([np.full((48, 64, 3), gray, np.uint8)] * count)
    try:
        prior = run(shot)
    except UnsupportedShot as refused:
        assert str(refused).count(". ") == 1 and refused.hint
        return
    for index in range(count):
        assert np.isfinite(prior.disparity(index)).all() and prior.disparity(index).min() > 0
    assert len(prior.camera.poses) == count


def made_up(shot, change, *, still=False, reach=2):
    """Put into a shot's scratch what a network might have said, as `change` of a true scene."""
    count = len(shot.frames)
    width, height = matching.image_size(shot.frames.width, shot.frames.height)
    truth = pair_scene.shot(count, height=height, width=width, focal=60.0)
    if still:  # all pairs have the same axes
        truth.poses[:] = torch.eye(4)
    network = pair_scene.network(truth, reach, seed=3)
    store = PairStore(shot.scratch / "stage1" / "pairs", reach)
    for pair in network.scores:
        views = [network.views[pair, frame] for frame in pair]
        for view, frame in zip(views, pair):
            change(view, pair, frame)
        store.add([pair], *packed(*(each[None].float() for view in views for each in (view.points, view.confidence))))
    return truth


def test_a_frame_that_the_network_answers_with_no_numbers_shows_its_neighbor(shot_of):
    shot = shot_of(panned(6))

    def lose(view, pair, frame):
        if 2 in pair:
            view.points[:] = torch.nan
            view.confidence[:] = torch.nan

    truth = made_up(shot, lose)
    prior = run(shot)
    assert (prior.disparity(2) == prior.disparity(1)).all() and not prior.confidence(2).any()
    assert prior.confidence(1).max() > 0.5
    poses = [np.array(pose.camera_to_world) for pose in prior.camera.poses]
    assert prior.camera.poses[2].frame == 1003 and (poses[2] == poses[1]).all() and (poses[3] != poses[1]).any()
    for frame in (0, 1, 3, 4, 5):
        ratio = prior.disparity(frame) * truth.depths[frame].numpy()
        assert ratio == pytest.approx(float(np.median(prior.disparity(0) * truth.depths[0].numpy())), rel=1e-4)
    assert len(shot.frames.warned) == 1 and "frame 1003;" in shot.frames.warned[0]
    again = shot_of(panned(6))
    assert contents(run(again), 6) == contents(prior, 6) and again.frames.warned == shot.frames.warned


def test_holes_are_filled_and_trusted_by_nobody(shot_of):
    shot = shot_of(panned(4))

    def spoil(view, pair, frame):
        view.points[3, 4] = torch.nan
        view.points[10, 20] *= 1e-6
        view.points[30, 40] *= -1

    made_up(shot, spoil, still=True)
    prior = run(shot)
    for index in range(4):
        disparity, confidence = prior.disparity(index), prior.confidence(index)
        for row, column in ((3, 4), (10, 20), (30, 40)):
            assert confidence[row, column] == 0
            around = [disparity[row - 1, column], disparity[row + 1, column]]
            around += [disparity[row, column - 1], disparity[row, column + 1]]
            assert disparity[row, column] in around
        assert (confidence > 0).sum() >= confidence.size - 3 - 5  # the scene's own confidences touch 1 at places


def test_a_network_of_nothing_but_no_numbers_is_refused(shot_of):
    def lose(view, pair, frame):
        view.points[:] = torch.nan

    shot = shot_of(panned(4))
    made_up(shot, lose)
    with pytest.raises(UnsupportedShot, match="no usable points in frames 1001-1004"):
        run(shot)


def test_maps_are_the_same_in_whatever_order_they_are_asked_for(shot_of):
    prior = run(shot_of(panned(4)))
    expected = contents(prior, 4)[0]
    rng = np.random.default_rng(0)
    for index, which in zip(rng.integers(0, 4, 60).tolist(), rng.integers(0, 2, 60)):
        assert (prior.disparity, prior.confidence)[which](index).tobytes() == expected[index][which]
