"""Whole shots whose geometry is known: depths, poses and focal lengths come back, up to one scale."""

from __future__ import annotations

import itertools
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.common.failures import UnsupportedShot
from inference.estimators.stereodiff.stage1 import alignment, pairs
from inference.estimators.stereodiff.stage1.alignment import align, depth_map
from inference.estimators.stereodiff.stage1.pairs import PointMap
from tests.inference.support import pair_scene


def errors(found, network, truth):
    """How far depths [T, H, W] are off as a share, once their common scale is taken out, and that scale."""
    depths = torch.stack([depth_map(found, network.read, frame).depth for frame in range(len(truth.depths))])
    ratio = depths / truth.depths
    scale = float(ratio.nanmedian())
    return ratio / scale - 1, scale


def assert_recovered(found, network, truth, tolerance=1e-5):
    off, scale = errors(found, network, truth)
    assert float(off.abs().max()) < tolerance
    poses = truth.poses.numpy().copy()
    poses[:, :3, 3] *= scale
    assert np.abs(found.poses - poses).max() < tolerance * max(1, scale)
    assert found.focal_lengths == pytest.approx(np.full(len(truth.depths), truth.focal), rel=tolerance)
    assert found.focal_length == pytest.approx(truth.focal, rel=tolerance)


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize(("count", "reach"), [(1, 2), (2, 2), (3, 1), (3, 2), (12, 1), (12, 2), (9, 5)])
def test_exact_points_in_a_random_unit_for_each_pair(count, reach, robust):
    truth = pair_scene.shot(count, seed=count)
    network = pair_scene.network(truth, reach)
    assert_recovered(align(count, network.scores, network.read, robust=robust), network, truth)


def test_a_portrait():
    truth = pair_scene.shot(5, height=20, width=11)
    network = pair_scene.network(truth)
    found = align(5, network.scores, network.read)
    assert_recovered(found, network, truth)
    camera = found.camera(range(7, 12), width=11, height=20)
    assert camera.principal_point == (5, 9.5) and [pose.frame for pose in camera.poses] == [7, 8, 9, 10, 11]
    assert camera.poses[3].camera_to_world[1] == tuple(found.poses[3][1])


@pytest.mark.parametrize("robust", [False, True])
def test_points_under_a_random_similarity_for_each_pair_join_into_one_world(robust):
    # Axes that are no camera's: where the cameras are is lost, but the cloud of all points is not.
    truth = pair_scene.shot(8, seed=3)
    network = pair_scene.network(truth, turn=True)
    found = align(8, network.scores, network.read, robust=robust)
    world = torch.stack([world_points(found, network, frame) for frame in range(8)]).reshape(-1, 3)
    expected = torch.stack([truth.points(frame, 0) for frame in range(8)]).reshape(-1, 3)
    assert distances(world) == pytest.approx(distances(expected), rel=1e-5)


def world_points(found, network, frame):
    points = network.read(tuple(found.pairs[frame]), frame).points.numpy()
    points = found.scales[frame] * points @ found.rotations[frame].T + found.translations[frame]
    return torch.from_numpy(points @ found.poses[frame][:3, :3].T + found.poses[frame][:3, 3])


def distances(points):
    """All that a similarity leaves as it is."""
    between = torch.pdist(points[::37])
    return (between / between.max()).numpy()


def outliers(draw, points, confidence):
    """Half a percent of noise, and a tenth of the points five times as far, at a tenth of the confidence."""
    distance = points.norm(dim=-1, keepdim=True)
    noise = torch.from_numpy(draw.normal(0, 0.005, points.shape))
    out = torch.from_numpy(draw.uniform(0, 1, confidence.shape) < 0.1)
    points = torch.where(out[..., None], 5 * points, points + noise * distance)
    return points, torch.where(out, 1.0, 10.0).double()


