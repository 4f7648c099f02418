"""Depth by an input camera's path: its units and its lens, and cameras that are not the plate's."""

from dataclasses import replace

import numpy as np
import pytest

from inference.common.failures import UnsupportedShot
from inference.contract.camera import Pose
from inference.estimators import parallax
from inference.estimators.parallax import given_camera, view
from inference.estimators.parallax.camera_path import tracks_of, undistorted_tracks

LENSES = {
    "polynomial": {"distortion": (-0.2, 0.05, 0.01), "distortion_model": "polynomial"},
    "division": {"distortion": (0.15, 0.02), "distortion_model": "division"},
    "nuke": {"distortion": (-0.1, 0.02), "distortion_model": "nuke"},
    "brown": {"distortion": (-0.2, 0.05, 0.0, 0.0, 0.01, -0.006), "distortion_model": "brown"},
}


def zooming(camera, *, by=1.3, shift=4.0):
    """The camera with a lens that zooms in over the path and shifts sideways."""
    share = np.linspace(0, 1, len(camera.poses))
    x, y = camera.principal_point
    return replace(
        camera,
        poses=tuple(
            replace(
                pose,
                focal_length=camera.focal_length * float(by**s),
                principal_point=(x + shift * float(s), y - shift * float(s)),
            )
            for s, pose in zip(share, camera.poses, strict=True)
        ),
    )


def film(make, camera):
    """Images and depth that a camera sees."""
    seen = []
    for pose in camera.poses:
        focal, _, *point = camera.intrinsics(pose)
        lens = replace(camera, focal_length=focal, principal_point=tuple(point), poses=())
        seen.append(make.look(np.array(pose.camera_to_world), lens=lens))
    return [image for image, _ in seen], np.stack([depth for _, depth in seen])


def relative(run, depth):
    error = np.abs(1 / run.maps() - depth) / depth
    return error[:, 8:-8, 8:-8]


@pytest.mark.slow
@pytest.mark.parametrize("model", LENSES)
def test_depth_is_in_the_cameras_units_by_every_lens(scene, make, tmp_path, model):
    camera = zooming(replace(make.camera(scene.poses), **LENSES[model]))
    images, depth = film(make, camera)
    run = make.shot(images, tmp_path, camera=camera)
    result = parallax.estimate(run.shot)
    error = relative(run, depth)
    assert np.median(error) < 0.02
    assert error.mean() < 0.06
    assert result.camera == camera and result.warnings == ()


@pytest.mark.slow
def test_pixels_need_not_be_square(scene, make, tmp_path):
    camera = replace(make.camera(scene.poses), pixel_aspect=1.5, distortion=(-0.1, 0.0))
    images, depth = film(make, camera)
    run = make.shot(images, tmp_path, camera=camera)
    parallax.estimate(run.shot)
    assert np.median(relative(run, depth)) < 0.02


