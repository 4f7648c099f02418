"""Shots without parallax are refused with what was measured."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from inference.common.failures import UnsupportedShot
from inference.estimators import parallax
from inference.estimators.parallax import camera_motion, unsupported
from inference.estimators.parallax.tracks import Tracks, follow
from inference.estimators.parallax.turning import Turning
from inference.estimators.parallax.view import Views
from tests.marks import rest_slow

COUNT = 24


@pytest.fixture(scope="module")
def still(make):
    return make.look(np.eye(4))[0]


def refused(run, match):
    with pytest.raises(UnsupportedShot, match=match) as caught:
        parallax.estimate(run.shot)
    assert "Video Depth Anything" in caught.value.hint
    return caught.value


def turned(pose_of, make):
    return [make.look(pose_of(index))[0] for index in range(COUNT)]


def test_a_locked_camera(make, tmp_path, still):
    generator = np.random.default_rng(0)
    grain = [np.clip(still + generator.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(COUNT)]
    assert "stands still" in refused(make.shot(grain, tmp_path), "no parallax").reason


def test_a_pan(make, tmp_path):
    images = turned(lambda index: turn(0.008 * index, roll=0.001 * index), make)
    assert "turn" in refused(make.shot(images, tmp_path), "no parallax").reason


def turn(right=0.0, up=0.0, roll=0.0):
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.array([up, right, roll]))[0]
    return matrix


ZOOMS = {
    "slow": (24, lambda i: 1.01**i, lambda i: turn(), "by a factor of 1.2. and the camera stands still"),
    "fast": (16, lambda i: 1 + i / 12, lambda i: turn(), "by a factor of 2.2. and the camera stands still"),
    "out": (16, lambda i: 2 - i / 15, lambda i: turn(), "by a factor of (2.0.|1.9.) and the camera stands still"),
    "in a part of the shot": (
        30,
        lambda i: 1 + 0.6 * np.clip((i - 8) / 12, 0, 1),
        lambda i: turn(),
        "by a factor of 1.(6.|59)",
    ),
    "in a pan": (
        20,
        lambda i: 1 + i / 19,
        lambda i: turn(0.006 * i, 0.002 * i),
        "by a factor of (2.0.|1.9.) and the camera only",
    ),
    "by hand": (
        20,
        lambda i: 1 + i / 30,
        lambda i: turn(0.01 * np.sin(i), 0.01 * np.cos(i)),
        "by a factor of 1.6. and the camera only",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", rest_slow(ZOOMS))
def test_a_zoom(make, tmp_path, name):
    count, zoom, pose, said = ZOOMS[name]
    images = [make.look(pose(i), focal=170.0 * zoom(i))[0] for i in range(count)]
    refused(make.shot(images, tmp_path), f"has no parallax, the lens zooms {said}")


@pytest.mark.slow
def test_a_zoom_that_is_tracked_badly_is_told_by_the_solve_that_explains_it_no_better(make, tmp_path, monkeypatch):
    monkeypatch.setattr(camera_motion, "_LEAST_PARALLAX", 0.0)
    monkeypatch.setattr(camera_motion, "_LEAST_SHARP", 0.0)
    images = [make.look(np.eye(4), focal=170.0 * (1 + i / 12))[0] for i in range(16)]
    refused(make.shot(images, tmp_path), "too little parallax, the lens zooms by a factor of 2.*explains only")


@pytest.mark.slow
def test_a_zoom_while_the_camera_moves(make, tmp_path):
    size = {"width": 384, "height": 288}
    images = [make.look(pose, focal=340.0 * (1 + i / 24), **size)[0] for i, pose in enumerate(make.path(20))]
    camera = make.camera([], focal=340.0, **size)
    refused(make.shot(images, tmp_path, camera=camera), "The lens zooms while the camera moves, by a factor of")


def fit_of(wander, *, width=640):
    """A moving camera's views, and tracks of points that wander by so many pixels a frame as no rigid scene does."""
    generator, frames, points = np.random.default_rng(0), 16, 120
    poses = np.tile(np.eye(4)[:3], (frames, 1, 1))
    poses[:, 0, 3] = -0.08 * np.arange(frames)
    focal, center = 500 / 640 * width, np.array([width - 1, 0.75 * width - 1]) / 2
    world = np.column_stack([generator.uniform(-2, 2, (points, 2)), generator.uniform(3, 9, points)])
    local = world[None] + poses[:, None, :, 3]
    xy = focal * local[..., :2] / local[..., 2:] + center
    xy += np.cumsum(generator.normal(0, wander, xy.shape), axis=0)
    views = Views(
        width=width,
        height=width * 3 // 4,
        focal=focal,
        center=center,
        distortion=np.zeros(2),
        world_to_camera=poses,
        points=np.empty((0, 3)),
        seen=np.empty((0, 2), np.int32),
    )
    ids, when = np.tile(np.arange(points), frames), np.repeat(np.arange(frames), points)
    missed = np.full(len(ids), 40.0)  # a camera that turns explains nothing of it
    return views, Turning(zoom=1.0, turn=0.0, ids=ids, frames=when, xy=xy.reshape(-1, 2), missed=missed)


