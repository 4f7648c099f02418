"""Dynamic objects: how they are found, their outline, and where they stand."""

import cv2
import numpy as np
import pytest

from inference.estimators.parallax import keeping_pace, moving, object_depth, shadows
from inference.estimators.parallax.dense_motion import DenseMotion, dense_motion
from inference.estimators.parallax.pixel_paths import REACH, flow_pair, pixel_paths
from inference.estimators.parallax.view import Views

HEIGHT, WIDTH = 90, 160


def box(left, top, right, bottom):
    found = np.zeros((HEIGHT, WIDTH), bool)
    found[top:bottom, left:right] = True
    return found


def points(region, count, seed=0):
    """Points [count, 2] inside a mask, as x and y."""
    y, x = np.nonzero(region)
    chosen = np.random.default_rng(seed).choice(len(x), count, replace=False)
    return np.stack([x[chosen], y[chosen]], axis=1).astype(np.float32)


NO_MOTION = DenseMotion(np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32))
GRAY = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def test_around_a_matte_the_outline_of_the_tracks_is_dropped():
    matte = box(60, 20, 80, 70)
    ragged = points(box(57, 15, 90, 75), 60)  # votes on the subject and raggedly beside it
    votes = np.zeros(60, bool), np.ones(60, bool)
    assert (moving.mask(ragged, *votes, GRAY, NO_MOTION) & ~matte).any(), "by tracks alone it is too large"
    beside = moving.mask(ragged, *votes, GRAY, NO_MOTION, matte=matte) & ~matte
    reach = cv2.dilate(matte.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert not (beside & reach).any()
    assert moving.mask(ragged, *votes, GRAY, NO_MOTION, matte=matte)[matte].all()


def test_what_moves_far_from_every_matte_is_found_by_its_tracks():
    matte, ball = box(10, 20, 30, 70), box(110, 30, 130, 50)
    there = points(ball, 80)
    votes = np.zeros(80, bool), np.ones(80, bool)
    found = moving.mask(there, *votes, GRAY, NO_MOTION, matte=matte)
    assert found[matte].all() and found[40, 120]


def test_whoever_sits_still_belongs_to_the_scene():
    sitting, walking = box(10, 20, 40, 80), box(100, 20, 130, 80)
    xy = np.concatenate([points(sitting, 40), points(walking, 40)])
    still = np.arange(80) < 40
    found = moving.of_matte(sitting | walking, xy, still, ~still)
    assert not found[sitting].any() and found[walking].all()


def test_without_tracks_a_matte_counts_as_moving():
    matte = box(10, 20, 40, 80)
    nothing = np.empty(0, bool)
    assert moving.of_matte(matte, np.empty((0, 2), np.float32), nothing, nothing)[matte].all()


@pytest.mark.parametrize("shift", [-3, 3])
def test_an_enlarged_edge_moves_to_the_mattes(shift):
    matte = box(60, 20, 100, 70)
    values = np.where(box(60 + shift, 20 + shift, 100 + shift, 70 + shift), 0.9, 0.1).astype(np.float32)
    np.testing.assert_array_equal(moving.cut_out(values, matte, reach=5), np.where(matte, 0.9, 0.1).astype(np.float32))


def test_an_empty_or_a_full_matte_changes_nothing():
    values = np.random.default_rng(0).random((HEIGHT, WIDTH)).astype(np.float32)
    for matte in (np.zeros((HEIGHT, WIDTH), bool), np.ones((HEIGHT, WIDTH), bool)):
        np.testing.assert_array_equal(moving.cut_out(values, matte, reach=5), values)


def test_a_subject_is_masked_within_the_outline_that_the_image_shows():
    subject = box(60, 20, 80, 70)
    image = np.where(subject[..., None], 200, 60).astype(np.uint8).repeat(3, axis=2)
    xy = np.concatenate([points(box(62, 22, 78, 68), 60), points(~subject, 300)])
    moves = np.arange(len(xy)) < 60
    found = moving.mask(xy, ~moves, moves, image, NO_MOTION)
    assert (found & subject).sum() / (found | subject).sum() > 0.8


def test_pixels_alone_find_what_moves():
    subject = box(60, 20, 80, 70)
    image = np.where(subject[..., None], 200, 60).astype(np.uint8).repeat(3, axis=2)
    blocks = np.random.default_rng(1).random((HEIGHT // 5, WIDTH // 5)) < 0.5  # the rest has no texture
    scattered = blocks.repeat(5, axis=0).repeat(5, axis=1)
    dense = DenseMotion((scattered & ~subject).astype(np.float32), (scattered & subject).astype(np.float32))
    nothing = np.empty(0, bool)
    found = moving.mask(np.empty((0, 2), np.float32), nothing, nothing, image, dense)
    assert (found & subject).sum() / (found | subject).sum() > 0.85


def texture(seed):
    small = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 2, WIDTH, 3), np.uint8)
    return cv2.resize(small, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


WALL, CLOTH = texture(0), texture(1)
COUNT, FOCAL, STEP = 15, 100.0, 2


def sideways(count=COUNT):
    """A camera that glides along a wall at depth 1, which moves by `STEP` pixels a frame."""
    poses = np.tile(np.eye(4)[:3], (count, 1, 1))
    poses[:, 0, 3] = -STEP / FOCAL * np.arange(count)
    return Views(
        width=WIDTH, height=HEIGHT, focal=FOCAL, center=np.array([79.5, 44.5]), distortion=np.zeros(2),
        world_to_camera=poses, points=np.empty((0, 3)), seen=np.empty((0, 2), np.int32),
    )  # fmt: skip


def filmed(frame, subject=None):
    image = WALL[:, STEP * frame : STEP * frame + WIDTH].copy()
    if subject is not None:
        image[subject] = CLOTH[:, 40 - 2 * frame : 40 - 2 * frame + WIDTH][subject]
    return image


def test_a_pixel_that_leaves_the_way_of_every_static_point_moves():
    subjects = [
        box(70 + 2 * frame, 30 + 3 * (frame % 2), 90 + 2 * frame, 60 + 3 * (frame % 2)) for frame in range(COUNT)
    ]
    images = [filmed(frame, subject) for frame, subject in enumerate(subjects)]
    grays = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    paths = pixel_paths(lambda first: flow_pair(grays[first], grays[first + 1]), 7, COUNT)
    assert sorted(path.frame for path in paths) == [3, 4, 5, 6, 8, 9, 10, 11] and len(paths) == 2 * REACH
    found = dense_motion(paths, 7, sideways(), grays[7].astype(np.float32), most=3.0)
    inner = cv2.erode(subjects[7].astype(np.uint8), np.ones((7, 7))) > 0
    outer = cv2.dilate(subjects[7].astype(np.uint8), np.ones((15, 15))) > 0
    assert np.mean(found.moving[inner] > 0.3) > 0.8
    assert np.mean(found.moving[~outer] > 0.3) < 0.01 and np.mean(found.still[~outer] > 0.3) > 0.6


def test_flow_without_texture_says_nothing():
    gray = np.full((HEIGHT, WIDTH), 90, np.uint8)
    paths = pixel_paths(lambda first: flow_pair(gray, gray), 7, COUNT)
    found = dense_motion(paths, 7, sideways(), gray.astype(np.float32), most=3.0)
    assert not found.still.any() and not found.moving.any()


FAR = 0.05


def hides(hole, *, beside=False):
    """Votes of a frame of which the part `hole(frame)` seems far, and its depth; `beside`: the next show the wall."""
    tested = 25

    def far(frame):
        return hole(frame) & (not beside or abs(frame - tested) not in {1, 3})

    def matched(frame):
        away = far(frame)
        return np.stack([np.where(away, FAR, 1), np.ones(away.shape), np.zeros(away.shape)]).astype(np.float32)

    def color(frame):
        return np.where(far(frame)[..., None], np.uint8([200, 30, 20]), filmed(frame))

    return keeping_pace.keeping_pace(matched, color, tested, sideways(51), resolved=0.01), matched(tested)[0]


def test_what_keeps_pace_with_the_camera_hides_what_other_frames_show():
    subject = box(60, 20, 100, 70)
    votes, shown = hides(lambda frame: subject)
    assert votes[24:66, 75:85].min() > 0.4 and not votes[~subject].any()

    points_of = np.float32([[80, 40], [20, 40]])
    dense = DenseMotion(np.ones((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32))
    static, none = np.ones(2, bool), np.zeros(2, bool)
    (xy, still, moves), counting, upright = keeping_pace.counted((points_of, static, none), dense, votes, shown)
    assert still.tolist() == [False, True] and moves.tolist() == [True, False] and upright[40, 80]
    image = np.where(subject[..., None], 200, 60).astype(np.uint8).repeat(3, axis=2)
    assert not moving.mask(points_of, static, none, image, dense).any(), "by its own motion it stands still"
    found = moving.mask(xy, still, moves, image, counting)
    assert (found & subject).sum() / (found | subject).sum() > 0.7


def test_a_window_onto_something_far_hides_nothing():
    votes, _ = hides(lambda frame: box(120 - STEP * frame, 20, 128 - STEP * frame, 70))
    assert not votes.any()


def test_far_depth_that_flickers_is_no_object():
    """The frames beside show the wall there, which the object would hide from them as well."""
    subject = box(60, 20, 100, 70)
    votes, _ = hides(lambda frame: subject, beside=True)
    assert not votes.any()


@pytest.mark.parametrize("light", [(0.5, 0.5, 0.5), (0.46, 0.5, 0.55)], ids=["gray", "blue, of the sky"])
def test_a_shadow_is_told_from_the_object_that_casts_it(light):
    shadow, thing = box(40, 60, 70, 80), box(70, 30, 90, 80)

    def color(frame):
        image = filmed(frame)
        if frame == 7:
            image[shadow] = (light * image[shadow]).astype(np.uint8)
            image[thing] = (30, 60, 220)
        return image

    wall = np.ones((HEIGHT, WIDTH), np.float32)
    lying = shadows.shadowed(color, 7, wall, sideways())
    found = moving.standing(shadow | thing, lying)
    assert found[thing].mean() > 0.9 and found[box(40, 60, 66, 80)].mean() < 0.1


@pytest.mark.parametrize("dark", [(0.57, 0.5, 0.45), (0.5, 0.57, 0.45)], ids=["warm", "green"])
def test_dark_clothes_are_no_shadow(dark):
    """Before lights they darken what is behind, but not as the sky would light it."""
    coat = box(40, 30, 70, 80)

    def color(frame):
        image = filmed(frame)
        if frame == 7:
            image[coat] = (dark * image[coat]).astype(np.uint8)
        return image

    lying = shadows.shadowed(color, 7, np.ones((HEIGHT, WIDTH), np.float32), sideways())
    assert moving.standing(coat, lying)[coat].mean() > 0.9


def test_the_sky_lights_no_shadow_above_the_ground():
    """There a coat darkens the lights behind it by what would be such a shadow below."""
    coat, low = box(40, 20, 70, 80), box(0, 50, WIDTH, HEIGHT)

    def color(frame):
        image = filmed(frame)
        if frame == 7:
            image[coat] = (np.array([0.45, 0.5, 0.56]) * image[coat]).astype(np.uint8)
        return image

    lying = shadows.shadowed(color, 7, np.ones((HEIGHT, WIDTH), np.float32), sideways(), ground=low)
    found = moving.standing(coat, lying)
    assert found[box(42, 22, 68, 46)].mean() > 0.9 and found[box(42, 54, 68, 78)].mean() < 0.1


def test_what_a_shadow_leaves_that_lies_there_in_most_other_frames_does_not_move():
    def color(frame):
        image, left = filmed(frame), 60 - STEP * (frame - 12)
        if frame not in (12, 17, 20):  # two of the six others that are looked at
            image[60:80, left : left + 30] //= 2
        return image

    lying = shadows.shadowed(color, 12, np.ones((HEIGHT, WIDTH), np.float32), sideways(25))
    assert not moving.standing(box(60, 60, 90, 80), lying).any()


def test_objects_that_touch_are_told_apart_by_how_they_move():
    left, right = box(40, 20, 60, 70), box(60, 20, 80, 70)
    flow = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    assert moving.separate(left | right, flow).max() == 1
    flow[0, right, 0] = 4
    found = moving.separate(left | right, flow)
    assert found.max() == 2 and len(np.unique(found[left])) == 1 and len(np.unique(found[right])) == 1
    assert (found > 0).sum() == (left | right).sum()


# the ground is nearer the lower it is; behind it there is a wall
GROUND = np.where(np.arange(HEIGHT) < 40, 0.1, 0.1 + 0.01 * (np.arange(HEIGHT) - 40)).astype(np.float32)[:, None]
SCENE = np.tile(GROUND, (1, WIDTH))


def stands(regions, flow=(0.0, 0.0), scene=SCENE, learned=None):
    """The inverse depth that each frame's only object gets; 0 where it has none. `learned` : what a network sees."""
    still = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    still[0], still[1] = flow, np.negative(flow)
    maps = [(scene, region.astype(np.int32)) for region in regions]
    looked = None if learned is None else lambda frame: np.full((HEIGHT, WIDTH), learned[frame], np.float32)
    found = object_depth.depths(
        maps.__getitem__, lambda frame: still, len(maps), most=3.0, check=lambda: None, learned=looked
    )
    return np.array([values[1] if len(values) > 1 else 0.0 for values in found])


def at(row):
    return GROUND[min(row + 2, HEIGHT - 1), 0]


def test_an_object_stands_on_the_ground_below_its_feet():
    np.testing.assert_allclose(stands([box(40, 30, 60, 70)] * 10), at(69), rtol=0.03)


def test_its_depth_does_not_jump_where_its_mask_does():
    """Every fifth frame its feet are missed, where the ground is farther away."""
    found = stands([box(40, 30, 60, 60 if frame % 5 == 2 else 70) for frame in range(30)])
    assert np.ptp(np.log(found)) < 0.03
    np.testing.assert_allclose(found, at(69), rtol=0.06)


def test_in_the_air_it_keeps_the_depth_of_the_ground_where_it_touched_it():
    heights = [0, 8, 12, 8, 0, 8, 12, 8] * 3
    found = stands([box(40, 50 - up, 60, 70 - up) for up in heights])
    np.testing.assert_allclose(found, at(69), rtol=0.12)


def test_feet_below_the_image_leave_the_depth_to_the_frames_before():
    regions = [box(40, 30, 60, min(70 + 2 * frame, HEIGHT)) for frame in range(20)]
    found = stands(regions)
    assert (np.diff(found) > -0.02).all() and found[-1] >= at(HEIGHT - 1) * 0.95


def test_what_hides_its_feet_is_nearer():
    """A wall of which the upper edge hides the feet is no ground."""
    scene = SCENE.copy()
    scene[60:, 35:70] = 1.5
    found = stands([box(40, 20, 60, 60)] * 10, scene=scene)
    assert (found < 0.5).all() and (found > 0).all()


def test_what_it_hides_is_farther():
    scene = SCENE.copy()
    scene[30:60] = 0.5
    assert (stands([box(40, 30, 60, 55)] * 10, scene=scene) > 0.45).all()


def test_what_a_network_sees_nearer_than_the_ground_below_it_is_nearer():
    """In the air, where it is nearer than the ground that its lowest pixels hide."""
    np.testing.assert_allclose(stands([box(40, 20, 60, 50)] * 10, learned=[0.4] * 10), 0.4, rtol=0.1)


def test_what_sinks_into_the_background_of_a_network_stays_on_its_ground():
    np.testing.assert_allclose(stands([box(40, 30, 60, 70)] * 10, learned=[0.15] * 10), at(69), rtol=0.1)


def test_a_networks_errors_of_single_frames_do_not_move_it():
    found = stands([box(40, 20, 60, HEIGHT)] * 30, learned=[0.02 if frame % 5 == 2 else 1.0 for frame in range(30)])
    np.testing.assert_allclose(found, 1.0, rtol=0.1)
    assert np.ptp(np.log(found)) < 0.05


def test_what_a_network_sees_at_infinity_says_nothing():
    assert stands([box(40, 30, 60, 70)] * 10, learned=[0.0] * 10) == pytest.approx(stands([box(40, 30, 60, 70)] * 10))


def test_it_comes_nearer_as_it_grows():
    """Of its feet nothing is seen; what the flow says of its size says how its depth changes."""
    growth = 1.02
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    step = (growth - 1) * np.stack([x - 50, y - HEIGHT], axis=-1)
    sizes = [growth**frame for frame in range(12)]
    regions = [box(round(50 - 10 * size), round(HEIGHT - 40 * size), round(50 + 10 * size), HEIGHT) for size in sizes]
    found = stands(regions, flow=step)
    np.testing.assert_allclose(found[-1] / found[0], growth**11, rtol=0.05)


def test_a_limb_that_swings_is_no_growth():
    """In one frame of 20 its flow is that of a tenth more of size, and its feet go on standing where they do."""
    region, still = box(40, 30, 60, 70), np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    step = 0.1 * np.stack([x - 50, y - 70], axis=-1)
    grows = np.stack([step, -step])
    found = object_depth.depths(
        lambda frame: (SCENE, region.astype(np.int32)), lambda frame: grows if frame == 9 else still, 20, most=3.0,
        check=lambda: None,
    )  # fmt: skip
    np.testing.assert_allclose([values[1] for values in found], at(69), rtol=0.05)


def test_what_is_seen_in_a_few_frames_only_is_no_object():
    regions = [box(40, 30, 60, 70) if 5 <= frame < 8 else np.zeros((HEIGHT, WIDTH), bool) for frame in range(12)]
    assert not stands(regions).any()


def test_objects_apart_keep_their_own_depth():
    regions = [box(20, 20, 50, 70).astype(np.int32) + 2 * box(100, 20, 130, 85) for _ in range(10)]
    flow = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    found = object_depth.depths(
        lambda frame: (SCENE, regions[frame]), lambda frame: flow, 10, most=3.0, check=lambda: None
    )
    np.testing.assert_allclose([values[1:] for values in found], [[at(69), at(84)]] * 10, rtol=0.03)


def test_a_part_that_comes_off_lasts_as_long_as_what_it_was_a_part_of():
    whole, left, right = box(40, 30, 80, 70), box(40, 30, 64, 70), box(65, 30, 80, 70)
    labels = [whole.astype(np.int32)] * 6 + [left + 2 * right.astype(np.int32)] * 2
    flow = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    found = object_depth.depths(
        lambda frame: (SCENE, labels[frame]), lambda frame: flow, len(labels), most=3.0, check=lambda: None
    )
    assert (found[-1][1:] > 0).all()


def test_a_part_goes_on_from_what_it_was_a_part_of_whatever_their_order():
    """The whole comes nearer by itself; its last frame before the part comes off counts, not the one after."""
    whole, part, rest = box(40, 30, 80, HEIGHT), box(40, 30, 64, HEIGHT), box(65, 30, 80, HEIGHT)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    step = 0.03 * np.stack([x - 60, y - HEIGHT], axis=-1)

    def comes_off(first, second):
        labels = [whole.astype(np.int32)] * 6 + [first + 2 * second.astype(np.int32)] * 6
        found = object_depth.depths(
            lambda frame: (SCENE, labels[frame]), lambda frame: np.stack([step, -step]), 12, most=3.0,
            check=lambda: None,
        )  # fmt: skip
        return found[6][1:]

    np.testing.assert_allclose(comes_off(part, rest), comes_off(rest, part)[::-1], rtol=1e-6)


def test_a_wrong_bound_of_one_frame_does_not_move_it():
    """In one frame something near beside its feet seems to hide them, although it is far from what it stands on."""
    regions = [box(40, 30, 60, 70)] * 20
    expected = at(69)

    def found(odd):
        scenes = [SCENE.copy() for _ in regions]
        scenes[8][66:, 40:60] = odd  # below the feet, and not beside them
        scenes[8][66:, :40] = scenes[8][66:, 60:] = 0.02
        still = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
        values = object_depth.depths(
            lambda frame: (scenes[frame], regions[frame].astype(np.int32)), lambda frame: still, 20, most=3.0,
            check=lambda: None,
        )  # fmt: skip
        return np.array([each[1] for each in values])

    np.testing.assert_allclose(found(0.04), expected, rtol=0.06)
