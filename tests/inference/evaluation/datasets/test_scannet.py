"""ScanNet, in the form that its own reader exports, made up."""

import cv2
import numpy as np
import pytest

from inference.evaluation.datasets import open_clips
from inference.evaluation.datasets.ground_truth import GroundTruthError


@pytest.fixture
def scannet(tmp_path):
    for scene in ("scene0707_00", "scene0708_00"):
        for part in ("depth", "color", "pose", "intrinsic"):
            (tmp_path / scene / part).mkdir(parents=True)
        np.savetxt(tmp_path / scene / "intrinsic" / "intrinsic_depth.txt", np.diag([577.87, 577.9, 1, 1]))
        for frame in range(12):
            depth = np.full((6, 8), 1000 + 250 * frame, np.uint16)
            depth[0, 0] = 0
            cv2.imwrite(str(tmp_path / scene / "depth" / f"{frame}.png"), depth)
            cv2.imwrite(str(tmp_path / scene / "color" / f"{frame}.jpg"), np.full((12, 16, 3), 20 * frame, np.uint8))
            pose = np.full((4, 4), -np.inf) if frame == 3 else np.eye(4) * (frame + 1)
            np.savetxt(tmp_path / scene / "pose" / f"{frame}.txt", pose)
    return tmp_path


def test_scenes_are_read_in_the_order_of_their_frames(scannet):
    clips = open_clips(scannet, "scannet")
    assert [clip.name for clip in clips] == ["scene0707_00", "scene0708_00"]
    clip = clips[0]
    assert clip.frame_numbers == tuple(range(12))
    assert clip.depth(10)[1, 1] == 3.5 and clip.depth(10)[0, 0] == 0, "10 comes after 9 and not after 1"
    assert clip.rgb_files[10].name == "10.jpg" and clip.image(10).shape == (12, 16, 3)
    assert clip.matrix[0, 0] == pytest.approx(577.87) and clip.matrix.shape == (3, 3)
    assert clip.poses[3] is None and clip.poses[4][0, 0] == 5
    assert clip.moving(0) is None and clip.flow(0) is None
    assert [clip.name for clip in open_clips(scannet / "scene0708_00", "scannet")] == ["scene0708_00"]


def test_frames_exported_one_in_so_many_keep_their_numbers(scannet):
    for frame in range(12):
        if frame % 5:
            for part, ending in (("depth", "png"), ("color", "jpg"), ("pose", "txt")):
                (scannet / "scene0707_00" / part / f"{frame}.{ending}").unlink()
    assert open_clips(scannet / "scene0707_00", "scannet")[0].frame_numbers == (0, 5, 10)


def test_what_is_broken_is_named(scannet):
    scene = scannet / "scene0707_00"
    clip = open_clips(scene, "scannet")[0]
    cv2.imwrite(str(scene / "depth" / "2.png"), np.zeros((6, 8), np.uint8))
    with pytest.raises(GroundTruthError, match=r"2\.png is not a 16-bit grayscale image \(uint8, 6 x 8\)"):
        clip.depth(2)
    (scene / "color" / "7.jpg").unlink()
    with pytest.raises(GroundTruthError, match="has no image of frame 7"):
        open_clips(scene, "scannet")
    (scene / "color" / "7.jpg").write_bytes(b"x")
    (scene / "pose" / "1.txt").write_text("1 2 3\n")
    with pytest.raises(GroundTruthError, match=r"1\.txt is not a 4 x 4 matrix"):
        open_clips(scene, "scannet")
    (scene / "pose" / "1.txt").write_text("not numbers")
    with pytest.raises(GroundTruthError, match=r"1\.txt cannot be read as a matrix"):
        open_clips(scene, "scannet")


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(GroundTruthError, match=r"no <scene>/depth/\*\.png"):
        open_clips(tmp_path, "scannet")
    (tmp_path / "scene0000_00" / "depth").mkdir(parents=True)
    with pytest.raises(GroundTruthError, match=r"has no \*\.png in it"):
        open_clips(tmp_path, "scannet")