def test_a_solve_that_half_of_the_points_do_not_follow_is_none():
    unsupported.refuse_poor_fit(*fit_of(0.2))
    with pytest.raises(UnsupportedShot, match=r"half of the tracked points are more than \d\.\d pixels") as caught:
        unsupported.refuse_poor_fit(*fit_of(3.0))
    assert "moves" in caught.value.reason and "mattes" in caught.value.hint


def test_points_that_no_place_before_the_camera_explains_are_no_endless_number_of_pixels_off():
    views, turning = fit_of(0.2)
    poses = views.world_to_camera.copy()
    poses[:, 0, 3] *= -1  # all of them would be behind it
    with pytest.raises(UnsupportedShot, match="half of the tracked points have no place in a scene that stands still"):
        unsupported.refuse_poor_fit(replace(views, world_to_camera=poses), turning)


def test_tracks_in_a_small_plate_are_as_good_as_its_pixels():
    with pytest.raises(UnsupportedShot, match="half of the tracked points"):
        unsupported.refuse_poor_fit(*fit_of(2.0))
    unsupported.refuse_poor_fit(*fit_of(0.5, width=160))  # the same at a quarter of the size
    with pytest.raises(UnsupportedShot, match=r"at most 3\.6 are allowed"):
        unsupported.refuse_poor_fit(*fit_of(1.0, width=160))


@pytest.mark.slow
@pytest.mark.parametrize("step", rest_slow([(0.0, 0.0, 0.12), (0.0, -0.05, 0.0), (0.06, 0.0, 0.06)]))
def test_travel_is_no_zoom(make, step):
    poses = np.tile(np.eye(4), (16, 1, 1))
    poses[:, :3, 3] = np.arange(16)[:, None] * step
    tracks = follow([make.look(pose)[0] for pose in poses].__getitem__, 16)
    motion = camera_motion.measure(tracks, width=192, height=144)
    camera_motion.require_parallax(motion, frames=16, long_side=192)
    assert motion.from_turning > 5.0


