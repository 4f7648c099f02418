"""The steps of stereo against plain numpy and against geometry worked out by hand."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import map_coordinates

from inference.estimators.parallax import (
    INFO,
    fill,
    frames,
    fusion,
    pipeline,
    pixel_paths,
    sgm,
    shot_data,
    sweep,
    triangulate,
)
from inference.estimators.parallax.tracks import Tracks
from inference.estimators.parallax.view import Views, distort, distorted, undistort


def views(count=9, *, step=0.1, points=None, width=64, height=48, distortion=(0.0, 0.0)):
    poses = np.tile(np.eye(4)[:3], (count, 1, 1))
    poses[:, 0, 3] = -step * np.arange(count)
    points = np.array([[0.0, 0.0, 2.0]]) if points is None else points
    seen = np.array([(f, p) for f in range(count) for p in range(len(points))], np.int32)
    return Views(
        width=width,
        height=height,
        focal=50.0,
        center=np.array([(width - 1) / 2, (height - 1) / 2]),
        distortion=np.array(distortion),
        world_to_camera=poses,
        points=points,
        seen=seen,
    )


def test_a_planes_homography_projects_its_points():
    generator = np.random.default_rng(1)
    matrix = np.array([[50.0, 0, 31], [0, 50, 23], [0, 0, 1]])
    rotation = np.linalg.qr(generator.normal(size=(3, 3)) * 0.1 + np.eye(3))[0]
    rotation *= np.sign(np.diag(rotation))
    shift = np.array([0.2, -0.1, 0.05])
    points = np.column_stack([generator.uniform(-1, 1, (20, 2)), np.full(20, 2.5)])
    here, there = points @ matrix.T, (points @ rotation.T + shift) @ matrix.T
    moved = (
        np.column_stack([here[:, :2] / here[:, 2:], np.ones(20)])
        @ sweep.plane_homography(matrix, rotation, shift, 1 / 2.5).T
    )
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], there[:, :2] / there[:, 2:], atol=1e-9)


def test_the_right_plane_matches_best():
    generator = np.random.default_rng(2)
    wide = generator.uniform(0, 255, (48, 96)).astype(np.float32)
    reference, other = wide[:, 10:74], wide[:, 15:79]  # everything moves left by 5 pixels: 50 * 0.2 / Z = 5
    neighbor = sweep.Neighbor(np.ascontiguousarray(other), np.eye(3), np.array([-0.2, 0.0, 0.0]))
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    depths = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    cost = sweep.matching_cost(np.ascontiguousarray(reference), [neighbor], matrix, depths)
    inside = cost[8:-8, 12:-8]
    assert (inside.argmin(axis=-1) == 3).all()
    assert (
        np.median(inside[..., 3]) < 0.02 and inside[..., 3].max() < 0.06
    )  # above 0 where few pixels of the window are like its middle: they vary less
    assert np.median(inside[..., 0]) > 0.3


def test_what_is_seen_between_bars_matches_where_it_is_not_where_they_are():
    generator = np.random.default_rng(6)
    wide = cv2.GaussianBlur(generator.normal(0, 1, (48, 120)), (0, 0), 1.0).astype(np.float32)
    lawn = 120 + 4 * wide / wide.std()  # of little contrast, behind bars of much
    images = []
    for near, far in ((0, 0), (12, 3), (-12, -3)):
        image = lawn[:, 24 + far : 24 + far + 72].copy()
        image[:, (np.arange(72) + near) % 12 < 3] = 60
        images.append(image)
    matrix = np.array([[50.0, 0, 35.5], [0, 50, 23.5], [0, 0, 1]])
    sides = zip(images[1:], (-0.3, 0.3), strict=True)
    others = [sweep.Neighbor(image, np.eye(3), np.array([side, 0.0, 0.0])) for image, side in sides]
    cost = sweep.matching_cost(images[0], others, matrix, np.arange(10) / 10)  # the lawn's is .2, the bars' .8
    best = cost.argmin(axis=-1)[8:-8, 16:-16]
    between = np.isin((np.arange(72) % 12)[16:-16], np.arange(5, 11))
    assert (best[:, between] == 2).mean() > 0.95


def test_pixels_that_no_neighbor_sees_tell_nothing():
    image = np.random.default_rng(3).uniform(0, 255, (48, 64)).astype(np.float32)
    neighbor = sweep.Neighbor(image, np.eye(3), np.array([-10.0, 0.0, 0.0]))
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    cost = sweep.matching_cost(image, [neighbor], matrix, np.array([0.5, 1.0]))
    np.testing.assert_allclose(cost, 0.5)


def test_a_pixel_that_one_neighbor_alone_sees_is_judged_by_that_one():
    image = np.random.default_rng(3).uniform(0, 255, (48, 64)).astype(np.float32)
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    depths = np.array([0.2, 0.5])
    near = sweep.Neighbor(np.roll(image, 5, axis=1), np.eye(3), np.array([0.2, 0.0, 0.0]))
    far = [sweep.Neighbor(image, np.eye(3), np.array([side * 20.0, 0.0, 0.0])) for side in (-1, 1, 2)]
    alone = sweep.matching_cost(image, [near], matrix, depths)
    np.testing.assert_allclose(sweep.matching_cost(image, [near, *far], matrix, depths), alone, atol=1e-6)
    assert (alone != 0.5).mean() > 0.8


def half_of(image):
    """Means of two by two pixels; an odd last row or column is its own mean."""
    even = np.pad(image, [(0, side % 2) for side in image.shape], "edge")
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).mean(axis=(1, 3))


def plain_zncc(one, other):
    """Correlation of 5 by 5 windows whose pixels count by nearness, and by likeness to the middle in either image."""
    a, b = (sliding_window_view(np.pad(image, 2, "edge"), (5, 5)) for image in (one, other))
    y, x = np.mgrid[-2:3, -2:3]
    weights = np.exp(-np.abs(a - one[..., None, None]) / 10 - (x**2 + y**2) / 8)
    weights = np.minimum(weights, 1 / (1 + (b - other[..., None, None]) ** 2 / 100) ** 2)
    weights /= weights.sum(axis=(2, 3), keepdims=True)

    def mean(values):
        return (weights * values).sum(axis=(2, 3))

    variances = [mean(each**2) - mean(each) ** 2 + 1 for each in (a, b)]
    return (mean(a * b) - mean(a) * mean(b)) / np.sqrt(variances[0] * variances[1])


def plain_cost(gray, neighbors, matrix, depths):
    """The matching cost by whole images: warped, halved, correlated and enlarged, then the better half's mean."""
    height, width = gray.shape
    y, x = np.mgrid[:height, :width]
    here = np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    up = [(np.arange(side) - 0.5) / 2 for side in gray.shape]
    cost = np.full((height, width, len(depths)), 0.5)
    for plane, depth in enumerate(depths):
        each = []
        for one in neighbors:
            there = sweep.plane_homography(matrix, one.rotation, one.shift, depth) @ here
            u, v = (there[:2] / there[2]).reshape(2, height, width)
            moved = map_coordinates(one.gray.astype(float), [v, u], order=1, mode="grid-constant")
            half = plain_zncc(half_of(gray), half_of(moved))
            half = map_coordinates(half, np.meshgrid(*up, indexing="ij"), order=1, mode="nearest")
            score = (1 - (plain_zncc(gray, moved) + 0.5 * half) / 1.5) / 2
            score += 0.1 * np.minimum(np.abs(gray - moved) / 20, 1)
            seen = (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)
            each.append(np.where(seen, score, np.inf))
        ordered = np.sort(each, axis=0)
        counted = (np.isfinite(ordered).sum(axis=0) + 1) // 2
        for number in np.unique(counted[counted > 0]):
            pixels = counted == number
            cost[pixels, plane] = ordered[:number, pixels].mean(axis=0)
    return cost


