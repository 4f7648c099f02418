"""The published protocols: which clips, which frames, which pixels."""

from dataclasses import replace

import numpy as np
import pytest
from ground_truth_maker import truth_of

from inference.evaluation.accuracy.metrics import frame_scores
from inference.evaluation.datasets import protocols
from inference.evaluation.datasets.ground_truth import GroundTruthError
from inference.evaluation.datasets.protocols import Crop, Protocol, applied, chosen


def ramp(count, height=4, width=6):
    return np.arange(1, count + 1).reshape(-1, 1, 1) * np.ones((height, width))


def numbers(ground_truth):
    return list(ground_truth.frame_numbers)


@pytest.mark.parametrize(
    ("layout", "length", "frames", "farthest"),
    [
        ("sintel", 60, list(range(50)), 70),
        ("sintel", 20, list(range(20)), 70),
        ("scannet", 400, list(range(0, 270, 3)), 10),
        ("kitti", 300, list(range(110)), 80),
        ("bonn", 400, list(range(30, 140)), 10),
        ("nyu", 1, [0], 10),
        ("folder", 7, list(range(7)), 80),
    ],
)
def test_depthcrafters_frames_and_caps(layout, length, frames, farthest):
    protocol = protocols.of("depthcrafter", layout)
    assert (
        numbers(applied(truth_of(ramp(length, 480, 640) if length == 1 else ramp(length, 20, 30)), protocol)) == frames
    )
    assert (protocol.nearest, protocol.farthest) == (1e-3, farthest)
    assert (protocol.average, protocol.align, protocol.resize) == ("frames", "clip", "linear")


@pytest.mark.parametrize(
    ("layout", "size", "left"),
    [
        ("scannet", (480, 640), (slice(8, 472), slice(11, 629))),
        ("nyu", (480, 640), (slice(45, 471), slice(41, 601))),
        ("kitti", (375, 1242), (slice(0, 374), slice(0, 1242))),
        ("kitti", (376, 1241), (slice(0, 376), slice(0, 1240))),
        ("bonn", (480, 640), (slice(0, 480), slice(0, 640))),
    ],
)
def test_depthcrafters_crops(layout, size, left):
    assert protocols.of("depthcrafter", layout).crop.part(*size) == left


@pytest.mark.parametrize("layout", protocols.LAYOUTS)
def test_stereodiff_takes_whole_clips(layout):
    protocol = protocols.of("stereodiff", layout)
    assert numbers(applied(truth_of(ramp(400, 2, 3)), protocol)) == list(range(400))
    assert protocol.crop is None and protocol.resize == "nearest" and protocol.average == "frames"


@pytest.mark.parametrize("name", protocols.NAMES)
def test_every_protocol_knows_every_layout(name):
    assert all(protocols.of(name, layout).name == name for layout in protocols.LAYOUTS)


def named(*names):
    return [truth_of(ramp(1), name=name) for name in names]


def test_clips_are_those_of_the_protocol():
    bonn = protocols.of("depthcrafter", "bonn")
    there, missing = chosen(named("rgbd_bonn_balloon", "rgbd_bonn_balloon2", "rgbd_bonn_crowd2"), bonn)
    assert [clip.name for clip in there] == ["rgbd_bonn_balloon2", "rgbd_bonn_crowd2"]
    assert missing == ["rgbd_bonn_crowd3", "rgbd_bonn_person_tracking", "rgbd_bonn_synchronous"]
    assert len(chosen(named(*"abc"), protocols.of("depthcrafter", "kitti"))[0]) == 3
    hundred = chosen(named(*(f"scene{i:04d}_00" for i in range(120))), protocols.of("depthcrafter", "scannet"))[0]
    assert len(hundred) == 100 and hundred[-1].name == "scene0099_00"


def test_a_single_clip_was_meant_whatever_its_name():
    assert [clip.name for clip in chosen(named("mine"), protocols.of("depthcrafter", "bonn"))[0]] == ["mine"]
    with pytest.raises(GroundTruthError, match="All clips of the protocol depthcrafter are missing"):
        chosen(named("mine", "yours"), protocols.of("depthcrafter", "bonn"))


def test_everything_of_a_clip_is_cropped_alike():
    depth = np.arange(48.0).reshape(1, 6, 8) + 1
    flow, image = np.dstack([depth[0], -depth[0]]), np.dstack([depth[0]] * 3).astype(np.uint8)
    ground_truth = replace(
        truth_of(depth, moving=depth > 20),
        read_flow=lambda i: flow,
        read_image=lambda i: image,
        matrix=np.array([[50.0, 0, 3.5], [0, 50, 2.5], [0, 0, 1]]),
    )
    cut = applied(ground_truth, Protocol(crop=Crop(top=1, bottom=2, left=3, right=1)))
    expected = depth[0, 1:4, 3:7]
    np.testing.assert_array_equal(cut.depth(0), expected)
    np.testing.assert_array_equal(cut.moving(0), expected > 20)
    np.testing.assert_array_equal(cut.flow(0)[..., 0], expected)
    np.testing.assert_array_equal(cut.image(0)[..., 1], expected)
    np.testing.assert_array_equal(cut.matrix[:2, 2], [0.5, 1.5])  # a pixel keeps its ray


def test_images_of_another_size_are_brought_to_the_depths_before_the_crop():
    ground_truth = replace(truth_of(ramp(1, 6, 8)), read_image=lambda i: np.zeros((12, 16, 3), np.uint8))
    assert applied(ground_truth, Protocol(crop=Crop(left=2))).image(0).shape == (6, 6, 3)


def test_a_disparity_of_the_whole_image_is_measured_in_its_part():
    depth = 2 + np.random.default_rng(0).random((1, 12, 16)).astype(np.float32)
    ground_truth, protocol = truth_of(depth), Protocol(crop=Crop(top=2, left=4))
    whole = 1 / depth[0].astype(np.float64)
    part = protocols.of_whole_image(whole, (12, 16), protocol)
    assert part.shape == (10, 12)
    assert frame_scores(lambda i: part, applied(ground_truth, protocol), protocol).values["all"]["delta1"][0] == 1


def test_what_is_too_short_or_too_small_is_refused():
    with pytest.raises(
        GroundTruthError, match=r"clip has 20 frames with ground truth and the protocol depthcrafter begins at .* 30"
    ):
        applied(truth_of(ramp(20)), protocols.of("depthcrafter", "bonn"))
    with pytest.raises(GroundTruthError, match="Nothing is left of an image of 6 x 4 pixels"):
        applied(truth_of(ramp(1)), protocols.of("depthcrafter", "nyu")).depth(0)
