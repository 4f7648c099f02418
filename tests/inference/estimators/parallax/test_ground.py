"""The ground that a camera moves over, mirror images in it, and what really lies below it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from development.benchmarks.completion import stand_in
from inference.estimators import parallax
from inference.estimators.parallax import completion, ground
from inference.estimators.parallax.view import Views

COUNT, HEIGHT, WIDTH, FOCAL = 12, 90, 160, 130.0
TALL, WALL = 1.6, 14.0  # meters from the camera to the floor, and to the wall behind it
NOTHING = np.zeros((HEIGHT, WIDTH), bool)


def cameras(*, roll=0.0, pitch=0.15):
    """A camera that glides sideways and forwards over a floor, and looks down a little."""
    turn = cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0] @ cv2.Rodrigues(np.array([-pitch, 0.0, 0.0]))[0].T
    poses = np.tile(np.eye(4)[:3], (COUNT, 1, 1))
    for frame, pose in enumerate(poses):
        pose[:, :3] = turn
        pose[:, 3] = -turn @ [0.04 * frame, 0, 0.05 * frame]
    return Views(
        width=WIDTH, height=HEIGHT, focal=FOCAL, center=np.array([79.5, 44.5]), distortion=np.zeros(2),
        world_to_camera=poses, points=np.empty((0, 3)), seen=np.empty((0, 2), np.int32),
    )  # fmt: skip


class Room:
    """A floor before a wall: a patch of the floor is wet, or what lies below it is open.

    `below` is how far the bottom lies below the floor, by the places x and z; 0 on the floor. Nothing overhangs.
    """

    def __init__(self, wet=None, below=None, views=None):
        self.views = cameras() if views is None else views
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        local = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(self.views.matrix).T
        random = np.random.default_rng(2)
        true, self.measured, self.changed, self.weight = [], [], [], []
        for position, axes in zip(self.views.positions, self.views.to_world, strict=True):
            rays = local @ axes.T
            to_wall = (WALL - position[2]) / rays[..., 2]
            falls = np.maximum(rays[..., 1], 1e-9)
            to_floor = TALL / falls
            floor = to_floor < to_wall
            at = (position + rays * to_floor[..., None])[..., [0, 2]].transpose(2, 0, 1)
            deep, goes_down = np.zeros(NOTHING.shape), floor & (below is not None)
            while goes_down.any() and deep.max() < 5:
                there = position + rays * ((TALL + deep) / falls)[..., None]
                goes_down &= deep < below(there[..., 0], there[..., 2])
                deep[goes_down] += 0.02
            depth = np.minimum(to_wall, (TALL + deep) / falls)
            mirrors = floor & (NOTHING if wet is None else wet(*at))
            true.append(1 / depth)
            seen = np.where(mirrors, 1 / to_wall, 1 / depth) * random.normal(1, 0.01, depth.shape)
            self.measured.append(seen.astype(np.float32))
            self.changed.append(mirrors | (deep > 0))
            self.weight.append(random.uniform(0.3, 1, depth.shape).astype(np.float32))
        self.true = np.stack(true).astype(np.float32)
        self.learned = stand_in(self.true, 0)

    def plane(self):
        return ground.find(self.views, lambda frame: (self.measured[frame], self.weight[frame]), check=lambda: None)

    def completed(self, *, grounded=True):
        """The frames' measured depth without mirror images, and where these were."""
        plane = self.plane()

        def level(frame):
            return ground.inverse_depth(plane, self.views, frame)

        fit = completion.fit(
            lambda frame: (self.measured[frame], self.weight[frame], self.learned[frame]),
            COUNT,
            sinks=False,
            ground=level if grounded else None,
            check=lambda: None,
        )
        fitted = [fit.at(frame, self.learned[frame]) for frame in range(COUNT)]
        found = [ground.without_mirrored(self.measured[f], level(f), fitted[f][0]) for f in range(COUNT)]
        depth, mirrored = (np.stack(each) for each in zip(*found, strict=True))
        return depth, mirrored, np.stack([narrow for _, narrow in fitted])


def wet(x, z):
    """Puddles over half of the floor, with some dry ones between."""
    return (np.abs(x) < 3) & ((x + 0.7 * z) % 1.5 < 0.9)


def hole(x, z):
    """A patch of the floor with floor on all sides."""
    return (np.abs(x - 0.3) < 0.8) & (np.abs(z - 4.5) < 0.9)


def error(estimate, true, where):
    """Mean relative error of depth."""
    return float(np.mean(np.abs(true / np.maximum(estimate, 1e-4) - 1)[where]))