@pytest.mark.parametrize("size", [(37, 71), (64, 128), (32, 30)])
def test_the_matching_cost_equals_its_definition(size):
    generator = np.random.default_rng(5)
    height, width = size
    matrix = np.array([[60.0, 0, (width - 1) / 2], [0, 60, (height - 1) / 2], [0, 0, 1]])
    images = [cv2.GaussianBlur(generator.uniform(0, 255, size), (0, 0), 1.2).astype(np.float32) for _ in range(6)]
    turned, _ = cv2.Rodrigues(np.array([0.05, -0.08, 0.2]))
    neighbors = [
        sweep.Neighbor(images[1], turned, np.array([0.3, -0.2, 0.1])),
        sweep.Neighbor(images[2], np.eye(3), np.array([-0.9, 0.1, 0.0])),
        sweep.Neighbor(images[3], np.eye(3), np.array([0.2, 0.4, -0.4])),
        sweep.Neighbor(images[4], turned.T, np.array([1.5, 0.0, 0.2])),
        sweep.Neighbor(images[5], np.eye(3), np.array([60.0, 0.0, 0.0])),
    ]
    depths = np.array([0.1, 0.45, 0.8])
    cost = sweep.matching_cost(images[0], neighbors, matrix, depths)
    plain = plain_cost(images[0], neighbors, matrix, depths)
    assert cost.shape == plain.shape and len(np.unique(cost)) > 0.9 * np.count_nonzero(plain != 0.5)
    np.testing.assert_allclose(cost, plain, atol=1e-4)  # of single precision


