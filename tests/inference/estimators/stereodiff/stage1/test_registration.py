"""One registration and one focal length: against roma, against known answers, and where the points tell too little."""

from __future__ import annotations

import math

import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.estimators.stereodiff.stage1 import registration
from inference.estimators.stereodiff.stage1.registration import (
    NoPoints,
    Similarity,
    focal_length,
    register,
    weighted_median,
)
from tests.inference.support import pair_scene


def cloud(seed, count=60):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=draw, dtype=torch.float64) + torch.tensor([0.5, -1, 6])


def similarity(seed):
    draw = torch.Generator().manual_seed(seed)
    vector, shift, scale = (torch.randn(n, generator=draw, dtype=torch.float64) for n in (3, 3, 1))
    return Similarity(float(scale.exp()), roma.rotvec_to_rotmat(vector), shift)


def assert_same(found, expected, tolerance=1e-9):
    assert found.scale == pytest.approx(expected.scale, rel=tolerance)
    assert torch.allclose(found.rotation, expected.rotation, atol=tolerance, rtol=0)
    assert torch.allclose(found.translation, expected.translation, atol=tolerance * 10, rtol=tolerance)


def test_similarities_follow_each_other_and_lead_back():
    one, other, points = similarity(1), similarity(2), cloud(3)
    assert torch.allclose(one.after(other)(points), one(other(points)))
    assert torch.allclose(one.inverse()(one(points)), points)
    assert torch.equal(one.rigid()(torch.zeros(3)), one(torch.zeros(3)))
    assert torch.equal(Similarity.identity()(points), points)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_an_exact_similarity_is_found(seed, robust):
    expected, points = similarity(seed), cloud(seed + 1)
    weights = torch.rand(60, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 1
    assert_same(register(points, expected(points), weights, robust=robust), expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_papers_fit_is_romas(seed):
    points, weights = cloud(seed), cloud(seed + 1).square()[:, 0]
    target = similarity(seed)(points) + 0.3 * cloud(seed + 2)
    rotation, translation, scale = roma.rigid_points_registration(points, target, weights, compute_scaling=True)
    assert_same(register(points, target, weights), Similarity(float(scale), rotation, translation))


def test_single_precision_points_are_summed_in_double():
    # A hundred times as far as they are apart: in single precision the middle alone would lose two digits.
    expected = similarity(4)
    points = (cloud(4, 100_000) + torch.tensor([0, 0, 1000.0])).float()
    target = expected(points.double()).float()
    found = register(points.reshape(250, 400, 3), target.reshape(250, 400, 3), torch.ones(250, 400))
    assert found.rotation.dtype == torch.float64
    assert_same(found, expected, 1e-4)


def test_what_is_not_finite_has_no_weight():
    expected, points, weights = similarity(1), cloud(1), torch.ones(60).double()
    target = expected(points)
    points[3, 1], target[4, 2], weights[5], weights[6] = torch.nan, torch.inf, torch.nan, 0
    points[5:7] += 100
    for robust in (False, True):
        assert_same(register(points, target, weights, robust=robust), expected)


def test_no_point_at_all():
    points, weights = cloud(1), torch.ones(60)
    for robust in (False, True):
        with pytest.raises(NoPoints):
            register(points, points * torch.nan, weights, robust=robust)
        with pytest.raises(NoPoints):
            register(points, points, weights * 0, weights, robust=robust)


@pytest.mark.parametrize("robust", [False, True])
def test_all_weight_on_one_point(robust):
    # The same ray at twice the length: nothing but a scale.
    points, weights = cloud(1), torch.zeros(60)
    weights[7] = 1e6
    found = register(points, 2 * points, weights, weights, robust=robust)
    assert_same(found, Similarity(2.0, torch.eye(3).double(), torch.zeros(3).double()))
    origin = torch.zeros(5, 3)
    found = register(origin, origin + 1, torch.ones(5), robust=robust)
    assert_same(found, Similarity(1.0, torch.eye(3).double(), torch.ones(3).double()))
    assert_same(register(origin, origin, torch.ones(5), robust=robust), Similarity.identity())


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_points_on_a_line_are_not_turned_about_it(robust, noise):
    along = torch.linspace(-1, 1, 50).double()[:, None]
    points = torch.tensor([[0.1, 0.2, 5.0]]).double() + along * torch.tensor([[1.0, 0.5, 0.2]]).double()
    points = points + noise * cloud(2, 50)
    still = register(points, 3 * points, torch.ones(50), robust=robust)
    assert_same(still, Similarity(3.0, torch.eye(3).double(), torch.zeros(3).double()), 1e-5)
    # Turned in the plane of the line and another: that turn is found, and none besides.
    normal = torch.linalg.cross(torch.tensor([1.0, 0.5, 0.2]), torch.tensor([0.0, 1.0, 0.0])).double()
    turn = roma.rotvec_to_rotmat(0.4 * normal / normal.norm())
    expected = Similarity(1.0, turn, torch.zeros(3).double())
    assert_same(register(points, points @ turn.T, torch.ones(50), robust=robust), expected, 1e-5)


@pytest.mark.parametrize("robust", [False, True])
def test_points_on_a_plane_are_enough(robust):
    points, expected = cloud(5), similarity(5)
    points[:, 2] = 4.0
    assert_same(register(points, expected(points), torch.ones(60), robust=robust), expected, 1e-8)


@pytest.mark.parametrize("robust", [False, True])
def test_a_mirrored_cloud_is_not_mirrored_back(robust):
    points = cloud(6)
    found = register(points, points * torch.tensor([-1.0, 1, 1]), torch.ones(60), robust=robust)
    assert float(torch.det(found.rotation)) == pytest.approx(1) and found.scale > 0


def test_a_cloud_that_collapses_onto_a_point_keeps_its_distance():
    points = cloud(7)
    target = torch.tensor([[0.0, 0.0, 2.0]]).double().expand(60, 3)
    found = register(points, target, torch.ones(60))
    assert found.scale == pytest.approx(2 / float(points.mean(0).norm()))
    assert torch.equal(found.rotation, torch.eye(3).double())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_outliers_of_either_cloud_do_not_move_the_robust_fit(seed, in_target):
    expected, points = similarity(seed), cloud(seed, 400)
    target, weights = expected(points), torch.full((400,), 10.0)
    spoilt = target if in_target else points
    spoilt[:40] *= 5
    assert_same(register(points, target, weights, weights, robust=True), expected, 1e-5)
    missed = (register(points, target, weights)(points) - target)[40:].norm(dim=-1).median()
    assert float(missed) > 0.01 * float(target.norm(dim=-1).median())  # there is something to stand


def test_a_large_cloud_is_judged_by_a_sample_and_fitted_whole(monkeypatch):
    expected, points = similarity(8), cloud(8, 5000)
    target = expected(points) + 0.01 * cloud(9, 5000)
    weights = torch.ones(5000)
    whole = register(points, target, weights, weights, robust=True)
    monkeypatch.setattr(registration, "SAMPLE", 600)
    sampled = register(points, target, weights, weights, robust=True)
    assert_same(sampled, whole, 1e-3)
    assert sampled.scale != whole.scale
    # weight only where the sample does not look
    weights = torch.zeros(5000)
    weights[1:40:2] = 1
    assert_same(register(points, expected(points), weights, weights, robust=True), expected, 1e-6)


def test_half_of_the_weight_lies_on_either_side_of_the_median():
    values, weights = torch.tensor([5.0, 1.0, 3.0, 2.0]).double(), torch.tensor([1.0, 1.0, 1.0, 6.0]).double()
    assert weighted_median(values, weights) == 2
    assert weighted_median(values, torch.ones(4).double()) == 2
    assert weighted_median(values, torch.tensor([0.0, 0, 1, 0]).double()) == 3


def test_the_focal_length_of_exact_points():
    for focal in (8.0, 20.0, 400.0):
        truth = pair_scene.shot(1, focal=focal)
        assert focal_length(truth.points(0, 0)) == pytest.approx(focal, rel=1e-12)
        assert focal_length(0.01 * truth.points(0, 0).float()) == pytest.approx(focal, rel=1e-6)


def test_the_focal_length_stands_outliers():
    points = pair_scene.shot(1, height=24, width=32).points(0, 0)
    draw = torch.Generator().manual_seed(1)
    out = torch.rand(24, 32, generator=draw) < 0.2
    points[..., 2] = torch.where(out, 5 * points[..., 2], points[..., 2])
    least_squares = 20 * (0.8 + 0.2 / 5) / (0.8 + 0.2 / 25)
    assert focal_length(points) == pytest.approx(20, rel=1e-3) and abs(least_squares / 20 - 1) > 0.03


def test_the_focal_length_is_that_of_points_before_the_camera():
    points = pair_scene.shot(1).points(0, 0)
    points[0, 0], points[1, 1, 2], points[2, 2] = torch.nan, -3.0, torch.inf
    points[3, 3, 2], points[4, 4, 2] = 1e-12, 0
    assert focal_length(points) == pytest.approx(20, rel=1e-9)


@pytest.mark.parametrize("points", [torch.zeros(4, 5, 3), torch.full((4, 5, 3), math.nan), -torch.ones(4, 5, 3)])
def test_points_without_a_focal_length(points):
    assert focal_length(points) is None


def test_a_camera_that_looks_backwards_has_no_focal_length():
    points = pair_scene.shot(1).points(0, 0) * torch.tensor([-1.0, -1, 1])
    assert focal_length(points) is None
