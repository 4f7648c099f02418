"""Camera paths as files."""

import math
import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from inference.contract import camera_files
from inference.contract.camera import Camera, Pose
from inference.contract.camera_files import CameraFileError

SIZE = {"width": 1920, "height": 1080}
IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def matrix(camera, frame):
    return np.array(next(pose.camera_to_world for pose in camera.poses if pose.frame == frame))


def lens(camera):
    return [camera.intrinsics(pose) for pose in camera.poses]


# ------------------------------------------------------------------------------------------------------ Fathom's own


def test_a_file_of_fathoms_gives_the_same_camera(tmp_path):
    poses = (Pose(frame=1001, camera_to_world=IDENTITY), Pose(frame=1002, camera_to_world=IDENTITY, focal_length=900.0))
    camera = Camera(
        **SIZE,
        focal_length=850.0,
        principal_point=(950.0, 530.0),
        distortion=(-0.1, 0.02),
        distortion_model="division",
        pixel_aspect=2.0,
        poses=poses,
        origin="SOLVE street.mov",
    )
    camera_files.save(camera, tmp_path / "camera.json")
    assert camera_files.load(tmp_path / "camera.json", width=960, height=540) == camera


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not valid JSON"),
        ("{}", "no camera path that Fathom knows"),
        ('{"fathom_camera": 99}', "newer Fathom"),
        ('{"fathom_camera": 1}', "camera is missing"),
        (
            '{"fathom_camera": 1, "camera": {"width": 4, "height": 4, "focal_length": 3, "principal_point": [1, 1]}}',
            "no poses",
        ),
    ],
)
def test_what_is_no_camera_is_declined_in_a_sentence(tmp_path, text, why):
    (tmp_path / "camera.json").write_text(text)
    with pytest.raises(CameraFileError, match=why):
        camera_files.load(tmp_path / "camera.json", **SIZE)


def test_a_file_that_is_not_there(tmp_path):
    for name in ("camera.json", "camera.chan", "images.txt"):
        with pytest.raises(CameraFileError, match="cannot be read"):
            camera_files.load(tmp_path / name, **SIZE)


# -------------------------------------------------------------------------------------------------------------- .chan


def chan(tmp_path, text, **options):
    (tmp_path / "camera.chan").write_text(text)
    return camera_files.load(tmp_path / "camera.chan", **SIZE | options)


def test_a_chan_at_rest_looks_ahead_with_its_field_of_view(tmp_path):
    camera = chan(tmp_path, "1\t0 0 0\t0 0 0\t60\n2\t1 2 3\t0 0 0\t60\n")
    assert camera.focal_length == pytest.approx(540 / math.tan(math.radians(30)))
    assert camera.principal_point == (959.5, 539.5) and camera.origin == "FILE camera.chan"
    np.testing.assert_allclose(matrix(camera, 1), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(matrix(camera, 2)[:3, 3], [1, -2, -3])  # y up and z back become y down and z ahead


def test_a_chan_turns_in_nukes_order_unless_another_is_given(tmp_path):
    text = "7 0 0 0 10 20 30 50\n"
    flip = np.diag([1.0, -1.0, -1.0])

    def about(axis, degrees):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return {
            "X": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
            "Y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
            "Z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
        }[axis]

    x, y, z = about("X", 10), about("Y", 20), about("Z", 30)
    for order, turn in ((None, y @ x @ z), ("XYZ", z @ y @ x)):
        camera = chan(tmp_path, text, **({} if order is None else {"rotation_order": order}))
        np.testing.assert_allclose(matrix(camera, 7)[:3, :3], flip @ turn @ flip, atol=1e-12)


def test_a_chan_that_zooms_has_a_focal_length_a_frame(tmp_path):
    camera = chan(tmp_path, "# by hand\n\n1 0 0 0 0 0 0 60\n2 0 0 0 0 0 0 50\n3 0 0 0 0 0 0 40\n")
    focal = [540 / math.tan(math.radians(angle / 2)) for angle in (60, 50, 40)]
    assert [each[0] for each in lens(camera)] == pytest.approx(focal)


def test_a_chan_without_fields_of_view_needs_a_focal_length(tmp_path):
    text = "1 0 0 0 0 0 0\n2 0 0 1 0 0 0\n"
    with pytest.raises(CameraFileError, match=r"set \[\[focal_length\]\]"):
        chan(tmp_path, text)
    assert chan(tmp_path, text, focal_length=1500.0).focal_length == 1500.0
    with pytest.raises(CameraFileError, match="a focal length of its own"):
        chan(tmp_path, "1 0 0 0 0 0 0 60\n", focal_length=1500.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 0 0 0 0 0\n", "Line 1 of camera.chan has 6 values"),
        ("1 0 0 0 0 0 zero 50\n", "'zero' where a number belongs"),
        ("1 0 0 0 0 0 nan 50\n", "'nan' where a number belongs"),
        ("1.5 0 0 0 0 0 0 50\n", "which is no frame"),
        ("1 0 0 0 0 0 0 50\n1 0 0 0 0 0 0 50\n", "Line 2 of camera.chan has the frame 1"),
        ("1 0 0 0 0 0 0 180\n", "field of view of 180"),
        ("# nothing\n", "has no frames"),
        ("1 1e300 0 0 0 0 0 50\n", "cannot be read: camera.chan.poses.0..camera_to_world"),
        ("1e300 0 0 0 0 0 0 50\n", "cannot be read: camera.chan.poses.0..frame"),
        ("1 0 0 0 0 0 0 5e-324\n", "field of view of 4.9"),
        ("1 0 0 0 0 0 0 179.999999999\n", "cannot be read: camera.chan.focal_length"),
        ("\0" * 100_000, "Line 1 of camera.chan has 1 values"),
    ],
)
def test_a_damaged_chan_is_declined_in_a_sentence(tmp_path, text, why):
    with pytest.raises(CameraFileError, match=why):
        chan(tmp_path, text)