def test_planes_that_hardly_move_a_neighbors_image_have_the_costs_between_those_around():
    generator = np.random.default_rng(9)
    image = cv2.GaussianBlur(generator.uniform(0, 255, (32, 64)), (0, 0), 1.5).astype(np.float32)
    matrix = np.array([[50.0, 0, 31.5], [0, 50, 15.5], [0, 0, 1]])
    near, far = (sweep.Neighbor(np.roll(image, -2, axis=1), np.eye(3), np.array([shift, 0, 0])) for shift in (-0.1, -1))
    depths = np.linspace(
        0.1, 0.868, 17
    )  # .048 apart: the near neighbor's image moves by .24 pixels, the far one's by 2.5
    ends = sweep.matching_cost(image, [near], matrix, depths[[4, 8]])[:, 8:-8]
    between = sweep.matching_cost(image, [near], matrix, depths)[:, 8:-8, 4:9]
    np.testing.assert_allclose(between[..., [0, 4]], ends, atol=1e-6)
    np.testing.assert_allclose(between[..., 1], 0.75 * ends[..., 0] + 0.25 * ends[..., 1], atol=1e-6)
    alone = np.concatenate([sweep.matching_cost(image, [far], matrix, depths[[k]]) for k in range(17)], axis=-1)
    np.testing.assert_allclose(sweep.matching_cost(image, [far], matrix, depths), alone, atol=1e-6)


def plain_sgm(cost, guide):
    """Hirschmüller's equation 12, path by path."""
    height, width, _ = cost.shape
    total = np.zeros_like(cost, np.float64)
    for dy, dx in [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]:
        path = np.zeros_like(total)
        for y in range(height)[:: -1 if dy < 0 or (dy == 0 and dx < 0) else 1]:
            for x in range(width)[:: -1 if dx < 0 else 1]:
                py, px = y - dy, x - dx
                if not (0 <= py < height and 0 <= px < width):
                    path[y, x] = cost[y, x]
                    continue
                before = path[py, px]
                jump = max(1.0 * np.exp(-abs(guide[y, x] - guide[py, px]) / 12), 0.03)
                padded = np.pad(before, 1, constant_values=np.inf)
                best = np.minimum.reduce(
                    [before, padded[:-2] + 0.02, padded[2:] + 0.02, before * 0 + before.min() + jump]
                )
                path[y, x] = cost[y, x] + best - before.min()
        total += path
    return total / 8


@pytest.mark.slow
def test_semi_global_matching_equals_its_definition():
    generator = np.random.default_rng(4)
    cost = generator.uniform(0, 1, (7, 9, 6)).astype(np.float32)
    guide = generator.uniform(0, 255, (7, 9)).astype(np.float32)
    np.testing.assert_allclose(sgm.aggregate(cost, guide), plain_sgm(cost, guide), rtol=2e-5, atol=2e-6)


def test_the_winner_is_refined_between_planes():
    depths = np.linspace(0.1, 1.0, 10)
    true = 0.43
    total = np.abs(depths - true)[None, None].astype(np.float32) ** 2
    chosen, margin, match = sgm.winners(total, total, depths)
    assert chosen[0, 0] == pytest.approx(true, abs=1e-5)
    assert margin[0, 0] > 0
    assert match[0, 0] == pytest.approx(total.min())


def test_half_a_pixel_is_a_change_of_inverse_depth():
    assert sweep.half_pixel(views(), 4, [3, 6]) == pytest.approx(0.5 * 64 / (320 * 50 * 0.2))


def test_depth_that_parallax_hardly_resolves_is_not_sure():
    scene = SimpleNamespace(views=views(), neighbors=((1, 2),))
    step = sweep.half_pixel(scene.views, 0, (1, 2))
    depths = np.array([1e-6, 10 * step, 100 * step], np.float32)
    np.testing.assert_allclose(shot_data.resolved(scene, 0, depths), [0, 0.5, 1], atol=0.011)


