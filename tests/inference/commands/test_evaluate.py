"""The verb that compares with the truth."""

import json

import cv2
import numpy as np
import pytest

from inference import depth_sequence, exit_codes
from inference.depth_sequence import DepthSequence, Range, Shot, disparity_name
from inference.job import Source
from inference.media.exr import write_map


@pytest.fixture
def folders(tmp_path):
    """Truth of four frames of a slanted wall before a still camera, and its exact inverse as an estimate."""
    truth, depth = tmp_path / "truth", tmp_path / "depth"
    (truth / "depth").mkdir(parents=True)
    depth.mkdir()
    z = 1.0 + np.mgrid[:24, :32][1] / 8
    pose = np.eye(4).tolist()
    camera = {"width": 32, "height": 24, "fx": 30.0, "fy": 30.0, "cx": 15.5, "cy": 11.5, "fps": 24}
    frames = [{"frame": index, "c2w_opencv": pose} for index in range(4)]
    (truth / "camera.json").write_text(json.dumps({**camera, "frames": frames}))
    for index in range(4):
        cv2.imwrite(str(truth / "depth" / f"{index:05d}.png"), np.round(z * 1000).astype(np.uint16))
    for number in (1002, 1003):
        write_map(depth / disparity_name(number), 3 / z + 0.5)
    spread = Range(minimum=0.0, maximum=4.0, p1=0.1, p99=3.9)
    names = tuple(f"plate.{number}.png" for number in range(1001, 1005))
    sequence = DepthSequence(
        source=Source(kind="sequence", path=str(tmp_path), files=names),
        first_frame=1002,
        last_frame=1003,
        width=32,
        height=24,
        quantity="relative_disparity",
        shots=(Shot(first_frame=1002, last_frame=1003, status="done", range=spread),),
        estimator="e",
        fingerprint="f",
    )
    depth_sequence.save(sequence, depth)
    return depth, truth


def test_an_exact_estimate_scores_as_one(worker, folders):
    depth, truth = folders
    done = worker("evaluate", depth, "--truth", truth)
    assert done.returncode == 0, done.stderr
    head, row = done.stdout.splitlines()
    assert head.split() == ["frames", "AbsRel", "delta1", "flicker"]
    assert row.split()[0] == "1002-1003"
    absolute_relative, delta1, flicker = map(float, row.split()[1:])
    assert absolute_relative < 0.001 and delta1 == 1.0 and flicker < 0.001


def test_a_wrong_estimate_scores_worse_and_json_has_every_number(worker, folders):
    depth, truth = folders
    write_map(depth / disparity_name(1003), np.random.default_rng(0).random((24, 32)) + 1)
    (facts,) = json.loads(worker("evaluate", depth, "--truth", truth, "--json").stdout)
    assert facts["first_frame"] == 1002 and facts["frames"] == 2
    assert facts["absolute_relative"] > 0.05 and facts["delta1"] < 1 and facts["flicker"] > 0.05


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda depth, truth: (depth / "depth.json").unlink(), exit_codes.USAGE, "no finished depth sequence"),
        (lambda depth, truth: (depth / "disparity.1003.exr").unlink(), exit_codes.BAD_CLIP, "disparity.1003.exr"),
        (lambda depth, truth: (truth / "camera.json").unlink(), exit_codes.USAGE, "camera.json"),
        (lambda depth, truth: _shorten(truth), exit_codes.USAGE, "The truth has 2 frames"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(worker, folders, spoil, code, words):
    spoil(*folders)
    done = worker("evaluate", folders[0], "--truth", folders[1])
    assert done.returncode == code
    assert words in done.stderr and "Traceback" not in done.stderr


def _shorten(truth):
    facts = json.loads((truth / "camera.json").read_text())
    (truth / "camera.json").write_text(json.dumps({**facts, "frames": facts["frames"][:2]}))
    for index in (2, 3):
        (truth / "depth" / f"{index:05d}.png").unlink()