def test_a_chan_of_endless_lines_or_frames_takes_little_memory(tmp_path, monkeypatch):
    text = "1 0 0 0 0 0 0 50 " + "0 " * 2_000_000 + "\n2 0 0 0 0 0 0 50 more\r3 0 0 0 0 0 0 50"
    (tmp_path / "camera.chan").write_text(text.replace(" more", ""))
    tracemalloc.start()
    try:
        camera = camera_files.load(tmp_path / "camera.chan", **SIZE)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    assert [pose.frame for pose in camera.poses] == [1, 2, 3]
    monkeypatch.setattr(camera_files, "MOST_FRAMES", 2)
    with pytest.raises(CameraFileError, match=r"camera\.chan has more than 2 frames"):
        camera_files.load(tmp_path / "camera.chan", **SIZE)


@pytest.mark.skipif(os.name == "nt", reason="pipes are no files there")
def test_what_is_no_file_of_text_is_said_at_once(tmp_path):
    for name in ("camera.chan", "camera.json", "cameras.txt", "images.txt"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(CameraFileError, match="is a pipe or a device"):
            camera_files.load(tmp_path / name, **SIZE)
    (tmp_path / "binary.chan").write_bytes(bytes(range(256)))
    with pytest.raises(CameraFileError, match="is not a text file"):
        camera_files.load(tmp_path / "binary.chan", **SIZE)


# ------------------------------------------------------------------------------------------------------------- COLMAP


def colmap(folder, cameras, images, **options):
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)
    return camera_files.load(folder, **SIZE | options)


IMAGES = (
    "# image list\n1 0.9689124 0 0.2474040 0 0.1 0.2 0.3 1 shot/plate.1001.png\n10.5 20.5 -1\n"
    "2 1 0 0 0 0 0 0 1 shot/plate.1002.png\n\n"
)


def test_colmaps_text_is_read(tmp_path):
    camera = colmap(tmp_path, "# cameras\n1 OPENCV 960 540 800 804 480 270 -0.1 0.02 0.001 -0.002\n", IMAGES)
    assert (camera.width, camera.height, camera.distortion_model) == (960, 540, "brown")
    assert camera.distortion == (-0.1, 0.02, 0.0, 0.0, 0.001, -0.002)
    assert lens(camera)[0] == pytest.approx((800, 804, 479.5, 269.5))
    assert [pose.frame for pose in camera.poses] == [1001, 1002]
    to_world = matrix(camera, 1001)
    angle = 2 * math.asin(0.2474040)
    turn = np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
    np.testing.assert_allclose(to_world[:3, :3], turn.T, atol=1e-6)
    np.testing.assert_allclose(to_world[:3, 3], -turn.T @ [0.1, 0.2, 0.3], atol=1e-6)
    np.testing.assert_allclose(matrix(camera, 1002), np.eye(4), atol=1e-12)
    again = camera_files.load(tmp_path / "images.txt", **SIZE)
    assert replace(again, origin=camera.origin) == camera


