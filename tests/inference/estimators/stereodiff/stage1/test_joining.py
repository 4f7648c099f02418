"""Shots in which the network found nothing, or nothing that it trusts, in some frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.common.failures import UnsupportedShot
from inference.common.files import save_json
from inference.estimators.stereodiff.stage1 import joining
from inference.estimators.stereodiff.stage1.pairs import pairs, scores
from tests.inference.support import pair_scene

CPU = torch.device("cpu")


def join(truth, network, **changed):
    count = len(truth.depths)
    options = {"robust": True, "device": CPU, "numbers": range(1001, 1001 + count)} | changed
    return joining.join(count, network.scores, network.read, **options)


def blinded(count, lost, reach=2):
    """A shot whose pairs have no points where a frame in `lost` takes part."""
    truth = pair_scene.shot(count, seed=count)
    network = pair_scene.network(truth, reach)
    for (pair, _), view in network.views.items():
        if lost & set(pair):
            view.points[:] = torch.nan
            network.scores[pair] = 0.0
    return truth, network


def assert_recovered(truth, network, aligned, findings):
    """All frames that are seen, up to one scale."""
    depths = [joining.depth_map(aligned, findings.seen, network.read, frame).depth for frame in findings.seen]
    ratio = torch.stack(depths) / truth.depths[list(findings.seen)]
    assert float((ratio / ratio.median() - 1).abs().max()) < 1e-5
    relative = torch.linalg.inv(truth.poses[findings.seen[0]]) @ truth.poses[list(findings.seen)]
    assert np.abs(aligned.poses[:, :3, :3] - relative[:, :3, :3].numpy()).max() < 1e-5


@pytest.mark.parametrize(
    ("lost", "shown"),
    [
        (set(), [0, 1, 2, 3, 4, 5]),
        ({3}, [0, 1, 2, 2, 4, 5]),
        ({0}, [1, 1, 2, 3, 4, 5]),
        ({5}, [0, 1, 2, 3, 4, 4]),
        ({0, 1}, [2, 2, 2, 3, 4, 5]),
        ({1, 3}, [0, 0, 2, 2, 4, 5]),
    ],
)
def test_frames_without_points_show_the_nearest_that_has_some(lost, shown):
    truth, network = blinded(6, lost)
    told = []
    aligned, findings = join(truth, network, progress=lambda done, total: told.append((done, total)))
    assert findings == joining.Findings(seen=tuple(sorted(set(range(6)) - lost)), shown=tuple(shown), unsure=())
    assert_recovered(truth, network, aligned, findings)
    assert told[-1][0] == told[-1][1] and sorted(told) == told and len({total for _, total in told}) == 1
    warned = joining.warnings(findings, range(1001, 1007))
    assert len(warned) == bool(lost)
    if lost == {0, 1}:
        assert warned[0].startswith("The network found no usable points in frames 1001-1002; ")


@pytest.mark.parametrize(("count", "lost"), [(1, {0}), (2, {0}), (2, {1}), (4, {0, 1, 2, 3})])
def test_a_shot_without_points_is_refused(count, lost):
    with pytest.raises(UnsupportedShot, match=r"no usable points in frames? 1001") as refused:
        join(*blinded(count, lost))
    assert "precision=fp32" in refused.value.hint


def test_frames_without_points_that_part_the_shot_are_refused():
    with pytest.raises(UnsupportedShot, match=r"connects frames 1005-1006 with the frames before") as refused:
        join(*blinded(6, {2, 3}))
    assert "[[reach=5]]" in refused.value.hint and "[[frames]]" in refused.value.hint
    truth, network = blinded(6, {2, 3}, reach=3)
    assert_recovered(truth, network, *join(truth, network))


def test_frames_that_only_a_later_one_joins_are_joined():
    # frame 1 with neither of its neighbors but 3
    truth = pair_scene.shot(5)
    network = pair_scene.network(truth)
    for pair in network.scores:
        if 1 in pair and 3 not in pair:
            network.scores[pair] = 0.0
    aligned, findings = join(truth, network)
    assert findings.seen == (0, 1, 2, 3, 4)
    assert_recovered(truth, network, aligned, findings)


def test_a_frame_that_lies_behind_its_camera_shows_its_neighbor():
    truth = pair_scene.shot(6)
    truth.depths[2] *= -1
    network = pair_scene.network(truth)
    _, findings = join(truth, network)
    assert findings.seen == tuple(range(6)) and findings.shown == (0, 1, 1, 3, 4, 5)


def test_a_shot_behind_its_cameras_is_refused():
    truth = pair_scene.shot(3)
    truth.depths *= -1
    with pytest.raises(UnsupportedShot, match=r"focal length|in front of its camera"):
        join(truth, pair_scene.network(truth))


def test_what_is_absurdly_near_is_masked():
    truth = pair_scene.shot(3)
    truth.depths[:, 4, 5] = 1e-6
    truth.depths[:, 4, 6] = 1e-3
    network = pair_scene.network(truth)
    aligned, findings = join(truth, network)
    found = joining.depth_map(aligned, findings.seen, network.read, 1)
    assert not found.valid[4, 5] and found.depth[4, 5].isnan() and found.confidence[4, 5] == 0
    assert found.valid[4, 6] and int(found.valid.sum()) == 12 * 16 - 1


@pytest.mark.parametrize("robust", [False, True])
def test_frames_without_texture_are_laid_as_well_as_their_points_and_warned_of(robust):
    """Confidences are all 1 within a millionth: they weigh alike, and nothing is worse for it."""

    def blank(draw, points, confidence):
        return points, 1 + 1e-6 * torch.from_numpy(draw.uniform(0, 1, confidence.shape))

    truth = pair_scene.shot(5)
    network = pair_scene.network(truth, spoil=blank)
    aligned, findings = join(truth, network, robust=robust)
    assert_recovered(truth, network, aligned, findings)
    assert findings.unsure == tuple(range(5))
    (warned,) = joining.warnings(findings, range(1001, 1006))
    assert "hardly any confidence in frames 1001-1005," in warned


def test_noise_that_nobody_trusts_does_not_grow_with_the_shot():
    """Points 5 % off, confidences of 1: depth is about as wrong as they are, at the end of the shot as well."""

    def noisy(draw, points, confidence):
        return points * (1 + 0.05 * torch.from_numpy(draw.normal(0, 1, (*confidence.shape, 1)))), 0 * confidence + 1

    truth = pair_scene.shot(30, height=24, width=32)
    network = pair_scene.network(truth, spoil=noisy)
    aligned, findings = join(truth, network)
    depths = torch.stack([joining.depth_map(aligned, findings.seen, network.read, frame).depth for frame in range(30)])
    ratio = (depths / truth.depths).flatten(1).median(dim=1).values
    assert float((ratio / ratio.median()).log().abs().max()) < 0.05


@pytest.mark.parametrize("robust", [False, True])
def test_all_weight_on_one_point_gives_every_frame_a_depth(robust):
    def single(draw, points, confidence):
        confidence = torch.ones_like(confidence)
        confidence[3, 4] = 1e9
        return points, confidence

    truth = pair_scene.shot(6)
    network = pair_scene.network(truth, spoil=single)
    aligned, findings = join(truth, network, robust=robust)
    assert findings.shown == tuple(range(6))
    for frame in range(6):
        found = joining.depth_map(aligned, findings.seen, network.read, frame)
        assert bool(found.valid.float().mean() > 0.5)
        assert np.isfinite(aligned.poses[frame]).all() and aligned.scales[frame] > 0


def test_every_point_in_one_place_is_refused_or_flat():
    """A network that answers with one point for all pixels has no focal length."""
    truth = pair_scene.shot(4)
    network = pair_scene.network(truth)
    for view in network.views.values():
        view.points[:] = torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)
    with pytest.raises(UnsupportedShot, match="focal length"):
        join(truth, network)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 3), st.sets(st.integers(0, 8)))
def test_whatever_is_lost_each_frame_has_depth_or_the_shot_is_refused(count, reach, lost):
    truth, network = blinded(count, lost, reach)
    try:
        aligned, findings = join(truth, network)
    except UnsupportedShot:
        left = set(range(count)) - lost
        joined = {pair for pair in pairs(count, reach) if set(pair) <= left}
        assert not joined or any(
            not any({frame, other} == set(pair) for pair in joined for other in left if other < frame)
            for frame in left - {min(left)}
        )
        return
    assert len(findings.shown) == count and set(findings.shown) <= set(findings.seen)
    assert len(aligned.poses) == len(findings.seen) and not lost & set(findings.seen)
    for frame, shown in enumerate(findings.shown):
        assert abs(frame - shown) == min(abs(frame - other) for other in findings.seen)


def test_findings_are_kept(tmp_path):
    findings = joining.Findings(seen=(0, 2), shown=(0, 0, 2), unsure=(2,))
    path = tmp_path / "frames.json"
    assert joining.load(path) is None
    save_json(path, findings)
    assert joining.load(path) == findings


def test_a_pair_that_saw_one_frame_alone_joins_nothing():
    assert scores(torch.ones(2, 3), torch.zeros(2, 3)) == 0
