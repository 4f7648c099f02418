"""Sky is as far away as depth goes, and walls and ceilings that are as even are not taken for it."""

import cv2
import numpy as np
import pytest

from inference.estimators import parallax
from inference.estimators.parallax import sky
from inference.estimators.parallax.view import Views

COUNT, HEIGHT, WIDTH = 12, 120, 200
GROUND = np.array([0.0, 1.0, 0.0, 1.6])  # 1.6 m below the camera
HORIZON = 60  # row
BLUE, OVERCAST, PLASTER, COOL = (150, 170, 200), (225, 225, 222), (205, 200, 190), (208, 213, 219)
HOUSE, SIGN = (slice(30, 70), slice(20, 80)), (slice(0, 30), slice(100, 140))


def views():
    """A camera that goes forwards and looks straight ahead."""
    poses = np.tile(np.eye(4)[:3], (COUNT, 1, 1))
    poses[:, 2, 3] = -0.1 * np.arange(COUNT)
    return Views(
        width=WIDTH, height=HEIGHT, focal=150.0, center=np.array([99.5, HORIZON - 0.5]), distortion=np.zeros(2),
        world_to_camera=poses, points=np.empty((0, 3)), seen=np.empty((0, 2), np.int32),
    )  # fmt: skip


def street(above, *, until=HORIZON, frame=0):
    """Textured ground and a textured house before something even, lit from above, that reaches down to a row."""
    image = np.random.default_rng(frame).integers(40, 140, (HEIGHT, WIDTH, 3), np.uint8)
    fall = np.linspace(1, 1.06, until)[:, None, None]
    image[:until] = np.clip(np.array(above) * fall, 0, 255)
    image[HOUSE] = np.random.default_rng(0).integers(60, 180, image[HOUSE].shape, np.uint8)
    return image


def found(color, *, away=40.0, plane=GROUND):
    """How sky looks in what `color` shows, which ends behind things that are so many meters away."""
    inverse_depth = np.full((HEIGHT, WIDTH), 1 / away, np.float32)
    return sky.find(views(), plane, color, lambda frame: inverse_depth, check=lambda: None)


def is_none(look):
    return bool(np.isinf(look).all())


@pytest.mark.parametrize("color", [BLUE, OVERCAST])
def test_sky_ends_at_the_roofs(color):
    image = street(color)
    look = found(lambda frame: street(color, frame=frame))
    mask, truth = sky.mask(image, look, GROUND, views(), 0), np.arange(HEIGHT)[:, None] < HORIZON * np.ones(WIDTH)
    truth[HOUSE] = False
    assert mask[truth].mean() > 0.93 and not mask[~truth].any()


def test_sky_between_branches_is_sky_and_a_sign_before_it_is_not():
    image = street(BLUE)
    image[20:60, 150:154] = image[20:24, 150:198] = image[20:60, 194:198] = (60, 50, 40)  # a closed frame of branches
    image[SIGN] = PLASTER
    mask = sky.mask(image, found(lambda frame: image), GROUND, views(), 0)
    assert mask[28:56, 160:188].all() and not mask[2:28, 102:138].any()


def test_a_ceiling_is_no_sky():
    assert is_none(found(lambda frame: street(OVERCAST, frame=frame), away=5.0))
    assert is_none(found(lambda frame: street(PLASTER, frame=frame), away=5.0))


def test_a_blue_wall_that_stands_on_the_ground_is_no_sky():
    assert is_none(found(lambda frame: street(BLUE, until=90, frame=frame)))


@pytest.mark.parametrize("color", [BLUE, COOL, (50, 80, 200)])
def test_a_blue_wall_or_ceiling_of_a_room_is_no_sky_where_its_lower_part_is_hidden(color):
    assert is_none(found(lambda frame: street(color, frame=frame), away=6.0))