def test_images_have_the_frames_of_the_plates_files_of_their_names(tmp_path):
    cameras = "1 PINHOLE 960 540 800 800 480 270\n"
    camera = colmap(tmp_path, cameras, IMAGES, files={"plate.1001.png": 7, "plate.1002.png": 8})
    assert [pose.frame for pose in camera.poses] == [7, 8]
    assert camera.distortion == (0.0, 0.0)


def test_a_camera_an_image_is_a_lens_that_zooms(tmp_path):
    cameras = "1 SIMPLE_RADIAL 960 540 800 480 270 -0.1\n2 SIMPLE_RADIAL 960 540 820 481 270 -0.1\n"
    camera = colmap(tmp_path, cameras, IMAGES.replace("0 1 shot/plate.1002", "0 2 shot/plate.1002"))
    assert lens(camera)[0] == pytest.approx((800, 800, 479.5, 269.5))
    assert lens(camera)[1] == pytest.approx((820, 820, 480.5, 269.5))
    scaled = camera.scaled(1920, 1080)
    assert scaled.intrinsics(scaled.poses[1]) == pytest.approx((1640, 1640, 961.5, 539.5))
    assert camera.distortion == (-0.1,)


@pytest.mark.parametrize(
    ("cameras", "images", "why"),
    [
        ("1 OPENCV_FISHEYE 960 540 800 800 480 270 0 0 0 0\n", IMAGES, "has the model 'OPENCV_FISHEYE'"),
        ("1 PINHOLE 960 540 800\n", IMAGES, "lacks values of its model PINHOLE"),
        ("1 PINHOLE 960 540 800 800 480 270\n", "1 1 0 0 0 0 0 0 5 a.1.png\n\n", "no image of its cameras"),
        ("1 PINHOLE 960 540 800 800 480 270\n", "1 0 0 0 0 0 0 0 1 a.1.png\n\n", "rotation of only zeros"),
        ("1 PINHOLE 960 540 800 800 480 270\n", "1 1e200 1e200 0 0 0 0 0 1 a.1.png\n\n", "or of huge numbers"),
        ("1 PINHOLE 960 540 800 800 480 270\n", f"{IMAGES}\n\n3 1 0 0 0 0 0 0 1 a.3.png\n", "no image of its cameras"),
        ("1 PINHOLE 960 540 800 800 480 270\n", "", "has no images"),
        ("1 PINHOLE 1e300 540 800 800 480 270\n", IMAGES, "cannot be read"),
        ("1 PINHOLE 960 540 800 800 480 270\n", f"1 1 0 0 0 0 0 0 1 {'9' * 5000}.png\n\n", "cannot be read"),
        ("1 PINHOLE 960 540 800 800 480 270\n", IMAGES.replace("1002", "1001"), "two images of frame 1001"),
        (
            "1 PINHOLE 960 540 800 800 480 270\n2 PINHOLE 480 270 400 400 240 135\n",
            IMAGES.replace("0 1 shot/plate.1002", "0 2 shot/plate.1002"),
            "several sizes or lens distortions",
        ),
    ],
)
def test_a_reconstruction_that_is_no_camera_path_is_declined_in_a_sentence(tmp_path, cameras, images, why):
    with pytest.raises(CameraFileError, match=why):
        colmap(tmp_path, cameras, images)


def test_points_of_any_length_and_lines_after_the_last_do_not_count(tmp_path):
    points = "10.5 20.5 -1 " * 50_000
    text = f"1 1 0 0 0 0 0 0 1 a.1.png\n{points}\n2 1 0 0 0 0 0 0 1 a.2.png\n{points}\n\n\n\n"
    camera = colmap(tmp_path, "1 PINHOLE 960 540 800 800 480 270\n", text)
    assert [pose.frame for pose in camera.poses] == [1, 2]


def test_a_camera_with_a_name_keeps_it(tmp_path):
    camera = colmap(tmp_path, "1 PINHOLE 960 540 800 800 480 270\n", IMAGES)
    assert camera.origin == f"FILE {tmp_path.name}"
    camera_files.save(replace(camera, origin="by hand"), tmp_path / "camera.json")
    assert camera_files.load(tmp_path / "camera.json", **SIZE).origin == "by hand"
