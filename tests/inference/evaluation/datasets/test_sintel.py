"""MPI Sintel, in the formats of its archives, made up."""

import struct

import cv2
import numpy as np
import pytest

from inference.evaluation.datasets import open_clips
from inference.evaluation.datasets.ground_truth import GroundTruthError

HEIGHT, WIDTH = 4, 6
MATRIX = np.array([[1120.0, 0, 511.5], [0, 1120.0, 217.5], [0, 0, 1]])


def tagged(path, values, *, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<fii", 202021.25, *size) + np.asarray(values, "<f4").tobytes())


def depth_of(number):
    return np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) + number + 0.25


@pytest.fixture
def sintel(tmp_path):
    base = tmp_path / "training"
    for clip in ("alley_1", "market_2"):
        for number in (1, 2, 3):
            frame = f"frame_{number:04d}"
            tagged(base / "depth" / clip / f"{frame}.dpt", depth_of(number))
            for rendering, value in (("clean", 10), ("final", 20)):
                path = base / rendering / clip / f"{frame}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), (0, 0, value + number), np.uint8))
            world = np.hstack([np.eye(3), [[-float(number)], [0], [0]]])
            (base / "camdata_left" / clip).mkdir(parents=True, exist_ok=True)
            (base / "camdata_left" / clip / f"{frame}.cam").write_bytes(
                struct.pack("<f", 202021.25) + MATRIX.tobytes() + world.tobytes()
            )
            if number < 3:
                flow = np.full((HEIGHT, WIDTH, 2), (1.5, -number))
                flow[0, 0] = 1e10
                tagged(base / "flow" / clip / f"{frame}.flo", flow)
    return tmp_path


@pytest.mark.parametrize("root", ["", "training"])
def test_every_sequence_is_read(sintel, root):
    clips = open_clips(sintel / root, "sintel")
    assert [clip.name for clip in clips] == ["alley_1", "market_2"]
    clip = clips[1]
    assert clip.frame_numbers == (0, 1, 2)
    np.testing.assert_array_equal(clip.depth(2), depth_of(3))
    assert clip.moving(0) is None
    np.testing.assert_array_equal(clip.matrix, MATRIX)
    np.testing.assert_array_equal(clip.poses[1][:3, 3], [2, 0, 0])  # camera-to-world
    assert clip.flow(1)[2, 3].tolist() == [1.5, -2] and np.isnan(clip.flow(1)[0, 0]).all()
    assert clip.flow(2) is None


def test_clean_or_final_images(sintel):
    clean = open_clips(sintel, "sintel")[0]
    final = open_clips(sintel, "sintel", rendering="final")[0]
    assert clean.rgb_files[1].parts[-3:] == ("clean", "alley_1", "frame_0002.png")
    assert clean.image(1)[0, 0].tolist() == [12, 0, 0] and final.image(1)[0, 0].tolist() == [22, 0, 0]


def test_one_sequence_is_read_by_its_depth(sintel):
    (clip,) = open_clips(sintel / "training" / "depth" / "alley_1", "sintel")
    assert clip.name == "alley_1" and clip.rgb_files[0].name == "frame_0001.png" and clip.flow(0) is not None


def test_depth_alone_is_enough(tmp_path):
    tagged(tmp_path / "depth" / "cave_2" / "frame_0001.dpt", depth_of(1))
    (clip,) = open_clips(tmp_path, "sintel")
    assert clip.rgb_files == () and clip.image(0) is None and clip.flow(0) is None
    assert clip.matrix is None and clip.poses == (None,)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "truncated"),
        (lambda path: path.write_bytes(b"\0" * 20), "tag 202021.25"),
        (lambda path: path.write_bytes(b""), "tag 202021.25"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: tagged(path, depth_of(1), size=(-4, -6)), "wrong size"),
    ],
)
def test_a_broken_file_is_named(sintel, spoil, words):
    clip = open_clips(sintel, "sintel")[0]
    spoil(sintel / "training" / "depth" / "alley_1" / "frame_0002.dpt")
    with pytest.raises(GroundTruthError, match=r"frame_0002\.dpt") as told:
        clip.depth(1)
    assert words in str(told.value)


def test_a_missing_image_is_named(sintel):
    (sintel / "training" / "clean" / "alley_1" / "frame_0003.png").unlink()
    with pytest.raises(GroundTruthError, match="has no image frame_0003"):
        open_clips(sintel, "sintel")


def test_a_frame_by_another_lens_has_no_pose(sintel):
    file = sintel / "training" / "camdata_left" / "alley_1" / "frame_0002.cam"
    wide = MATRIX * [[0.5], [0.5], [1]]
    file.write_bytes(struct.pack("<f", 202021.25) + wide.tobytes() + np.eye(3, 4).tobytes())
    clip = open_clips(sintel, "sintel")[0]
    assert [pose is None for pose in clip.poses] == [False, True, False]
    np.testing.assert_array_equal(clip.matrix, MATRIX)


def test_a_broken_camera_is_named(sintel):
    file = sintel / "training" / "camdata_left" / "alley_1" / "frame_0002.cam"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(GroundTruthError, match=r"frame_0002\.cam is truncated"):
        open_clips(sintel, "sintel")


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(GroundTruthError, match="no training/depth"):
        open_clips(tmp_path, "sintel")
