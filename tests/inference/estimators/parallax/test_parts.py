"""A take of which the camera can be solved in a part alone: it is named, and so is what is wrong with the rest."""

from dataclasses import replace

import numpy as np
import pytest

from inference.common.failures import UnsupportedShot
from inference.estimators import parallax
from inference.estimators.parallax import camera_path, solve
from inference.estimators.parallax.lens import Lens, SolveError
from inference.estimators.parallax.tracks import follow
from inference.media.clip import open_clip
from inference.media.source import describe

COUNT = 30


@pytest.fixture(scope="module")
def take(make):
    """A longer take of the scene: its images and its poses."""
    poses = make.path(COUNT, step=0.05)
    return [make.look(pose)[0] for pose in poses], poses


def parted(run):
    with pytest.raises(UnsupportedShot) as caught:
        parallax.estimate(run.shot)
    return caught.value


@pytest.mark.slow
def test_frames_that_cannot_be_placed(take, make, tmp_path, monkeypatch):
    def fails(*given, **settings):
        raise SolveError("It fails at frame 1.", solved=(4, COUNT - 1))

    monkeypatch.setattr(camera_path, "solve_apart", fails)
    refused = parted(make.shot(take[0], tmp_path))
    assert refused.reason == "It fails at frame 1." and refused.supported == (5, COUNT)


@pytest.mark.slow
def test_frames_in_which_the_solve_follows_something_else(take, make, tmp_path, monkeypatch):
    images, poses = take
    given = replace(make.shot(images, tmp_path).shot, camera=make.camera(poses))
    views = camera_path._given(given, follow(images.__getitem__, COUNT))
    shares = np.where(np.arange(COUNT) < 27, 0.9, 0.3)
    monkeypatch.setattr(camera_path, "solve_apart", lambda *given, **settings: views)
    monkeypatch.setattr(camera_path, "explained", lambda *given: shares)
    refused = parted(make.shot(images, tmp_path / "a"))
    assert "in 3 frames (28-30)" in refused.reason and refused.supported == (1, 27)


@pytest.mark.slow
def test_tracks_that_all_end_at_once_are_linked_by_features(take, tmp_path, make):
    images, _ = take
    images = images[:16]
    whole = follow(images.__getitem__, 16)
    frames = np.repeat(np.arange(16), np.diff(whole.starts))
    torn = replace(whole, ids=np.where(frames >= 8, whole.ids + whole.ids.max() + 1, whole.ids).astype(np.int32))
    lens = Lens(width=192, height=144, focal=170.0, center=(95.5, 71.5))
    with pytest.raises(SolveError, match="too few points are visible there") as caught:
        solve.solve(torn, lens, seed=0, folder=tmp_path)
    assert caught.value.solved in {(0, 7), (8, 15)}
    keys = camera_path.key_frames(torn, long_side=192)
    linked = camera_path.with_features(torn, keys, images.__getitem__)
    views = solve.solve(linked, lens, seed=0, folder=tmp_path)
    steps = np.linalg.norm(np.diff(views.positions, axis=0), axis=1)
    assert steps[7] == pytest.approx(np.median(steps), rel=0.4), "one path, in one scale"


@pytest.mark.slow(seconds=40)
def test_a_runner_who_fills_the_image_at_first_costs_these_frames_alone(footage, make, tmp_path):
    images = read(footage / "clips" / "lady-running_davis.mp4")
    run = make.shot(images, tmp_path / "whole")
    with pytest.raises(UnsupportedShot, match="follows a moving object") as caught:
        camera_path.camera_path(run.shot, lambda label, done: None)
    first, last = caught.value.supported
    assert 8 <= first <= 24 and last == len(images)
    part = make.shot(images[first - 1 :], tmp_path / "part")
    views = camera_path.camera_path(part.shot, lambda label, done: None)
    assert 0.5 < views.focal / views.width < 1.3


def read(path):
    """The images of a clip of 640 pixels' width."""
    with open_clip(describe(path)) as clip:
        return [np.rint(255 * image).astype(np.uint8) for _, image in clip.read()]
