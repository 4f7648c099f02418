"""A take of which the camera can be solved in a part alone: it is named, and so is what is wrong with the rest."""

from dataclasses import replace

import numpy as np
import pytest

from inference.common.failures import UnsupportedShot
from inference.estimators import parallax
from inference.estimators.parallax import camera_path, solve
from inference.estimators.parallax.lens import Lens, SolveError
from inference.estimators.parallax.tracks import follow, selected
from inference.media.clip import open_clip
from inference.media.source import describe

COUNT = 30
WALKER = 100_000  # from this id on, tracks are of somebody who walks


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


@pytest.fixture(scope="module")
def passed_by(take, make, tmp_path_factory):
    """The take's shot, its true cameras, and tracks of which 15 % are of people who walk past."""
    images, poses = take
    run = make.shot(images, tmp_path_factory.mktemp("passed"))
    seen = follow(images.__getitem__, COUNT)
    return run.shot, camera_path._given(replace(run.shot, camera=make.camera(poses)), seen), crowded(seen, share=0.15)


def crowded(seen, *, share):
    """The tracks, and others of people who walk, which are this share of all."""
    starts, ids, xy = [0], [], []
    for frame in range(COUNT):
        before, at = seen.at(frame)
        count = round(len(before) * share / (1 - share))
        aside = np.random.default_rng(5).uniform([0, 40], [60, 140], (count, 2))
        aside += (4.0 * frame, 5 * np.sin(frame))
        ids += [before, WALKER + np.arange(count)]
        xy += [at, aside]
        starts.append(starts[-1] + len(before) + count)
    return replace(
        seen,
        starts=np.array(starts),
        ids=np.concatenate(ids).astype(np.int32),
        xy=np.concatenate(xy).astype(np.float32),
    )


def again(passed_by, monkeypatch, solve_apart):
    shot, views, everything = passed_by
    monkeypatch.setattr(camera_path, "solve_apart", solve_apart)
    return camera_path._without_what_moves(shot, everything, camera_path._lens(shot), views)


def test_what_moves_is_left_out_of_a_second_solve(passed_by, monkeypatch):
    _, views, everything = passed_by
    given = []

    def better(tracks, lens, **settings):
        given.append(tracks)
        return views

    again(passed_by, monkeypatch, better)
    (tracks,) = given
    assert not np.any(tracks.ids >= WALKER), "no point of theirs is static"
    assert len(tracks.ids) > 0.9 * np.sum(everything.ids < WALKER)


def test_the_solve_that_explains_more_is_kept(passed_by, monkeypatch):
    shot, views, everything = passed_by
    wrong = jumping(views)
    assert again(passed_by, monkeypatch, lambda *given, **settings: wrong) is views
    assert again((shot, wrong, everything), monkeypatch, lambda *given, **settings: views) is views


def test_a_second_solve_that_fails_leaves_the_first(passed_by, monkeypatch):
    def fails(*given, **settings):
        raise SolveError("Nothing to see.")

    assert again(passed_by, monkeypatch, fails) is passed_by[1]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_little_that_moves_needs_no_second_solve_and_much_may_be_the_scene(passed_by, monkeypatch, share):
    shot, views, everything = passed_by
    seen = selected(everything, everything.ids < WALKER)

    def never(*given, **settings):
        raise AssertionError("solved again")

    assert again((shot, views, crowded(seen, share=share)), monkeypatch, never) is views


def jumping(views):
    """The cameras with a path that is wrong in its first third."""
    moved = views.world_to_camera.copy()
    moved[: COUNT // 3, :, 3] *= 1.1
    return replace(views, world_to_camera=moved)


@pytest.mark.slow(seconds=60)
def test_somebody_near_who_turns_his_head_does_not_take_the_path_with_him(footage, make, tmp_path):
    images = read(footage / "clips" / "lady-running_davis.mp4")
    views = camera_path.camera_path(make.shot(images, tmp_path).shot, lambda label, done: None)
    steps = np.linalg.norm(np.diff(views.positions, axis=0), axis=1)
    assert 0.5 < views.focal / views.width < 1.3
    assert steps[:20].max() < 1.5 * np.median(steps[:20]), "the image moves evenly in these frames"


def read(path):
    """The images of a clip of 640 pixels' width."""
    with open_clip(describe(path)) as clip:
        return [np.rint(255 * image).astype(np.uint8) for _, image in clip.read()]