@pytest.mark.parametrize(("roll", "pitch"), [(0.0, 0.15), (0.3, 0.15), (0.0, 0.7)])
def test_the_ground_is_found_though_half_of_it_mirrors_a_wall(roll, pitch):
    plane = Room(wet=wet, views=cameras(roll=roll, pitch=pitch)).plane()
    assert np.degrees(np.arccos(plane[1])) < 0.5
    assert plane[3] == pytest.approx(TALL, rel=0.02)


def test_what_lies_on_no_plane_has_no_ground():
    random = np.random.default_rng(4)

    def rubble(frame):
        return random.uniform(0.05, 0.5, NOTHING.shape).astype(np.float32), np.ones(NOTHING.shape, np.float32)

    assert not ground.find(cameras(), rubble, check=lambda: None).any()
    upwards = Room(views=cameras(pitch=-0.6))
    assert not upwards.plane().any(), "it sees no floor"
    assert not ground.inverse_depth(upwards.plane(), upwards.views, 0).any()


def test_the_ground_has_the_inverse_depth_of_the_floor():
    room = Room()
    for frame in (0, COUNT - 1):
        level = ground.inverse_depth(room.plane(), room.views, frame)
        floor = room.true[frame] > 1 / 10
        np.testing.assert_allclose(level[floor], room.true[frame][floor], rtol=0.02)
        assert not level[:20].any(), "the horizon is below"


def test_a_mirror_image_confirmed_by_other_frames_is_the_ground_that_it_lies_in():
    room = Room(wet=wet)
    depth, mirrored, narrow = room.completed()
    inside = np.stack([cv2.erode(each.astype(np.uint8), np.ones((3, 3))) > 0 for each in room.changed])
    inside &= np.stack(room.measured) < 0.6 * room.true
    assert inside.mean() > 0.1
    assert error(np.stack(room.measured), room.true, inside) > 0.4, "it is measured as far as what it mirrors"
    assert error(depth, room.true, inside) < 0.03
    assert mirrored[inside].mean() > 0.97
    assert mirrored[~np.stack(room.changed)].mean() < 0.01
    assert error(narrow, room.true, inside) < 0.1
    with pytest.raises(completion.Disagreement):
        room.completed(grounded=False)


def seen_too_far(room, frame):
    """What a weak network makes of a floor: all around its middle a quarter too far away, with soft edges."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    dark = np.exp(-(((x - 85) / 40) ** 2 + ((y - 70) / 30) ** 4))
    return cv2.GaussianBlur(room.true[frame] * (1 - 0.27 * dark).astype(np.float32), (0, 0), 2)


def test_a_mirror_image_is_ground_also_where_a_network_has_all_ground_around_too_far_away():
    room = Room(wet=hole)
    for frame in (0, COUNT - 1):
        level = ground.inverse_depth(room.plane(), room.views, frame)
        inside = cv2.erode(room.changed[frame].astype(np.uint8), np.ones((3, 3))) > 0
        seen = seen_too_far(room, frame)
        assert np.median((room.true[frame] / seen)[inside]) > 1.3
        depth, mirrored = ground.without_mirrored(room.measured[frame], level, seen)
        assert mirrored[inside].mean() > 0.97
        assert error(depth, room.true[frame], inside) < 0.03
        assert mirrored[~room.changed[frame]].mean() < 0.01


BELOW = {
    "pit": lambda x, z: 1.5 * ((np.abs(x - 0.5) < 1) & (np.abs(z - 5) < 1.2)),
    "stairs": lambda x, z: 0.5 * np.clip(np.ceil((z - 4) / 0.5), 0, 6) * (np.abs(x) < 1.5),
    "balcony": lambda x, z: 4.0 * (z > 5),
}


@pytest.mark.parametrize("below", BELOW.values(), ids=BELOW)
@pytest.mark.parametrize("blur", [0, 4])
def test_what_really_lies_below_the_ground_stays(below, blur):
    room = Room(below=below)
    if blur:  # a weak network
        room.learned = np.stack([cv2.GaussianBlur(each, (0, 0), blur) for each in room.learned])
    depth, mirrored, _ = room.completed()
    deep = np.stack(room.changed)
    assert deep.mean() > 0.02
    assert mirrored[deep].mean() < 0.02
    assert error(depth, room.true, deep) < 0.03


@pytest.mark.parametrize("below", BELOW.values(), ids=BELOW)
def test_what_really_lies_below_the_ground_stays_where_a_network_has_it_and_all_around_too_far_away(below):
    room = Room(below=below)
    for frame in (0, COUNT - 1):
        level = ground.inverse_depth(room.plane(), room.views, frame)
        _, mirrored = ground.without_mirrored(room.measured[frame], level, seen_too_far(room, frame))
        assert mirrored[room.changed[frame]].mean() < 0.02


def test_learned_depth_beyond_infinity_lies_below_no_ground():
    beyond = np.full(NOTHING.shape, -0.1, np.float32)
    none, below_horizon = np.zeros_like(beyond), np.where(np.mgrid[:HEIGHT, :WIDTH][0] > 45, np.float32(0.2), 0)
    for level in (none, below_horizon):
        with np.errstate(all="raise"):
            depth, mirrored = ground.without_mirrored(beyond, level, beyond)
        assert not mirrored.any()
        np.testing.assert_array_equal(depth, beyond)


def test_a_dry_floor_stays_as_it_was_measured():
    room = Room()
    depth, mirrored, _ = room.completed()
    assert not mirrored.any()
    np.testing.assert_array_equal(depth, np.stack(room.measured))


def without_sunken(room, confidence):
    """The frames' measured depth without what lies beyond ground that is seen above it, and where that was."""
    plane, sure = room.plane(), np.full(NOTHING.shape, confidence, np.float32)
    found = [ground.sunken(room.measured[frame], sure, plane, room.views, frame) for frame in range(COUNT)]
    return tuple(np.stack(each) for each in zip(*found, strict=True))


