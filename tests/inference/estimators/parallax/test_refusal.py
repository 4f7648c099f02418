"""Shots without parallax are refused with what was measured."""

import cv2
import numpy as np
import pytest

from inference.estimators import parallax
from inference.estimators.base import Refused
from inference.estimators.parallax import refusal
from inference.estimators.parallax.tracks import follow

COUNT = 24


@pytest.fixture(scope="module")
def still(make):
    return make.look(np.eye(4))[0]


def refused(run, match):
    with pytest.raises(Refused, match=match) as caught:
        parallax.estimate(run.shot)
    assert "DepthCrafter or StereoDiff" in caught.value.cure
    return caught.value


def turned(pose_of, make):
    return [make.look(pose_of(index))[0] for index in range(COUNT)]


def test_a_locked_camera(make, tmp_path, still):
    generator = np.random.default_rng(0)
    grain = [np.clip(still + generator.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(COUNT)]
    assert "stands still" in refused(make.shot(grain, tmp_path), "no parallax").reason


def test_a_pan(make, tmp_path):
    def pose(index):
        matrix = np.eye(4)
        matrix[:3, :3] = cv2.Rodrigues(np.array([0.0, 0.008 * index, 0.001 * index]))[0]
        return matrix

    assert "turn" in refused(make.shot(turned(pose, make), tmp_path), "no parallax").reason


def test_a_zoom(make, tmp_path):
    pictures = [make.look(np.eye(4), focal=170.0 * 1.01**index)[0] for index in range(COUNT)]
    assert "zooms" in refused(make.shot(pictures, tmp_path), "no parallax").reason


@pytest.mark.parametrize("ways", [(1, 1, 1), (1, -1, 1)], ids=["one way", "both ways"])
def test_traffic_before_a_locked_camera(make, tmp_path, still, ways):
    lanes = [(make.noise(20 + i)[:26, :60].astype(np.uint8), 30 + 30 * i, way) for i, way in enumerate(ways)]
    pictures = []
    for index in range(COUNT):
        picture = still.copy()
        for car, top, way in lanes:
            for start in range(-400, 400, 85):
                left = start + way * index
                first, last = max(left, 0), min(left + 60, picture.shape[1])
                if first < last:
                    picture[top : top + 26, first:last] = car[:, first - left : last - left]
        pictures.append(picture)
    motion = refusal.measure(follow(pictures.__getitem__, COUNT), width=192, height=144)
    assert motion.parallax > 1.0, "the traffic must fool the first measure, or this tests nothing"
    refused(make.shot(pictures, tmp_path), "only things before it move")


def test_a_moving_camera_is_not_refused(scene, make):
    tracks = follow(scene.pictures.__getitem__, len(scene.pictures))
    motion = refusal.measure(tracks, width=192, height=144)
    assert motion.parallax > 1.0
    refusal.refuse_without_parallax(motion, frames=len(tracks))


def test_a_short_shot(scene, make, tmp_path):
    refused(make.shot(scene.pictures[:11], tmp_path), "11 frames")


def test_an_empty_picture(make, tmp_path):
    blank = [np.full((144, 192, 3), 90, np.uint8)] * COUNT
    refused(make.shot(blank, tmp_path), "points can be followed")


def test_a_given_camera_that_stands_still(scene, make, tmp_path):
    run = make.shot(scene.pictures, tmp_path, camera=make.camera(np.repeat(np.eye(4)[None], 16, axis=0)))
    with pytest.raises(Refused) as caught:
        parallax.estimate(run.shot)
    assert "given camera" in caught.value.cure


def test_the_true_camera_of_a_locked_shot(make, tmp_path, still):
    """The path is right, so the plate is told to be what is amiss."""
    generator = np.random.default_rng(0)
    grain = [np.clip(still + generator.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(COUNT)]
    camera = make.camera([np.eye(4)] * COUNT)
    assert "stands still" in refused(make.shot(grain, tmp_path, camera=camera), "no parallax").reason


@pytest.mark.parametrize("clip", ["bigbuckbunny_static-camera.mp4", "bear_davis.mp4"])
def test_real_shots_without_parallax(footage, clip):
    pictures = frames_of(footage / "clips" / clip, 50)
    height, width = pictures[0].shape[:2]
    motion = refusal.measure(follow(pictures.__getitem__, len(pictures)), width=width, height=height)
    with pytest.raises(Refused):
        refusal.refuse_without_parallax(motion, frames=len(pictures))


@pytest.mark.parametrize("clip", ["tokyo-walk.mp4", "apple_closeup.mp4", "lady-running_davis.mp4"])
def test_real_shots_with_parallax(footage, clip):
    pictures = frames_of(footage / "clips" / clip, 50)
    height, width = pictures[0].shape[:2]
    motion = refusal.measure(follow(pictures.__getitem__, len(pictures)), width=width, height=height)
    refusal.refuse_without_parallax(motion, frames=len(pictures))


def frames_of(path, count):
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(count))]
