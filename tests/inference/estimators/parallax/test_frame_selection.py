"""Frames that repeat others or show too little: they take no part, and have depth all the same."""

from dataclasses import replace

import numpy as np
import pytest

from inference.common.failures import Cancelled, UnsupportedShot
from inference.contract.camera import Camera
from inference.contract.job import Job
from inference.estimators import parallax
from inference.estimators.parallax import frame_selection
from inference.estimators.parallax.blank_frames import bridge
from inference.estimators.parallax.fusion import SourceDepth
from inference.media import exr
from inference.media.source import describe
from inference.run import runner
from tests import footage_maker


def white(image):
    return np.full_like(image, 255)


def lit(image, gain, lift=0.0):
    return np.clip(image.astype(np.float32) * gain + lift, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def flashed(scene):
    """The scene's frames: the third held for three, a white frame, one blown out, the first black."""
    images = [np.zeros_like(scene.images[0]), *scene.images[1:]]
    images[7], images[11] = white(images[7]), lit(images[11], 2.5, 60)
    unique = [0, 1, 2, 2, 2, *range(3, 16)]
    shown = (0, 1, 2, 2, 2, *range(5, 18))
    return [images[i] for i in unique], shown, unique


def camera_of(scene, make, unique):
    return make.camera(scene.poses[unique])


@pytest.fixture(scope="module")
def estimated(scene, make, flashed, tmp_path_factory):
    images, shown, unique = flashed
    run = make.shot(images, tmp_path_factory.mktemp("taking"), camera=camera_of(scene, make, unique))
    return run, parallax.estimate(replace(run.shot, shown=shown))


@pytest.mark.slow
def test_every_frame_has_depth_as_good_as_that_of_the_frames_that_take_part(scene, estimated, flashed):
    run, _ = estimated
    true = scene.depth[flashed[2]]
    error = np.abs(1 / run.maps() - true) / true
    assert (np.median(error[:, 8:-8, 8:-8], axis=(1, 2)) < 0.03).all()


@pytest.mark.slow
def test_frames_that_repeat_another_have_its_maps(estimated):
    run, _ = estimated
    for index in (3, 4):
        np.testing.assert_array_equal(run.disparity[index], run.disparity[2])
        np.testing.assert_array_equal(run.confidence[index], run.confidence[2])


@pytest.mark.slow
def test_frames_that_show_too_little_are_named_and_less_sure(estimated):
    run, result = estimated
    assert len(result.warnings) == 1
    assert "frame 1 (black), frame 10 (white), frame 14 (overexposed by a flash)" in result.warnings[0]
    for index in (0, 9, 13):
        assert run.confidence[index].mean() < 0.8 * run.confidence[7].mean()


@pytest.mark.slow
def test_a_camera_that_was_given_stays_as_it_is(scene, make, estimated, flashed):
    poses = np.array([pose.camera_to_world for pose in estimated[1].camera.poses])
    np.testing.assert_allclose(poses, scene.poses[flashed[2]], atol=1e-12)


@pytest.mark.slow
def test_a_cancelled_run_goes_on_to_the_same_bits(scene, make, estimated, flashed, tmp_path):
    images, shown, unique = flashed
    first = make.shot(images, tmp_path, camera=camera_of(scene, make, unique), stop_at="settle")
    with pytest.raises(Cancelled):
        parallax.estimate(replace(first.shot, shown=shown))
    first.disparity.pop(4, None)  # the run was killed between a frame and the one that repeats it
    second = make.shot(images, tmp_path, camera=camera_of(scene, make, unique), finished=first.disparity)
    parallax.estimate(replace(second.shot, shown=shown))
    for index, disparity in (second.disparity | first.disparity).items():
        np.testing.assert_array_equal(disparity, estimated[0].disparity[index])
    assert len(second.disparity | first.disparity) == len(images)


@pytest.mark.slow
def test_a_movie_of_variable_frame_rate_is_one_shot_with_depth_for_every_frame(scene, tmp_path):
    times, at = [], 0
    for held in (1, 3, 2, 1, 4, 2, 1, 3, 1, 2, 2, 1, 3, 1, 2, 1):
        times.append(at)
        at += held
    path = footage_maker.movie(tmp_path / "phone.mp4", times, rate=24, images=scene.images, size=(192, 144))
    lens = Camera(width=192, height=144, focal_length=170.0, principal_point=(95.5, 71.5))
    events = []
    job = Job(source=describe(path), output=str(tmp_path / "out"), camera=lens)
    (shot,) = runner.estimate(job, emit=events.append).shots
    shown = np.searchsorted(times, np.arange(at), side="right") - 1
    assert (shot.first_frame, shot.last_frame, shot.status) == (1, len(shown), "done")
    maps = np.stack([exr.read_map(tmp_path / "out" / f"disparity.{n:04d}.exr") for n in range(1, len(shown) + 1)])
    for index in np.flatnonzero(np.diff(shown) == 0):
        np.testing.assert_array_equal(maps[index + 1], maps[index])
        assert shot.camera.poses[index + 1].camera_to_world == shot.camera.poses[index].camera_to_world
    error = np.abs(np.median(maps * scene.depth[shown]) / maps - scene.depth[shown]) / scene.depth[shown]
    assert np.median(error) < 0.03


def chosen(make, images, tmp_path, shown=()):
    run = make.shot(images, tmp_path)
    return frame_selection.choose(replace(run.shot, shown=shown)), replace(run.shot, shown=shown)


def test_poses_of_frames_without_a_part(scene, make, flashed, tmp_path):
    from inference.estimators.parallax.view import Views

    images, shown, unique = flashed
    taking, shot = chosen(make, images, tmp_path, shown)
    assert taking.frames == (1, 2, 5, 6, 7, 8, 10, 11, 12, 14, 15, 16, 17)
    world = np.linalg.inv(scene.poses[unique])[:, :3]
    views = Views(
        width=192, height=144, focal=170.0, center=np.array([95.5, 71.5]), distortion=np.zeros(2),
        world_to_camera=world[list(taking.frames)], points=np.empty((0, 3)), seen=np.empty((0, 2), np.int32),
    )  # fmt: skip
    poses = taking.spread(views, shot).world_to_camera
    np.testing.assert_array_equal(poses[3], poses[2])
    np.testing.assert_allclose(poses[list(taking.frames)], world[list(taking.frames)])
    for index in (0, 9, 13):
        turn = poses[index, :, :3] @ world[index, :, :3].T
        assert np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)) < 0.01
        where, true = (-p[:, :3].T @ p[:, 3] for p in (poses[index], world[index]))
        assert np.linalg.norm(where - true) < 0.03