def test_tracks_tell_how_far_a_scene_goes_where_points_have_no_parallax():
    many = views(9)
    points = np.array([[0.0, 0.0, 2.0], [10.0, 5.0, 100.0], [0.1, 0.1, 3.0]])
    at = np.stack([points - [0.1 * f, 0, 0] for f in range(9)])  # [frames, points, 3]
    at[:, 2] += np.array([0, 0.2, 0]) * np.arange(9)[:, None] ** 2  # moves
    xy = 50 * at[..., :2] / at[..., 2:] + many.center
    tracks = Tracks(np.arange(10) * 3, np.tile(np.arange(3, dtype=np.int32), 9), xy.reshape(-1, 2).astype(np.float32))
    found = triangulate.sure_inverse_depths(tracks, many)
    error = 0.5 * 0.1 / (50 * 0.8)  # half a pixel of 640, which is .05 of 64, over focal length and way
    np.testing.assert_allclose(np.unique(found.round(4)), [0.01 + error, 0.5 + error], atol=2e-4)


def test_a_winner_is_doubted_where_planes_are_not_seen():
    depths = np.linspace(0.1, 1.0, 10)
    cost = np.full((1, 1, 10), 0.3, np.float32)
    cost[..., 4] = 0.1
    hidden = cost.copy()
    hidden[..., 5:] = sweep.OUTSIDE
    _, whole, _ = sgm.winners(cost, cost, depths, outside=sweep.OUTSIDE)
    _, half, _ = sgm.winners(cost, hidden, depths, outside=sweep.OUTSIDE)
    assert half[0, 0] == pytest.approx(whole[0, 0] / 4)


def test_measured_detail_is_not_smoothed_away():
    y, x = np.mgrid[:48, :64]
    box = (np.abs(y - 24) < 8) & (np.abs(x - 32) < 8)
    depth = np.where(box, 0.8, 0.4).astype(np.float32)
    plain = np.full((48, 64, 3), 90, np.uint8)  # no edge in the image tells where the box ends
    whole, _ = fill.fill(depth, np.ones_like(depth), plain, least=0.1, most=2.0)
    assert abs(whole[24, 32] - 0.8) < 0.08
    assert abs(whole[24, 50] - 0.4) < 0.02


def test_a_plane_is_completed_from_a_few_places():
    height, width = 48, 64
    y, x = np.mgrid[:height, :width]
    plane = (0.5 + 0.004 * x + 0.002 * y).astype(np.float32)
    known = np.zeros((height, width), np.float32)
    known[5:40, 5:20] = 1
    known[10:45, 45:60] = 1
    broken = np.where(known > 0, plane, 9.0).astype(np.float32)
    whole, _ = fill.fill(broken, known, np.full((height, width, 3), 90, np.uint8), least=0.1, most=2.0)
    assert np.abs(whole - plane).max() < 0.03


def test_what_is_seen_between_bars_is_not_closed_by_them():
    x = np.tile(np.arange(64), (48, 1)) % 16
    bars, matched_as_bars = x < 4, x < 10  # matching makes them too fat
    depth = np.where(matched_as_bars, 0.8, 0.1).astype(np.float32)
    confidence = np.where(matched_as_bars, 0.5, 0.2).astype(np.float32)
    image = np.repeat(np.where(bars, 40, 90)[..., None], 3, axis=2).astype(np.uint8)
    whole, _ = fill.fill(depth, confidence, image, least=0.05, most=2.0)
    assert np.median(whole[bars]) > 0.6
    assert np.median(whole[~matched_as_bars]) < 0.2
    low = np.where(matched_as_bars, 0.19, 0.1).astype(np.float32)
    np.testing.assert_array_equal(fill._share(low, confidence), 1)  # surfaces that are about as far do not compete


def test_a_frame_in_which_something_near_hides_a_point_says_nothing_of_it():
    two = views(2)
    far = np.full((48, 64), 0.1, np.float32)
    sure = np.ones_like(far)
    move = two.relative(0, 1)
    agreeing = [fusion.SourceDepth(far, sure, *move)] * 2
    others = {each: [fusion.SourceDepth(far * np.float32(each), sure, *move)] * 2 for each in (5.0, 2.0, 0.5)}
    unsure = [fusion.SourceDepth(far * 5, 0 * sure, *move)] * 2

    def support(sources):
        return fusion.fuse(far, sure, [*agreeing, *sources], focal=two.focal, center=two.center)[1][:, 8:]

    assert support(others[5.0]).min() > 0.99
    for contradicting in (others[2.0], others[0.5], unsure):
        assert support(contradicting).max() < 0.51


