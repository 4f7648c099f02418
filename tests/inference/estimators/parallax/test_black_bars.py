"""Letterboxed and pillarboxed shots."""

from dataclasses import replace

import numpy as np
import pytest

from inference.contract.camera import Camera, Pose
from inference.estimators import parallax
from inference.estimators.parallax import black_bars
from inference.estimators.parallax.black_bars import Bars

EDGES = {"letterbox": (12, 12, 0, 0), "pillarbox": (0, 0, 20, 20), "one bar": (0, 20, 0, 0), "both": (10, 14, 16, 8)}


def barred(image, edges, *, level=0):
    """The image with bars of so many pixels at its top, bottom, left and right."""
    top, bottom, left, right = edges
    height, width = image.shape[:2]
    covered = np.full_like(image, level)
    covered[top : height - bottom, left : width - right] = image[top : height - bottom, left : width - right]
    return covered


@pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)
def test_bars_are_found_with_a_margin(scene, make, tmp_path, edges):
    noise = np.random.default_rng(0)
    images = [
        np.clip(barred(image, edges, level=16) + noise.integers(-4, 5, image.shape), 0, 255).astype(np.uint8)
        for image in scene.images
    ]
    images[3][:] = 0  # a black frame says nothing
    found = black_bars.find(make.shot(images, tmp_path).shot.frames)
    for wide, edge in zip((found.top, found.bottom, found.left, found.right), edges, strict=True):
        assert wide == 0 if edge == 0 else edge < wide <= edge + 3


def test_a_dark_or_whole_image_has_none(scene, make, tmp_path):
    """Nor has one that is black all over or for the most part, or has a dark edge in some frames alone."""
    for name, images in {
        "whole": scene.images,
        "black": [np.zeros_like(image) for image in scene.images],
        "a keyhole": [barred(image, (62, 62, 0, 0)) for image in scene.images],
        "blanking": [barred(image, (1, 1, 1, 1)) for image in scene.images],
        "some frames": [barred(image, (20 * (i % 2), 0, 0, 0)) for i, image in enumerate(scene.images)],
    }.items():
        run = make.shot(images, tmp_path / name)
        assert black_bars.without(run.shot) == (run.shot, None), name


@pytest.mark.slow
@pytest.mark.parametrize("phased", [False, True], ids=["at once", "by phases"])
def test_the_depth_is_that_of_what_is_between_them(scene, make, tmp_path, phased):
    edges = (16, 20, 12, 0)
    run = make.shot([barred(image, edges) for image in scene.images], tmp_path / "barred")
    bars = black_bars.find(run.shot.frames)
    cut = make.shot([bars.inside(image) for image in scene.images], tmp_path / "cut")
    if phased:
        for phase in parallax.phases(run.shot):
            phase.run(range(phase.units))
    result, wanted = parallax.estimate(run.shot), parallax.estimate(cut.shot)
    for frame, disparity in cut.disparity.items():
        np.testing.assert_array_equal(bars.inside(run.disparity[frame]), disparity)
        np.testing.assert_array_equal(bars.inside(run.confidence[frame]), cut.confidence[frame])
        assert run.disparity[frame].shape == scene.images[0].shape[:2] and (run.disparity[frame] > 0).all()
        assert run.confidence[frame].sum() == pytest.approx(cut.confidence[frame].sum()), "0 in the bars"
    assert result.camera == bars.camera_around(wanted.camera)
    assert (result.camera.width, result.camera.height) == (scene.images[0].shape[1], scene.images[0].shape[0])
    assert result.camera.focal_length == wanted.camera.focal_length


def test_a_known_camera_mattes_and_a_lens_tag_are_of_what_is_between_them(scene, make, tmp_path):
    images = [barred(image, (0, 0, 32, 32)) for image in scene.images]
    height, width = images[0].shape[:2]
    matte, depth = np.zeros((height, width), bool), np.zeros((height // 2, width // 2), np.float32)
    matte[:, 60:70], depth[:, 30:35] = True, 1
    pose = Pose(frame=1, camera_to_world=tuple(map(tuple, np.eye(4).tolist())), principal_point=(90.0, 70.0))
    camera = Camera(width=width, height=height, focal_length=170, principal_point=(95.5, 71.5), poses=(pose,))
    many = {"mattes": [matte] * len(images), "learned": [depth] * len(images), "lens_tag": (0.9, 0.1)}
    shot, bars = black_bars.without(replace(make.shot(images, tmp_path).shot, camera=camera, **many))
    assert (bars.left, bars.right) == (34, 34) and shot.frames[0].shape == (height, width - 68, 3)
    assert shot.frames.numbers == make.shot(images, tmp_path).shot.frames.numbers and len(shot.frames) == len(images)
    assert shot.camera.principal_point == (61.5, 71.5) and shot.camera.poses[0].principal_point == (56.0, 70.0)
    assert bars.camera_around(shot.camera) == camera
    assert shot.mattes[0][:, 26:36].all() and shot.mattes[0].sum() == matte.sum()
    assert shot.learned[0].shape == (height // 2, width // 2 - 34) and shot.learned[0][:, 13:18].all()
    assert shot.lens_tag == (pytest.approx(0.9 * width / height), 0.1), "of the longer side, which is the height now"
    nuke = replace(camera, distortion_model="nuke", distortion=(0.1, 0.0))
    assert black_bars.without(replace(make.shot(images, tmp_path).shot, camera=nuke))[1] is None


def test_a_map_in_the_bars_has_the_nearest_value_and_no_confidence():
    bars = Bars(height=6, width=7, top=1, bottom=2, left=2, right=1)
    small = np.arange(12, dtype=np.float32).reshape(3, 4)
    whole = bars.around(small, edge=True)
    assert whole.shape == (6, 7) and whole[0, 0] == 0 and whole[5, 6] == 11 and whole[2, 0] == 4
    assert bars.around(small, edge=False).sum() == small.sum()
    np.testing.assert_array_equal(bars.inside(whole), small)
