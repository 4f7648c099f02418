"""What is told before the work begins."""

import dataclasses

import pytest

from inference.common.failures import Failure
from inference.contract import depth_sequence, exit_codes, records, untrusted
from inference.contract.camera import Camera, Pose
from inference.contract.catalogue import MissingRequirement
from inference.estimators import registry, requirements
from inference.run import checks, runner


@pytest.mark.parametrize(("parameters", "told"), [({"device": "auto"}, 1), ({}, 1), ({"device": "cpu"}, 0)])
def test_a_card_that_lies_idle_is_told_unless_the_job_wants_the_processor(monkeypatch, parameters, told):
    monkeypatch.setattr(
        requirements, "notes", lambda info: [MissingRequirement(what="A GPU is idle.", hint="Wake it.", kind="device")]
    )
    heard = []
    checks.warn_of_idle_gpu(registry.info("depthcrafter"), parameters, heard.append)
    assert [event.message for event in heard] == ["A GPU is idle. Wake it."] * told


def test_versions_name_the_packages_of_the_full_set_that_took_part():
    info = registry.info("parallax")
    light = runner.versions([info])
    assert {"python", "fathom", "numpy"} <= light.keys() and "sortedcontainers" not in light
    more = runner.versions([dataclasses.replace(info, packages=("yaml", "sortedcontainers", "no_such_module"))])
    assert more.keys() - light.keys() <= {"pyyaml", "sortedcontainers"} and "sortedcontainers" in more


def test_frames_that_no_depth_sequence_holds_are_refused_before_the_work():
    with_camera, without = registry.info("parallax"), registry.info("quick")
    longest = depth_sequence.LONGEST_PATH
    checks.check_length(with_camera, 1001, 1000 + longest)
    checks.check_length(without, 0, 1_048_574)
    for info, last, words in (
        (with_camera, 1001 + longest, "more than the 50000 that a depth sequence with a camera path"),
        (without, 1_048_575, "beyond Blender's last frame, 1048574"),
    ):
        with pytest.raises(Failure, match=words) as caught:
            checks.check_length(info, 1001, last)
        assert caught.value.code == exit_codes.USAGE and "in parts" in str(caught.value)


IDENTITY = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))


def test_a_camera_that_cannot_be_the_clips_is_refused_before_the_work():
    camera = Camera.from_lens(35, 36, width=1920, height=1080)
    path = dataclasses.replace(camera, poses=(Pose(frame=7, camera_to_world=IDENTITY),))
    size = {"width": 960, "height": 540}
    for known in (None, camera, path):
        checks.check_camera(known, 1, 10, **size)
    for known, wanted, words in (
        (path, {**size, "width": 720}, "1920x1080, which have another aspect than the clip, 720x540"),
        (dataclasses.replace(path, width=1280), size, "another aspect"),
    ):
        with pytest.raises(Failure, match=words):
            checks.check_camera(known, 1, 10, **wanted)
    with pytest.raises(Failure, match="has poses of the frames 7-7 and none of the frames 1001-1010"):
        checks.check_camera(path, 1001, 1010, **size)


def test_an_estimator_that_does_not_use_the_poses_says_so():
    camera = Camera.from_lens(35, 36, width=1920, height=1080)
    path = dataclasses.replace(camera, poses=(Pose(frame=7, camera_to_world=IDENTITY),))
    said = []
    for name, known in (("quick", camera), ("parallax", path), ("quick", None)):
        checks.warn_of_unused_camera(registry.info(name), known, said.append)
    assert not said
    checks.warn_of_unused_camera(registry.info("quick"), path, said.append)
    assert said[0].message.startswith("Quick does not use the camera's poses")


def test_the_longest_camera_path_is_read_again():
    turned = 0.7071067811865476  # as many digits as numbers have
    far = -123.45678901234567
    rows = ((turned, 0.0, turned, far), (0.0, 1.0, 0.0, far), (-turned, 0.0, turned, far), (0.0, 0.0, 0.0, 1.0))
    pose = Pose(
        frame=1_000_000,
        camera_to_world=rows,
        focal_length=1234.5678901234567,
        principal_point=(959.56789012345678,) * 2,
    )
    text = records.dumps(pose)
    bytes_of_pose = len(text) + 10 * text.count("\n") + 40  # deeper in its file, and other digits
    assert depth_sequence.LONGEST_PATH * bytes_of_pose < untrusted.LARGEST_FILE
    document = f'{{"poses": [{",".join([records.dumps(pose, indent=None)] * depth_sequence.LONGEST_PATH)}]}}'
    assert len(records.parse(document, where="poses")["poses"]) == depth_sequence.LONGEST_PATH