@pytest.mark.parametrize("pitch", [0.15, 0.6])
def test_a_shadow_that_keeps_pace_is_no_hole_down_to_the_horizon(pitch):
    room = Room(wet=hole, views=cameras(pitch=pitch))  # a mirror image of the wall is as far away as a shadow seems
    depth, sunken = without_sunken(room, 0.06)
    inside = np.stack([cv2.erode(each.astype(np.uint8), np.ones((5, 5))) > 0 for each in room.changed])
    inside &= np.stack(room.measured) < 0.7 * room.true
    assert inside.mean() > 0.01
    assert error(np.stack(room.measured), room.true, inside) > 0.4
    assert error(depth, room.true, inside) < 0.03
    assert sunken[~np.stack(room.changed)].mean() < 0.01


def test_what_other_frames_confirm_is_seen_under_overhanging_ground():
    room = Room(wet=hole)
    depth, sunken = without_sunken(room, 0.4)
    assert not sunken.any()
    np.testing.assert_array_equal(depth, np.stack(room.measured))


@pytest.mark.parametrize("below", BELOW.values(), ids=BELOW)
def test_what_lies_below_the_ground_and_before_its_end_stays_however_unsure_it_is(below):
    room = Room(below=below)
    _, sunken = without_sunken(room, 0.0)
    deep = np.stack(room.changed)
    assert deep.mean() > 0.02
    assert sunken[deep].mean() < 0.02


@pytest.mark.slow(seconds=60)
def test_a_wet_floor_is_a_floor_to_a_whole_estimate(scene, make, tmp_path, monkeypatch):
    scene = scene.first(12)
    floor = 1.2
    images, puddles = [], []
    names = make.look.__globals__
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = 2 * floor
    for pose, image, depth in zip(scene.poses, scene.images, scene.depth, strict=True):
        with monkeypatch.context() as under:  # the room without its floor, seen from as far below that
            under.setitem(names, "WALLS", names["WALLS"][1:])
            under.setitem(names, "TEXTURES", names["TEXTURES"][1:])
            mirror, far = make.look(flip @ pose)
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        ray = np.stack([(x - 95.5) / 170, (y - 71.5) / 170, np.ones_like(x)], axis=-1) @ pose[:3, :3].T
        at = pose[:3, 3] + ray * depth[..., None]
        puddle = (np.abs(at[..., 1] - floor) < 0.01) & (np.abs(at[..., 0] - 0.3) < 0.9) & (at[..., 2] < 5)
        puddles.append(puddle & (far > 1.4 * depth))
        images.append(np.where(puddle[..., None], mirror, image))
    true = (1 / scene.depth).astype(np.float32)
    wet = np.stack(puddles)
    wet &= np.stack([cv2.erode(each.astype(np.uint8), np.ones((5, 5))) > 0 for each in puddles])
    assert wet.mean() > 0.02
    shots = [make.shot(images, tmp_path / name, camera=make.camera(scene.poses)) for name in ("alone", "completed")]
    parallax.estimate(shots[0].shot)
    parallax.estimate(replace(shots[1].shot, learned=stand_in(true, 0)))
    alone, completed = (shot.maps() for shot in shots)
    assert error(alone, true, wet) > 0.25
    assert error(completed, true, wet) < 0.08
    assert error(completed, true, ~wet) <= error(alone, true, ~wet)
    assert np.stack([shots[1].confidence[frame] for frame in range(12)])[wet].mean() < 0.1


