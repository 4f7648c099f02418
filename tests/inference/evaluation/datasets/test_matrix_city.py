"""MatrixCity, with its archives extracted, made up."""

import json

import cv2
import numpy as np
import pytest

from inference.evaluation.datasets import open_clips
from inference.evaluation.datasets.ground_truth import GroundTruthError
from inference.media.exr import write_channels


def pose(x, turn=0.0):
    angle = np.radians(turn)
    matrix = np.eye(4)
    matrix[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    matrix[:3, :3] /= 100  # as published
    matrix[0, 3] = x
    return matrix.tolist()


@pytest.fixture
def city(tmp_path):
    """Two lines of a block: 6 images, a jump, 4 images, a sharp turn, 2 images; image 3 is left out of the list."""
    block = tmp_path / "small_city" / "aerial" / "block_1"
    (block / "rgb").mkdir(parents=True)
    (block / "depth").mkdir()
    xs = [*range(7), *(100 + each for each in range(6))]
    frames = [
        {"frame_index": number, "rot_mat": pose(x, 90 if number > 10 else 0)}
        for number, x in enumerate(xs)
        if number != 3
    ]
    for number in range(13):
        cv2.imwrite(str(block / "rgb" / f"{number:04d}.png"), np.full((4, 6, 3), number, np.uint8))
        depth = np.full((4, 6), 1000 + number, np.float16)
        depth[0, 0] = 65504
        write_channels(block / "depth" / f"{number:04d}.exr", dict.fromkeys("RGB", depth))
    (block / "transforms.json").write_text(json.dumps({"fl_x": 500, "frames": frames}))
    return tmp_path


def test_a_block_is_divided_where_the_camera_jumps_turns_or_leaves_images_out(city):
    clips = open_clips(city, "matrix-city")
    assert [(clip.name, len(clip)) for clip in clips] == [
        ("block_1-0000", 3),
        ("block_1-0004", 3),
        ("block_1-0007", 4),
        ("block_1-0011", 2),
    ]
    depth = clips[1].depth(1)
    assert depth[2, 2] == pytest.approx(10.05, abs=0.01) and depth[0, 0] == 0
    assert clips[1].image(1)[0, 0, 0] == 5 and clips[2].depth_files[0].name == "0007.exr"


def test_the_depth_may_lie_beside_the_block(city):
    block = city / "small_city" / "aerial" / "block_1"
    (block / "depth").rename(block.with_name("block_1_depth"))
    assert len(open_clips(block, "matrix-city")) == 4


def test_what_is_broken_is_named(city):
    block = city / "small_city" / "aerial" / "block_1"
    (block / "depth" / "0005.exr").unlink()
    with pytest.raises(GroundTruthError, match="no image, or no depth, of frame 5"):
        open_clips(city, "matrix-city")
    (block / "transforms.json").write_text('{"frames": [{"frame_index": 0, "rot_mat": [1]}]}')
    with pytest.raises(GroundTruthError, match="is not the set's list of poses"):
        open_clips(block, "matrix-city")
    (block / "transforms.json").unlink()
    with pytest.raises(GroundTruthError, match=r"has no <block>/transforms\.json"):
        open_clips(city, "matrix-city")