def test_robust_registration_stands_outliers_that_confidence_does_not_silence():
    truth = pair_scene.shot(12, seed=5, height=24, width=32, focal=40.0)
    network = pair_scene.network(truth, spoil=outliers)
    found = align(12, network.scores, network.read, robust=True)
    assert percentiles(found, network, truth) < 0.01
    assert float(trusted_errors(found, network, truth)[0].quantile(0.99)) < 0.02  # the noise of single pixels included
    plain = align(12, network.scores, network.read, robust=False)
    assert percentiles(plain, network, truth) > 0.1  # there is something to stand
    assert found.focal_length == pytest.approx(truth.focal, rel=0.02)
    truth.poses[:, :3, 3] *= errors(found, network, truth)[1]
    path = float(truth.poses[:, :3, 3].norm(dim=-1).max())
    assert np.abs(found.poses[:, :3, 3] - truth.poses[:, :3, 3].numpy()).max() < 0.05 * path
    assert np.abs(found.poses[:, :3, :3] - truth.poses[:, :3, :3].numpy()).max() < 0.02


def trusted_errors(found, network, truth):
    """How far the points are off that are none of the outliers, after the shot's one scale, and their frames."""
    off, _ = errors(found, network, truth)
    good = torch.stack([depth_map(found, network.read, frame).confidence for frame in range(len(off))]) > 0.5
    frames = torch.arange(len(off))[:, None, None].expand(good.shape)
    return off[good].abs(), frames[good]


def percentiles(found, network, truth):
    """By how much the frame that is off the most is off as a whole."""
    off, frames = trusted_errors(found, network, truth)
    return max(float(off[frames == frame].median()) for frame in frames.unique())


def test_noise_does_not_shrink_a_long_shot():
    # Least squares puts the noise of the source into the scale, a little with each pair of the chain.
    def noise(draw, points, confidence):
        return points * torch.from_numpy(1 + draw.normal(0, 0.03, (*points.shape[:2], 1))), confidence

    truth = pair_scene.shot(50, seed=6, height=24, width=32)
    network = pair_scene.network(truth, reach=1, spoil=noise)
    assert percentiles(align(50, network.scores, network.read, robust=True), network, truth) < 0.03
    assert percentiles(align(50, network.scores, network.read, robust=False), network, truth) > 0.04


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_neither_the_order_of_pairs_nor_a_second_run_changes_a_bit(random):
    truth = pair_scene.shot(5, height=4, width=5)
    network = pair_scene.network(truth, spoil=outliers)
    first = align(5, network.scores, network.read)
    shuffled = list(network.scores.items())
    random.shuffle(shuffled)
    assert same(align(5, dict(shuffled), network.read), first)


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_an_alignment_is_kept_to_the_bit(tmp_path):
    network = pair_scene.network(pair_scene.shot(4))
    found = align(4, network.scores, network.read)
    found.save(tmp_path / "alignment.npz")
    assert same(alignment.load(tmp_path / "alignment.npz"), found)
    assert [path.name for path in tmp_path.iterdir()] == ["alignment.npz"]


def test_views_are_read_a_few_for_each_frame_and_held_two_at_a_time():
    count = 16
    network = pair_scene.network(pair_scene.shot(count))
    held, most = set(), 0

    def read(pair, frame):
        nonlocal most
        view = network.read(pair, frame)
        points = view.points.clone()
        held.add(ticket := len(network.handed))
        weakref.finalize(points, held.discard, ticket)
        most = max(most, len(held))
        return PointMap(points, view.confidence)

    found = align(count, network.scores, read)
    for frame in range(count):
        depth_map(found, read, frame)
    assert most == 2 and not held
    assert len(network.handed) <= 6 * count


def test_what_is_read_is_what_a_store_keeps():
    network = pair_scene.network(pair_scene.shot(14))
    found = align(14, network.scores, network.read)
    for frame in range(14):
        depth_map(found, network.read, frame)
    for pair, frame in network.handed:
        posing = frame == pair[0] and pairs.may_pose(network.scores, pair, 2)
        assert posing or pairs.may_join(network.scores, pair, 2)


def test_progress_counts_to_its_total_and_may_stop():
    network = pair_scene.network(pair_scene.shot(6))
    told = []
    align(6, network.scores, network.read, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 10) for done in range(1, 11)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align(6, network.scores, network.read, progress=stop)


def test_frames_without_texture():
    def blank(draw, points, confidence):
        return points, torch.full_like(confidence, 1 + 1e-6)

    truth = pair_scene.shot(5)
    network = pair_scene.network(truth, spoil=blank)
    found = align(5, network.scores, network.read)
    assert_recovered(found, network, truth)
    assert float(depth_map(found, network.read, 0).confidence.max()) < 1e-5