def on_the_floor(room, frame, *, standing):
    """A patch of the floor that moves, and what a network makes of it: 25 % too near all over, and blurred."""
    level = ground.inverse_depth(room.plane(), room.views, frame)
    patch = np.zeros(NOTHING.shape, bool)
    patch[62:80, 60:85] = True
    seen = 1.25 * np.where(patch & standing, level[79, 72], room.true[frame])
    return level, cv2.GaussianBlur(seen.astype(np.float32), (0, 0), 2), patch


def test_a_network_sees_what_stands_nearer_than_the_ground_around_it_and_a_reflection_not():
    room = Room(views=cameras(roll=0.2))
    for frame in (0, COUNT - 1):
        level, seen, patch = on_the_floor(room, frame, standing=False)
        assert np.abs(ground.rises(level, seen, patch)[patch]).max() < 0.03
        level, seen, patch = on_the_floor(room, frame, standing=True)
        assert np.percentile(ground.rises(level, seen, patch)[patch], 90) > 0.15


def test_nothing_lies_on_ground_that_is_not_known():
    room = Room()
    level, seen, patch = on_the_floor(room, 0, standing=False)
    above = np.roll(patch, -50, axis=0)
    assert np.isinf(ground.rises(level, seen, above)[above]).all(), "the wall"
    assert np.isinf(ground.rises(np.zeros_like(level), seen, patch)).all(), "no ground was found"
    assert np.isinf(ground.rises(level, np.where(patch, seen, 3 * level), patch)[patch]).all(), "things all around"
    with np.errstate(all="raise"):
        ground.rises(level, np.full_like(seen, -0.1), patch)


def test_a_floor_that_a_network_has_too_far_away_is_nothing_but_floor_and_what_stands_on_it_is_more():
    room = Room()
    for frame in (0, COUNT - 1):
        level, seen, patch = on_the_floor(room, frame, standing=True)
        measured = room.measured[frame]
        inner = np.zeros_like(patch)
        inner[62:70, 63:82] = True  # its upper part; its feet are as near as the floor is
        floor = (level > 0.15) & (cv2.dilate(patch.astype(np.uint8), np.ones((13, 13))) == 0)
        lies = ground.lies(measured, level, seen, NOTHING)
        assert lies[floor].mean() > 0.95
        assert lies[inner].mean() < 0.02, "it stands, though it was not found to move"
        assert not ground.lies(measured, level, room.true[frame], patch)[patch].any(), "it moves"
        seen = seen_too_far(room, frame)
        assert ground.lies(measured, level, seen, NOTHING)[floor].mean() > 0.95
        wet = ground.lies(np.where(patch, 0.6 * level, measured), level, seen, NOTHING)
        assert not wet[patch].any(), "what is measured is no floor"
    assert not ground.lies(room.measured[0], np.zeros_like(level), seen, NOTHING).any(), "no ground was found"


def without_a_drop(room, frame):
    """What a weak network makes of a pit or a quay: the floor goes on."""
    return np.maximum(room.true[frame], ground.inverse_depth(room.plane(), room.views, frame))


@pytest.mark.parametrize("below", [BELOW["pit"], lambda x, z: 0.8 * (z > 5)], ids=["pit", "quay"])
def test_what_lies_below_the_ground_stays_where_nothing_is_above_it_that_could_be_mirrored(below):
    room = Room(below=below)
    plane, sure = room.plane(), np.full(NOTHING.shape, 0.8, np.float32)
    for frame in (0, COUNT - 1):
        level, seen, measured = (
            ground.inverse_depth(plane, room.views, frame), without_a_drop(room, frame), room.measured[frame]
        )  # fmt: skip
        deep = ground.below(room.true[frame], level)
        assert deep.mean() > 0.02
        assert ground.without_mirrored(measured, level, seen)[1][deep].mean() > 0.9
        real = ground.mirrors_nothing(measured, sure, plane, room.views, frame)
        assert ground.without_mirrored(measured, level, seen, real)[1][deep].mean() < 0.05
        assert not ground.mirrors_nothing(measured, np.float32(0.2) * sure, plane, room.views, frame).any()


@pytest.mark.parametrize("where", [wet, hole])
def test_a_wall_is_there_to_be_mirrored(where):
    room = Room(wet=where)
    plane, sure = room.plane(), np.full(NOTHING.shape, 0.8, np.float32)
    for frame in (0, COUNT - 1):
        for off in (0.9, 1.0, 1.1):  # mirror images are not measured exactly
            measured = np.where(room.changed[frame], off * room.measured[frame], room.measured[frame])
            real = ground.mirrors_nothing(measured.astype(np.float32), sure, plane, room.views, frame)
            assert real[room.changed[frame]].mean() < 0.02, off
