"""The whole estimator on a scene with known depth."""

import numpy as np
import psutil
import pytest

from inference.common.failures import Cancelled, UnsupportedShot
from inference.estimators import parallax
from inference.estimators.parallax import shot_data


def relative(disparity, depth):
    """|Z - Z*| / Z* away from the image's border."""
    error = np.abs(1 / disparity - depth) / depth
    return error[:, 8:-8, 8:-8]


def similarity(found, true):
    """RMS distance of two paths [N, 3] after the best similarity (Umeyama 1991), as a share of the true path's span."""
    a, b = found - found.mean(0), true - true.mean(0)
    left, values, right = np.linalg.svd(b.T @ a)
    sign = np.diag([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = np.trace(np.diag(values) @ sign) / np.sum(a**2)
    moved = scale * a @ (left @ sign @ right).T
    return np.sqrt(np.mean(np.sum((moved - b) ** 2, axis=1))) / np.ptp(true, axis=0).max()


@pytest.fixture(scope="module")
def solved(scene, make, tmp_path_factory):
    run = make.shot(scene.images, tmp_path_factory.mktemp("solved"))
    return run, parallax.estimate(run.shot)


@pytest.mark.slow
def test_a_known_camera_gives_depth_in_its_own_units(scene, make, tmp_path):
    run = make.shot(scene.images, tmp_path, camera=make.camera(scene.poses))
    result = parallax.estimate(run.shot)
    error = relative(run.maps(), scene.depth)
    assert np.median(error) < 0.015
    assert error.mean() < 0.05
    assert result.camera.focal_length == run.shot.camera.focal_length
    poses = np.array([pose.camera_to_world for pose in result.camera.poses])
    np.testing.assert_allclose(poses, scene.poses, atol=1e-12)


@pytest.mark.slow
def test_maps_are_finite_float32_at_the_working_size_for_every_frame(scene, solved):
    run, result = solved
    maps = run.maps()
    assert maps.shape == scene.depth.shape
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all() and (maps > 0).all()
    for confidence in run.confidence.values():
        assert confidence.shape == maps.shape[1:] and confidence.dtype == np.float32
        assert confidence.min() >= 0 and confidence.max() <= 1
    assert [pose.frame for pose in result.camera.poses] == list(run.shot.frames.numbers)
    assert result.warnings == ()


@pytest.mark.slow
def test_an_unknown_camera_is_solved_up_to_a_similarity(scene, solved):
    _, result = solved
    found = np.array([pose.camera_to_world for pose in result.camera.poses])[:, :3, 3]
    assert similarity(found, scene.poses[:, :3, 3]) < 0.03
    assert 0.8 < result.camera.focal_length / 170.0 < 1.25


@pytest.mark.slow
def test_solved_depth_is_right_up_to_one_scale(scene, solved):
    run, _ = solved
    inverse = run.maps()
    scale = np.median(inverse * scene.depth)
    assert np.median(relative(inverse / scale, scene.depth)) < 0.03


@pytest.mark.slow
def test_a_known_focal_length_stays_and_helps(scene, make, tmp_path):
    from dataclasses import replace

    camera = replace(make.camera(scene.poses), poses=())
    run = make.shot(scene.images, tmp_path, camera=camera)
    result = parallax.estimate(run.shot)
    assert result.camera.focal_length == camera.focal_length
    found = np.array([pose.camera_to_world for pose in result.camera.poses])
    assert similarity(found[:, :3, 3], scene.poses[:, :3, 3]) < 0.02


@pytest.mark.slow
def test_a_known_distortion_is_undone(scene, make, tmp_path):
    distortion = (0.15, 0.0)
    seen = [make.look(pose, distortion=distortion) for pose in scene.poses]
    camera = make.camera(scene.poses, distortion=distortion)
    run = make.shot([image for image, _ in seen], tmp_path, camera=camera)
    result = parallax.estimate(run.shot)
    depth = np.stack([depth for _, depth in seen])
    assert np.median(relative(run.maps(), depth)) < 0.02
    assert result.camera.distortion == distortion


def test_a_camera_without_a_pose_for_every_frame_is_refused(scene, make, tmp_path):
    run = make.shot(scene.images, tmp_path, camera=make.camera(scene.poses[:-1]))
    with pytest.raises(UnsupportedShot, match="no pose for frame 16"):
        parallax.estimate(run.shot)


@pytest.mark.slow
def test_the_same_job_gives_the_same_bits(scene, solved, make, tmp_path):
    run = make.shot(scene.images, tmp_path)
    result = parallax.estimate(run.shot)
    assert result == solved[1]
    np.testing.assert_array_equal(run.maps(), solved[0].maps())


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["complete", "Solving the camera", "match", "settle"])
def test_a_cancelled_run_goes_on_to_the_same_bits(scene, solved, make, tmp_path, stage):
    first = make.shot(scene.images, tmp_path, stop_at=stage)
    with pytest.raises(Cancelled):
        parallax.estimate(first.shot)
    assert not psutil.Process().children(), "the camera solve outlived its run"
    assert not list(tmp_path.rglob(".tmp-*")) or stage != "Solving the camera"
    second = make.shot(scene.images, tmp_path, finished=first.disparity)
    result = parallax.estimate(second.shot)
    assert result == solved[1]
    assert not first.disparity.keys() & second.disparity.keys()
    for index, disparity in (first.disparity | second.disparity).items():
        np.testing.assert_array_equal(disparity, solved[0].disparity[index])


@pytest.mark.slow
def test_progress_rises_to_its_total(solved):
    done = [entry[2] for entry in solved[0].stages]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(solved[0].stages[-1][3])


@pytest.mark.slow
def test_a_matte_keeps_a_moving_subject_out_of_the_solve(scene, make, tmp_path):
    texture = make.noise(9)[:40, :28].astype(np.uint8)
    images, mattes = [], []
    for index, image in enumerate(scene.images):
        images.append(image.copy())
        mattes.append(np.zeros(image.shape[:2], bool))
        left = 20 + 6 * index
        images[-1][84:124, left : left + 28] = texture[:, : 192 - left]
        mattes[-1][84:124, left : left + 28] = True
    run = make.shot(images, tmp_path, mattes=mattes)
    result = parallax.estimate(run.shot)
    found = np.array([pose.camera_to_world for pose in result.camera.poses])[:, :3, 3]
    assert similarity(found, scene.poses[:, :3, 3]) < 0.05
    middle = run.disparity[8]
    assert (run.confidence[8][88:120, 72:92] == 0).all()
    # it stands on the floor below it, so it must be nearer than the wall behind it
    assert np.median(middle[88:118, 72:92]) > np.median(middle[:20])


def test_a_frame_whose_own_depth_is_wrong_takes_that_of_the_frames_around(scene, make, tmp_path, monkeypatch):
    scene = scene.first(12)
    run = make.shot(scene.images, tmp_path, camera=make.camera(scene.poses))
    parallax.estimate(run.shot)
    file = tmp_path / "complete" / "000005.npy"
    whole = np.load(file)
    wrong = np.s_[70:100, 70:110]
    whole[0][wrong] *= 2.5
    whole[1][wrong] = 0
    np.save(file, whole)
    # where flow follows something else, as between bars, nothing of it counts
    monkeypatch.setattr(shot_data, "paths", lambda scene, frame: [])
    again = make.shot(
        scene.images, tmp_path, camera=make.camera(scene.poses), finished={i for i in range(12) if i != 5}
    )
    parallax.estimate(again.shot)
    right = scene.depth[5][wrong] * again.disparity[5][wrong]
    assert np.mean(np.abs(right - 1) < 0.1) > 0.85