@pytest.mark.parametrize("model", LENSES)
def test_views_project_to_the_pixels_of_the_filmed_images(scene, make, model):
    """What `Views` keeps of a lens, tested against the contract's own formulas."""
    from inference.contract.distortion import distort

    camera = zooming(replace(make.camera(scene.poses), pixel_aspect=1.2, **LENSES[model]))
    views = view.of_camera(camera, [pose.frame for pose in camera.poses])
    points = np.array([[-0.5, 0.3, 5.0], [0.8, -0.4, 7.0], [0.0, 0.0, 4.0]])
    for frame in (0, 9):
        pose = camera.poses[frame]
        local = (points - np.array(pose.camera_to_world)[:3, 3]) @ np.array(pose.camera_to_world)[:3, :3]
        fx, fy, cx, cy = camera.intrinsics(pose)
        x, y = distort(
            camera.distortion_model,
            camera.distortion,
            local[:, 0] / local[:, 2],
            local[:, 1] / local[:, 2],
            unit=camera.half_side / fx,
        )
        filmed = np.stack([fx * x + cx, fy * y + cy], axis=-1)
        at = views.world_to_camera[frame, :, :3] @ points.T + views.world_to_camera[frame, :, 3:]
        np.testing.assert_allclose(at[2], local[:, 2], rtol=1e-9)
        straight = views.project(at.T)
        np.testing.assert_allclose(views.straight(filmed, frame), straight, atol=2e-4)
        np.testing.assert_allclose(views.bent(straight, frame), filmed, atol=2e-4)
        small = views.resized(camera.width // 2, camera.height // 2)
        half = small.bent((straight + 0.5) / 2 - 0.5, frame)
        np.testing.assert_allclose(half, (filmed + 0.5) / 2 - 0.5, atol=2e-4)
        np.testing.assert_allclose(views.positions[frame], np.array(pose.camera_to_world)[:3, 3], atol=1e-9)


def test_views_with_a_lens_are_read_as_they_were_saved(scene, make, tmp_path):
    camera = zooming(replace(make.camera(scene.poses), **LENSES["brown"]))
    views = view.of_camera(camera, [pose.frame for pose in camera.poses])
    views.save(tmp_path / "views.npz")
    again = view.load_views(tmp_path / "views.npz")
    for name, value in vars(views.filmed).items():
        np.testing.assert_array_equal(vars(again.filmed)[name], value)
    np.testing.assert_array_equal(again.world_to_camera, views.world_to_camera)
    assert type(again.filmed.model) is str and type(again.filmed.shrinks) is float


def test_the_whole_filmed_image_lies_in_the_undistorted_one(scene, make):
    camera = replace(make.camera(scene.poses), distortion=(-0.35, 0.1))
    views = view.of_camera(camera, [1])
    corners = np.array([[0, 0], [191, 0], [0, 143], [191, 143], [95, 0]], float)
    there = views.straight(corners, 0)
    assert (there >= -0.01).all() and (there <= [191.01, 143.01]).all()
    assert views.filmed.shrinks < 0.95


@pytest.mark.parametrize("distortion", [(-1.5, 0.0), (0.0, -3.0), (-0.1, -0.9)])
def test_a_distortion_that_folds_the_image_is_declined(scene, make, distortion):
    camera = replace(make.camera(scene.poses), distortion=distortion)
    with pytest.raises(UnsupportedShot, match="cannot be undone out to the edges"):
        view.of_camera(camera, [1])


# ------------------------------------------------------------------------------------ cameras that are not the plate's


def other_path(make, poses):
    """The path of another shot: forwards and round a corner."""
    return make.path(len(poses), step=-0.05)[::-1] @ np.array(
        [[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]]
    )


CONTRADICTIONS = {
    "reversed": lambda make, camera: replace(
        camera,
        poses=tuple(
            Pose(frame=at.frame, camera_to_world=pose.camera_to_world)
            for at, pose in zip(camera.poses, camera.poses[::-1], strict=True)
        ),
    ),
    "another": lambda make, camera: replace(
        make.camera(other_path(make, camera.poses)), focal_length=camera.focal_length
    ),
}


@pytest.fixture(scope="module")
def tracked(scene, make, tmp_path_factory):
    """The scene's tracks, found once."""
    run = make.shot(scene.images, tmp_path_factory.mktemp("tracked"), camera=make.camera(scene.poses))
    return tracks_of(run.shot)


def misfit(tracked, camera):
    views = view.of_camera(camera, [pose.frame for pose in camera.poses])
    return given_camera.misfit(undistorted_tracks(tracked, views), views)


def test_the_plates_own_camera_fits(scene, make, tracked):
    missed, moved = misfit(tracked, make.camera(scene.poses))
    assert missed < 0.5 and moved > 3


@pytest.mark.parametrize("how", CONTRADICTIONS)
def test_a_camera_that_contradicts_the_plate_is_noticed(scene, make, tmp_path, how):
    run = make.shot(scene.images, tmp_path, camera=CONTRADICTIONS[how](make, make.camera(scene.poses)))
    with pytest.raises(UnsupportedShot, match=r"does not fit the plate: half of the tracked points .* Check that the"):
        parallax.estimate(run.shot)
    assert not run.disparity
