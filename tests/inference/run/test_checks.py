"""What is told before the work begins."""

import dataclasses

import pytest

from inference.common.failures import Failure
from inference.contract import depth_sequence, exit_codes, records, untrusted
from inference.contract.camera import Pose
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
    light = runner._versions([info])
    assert {"python", "fathom", "numpy"} <= light.keys() and "sortedcontainers" not in light
    more = runner._versions([dataclasses.replace(info, packages=("yaml", "sortedcontainers", "no_such_module"))])
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


def test_the_longest_camera_path_is_read_again():
    turned = 0.7071067811865476  # as many digits as numbers have
    far = -123.45678901234567
    rows = ((turned, 0.0, turned, far), (0.0, 1.0, 0.0, far), (-turned, 0.0, turned, far), (0.0, 0.0, 0.0, 1.0))
    pose = Pose(frame=1_000_000, camera_to_world=rows)
    text = records.dumps(pose)
    bytes_of_pose = len(text) + 10 * text.count("\n") + 40  # deeper in its file, and other digits
    assert depth_sequence.LONGEST_PATH * bytes_of_pose < untrusted.LARGEST_FILE
    document = f'{{"poses": [{",".join([records.dumps(pose, indent=None)] * depth_sequence.LONGEST_PATH)}]}}'
    assert len(records.parse(document, where="poses")["poses"]) == depth_sequence.LONGEST_PATH