@pytest.mark.parametrize("robust", [False, True])
def test_all_weight_on_one_pixel_still_gives_every_frame_its_depth(robust):
    # What one point tells is its distance, and that is enough for a scale.
    def single(draw, points, confidence):
        confidence = torch.zeros_like(confidence)
        confidence[3, 4] = 1e6
        return points, confidence

    truth = pair_scene.shot(5)
    truth.poses[:] = torch.eye(4)
    network = pair_scene.network(truth, spoil=single)
    assert_recovered(align(5, network.scores, network.read, robust=robust), network, truth)


def test_a_wall_at_constant_depth():
    truth = pair_scene.shot(6)
    truth.depths[:] = 3.0
    network = pair_scene.network(truth)
    assert_recovered(align(6, network.scores, network.read), network, truth)


def test_points_that_are_not_finite_or_behind_the_camera_are_masked():
    truth = pair_scene.shot(4)
    truth.depths[:, 2, 3] *= -1
    network = pair_scene.network(truth)
    for view in network.views.values():
        view.points[5, 6] = torch.nan
        view.points[7, 8, 0] = torch.inf
        view.confidence[9, 10] = torch.nan
    found = align(4, network.scores | {pair: 1.0 + pair[0] for pair in network.scores}, network.read)
    for frame in range(4):
        given = depth_map(found, network.read, frame)
        assert not given.valid[2, 3] and not given.valid[5, 6] and int(given.valid.sum()) >= 12 * 16 - 3
        assert torch.equal(given.depth.isnan(), ~given.valid)
        assert torch.equal(given.confidence[~given.valid], torch.zeros(int((~given.valid).sum())).double())
        assert given.confidence[9, 10] == 0 and given.valid[9, 10]
    assert found.focal_length == pytest.approx(truth.focal)


@pytest.mark.parametrize(("count", "lost"), [(1, 0), (2, 0), (2, 1), (6, 0), (6, 3), (6, 5)])
def test_a_frame_without_points_is_named(count, lost):
    truth = pair_scene.shot(count)
    network = pair_scene.network(truth)
    for (pair, frame), view in network.views.items():
        if frame == lost:
            view.points[:] = torch.nan
            network.scores[pair] = 0.0
    with pytest.raises(UnsupportedShot, match=rf"no usable points in frame {1001 + lost}\."):
        align(count, network.scores, network.read, numbers=range(1001, 1001 + count))


def test_points_that_no_camera_saw_are_refused():
    network = pair_scene.network(pair_scene.shot(3))
    for view in network.views.values():
        view.points[..., 2] = -1.0
    with pytest.raises(UnsupportedShot, match="No focal length follows from the points of frames 0 to 2"):
        align(3, network.scores, network.read)


def test_leaves_are_posed_by_the_pair_that_starts_at_them():
    # Three frames, the middle one in all of the tree's pairs and their first: the outer two start none.
    truth = pair_scene.shot(3)
    network = pair_scene.network(truth)
    scores = dict.fromkeys(network.scores, 1.0) | {(1, 0): 9.0, (1, 2): 8.0, (2, 0): 3.0}
    assert pairs.spanning_tree(3, scores) == [(1, 0), (1, 2)]
    found = align(3, scores, network.read)
    assert_recovered(found, network, truth)
    assert found.pairs.tolist() == [[1, 0], [1, 0], [1, 2]]
    assert ((2, 0), 2) in network.handed and ((0, 1), 0) in network.handed


def test_noise_of_a_leafs_own_pair_is_not_in_its_depths_shape():
    # The depth comes from the pair that placed the frame; the leaf's own pair only says where its camera stands.
    truth = pair_scene.shot(3)
    network = pair_scene.network(truth)
    scores = dict.fromkeys(network.scores, 1.0) | {(1, 0): 9.0, (1, 2): 8.0}
    for pair, frame in itertools.product([(0, 1), (2, 1), (0, 2), (2, 0)], range(3)):
        if (pair, frame) in network.views:
            view = network.views[pair, frame]
            view.points.mul_(1 + 0.01 * torch.randn(12, 16, 1, generator=torch.Generator().manual_seed(2)))
    found = align(3, scores, network.read)
    off, _ = errors(found, network, truth)
    assert float(off.abs().max()) < 0.01