def between_walls(color, top):
    """What a camera sees between two walls and before a third, many camera heights away, below something even.

    `top` is how much higher than the camera they end, by column; returns its image and inverse depth.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    across, climbs = np.abs(x - 99.5) / 150.0, (HORIZON - 0.5 - y) / 150.0
    away = np.minimum(60.0, 20.0 / np.maximum(across, 1e-6))
    above = climbs * away > top
    image = np.random.default_rng(0).integers(40, 140, (HEIGHT, WIDTH, 3), np.uint8)
    image[above] = color
    walls = np.where(climbs < 0, np.maximum(1 / away, -climbs / 1.6), 1 / away)
    return image, np.where(above, cv2.blur(walls, (9, 9)), walls).astype(np.float32)


@pytest.mark.parametrize("color", [OVERCAST, COOL])
def test_a_ceiling_is_no_sky_where_the_camera_is_near_the_floor_or_the_room_is_a_hall(color):
    image, inverse_depth = between_walls(color, 7.0)
    assert is_none(sky.find(views(), GROUND, lambda _: image, lambda _: inverse_depth, check=lambda: None))


@pytest.mark.parametrize("color", [OVERCAST, COOL, BLUE])
def test_sky_ends_at_roofs_of_several_heights_or_is_clearly_blue(color):
    roofs = 7.0 if color == BLUE else np.repeat([3.0, 9.0, 5.0, 7.0, 4.0, 6.0, 10.0, 5.0], WIDTH // 8)
    image, inverse_depth = between_walls(color, roofs)
    assert not is_none(sky.find(views(), GROUND, lambda _: image, lambda _: inverse_depth, check=lambda: None))


def test_blue_sky_between_near_things_ends_behind_what_is_far_somewhere():
    inverse_depth = np.full((HEIGHT, WIDTH), 1 / 6.0, np.float32)
    inverse_depth[:, 110:] = 1 / 30.0
    look = sky.find(views(), GROUND, lambda _: street(BLUE), lambda _: inverse_depth, check=lambda: None)
    assert not is_none(look)


def test_without_a_ground_nothing_is_taken_for_sky():
    assert is_none(found(lambda frame: street(BLUE, frame=frame), plane=np.zeros(4)))


def test_at_night_color_says_too_little():
    assert is_none(found(lambda frame: street((10, 12, 20), frame=frame)))


def test_the_frames_decide_together():
    assert is_none(found(lambda frame: street(BLUE if frame == 3 else (120, 100, 80), frame=frame)))
    look = found(lambda frame: street((120, 100, 80) if frame == 3 else BLUE, frame=frame))
    assert not is_none(look) and not sky.mask(street((120, 100, 80)), look, GROUND, views(), 3).any()


def test_sky_is_the_farthest_that_there_is_and_nothing_vouches_for_it(make, tmp_path):
    """The scene's back wall ends in the middle of the image; how far sky is was guessed from it."""
    poses, images, behind, near = make.path(), [], [], []
    for pose in poses:
        image, depth = make.look(pose)
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        rays = np.stack([(x - 95.5) / 170, (y - 71.5) / 170, np.ones(x.shape)], axis=-1) @ pose[:3, :3].T
        open_air = (depth > 8) & (pose[1, 3] + depth * rays[..., 1] < -0.8)
        image[open_air] = np.linspace(BLUE, (190, 200, 212), len(image))[y[open_air]]
        images.append(image)
        behind.append(cv2.erode(open_air.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)
        near.append(cv2.dilate(open_air.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)
    images[len(images) // 2][:] = 0  # whose depth comes from the frames around
    run = make.shot(images, tmp_path, camera=make.camera(poses))
    parallax.estimate(run.shot)
    where, around = np.stack(behind), np.stack(near)
    sure = np.stack([run.confidence[frame] for frame in sorted(run.confidence)])
    far = run.maps()[where]
    assert where.mean() > 0.1 and far.max() < 1e-6 and np.all(run.maps()[~around] > 0.5 / 9)
    assert sure[where].mean() < 0.02