def test_motion_is_measured_over_as_many_frames_as_tracks_last(scene):
    tracks = follow(scene.images.__getitem__, len(scene.images))
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    count = tracks.ids.max() + 1
    # every track is another one after six frames, not all at once
    short = replace(tracks, ids=(tracks.ids + count * ((frames + tracks.ids) // 6)).astype(np.int32))
    order = np.lexsort((short.ids, frames))
    short = replace(short, ids=short.ids[order], xy=short.xy[order])
    motion = camera_motion.measure(short, width=192, height=144)
    assert motion.span == 5 and motion.tracks >= 40
    camera_motion.require_parallax(motion, frames=len(short), long_side=192)


def test_a_far_wall_that_outlasts_what_is_near_is_not_all_that_can_be_followed(make):
    """A camera that passes fast: after a few frames only points of the wall are left."""
    generator = np.random.default_rng(5)
    count, points = 14, 5000
    place = generator.uniform([-9, -1.5, 0], [9, 1.5, 1], (points, 3))
    wall = np.arange(points) % 12 == 0
    place[:, 2] = np.where(wall, 9, 2 + 2 * place[:, 2])
    starts, ids, xy = [0], [], []
    for i in range(count):
        at = 170 * (place[:, :2] - [0.42 * (i - count / 2), 0]) / place[:, 2:] + [95.5, 71.5]
        inside = np.flatnonzero((np.abs(at - [95.5, 71.5]) < [96, 72]).all(axis=1))
        ids.append(inside.astype(np.int32))
        xy.append((at[inside] + generator.normal(0, 0.05, (len(inside), 2))).astype(np.float32))
        starts.append(starts[-1] + len(inside))
    tracks = Tracks(np.array(starts), np.concatenate(ids), np.concatenate(xy))
    over_all = np.intersect1d(ids[0], ids[-1])
    assert wall[over_all].all() and len(over_all) > 60, "only the wall must last, or this tests nothing"
    motion = camera_motion.measure(tracks, width=192, height=144)
    assert motion.span < count - 1 and motion.parallax > 10
    camera_motion.require_parallax(motion, frames=count, long_side=192)


@pytest.mark.slow
@pytest.mark.parametrize("ways", [(1, 1, 1), (1, -1, 1)], ids=["one way", "both ways"])
def test_traffic_before_a_locked_camera(make, tmp_path, still, ways):
    lanes = [(make.noise(20 + i)[:26, :60].astype(np.uint8), 30 + 30 * i, way) for i, way in enumerate(ways)]
    images = []
    for index in range(COUNT):
        image = still.copy()
        for car, top, way in lanes:
            for start in range(-400, 400, 85):
                left = start + way * index
                first, last = max(left, 0), min(left + 60, image.shape[1])
                if first < last:
                    image[top : top + 26, first:last] = car[:, first - left : last - left]
        images.append(image)
    motion = camera_motion.measure(follow(images.__getitem__, COUNT), width=192, height=144)
    assert motion.parallax > 1.0, "the traffic must fool the first measure, or this tests nothing"
    refused(make.shot(images, tmp_path), "only objects in the scene move")


def test_a_moving_camera_is_not_refused(scene, make):
    tracks = follow(scene.images.__getitem__, len(scene.images))
    motion = camera_motion.measure(tracks, width=192, height=144)
    assert motion.parallax > 1.0
    camera_motion.require_parallax(motion, frames=len(tracks), long_side=192)


def test_a_short_shot(scene, make, tmp_path):
    refused(make.shot(scene.images[:11], tmp_path), "11 frames")


def test_an_empty_image(make, tmp_path):
    blank = [np.full((144, 192, 3), 90, np.uint8)] * COUNT
    refused(make.shot(blank, tmp_path), "points can be followed")


def test_a_given_camera_that_stands_still(scene, make, tmp_path):
    run = make.shot(scene.images, tmp_path, camera=make.camera(np.repeat(np.eye(4)[None], 16, axis=0)))
    with pytest.raises(UnsupportedShot) as caught:
        parallax.estimate(run.shot)
    assert "Check that the camera is this clip's" in caught.value.hint


def test_the_true_camera_of_a_locked_shot(make, tmp_path, still):
    """The path is right, so the plate is told to be what is amiss."""
    generator = np.random.default_rng(0)
    grain = [np.clip(still + generator.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(COUNT)]
    camera = make.camera([np.eye(4)] * COUNT)
    assert "stands still" in refused(make.shot(grain, tmp_path, camera=camera), "no parallax").reason


def test_mattes_that_leave_nothing_of_the_images_are_named():
    nothing = follow(lambda index: np.zeros((48, 64, 3), np.uint8), 16, aside=lambda index: np.ones((48, 64), bool))
    motion = camera_motion.measure(nothing, width=64, height=48)
    for matted in (False, True):
        with pytest.raises(UnsupportedShot) as refusal:
            camera_motion.require_parallax(motion, frames=16, long_side=64, matted=matted)
        assert ("its mattes leave too little of it" in refusal.value.reason) == matted


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["bigbuckbunny_static-camera.mp4", "bear_davis.mp4"])
def test_real_shots_without_parallax(footage, clip):
    images = frames_of(footage / "clips" / clip, 50)
    height, width = images[0].shape[:2]
    motion = camera_motion.measure(follow(images.__getitem__, len(images)), width=width, height=height)
    with pytest.raises(UnsupportedShot):
        camera_motion.require_parallax(motion, frames=len(images), long_side=max(width, height))


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["tokyo-walk.mp4", "apple_closeup.mp4", "lady-running_davis.mp4"])
def test_real_shots_with_parallax(footage, clip):
    images = frames_of(footage / "clips" / clip, 50)
    height, width = images[0].shape[:2]
    motion = camera_motion.measure(follow(images.__getitem__, len(images)), width=width, height=height)
    camera_motion.require_parallax(motion, frames=len(images), long_side=max(width, height))


def frames_of(path, count):
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(count))]


def test_depth_on_which_neighbors_contradict_each_other_is_warned_of():
    assert unsupported.inconsistent(0.02) == ()
    (warning,) = unsupported.inconsistent(0.23)
    assert "contradict each other on 23% of the depth" in warning