def test_within_what_the_planes_can_tell_nothing_hides_what_is_far():
    two = views(2)
    far = np.full((48, 64), 0.005, np.float32)
    sure = np.ones_like(far)
    for theirs, least, most in ((0.02, 0.9, 1.0), (0.5, 0.0, 1.0), (0.9, 0.0, 0.0)):
        source = fusion.SourceDepth(np.full_like(far, theirs), sure, *two.relative(0, 1))
        _, support, _ = fusion.fuse(far, sure, [source] * 4, focal=two.focal, center=two.center, spacing=0.2)
        assert least <= np.median(support) <= most and support.max() <= 1


def test_agreeing_frames_support_and_average_each_other():
    two = views(2)
    flat = np.full((48, 64), 0.5, np.float32)
    sure = np.ones_like(flat)
    other = fusion.SourceDepth(flat * np.float32(1.01), sure, *two.relative(0, 1))
    fused, support, _ = fusion.fuse(flat, sure, [other, other], focal=two.focal, center=two.center)
    seen = np.s_[:, 8:]
    assert (support[seen] > 0.8).all()
    np.testing.assert_allclose(fused[seen], 0.5 * 1.0066, rtol=2e-3)
    liar = fusion.SourceDepth(flat * np.float32(1.5), sure, *two.relative(0, 1))
    fused, support, _ = fusion.fuse(flat, sure, [liar, liar], focal=two.focal, center=two.center)
    np.testing.assert_allclose(fused, flat, rtol=1e-5)
    assert support.max() < 1e-3


def test_depth_agrees_within_what_the_planes_can_tell():
    two = views(2)
    far = np.full((48, 64), 0.2, np.float32)
    sure = np.ones_like(far)
    witness = fusion.SourceDepth(far * np.float32(1.1), sure, *two.relative(0, 1))
    _, strict, _ = fusion.fuse(far, sure, [witness] * 2, focal=two.focal, center=two.center)
    _, coarse, _ = fusion.fuse(far, sure, [witness] * 2, focal=two.focal, center=two.center, spacing=0.1)
    assert strict[:, 8:].max() < 0.01
    assert coarse[:, 8:].min() > 0.6


def test_what_is_far_is_about_confirmed_by_a_plane_beside():
    two, spacing = views(2), 0.02
    far = np.full((48, 64), 0.06, np.float32)
    sure = np.ones_like(far)
    seen = np.s_[:, 8:]
    found = []
    for planes in (0.0, 1.0, 4.0):
        theirs = fusion.SourceDepth(far + np.float32(planes * spacing), sure, *two.relative(0, 1))
        _, support, about = fusion.fuse(far, sure, [theirs] * 2, focal=two.focal, center=two.center, spacing=spacing)
        assert about.max() <= 1
        found.append((float(support[seen].mean()), float(about[seen].mean())))
    (exact, about_exact), (beside, about_beside), (off, about_off) = found
    assert exact > 0.99 and about_exact > 0.99
    assert beside < 0.1 and about_beside > 0.6
    assert off < 0.01 and about_off < 0.01


def test_a_camera_that_goes_forwards_has_neighbors_farther_away():
    points = np.array([[0.4, 0.0, 2.0], [0.4, 0.3, 2.0], [-0.4, -0.2, 2.0]])
    sideways, forwards = (views(121, step=0.01, points=points) for _ in range(2))
    forwards.world_to_camera[:, 2, 3], forwards.world_to_camera[:, 0, 3] = forwards.world_to_camera[:, 0, 3], 0.0
    chosen = [sweep.choose_neighbors(each, 60, points[:, 2]) for each in (sideways, forwards)]
    far = [max(abs(frame - 60) for frame in each) for each in chosen]
    assert far[1] > 1.4 * far[0]


def test_neighbors_lie_on_both_sides_at_the_wanted_baselines():
    many = views(41, step=0.02, points=np.array([[0.4, 0.0, 2.0], [0.4, 0.3, 2.0]]))
    chosen = sweep.choose_neighbors(many, 20, np.array([2.0]))
    baselines = sorted(abs(f - 20) * 0.02 / 2.0 for f in chosen)
    assert len(chosen) == 4
    assert sum(f < 20 for f in chosen) == 2
    np.testing.assert_allclose(baselines, [0.04, 0.04, 0.12, 0.12], atol=0.011)
    assert all(f > 0 for f in sweep.choose_neighbors(many, 0, np.array([2.0])))


