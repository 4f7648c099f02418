"""Masks from elsewhere: which belongs to which frame, and at what size."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from ground_truth_maker import truth_of

from inference.common.failures import ClipError
from inference.evaluation.datasets.ground_truth import GroundTruthError, with_masks
from inference.evaluation.datasets.protocols import Protocol, applied

DEPTHS = np.ones((3, 4, 6))


def write(folder, names, *, size=(6, 4)):
    """Mask k is white in its first k columns."""
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        mask = np.zeros(size[::-1], np.uint8)
        mask[:, : index * size[0] // 6] = 255
        cv2.imwrite(str(folder / f"{name}.png"), mask)


def columns(ground_truth):
    return [int(ground_truth.moving(i)[0].sum()) for i in range(len(ground_truth))]


def test_one_for_each_frame_with_truth(tmp_path):
    write(tmp_path / "clip", ["m0", "m1", "m2"])
    assert columns(with_masks(truth_of(DEPTHS), tmp_path)) == [0, 1, 2]
    assert columns(with_masks(truth_of(DEPTHS), tmp_path / "clip")) == [0, 1, 2], "the images themselves"


def test_one_for_each_image_of_the_clip(tmp_path):
    ground_truth = replace(truth_of(DEPTHS), frame_numbers=(1, 3, 5))
    write(tmp_path / "clip", [f"m{i}" for i in range(6)])
    assert columns(with_masks(ground_truth, tmp_path)) == [1, 3, 5]


def test_names_of_the_images_count_first(tmp_path):
    ground_truth = replace(truth_of(DEPTHS), rgb_files=tuple(Path(f"{name}.jpg") for name in ("c", "a", "b")))
    write(tmp_path / "clip", ["a", "b", "c"])
    assert columns(with_masks(ground_truth, tmp_path)) == [2, 0, 1]


def test_masks_of_another_size_are_brought_to_the_depths(tmp_path):
    write(tmp_path / "clip", ["0", "1", "2"], size=(12, 8))
    ground_truth = with_masks(truth_of(DEPTHS), tmp_path)
    assert ground_truth.moving(2).shape == (4, 6) and columns(ground_truth) == [0, 1, 2]


def test_what_is_transparent_does_not_move(tmp_path):
    (tmp_path / "clip").mkdir()
    for index in range(3):
        mask = np.full((4, 6, 4), 255, np.uint8)
        mask[:, index:, 3] = 100  # less than half
        cv2.imwrite(str(tmp_path / "clip" / f"{index}.png"), mask)
    assert columns(with_masks(truth_of(DEPTHS), tmp_path)) == [0, 1, 2]


def test_masks_of_16_bits_are_white_from_the_middle_on(tmp_path):
    (tmp_path / "clip").mkdir()
    for index in range(3):
        cv2.imwrite(
            str(tmp_path / "clip" / f"{index}.png"), np.array([[40000] * index + [30000] * (6 - index)] * 4, "u2")
        )
    assert columns(with_masks(truth_of(DEPTHS), tmp_path)) == [0, 1, 2]


def test_a_mask_that_is_cut_short_is_a_sentence(tmp_path):
    write(tmp_path / "clip", ["0", "1", "2"])
    path = tmp_path / "clip" / "1.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ClipError, match=r"1\.png is cut short"):
        with_masks(truth_of(DEPTHS), tmp_path).moving(1)


def test_a_protocol_takes_their_frames_too(tmp_path):
    write(tmp_path / "clip", ["0", "1", "2"])
    assert columns(applied(with_masks(truth_of(DEPTHS), tmp_path), Protocol(first=1))) == [1, 2]


def test_masks_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(GroundTruthError, match="no masks of clip"):
        with_masks(truth_of(DEPTHS), tmp_path)
    write(tmp_path / "clip", ["0", "1"])
    with pytest.raises(GroundTruthError, match="2 masks, which do not match the 3 frames of clip"):
        with_masks(truth_of(DEPTHS), tmp_path)
