"""Which frame of a depth sequence is measured by which frame of the ground truth."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from depth_writer import write_depth
from ground_truth_maker import truth_of

from inference.common.failures import Failure
from inference.contract import depth_sequence
from inference.contract.depth_sequence import DepthSequenceError, disparity_name
from inference.evaluation.accuracy.comparison import compare
from inference.evaluation.accuracy.metrics import MetricsError
from inference.evaluation.datasets import protocols
from inference.evaluation.datasets.protocols import PLAIN, Crop, Protocol
from inference.media.exr import write_map

DEPTHS = 2 + 6 * np.random.default_rng(3).random((6, 12, 16)).astype(np.float32)
FRAMES = Protocol(average="frames", align="clip")


def inverse(index):
    return 1 / DEPTHS[index].astype(np.float64)


def names(numbers):
    return [f"plate.{number}.png" for number in numbers]


def error(comparison):
    return comparison.values()["all"]["absolute_relative"]


def test_the_truths_first_frame_is_the_clips_first_image(tmp_path):
    write_depth(tmp_path, {1000 + n: inverse(n) for n in range(2, 5)}, files=names(range(1000, 1006)))
    found = compare(tmp_path, truth_of(DEPTHS))
    assert error(found) < 1e-6 and found.numbers == tuple(range(1000, 1006))
    assert [(part.first_frame, part.last_frame) for part in found.parts] == [(1002, 1004)]
    assert found.without_estimate == (1000, 1001, 1005) and found.without_ground_truth == 0
    assert found.notes() == ["clip: 3 frames with ground truth, of 1000 to 1005, had no depth."]


def test_depth_that_is_replaced_meanwhile_is_not_measured(tmp_path):
    """Its record goes before its first map is replaced: no figure is of two estimates."""
    write_depth(tmp_path, {1000 + n: inverse(n) for n in range(2, 5)}, files=names(range(1000, 1006)))
    before, ground_truth = depth_sequence.load(tmp_path), truth_of(DEPTHS)

    def replaced(index):
        (tmp_path / "depth.json").unlink(missing_ok=True)
        write_map(tmp_path / disparity_name(1003), np.ones((12, 16)))
        return ground_truth.depth(index)

    found = compare(tmp_path, ground_truth)
    with pytest.raises(Failure, match="was replaced while it was measured"):
        compare(tmp_path, replace(ground_truth, read_depth=replaced))
    with pytest.raises(Failure, match="was replaced while it was measured"):
        found.disparity(2)  # as a report's figures are made
    depth_sequence.save(replace(before, estimator="another"), tmp_path)
    with pytest.raises(Failure, match="was replaced while it was measured"):
        compare(tmp_path, ground_truth, sequence=before)


def test_truth_for_some_images_only(tmp_path):
    """As KITTI's, whose first frames have none, and every second here."""
    ground_truth = replace(truth_of(DEPTHS[:3]), frame_numbers=(1, 3, 5))
    write_depth(tmp_path, {n: inverse(n // 2) if n % 2 else np.ones((12, 16)) for n in range(8)}, files=names(range(8)))
    found = compare(tmp_path, ground_truth)
    assert error(found) < 1e-6 and found.numbers == (1, 3, 5) and found.without_ground_truth == 5
    assert "5 frames of the estimate had no ground truth" in found.notes()[0]


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_file_that_the_truth_names_says_where_a_part_of_the_clip_begins(tmp_path, ending):
    """Images that were converted to another format are still the same frames."""
    ground_truth = replace(truth_of(DEPTHS), rgb_files=tuple(Path(f"set/{n:010d}.{ending}") for n in range(6)))
    write_depth(tmp_path, {n: inverse(n) for n in range(3, 6)}, files=[f"{n:010d}.png" for n in range(3, 6)])
    found = compare(tmp_path, ground_truth)
    assert error(found) < 1e-6 and found.origin == 0 and found.without_estimate == (0, 1, 2)


def test_each_shot_has_its_own_scale_or_the_clip_has_one(tmp_path):
    maps = {n: inverse(n) * (1 if n < 3 else 7) for n in range(6)}
    write_depth(tmp_path, maps, files=names(range(6)), shots=[(0, 2), (3, 5)])
    by_shot, by_clip = compare(tmp_path, truth_of(DEPTHS)), compare(tmp_path, truth_of(DEPTHS), FRAMES)
    assert len(by_shot.parts) == 2 and error(by_shot) < 1e-6
    assert len(by_clip.parts) == 1 and error(by_clip) > 0.1


def test_a_refused_shot_has_no_estimate(tmp_path):
    maps = {n: inverse(n) for n in range(3)}
    write_depth(tmp_path, maps, files=names(range(6)), shots=[(0, 2), (3, 5)], refused=[(3, 5)])
    by_shot, by_clip = compare(tmp_path, truth_of(DEPTHS)), compare(tmp_path, truth_of(DEPTHS), FRAMES)
    for found in (by_shot, by_clip):
        assert error(found) < 1e-6 and found.without_estimate == (3, 4, 5)
    assert by_clip.parts[0].scores.missing == (3, 4, 5)


def test_a_map_that_was_deleted_is_a_frame_without_an_estimate(tmp_path):
    write_depth(tmp_path, {n: inverse(n) for n in range(6)}, files=names(range(6)))
    (tmp_path / disparity_name(2)).unlink()
    found = compare(tmp_path, truth_of(DEPTHS))
    assert error(found) < 1e-6 and found.without_estimate == (2,) and found.without_ground_truth == 0
    assert found.notes() == ["clip: 1 frame with ground truth, number 2, had no depth."]
    for n in (0, 1, 3, 4, 5):
        (tmp_path / disparity_name(n)).unlink()
    with pytest.raises(MetricsError, match=r"none of the depth maps of its depth\.json, such as .*estimate"):
        compare(tmp_path, truth_of(DEPTHS))


def test_a_shot_without_anything_to_measure_leaves_the_others(tmp_path):
    """As one that shows nothing but sky."""
    depths = DEPTHS.copy()
    depths[3:] = 0
    write_depth(tmp_path, {n: inverse(n) for n in range(6)}, files=names(range(6)), shots=[(0, 2), (3, 5)])
    found = compare(tmp_path, truth_of(depths))
    assert [(part.first_frame, part.last_frame) for part in found.parts] == [(0, 2)] and error(found) < 1e-6
    assert found.notes() == [
        "clip: Frames 3-5 could not be measured: The ground truth of clip has no depth from 0.001 to 80.0 m; check its "
        "unit (millimeters)."
    ]
    with pytest.raises(MetricsError, match="has no depth from"):
        compare(tmp_path, truth_of(DEPTHS * 0))
    with pytest.raises(MetricsError, match="another aspect ratio"):  # that is no matter of one shot
        compare(tmp_path, truth_of(DEPTHS[:, :, :8]))


def test_a_protocols_frames_and_crop(tmp_path):
    protocol = replace(FRAMES, first=1, every=2, crop=Crop(top=2, left=4))
    write_depth(tmp_path / "whole", {n: inverse(n) for n in range(6)}, files=names(range(6)))
    whole = compare(tmp_path / "whole", truth_of(DEPTHS), protocol)
    assert whole.numbers == (1, 3, 5) and error(whole) < 1e-6 and whole.without_ground_truth == 3
    own = {place: inverse(n)[2:, 4:] for place, n in enumerate((1, 3, 5))}
    write_depth(tmp_path / "own", own, files=names(range(3)))
    prepared = compare(tmp_path / "own", truth_of(DEPTHS), protocol, prepared=True)
    assert prepared.numbers == (0, 1, 2) and error(prepared) < 1e-6
    assert prepared.values()["all"] == pytest.approx(whole.values()["all"])


def test_depth_of_a_suites_own_images_is_known_by_them(tmp_path):
    """They are counted from 0, whatever the clip's files are called."""
    (tmp_path / "set").mkdir()
    files = tuple(tmp_path / "set" / f"{n:05d}.png" for n in range(1, 7))
    for file in files:
        cv2.imwrite(str(file), np.zeros((12, 16, 3), np.uint8))
    ground_truth = replace(truth_of(DEPTHS), rgb_files=files)
    images = protocols.prepared_clip(ground_truth, PLAIN, tmp_path / "clip")
    own = [path.name for path in sorted(images.iterdir())]
    write_depth(tmp_path / "depth", {n: inverse(n) for n in range(6)}, files=own, source=images)
    assert error(compare(tmp_path / "depth", ground_truth)) < 1e-6
    with pytest.raises(MetricsError, match="the protocol plain measures; use that protocol"):
        compare(tmp_path / "depth", ground_truth, replace(FRAMES, name="depthcrafter"))


def test_everything_that_was_left_out_is_said(tmp_path):
    depths = DEPTHS.copy()
    depths[5] = 0
    maps = {n: inverse(n)[::2, ::2] for n in range(6)}
    maps[0][0, 0] = np.nan
    write_depth(tmp_path, maps, files=names(range(6)))
    said = " ".join(compare(tmp_path, truth_of(depths)).notes())
    assert "pixels with ground truth" in said and "had no finite estimate" in said
    assert "The ground truth of 1 frame has no valid pixel" in said
    assert "resized from 8 x 6 to the ground truth's 16 x 12 pixels" in said


def test_what_cannot_be_compared_is_a_sentence(tmp_path):
    write_depth(tmp_path, {n: np.ones((12, 16)) for n in (90, 91)}, files=names(range(80, 99)))
    with pytest.raises(MetricsError, match=r"the frames 90-91 and the ground truth the frames 80-85"):
        compare(tmp_path, truth_of(DEPTHS))
    with pytest.raises(DepthSequenceError):
        compare(tmp_path / "nothing", truth_of(DEPTHS))