def test_where_something_is_near_neighbors_for_it_join():
    many = views(41, step=0.02, points=np.array([[0.4, 0.0, 2.0], [0.4, 0.3, 2.0]]))
    depths = np.array([0.5] * 2 + [2.0] * 8)
    chosen = {f - 20 for f in sweep.choose_neighbors(many, 20, depths)}
    assert chosen == {f - 20 for f in sweep.choose_neighbors(many, 20, np.array([2.0]))} | {-1, 1, -3, 3}


def test_bending_undoes_straightening():
    lens = {"focal": 50.0, "center": np.array([31.5, 23.5]), "distortion": np.array([0.12, -0.03])}
    pixels = np.random.default_rng(7).uniform(0, [63, 47], (50, 2))
    np.testing.assert_allclose(distort(undistort(pixels, **lens), **lens), pixels, atol=1e-4)


def test_maps_of_a_straight_image_are_bent_back():
    lens = views(distortion=(0.2, 0.0))
    x = np.tile(np.arange(64, dtype=np.float32), (48, 1))
    seen = distorted(x, lens, 0)
    where = undistort(np.array([[50.0, 30.0]]), focal=50.0, center=lens.center, distortion=lens.distortion)
    assert seen[30, 50] == pytest.approx(where[0, 0], abs=0.02)


def test_resizing_a_camera_keeps_its_rays():
    small = views().resized(32, 24)
    big = views()
    ray = (np.array([10.0, 7.0]) - big.center) / big.focal
    half = (np.array([10.0, 7.0]) + 0.5) / 2 - 0.5
    np.testing.assert_allclose((half - small.center) / small.focal, ray)


def test_the_size_of_stereo_is_told():
    assert INFO.depth_size == frames.LONG_SIDE


def test_detail_is_what_smaller_images_lose_in_many_places(make):
    bars = np.full((90, 160, 3), 170, np.uint8)
    bars[:, ::5] = 40
    bars[:, 60:] = 170  # on a third of the image
    rough = np.random.default_rng(3).normal(0, 2.5, bars.shape)
    blurred = np.clip(cv2.GaussianBlur(bars, (0, 0), 2.0) + rough, 0, 255).astype(np.uint8)
    assert frames.is_detailed(make.UndistortedFrames([bars]), 120, 68)
    assert not frames.is_detailed(make.UndistortedFrames([blurred] * 3), 120, 68)


def test_stereo_is_as_fine_as_the_images_and_motion_is_not(scene, make, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "_MOTION_SIDE", 96)
    monkeypatch.setattr(frames, "LONG_SIDE", 150)
    scene = scene.first(12)
    for name, sigma, width in (("sharp", 0.0, 150), ("blurred", 4.0, 96)):
        images = [cv2.GaussianBlur(each, (0, 0), sigma) if sigma else each for each in scene.images]
        found = pipeline._begin(make.shot(images, tmp_path / name, camera=make.camera(scene.poses)).shot).scene
        assert (found.views.width, found.images.color(0).shape[1]) == (width, width)
        assert (found.motion_views.width, found.motion_images.color(0).shape[1]) == (96, 96)
        assert found.tracks.xy.max() < 96


def test_labels_come_back_from_a_larger_size_and_paths_are_enlarged():
    small, large = views(width=32, height=18), views(width=42, height=24)
    labels = np.random.default_rng(6).integers(0, 5, (18, 32)).astype(np.int32)
    np.testing.assert_array_equal(frames.resized(frames.resized(labels, large), small), labels)

    def stretched(width, height):  # places that a picture twice as large has, whatever its size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        return 2 * np.stack([x, y], axis=-1) + 0.5

    path = pixel_paths.PixelPaths(3, stretched(32, 18), np.ones((18, 32), np.float32)).resized(64, 36)
    np.testing.assert_allclose(path.there[2:-2, 2:-2], stretched(64, 36)[2:-2, 2:-2], atol=1e-4)
    still = pixel_paths.PixelPaths(3, pixel_paths._places(32, 18) + 3, np.ones((18, 32), np.float32))
    np.testing.assert_allclose(still.resized(64, 36).there, pixel_paths._places(64, 36) + 6, atol=1e-4)
