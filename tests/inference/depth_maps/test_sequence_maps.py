"""An existing depth sequence that another estimate starts from: what is read of it, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.common.failures import ClipError, Failure, UnsupportedShot
from inference.contract import depth_sequence, exit_codes
from inference.contract.camera import Camera, Pose
from inference.contract.depth_sequence import DepthSequence, Range, confidence_name, disparity_name
from inference.contract.job import Source
from inference.depth_maps import sequence_maps
from inference.media.exr import write_map

FRAMES = range(11, 17)


def opened(folder, numbers):
    """Its maps, as an estimator opens them."""
    return sequence_maps.SequenceMaps(folder, numbers, named_by="stage1_from")


WIDTH, HEIGHT = 8, 6


def maps(number):
    """Disparity and confidence of a frame."""
    rng = np.random.default_rng(number)
    return rng.uniform(0.5, 2, (HEIGHT, WIDTH)).astype(np.float32), rng.uniform(0, 1, (HEIGHT, WIDTH)).astype("f4")


def _pose(number):
    rows = np.eye(4)
    rows[0, 3] = number
    return Pose(frame=number, camera_to_world=tuple(map(tuple, rows.tolist())))


def camera(numbers=FRAMES):
    return Camera(
        width=80,
        height=60,
        focal_length=70.0,
        principal_point=(39.5, 29.5),
        poses=tuple(_pose(number) for number in numbers),
    )


def made(folder, *, shots=None, with_maps=FRAMES, confidence="how sure it is", quantity="inverse_depth"):
    """A depth sequence in a folder."""
    Path(folder).mkdir(exist_ok=True)
    for number in with_maps:
        disparity, sure = maps(number)
        write_map(folder / disparity_name(number), disparity)
        write_map(folder / confidence_name(number), sure)
    sequence = DepthSequence(
        source=Source(path=str(folder / "plate.mp4"), kind="movie"),
        first_frame=FRAMES[0],
        last_frame=FRAMES[-1],
        width=WIDTH,
        height=HEIGHT,
        quantity=quantity,
        shots=shots or (shot(),),
        estimator="another",
        fingerprint="f",
        confidence=confidence,
    )
    depth_sequence.save(sequence, folder)
    return folder


def shot(first=FRAMES[0], last=FRAMES[-1], **changed):
    facts = {
        "first_frame": first,
        "last_frame": last,
        "status": "done",
        "range": Range(minimum=0.5, maximum=2.0, p1=0.5, p99=2.0),
        "camera": camera(range(first, last + 1)),
    }
    return depth_sequence.Shot(**facts | changed)


def test_maps_confidence_and_camera_are_the_sequence_s(tmp_path):
    prior = opened(made(tmp_path), range(12, 15))
    assert prior.size == (WIDTH, HEIGHT) and prior.has_confidence
    for index in (2, 0, 2):
        disparity, sure = maps(12 + index)
        np.testing.assert_array_equal(prior.disparity(index), disparity)
        np.testing.assert_array_equal(prior.confidence(index), sure)
    found = prior.camera
    assert (found.width, found.height, found.focal_length) == (WIDTH, HEIGHT, 7.0)
    assert [pose.frame for pose in found.poses] == [12, 13, 14]


def test_the_sidecar_may_be_named_itself(tmp_path):
    prior = opened(made(tmp_path) / depth_sequence.SIDECAR, FRAMES)
    np.testing.assert_array_equal(prior.disparity(0), maps(11)[0])


def test_what_a_sequence_does_not_have_is_not_made_up(tmp_path):
    folder = made(tmp_path, confidence=None, shots=(shot(camera=None),))
    for number in FRAMES:
        (folder / confidence_name(number)).unlink()
    prior = opened(folder, FRAMES)
    assert prior.camera is None and not prior.has_confidence
    lens_only = opened(made(tmp_path, shots=(shot(camera=camera(())),)), FRAMES)
    assert lens_only.camera is None


def test_holes_are_filled_and_infinity_is_far_away(tmp_path):
    folder = made(tmp_path)
    values = np.full((HEIGHT, WIDTH), 1.5, np.float32)
    values[0, 0], values[3], values[5, 3] = np.nan, 0.0, -0.1
    write_map(folder / disparity_name(11), values)
    prior = opened(folder, FRAMES)
    found = prior.disparity(0)
    assert found[0, 0] == 1.5 and prior.confidence(0)[0, 0] == 0 < prior.confidence(0)[0, 1]
    np.testing.assert_allclose(found[3], 2e-4)
    assert found.min() > 0
    relative = opened(made(tmp_path / "relative", quantity="relative_disparity"), FRAMES)
    write_map(tmp_path / "relative" / disparity_name(11), values)
    assert relative.disparity(0).min() == np.float32(-0.1)


@pytest.mark.parametrize(("p99", "farthest"), [(2.0, 2e-4), (0.0, 100.0)])
def test_a_wild_point_does_not_bring_infinity_near(tmp_path, p99, farthest):
    folder = made(tmp_path, shots=(shot(range=Range(minimum=0, maximum=1e6, p1=0, p99=p99)),))
    write_map(folder / disparity_name(11), np.zeros((HEIGHT, WIDTH), np.float32))
    np.testing.assert_allclose(opened(folder, FRAMES).disparity(0), farthest, rtol=1e-6)


@pytest.mark.parametrize(
    ("facts", "numbers", "said"),
    [
        ({}, range(9, 14), "has depth of frames 11 to 16 only, not of all frames 9 to 13"),
        ({}, range(14, 18), "11 to 16 only"),
        ({"shots": (shot(11, 13), shot(14, 16))}, range(12, 16), "ends at frame 13, within frames 12 to 15"),
        (
            {"shots": (shot(status="refused", reason="It shook too much.", range=None, camera=None),)},
            range(12, 14),
            r"its estimator does not support that shot \(It shook too much\)\.",
        ),
        (
            {"shots": (shot(range=Range(minimum=-1, maximum=0, p1=-1, p99=0)),)},
            range(11, 14),
            "no finite distance in frames 11 to 16",
        ),
    ],
    ids=["before", "after", "cut", "refused", "infinite"],
)
def test_what_does_not_fit_is_named_in_a_sentence(tmp_path, facts, numbers, said):
    with pytest.raises(UnsupportedShot, match=said) as caught:
        opened(made(tmp_path, **facts), numbers)
    assert str(tmp_path) in caught.value.reason and caught.value.hint.endswith(".")


def test_a_folder_without_a_depth_sequence_is_named(tmp_path):
    with pytest.raises(Failure, match=rf"\[\[stage1_from\]\] names no depth sequence.*{tmp_path.name}") as caught:
        opened(tmp_path, FRAMES)
    assert caught.value.code == exit_codes.USAGE


def test_a_camera_without_a_pose_for_every_frame_is_no_part_of_a_depth_sequence(tmp_path):
    with pytest.raises(Failure, match="poses for other frames than its own 11-16"):
        opened(made(tmp_path, shots=(shot(camera=camera(range(11, 13))),)), range(11, 14))


def test_maps_that_are_missing_are_named_and_no_verdict_on_the_shot(tmp_path):
    with pytest.raises(ClipError, match=r"disparity\.0014\.exr is missing"):
        opened(made(tmp_path, with_maps=range(11, 14)), range(12, 16))


def test_damaged_maps_are_named(tmp_path):
    folder = made(tmp_path)
    write_map(folder / disparity_name(11), np.full((HEIGHT, WIDTH), np.nan, np.float32))
    write_map(folder / disparity_name(12), np.ones((3, 4), np.float32))
    prior = opened(folder, FRAMES)
    with pytest.raises(ClipError, match=r"frame 11 .* no finite depth"):
        prior.disparity(0)
    with pytest.raises(ClipError, match=r"disparity\.0012\.exr is 4x3 pixels and not 8x6"):
        prior.disparity(1)


def test_values_that_no_float_can_be_reckoned_with_are_holes(tmp_path):
    folder = made(tmp_path)
    values = np.full((HEIGHT, WIDTH), 1.5, np.float32)
    values[1, 2], values[2, 3] = 3e38, -3e38
    write_map(folder / disparity_name(11), values)
    prior = opened(folder, FRAMES)
    assert (prior.disparity(0) == 1.5).all()
    assert prior.confidence(0)[1, 2] == 0


def test_images_of_another_aspect_are_refused(tmp_path):
    prior = opened(made(tmp_path), FRAMES)
    prior.check_aspect(640, 478)
    with pytest.raises(UnsupportedShot, match="another aspect"):
        prior.check_aspect(480, 640)


def test_shots_of_the_sequence_may_be_cut_further(tmp_path):
    prior = opened(made(tmp_path, shots=(shot(11, 13), replace(shot(14, 16)))), range(14, 17))
    assert [pose.frame for pose in prior.camera.poses] == [14, 15, 16]
