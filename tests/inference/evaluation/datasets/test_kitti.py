"""KITTI's annotated depth with its raw recordings, made up."""

import shutil

import cv2
import numpy as np
import pytest

from inference.evaluation.datasets import open_clips
from inference.evaluation.datasets.ground_truth import GroundTruthError

DRIVE = "2011_09_26_drive_0002_sync"
NUMBERS = range(5, 12)
NO_TURN = "1 0 0 0 1 0 0 0 1"
# the inertial unit looks ahead along x, with y left and z up; the camera along z, with x right and y down
TO_CAMERA = "0 -1 0 0 0 -1 1 0 0"


@pytest.fixture
def kitti(tmp_path):
    depth = tmp_path / "val" / DRIVE / "proj_depth" / "groundtruth" / "image_02"
    depth.mkdir(parents=True)
    for number in NUMBERS:
        values = np.zeros((7, 9), np.uint16)
        values[::2, ::3] = 256 * number + 128
        cv2.imwrite(str(depth / f"{number:010d}.png"), values)
    return tmp_path


@pytest.fixture
def recorded(kitti):
    drive = kitti / "2011_09_26" / DRIVE
    (drive / "image_02" / "data").mkdir(parents=True)
    for number in range(NUMBERS.stop + 5):
        image = np.full((7, 9, 3), number, np.uint8)
        cv2.imwrite(str(drive / "image_02" / "data" / f"{number:010d}.png"), image)
    (drive.parent / "calib_cam_to_cam.txt").write_text(
        f"calib_time: 09-Jan-2012 13:57:47\nR_rect_00: {NO_TURN}\n"
        "P_rect_02: 721.5 0 609.5 43.29 0 721.5 172.8 0 0 0 1 0\n"
    )
    return kitti


def write_path(root):
    """A car that goes 2 m east a frame, looking east."""
    date = root / "2011_09_26"
    (date / "calib_velo_to_cam.txt").write_text(f"R: {TO_CAMERA}\nT: 0 0 0\ndelta_f: 0 0\n")
    (date / "calib_imu_to_velo.txt").write_text(f"R: {NO_TURN}\nT: 0 0 0\n")
    (date / DRIVE / "oxts" / "data").mkdir(parents=True)
    meter = 180 / np.pi / 6378137.0 / np.cos(np.radians(49))
    for number in range(NUMBERS.stop + 5):
        words = [49.0, 8.0 + 2 * number * meter, 110.0, 0.0, 0.0, 0.0, *[0.0] * 24]
        file = date / DRIVE / "oxts" / "data" / f"{number:010d}.txt"
        file.write_text(" ".join(f"{word:.14f}" for word in words))


def test_drives_are_read_with_their_own_frame_numbers(recorded):
    (clip,) = open_clips(recorded, "kitti")
    assert clip.name == DRIVE and clip.frame_numbers == tuple(NUMBERS)
    assert clip.depth(2)[0, 0] == 7.5 and clip.depth(2)[1, 1] == 0
    assert clip.rgb_files[2].name == "0000000007.png" and clip.image(2)[0, 0, 0] == 7
    assert clip.matrix[0].tolist() == [721.5, 0, 609.5] and clip.poses == (None,) * 7


def test_the_cameras_path_comes_from_the_inertial_unit(recorded):
    write_path(recorded)
    (clip,) = open_clips(recorded, "kitti")
    np.testing.assert_allclose(clip.poses[0], np.eye(4), atol=1e-9)
    np.testing.assert_allclose(clip.poses[3][:3, 3], [0, 0, 6], atol=1e-5)  # ahead, along the camera's z
    np.testing.assert_allclose(clip.poses[3][:3, :3], np.eye(3), atol=1e-9)


def test_a_turn_of_the_car_turns_the_camera(recorded):
    write_path(recorded)
    data = recorded / "2011_09_26" / DRIVE / "oxts" / "data"
    words = (data / "0000000006.txt").read_text().split()
    words[5] = str(np.pi / 2)  # yaw to the left
    (data / "0000000006.txt").write_text(" ".join(words))
    (clip,) = open_clips(recorded, "kitti")
    np.testing.assert_allclose(clip.poses[1][:3, 2], [-1, 0, 0], atol=1e-9)  # looks to the first camera's left
    np.testing.assert_allclose(clip.poses[1][:3, 1], [0, 1, 0], atol=1e-9)


@pytest.mark.parametrize("place", ["", "val", f"val/{DRIVE}"])
def test_any_folder_on_the_way_will_do(recorded, place):
    (clip,) = open_clips(recorded / place, "kitti")
    assert clip.name == DRIVE and clip.rgb_files[0].name == "0000000005.png"


def test_recordings_may_lie_in_raw_or_in_the_drive_itself(recorded):
    shutil.move(recorded / "2011_09_26", recorded / "raw" / "2011_09_26")
    assert open_clips(recorded, "kitti")[0].rgb_files[0].parts[-5] == "2011_09_26"
    shutil.move(recorded / "raw" / "2011_09_26" / DRIVE / "image_02", recorded / "val" / DRIVE / "image_02")
    (clip,) = open_clips(recorded, "kitti")
    assert clip.rgb_files[0].is_relative_to(recorded / "val") and clip.matrix is None


def test_depth_alone_is_enough(kitti):
    (clip,) = open_clips(kitti, "kitti")
    assert clip.rgb_files == () and clip.matrix is None


def test_what_is_broken_is_named(recorded):
    write_path(recorded)
    drive = recorded / "2011_09_26" / DRIVE
    (drive / "oxts" / "data" / "0000000008.txt").write_text("49.0 north")
    with pytest.raises(GroundTruthError, match=r"0000000008\.txt cannot be read as a position"):
        open_clips(recorded, "kitti")
    (drive.parent / "calib_cam_to_cam.txt").write_text("P_rect_02: 1 2 3\n")
    with pytest.raises(GroundTruthError, match="no line P_rect_02 of 12 numbers"):
        open_clips(recorded, "kitti")
    (drive / "image_02" / "data" / "0000000009.png").unlink()
    with pytest.raises(GroundTruthError, match="has no image 0000000009"):
        open_clips(recorded, "kitti")


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(GroundTruthError, match=r"no val/<drive>/proj_depth"):
        open_clips(tmp_path, "kitti")