@pytest.mark.parametrize(
    "light",
    [np.ones(16), np.linspace(1, 0.5, 16), np.linspace(0.2, 1, 16), np.where(np.arange(16) == 8, 1.2, 1)],
    ids=["even", "exposure", "fade", "a little brighter"],
)
def test_light_that_tracks_outlive_leaves_all_frames_their_part(scene, make, tmp_path, light):
    images = [lit(image, 0.7 * gain) for image, gain in zip(scene.images, light, strict=True)]
    assert chosen(make, images, tmp_path)[0].lost == {}


@pytest.mark.parametrize(
    ("light", "lost"),
    [
        ([1] * 6 + [4] * 3 + [1] * 7, {6, 7, 8}),
        ([1] * 6 + [0.1] * 2 + [1] * 8, {6, 7}),
        ([1, 1, 0, 1] * 4, {2, 6, 10, 14}),
        ([0] + [1] * 14 + [0], {0, 15}),
    ],
    ids=["a long flash", "dropped exposure", "strobe", "ends"],
)
def test_flashes_and_what_is_black_take_no_part(scene, make, tmp_path, light, lost):
    images = [lit(image, 0.6 * gain, 200 * (gain > 1)) for image, gain in zip(scene.images, light, strict=True)]
    taking, _ = chosen(make, images, tmp_path)
    assert set(taking.lost) == lost
    assert chosen(make, images, tmp_path)[0] == taking


@pytest.mark.parametrize(
    ("edit", "shown", "words"),
    [
        (lambda p: p[:1] * 16, (0,) * 16, "camera stands still: all 16 frames"),
        (lambda p: [p[i // 2] for i in range(16)], tuple(i // 2 * 2 for i in range(16)), "has 8 frames that differ"),
        (lambda p: p[:4] + [white(p[0])] * 9 + p[13:], (), r"frames 5-13 \(white\)"),
        (lambda p: [white(p[0])] * 3 + p[3:], (), r"frames 1-3 \(white\)"),
        (lambda p: [white(q) if i % 3 else q for i, q in enumerate(p)], (), r"light changes from frames 2-3 \(white\)"),
    ],
)
def test_too_few_frames_that_take_part_are_refused_for_what_is_true(scene, make, tmp_path, edit, shown, words):
    run = make.shot(edit(list(scene.images)), tmp_path)
    with pytest.raises(UnsupportedShot, match=words):
        parallax.estimate(replace(run.shot, shown=shown))


def test_a_locked_camera_with_a_few_other_frames_is_refused_for_standing_still(scene, make, tmp_path):
    run = make.shot([scene.images[0]] * 16, tmp_path)
    with pytest.raises(UnsupportedShot, match="camera stands still: of 16 frames 14"):
        parallax.estimate(replace(run.shot, shown=(0,) * 8 + (8,) * 8))


def test_a_cut_that_was_not_found_is_named(scene, make, tmp_path):
    other = [np.ascontiguousarray(make.noise(11)[100:244, 60 + 3 * i : 252 + 3 * i].astype(np.uint8)) for i in range(8)]
    run = make.shot([*scene.images[:8], *other], tmp_path)
    with pytest.raises(UnsupportedShot, match="changes too much at frame 9"):
        parallax.estimate(run.shot)


def test_depth_seen_from_elsewhere_hides_what_is_behind():
    inverse_depth = np.full((40, 60), 0.1, np.float32)
    inverse_depth[10:30, 20:40] = 0.5
    sure = np.full((40, 60), 0.8, np.float32)
    matrix = np.array([[50.0, 0, 29.5], [0, 50, 19.5], [0, 0, 1]])
    found, confidence = bridge([SourceDepth(inverse_depth, sure, np.eye(3), np.array([0.2, 0, 0]))], matrix)
    assert (found[12:28, 27:43] == np.float32(0.5)).all()  # moved by 50 * 0.2 * 0.5 = 5 pixels, and the wall by one
    assert (found[:8] == np.float32(0.1)).all()
    np.testing.assert_allclose(confidence[:, 2:], 0.4 * (confidence[:, 2:] > 0), rtol=1e-6)
