"""Tracks, the points made from them, and what they tell about moving subjects."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from inference.common.parent_watch import ORPHANED
from inference.estimators.parallax import moving, solve_process
from inference.estimators.parallax import tracks as tracks_module
from inference.estimators.parallax.lens import Lens, SolveError
from inference.estimators.parallax.tracks import POINTS, Tracks, follow, key_frames, without
from inference.estimators.parallax.triangulate import triangulate
from inference.estimators.parallax.view import Views, load_views, save_arrays

COUNT = 16


def exact(*, drift=0.0, count=COUNT):
    """A camera that moves sideways past 40 points, the last five of which move up by `drift` a frame."""
    generator = np.random.default_rng(0)
    points = np.column_stack([generator.uniform(-1, 1, (40, 2)), generator.uniform(2, 5, 40)])
    poses = np.tile(np.eye(4)[:3], (count, 1, 1))
    poses[:, 0, 3] = -0.05 * np.arange(count)
    xy = []
    for frame in range(count):
        at = points + poses[frame, :, 3]
        at[-5:, 1] -= drift * frame
        xy.append(500 * at[:, :2] / at[:, 2:] + [319.5, 239.5])
    tracks = Tracks(
        np.arange(count + 1) * 40, np.tile(np.arange(40, dtype=np.int32), count), np.concatenate(xy).astype(np.float32)
    )
    views = Views(
        width=640,
        height=480,
        focal=500.0,
        center=np.array([319.5, 239.5]),
        distortion=np.zeros(2),
        world_to_camera=poses,
        points=np.empty((0, 3)),
        seen=np.empty((0, 2), np.int32),
    )
    return tracks, views, points


def test_tracks_follow_a_image_that_moves(make):
    texture = make.noise(3).astype(np.uint8)
    images = [np.ascontiguousarray(texture[50 : 50 + 144, 40 + 2 * i : 40 + 2 * i + 192]) for i in range(8)]
    tracks = follow(images.__getitem__, 8)
    before, after = tracks.moved(0, 7)
    assert len(before) > 50
    np.testing.assert_allclose(np.median(after - before, axis=0), [-14, 0], atol=0.1)


@pytest.mark.parametrize(
    "light",
    [
        [1, 1, 1, 1.3, 1, 1, 1, 1],
        [0.2, 0.35, 0.5, 0.65, 0.8, 1, 1.1, 1.2],
        [1, 0.9, 0.8, 0.7, 0.6, 0.4, 0.2, 0.1],
        [1, 0.6, 1, 0.6, 1, 0.6, 1, 0.6],
    ],
    ids=["one frame is brighter", "fade in", "fade out", "flicker"],
)
def test_tracks_outlive_a_change_of_light_and_stay_in_place(make, light):
    texture = make.noise(3)
    images = [
        np.clip(texture[50 : 50 + 144, 40 + 2 * i : 40 + 2 * i + 192] * 0.75 * gain, 0, 255).astype(np.uint8)
        for i, gain in enumerate(light)
    ]
    before, after = follow(images.__getitem__, 8).moved(0, 7)
    assert len(before) > 200
    missed = np.abs(after - before - [-14, 0])
    assert np.median(missed) < 0.1 and np.percentile(missed, 90) < 0.5


def layers(make, *, steps, count):
    """A near strip before a far one, which move to the left by `steps` [2] pixels a frame, at 384 by 216."""
    far, near = (np.tile(make.noise(seed).astype(np.uint8), (1, 4, 1)) for seed in (3, 5))
    images = []
    for index in range(count):
        image = far[50:266, steps[0] * index : steps[0] * index + 384].copy()
        image[130:] = near[50:136, steps[1] * index : steps[1] * index + 384]
        images.append(image)
    return images


def test_steps_of_a_tenth_of_the_image_are_followed(make, monkeypatch):
    steps = np.array([31, 42])
    images = layers(make, steps=steps, count=2)

    def followed():
        """How many points are found in the second frame, and the share of them that are where they should be."""
        before, after = follow(images.__getitem__, 2).moved(0, 1)
        moved = -steps[(before[:, 1] >= 130).astype(int)]
        return len(before), np.mean(np.linalg.norm(after - before - np.column_stack([moved, 0 * moved]), axis=1) < 1)

    count, right = followed()
    assert count > 0.8 * POINTS and right > 0.97
    monkeypatch.setattr(tracks_module, "_LEAPS", 0.0)
    assert followed()[0] < 0.5 * POINTS, "flow alone must fail, or this tests nothing"


def test_what_a_matte_covers_has_tracks_of_its_own_that_the_solve_does_not_see(make):
    texture = make.noise(3).astype(np.uint8)
    matte = np.zeros((144, 192), bool)
    matte[:, 96:] = True
    tracks = follow(lambda i: texture[50 : 50 + 144, 40 : 40 + 192], 3, aside=lambda i: matte)
    assert (tracks.xy[:, 0] > 96).sum() > 30
    static = without(tracks, lambda i: matte)
    assert len(static) == len(tracks) and static.xy[:, 0].max() < 96
    assert len(static.xy) == (tracks.xy[:, 0] < 96).sum()
    for frame in range(3):
        ids, xy = static.at(frame)
        known = dict(zip(tracks.at(frame)[0], tracks.at(frame)[1].tolist(), strict=True))
        assert all(known[i] == place for i, place in zip(ids, xy.tolist(), strict=True))


def test_points_are_triangulated_exactly():
    tracks, views, points = exact()
    placed = triangulate(tracks, views)
    np.testing.assert_allclose(placed.points, points, rtol=1e-4, atol=1e-4)
    _, local = placed.sparse(3)
    np.testing.assert_allclose(local, points + views.world_to_camera[3, :, 3], rtol=1e-4, atol=1e-4)


def test_views_survive_a_file(tmp_path):
    _, views, _ = exact()
    views.save(tmp_path / "views.npz")
    again = load_views(tmp_path / "views.npz")
    np.testing.assert_array_equal(again.world_to_camera, views.world_to_camera)
    assert (again.width, again.focal) == (views.width, views.focal)
    assert [file.name for file in tmp_path.iterdir()] == ["views.npz"]


@pytest.mark.slow
def test_what_moves_on_its_own_is_told_from_what_stands_still():
    tracks, views, _ = exact(drift=0.08)
    found = moving.track_motion(tracks, views)
    still, moves = found.still.reshape(COUNT, 40)[8], found.moving.reshape(COUNT, 40)[8]
    assert still[:35].all() and not moves[:35].any()
    assert moves[35:].all() and not still[35:].any()


def test_key_frames_are_bounded_and_have_both_ends():
    tracks, _, _ = exact(count=400)
    chosen = key_frames(tracks, long_side=640)
    assert chosen[0] == 0 and chosen[-1] == 399
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= 150


def test_the_solve_ends_with_its_parents_pipe(tmp_path):
    tracks, _, _ = exact()
    save_arrays(tmp_path / "tracks.npz", starts=tracks.starts, ids=tracks.ids, xy=tracks.xy)
    lens = Lens(width=640, height=480, focal=500.0, center=(319.5, 239.5))
    (tmp_path / "task.json").write_text(json.dumps({"lens": asdict(lens), "seed": 0}))
    command = [sys.executable, "-I", "-B", solve_process.__file__, str(tmp_path)]
    environment = {**os.environ}
    child = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    child.stdin.close()
    assert child.wait(timeout=60) == ORPHANED
    assert not (tmp_path / "views.npz").exists()


def test_a_solve_without_an_answer_says_so(tmp_path):
    xy = np.random.default_rng(0).uniform(0, 640, (COUNT * 20, 2)).astype(np.float32)
    tracks = Tracks(np.arange(COUNT + 1) * 20, np.tile(np.arange(20, dtype=np.int32), COUNT), xy)  # too few to match
    lens = Lens(width=640, height=480, focal=None, center=(319.5, 239.5))
    with pytest.raises(SolveError, match="No camera path"):
        solve_process.solve_apart(tracks, lens, seed=0, folder=tmp_path / "s", check=lambda: None, limit=300.0)
