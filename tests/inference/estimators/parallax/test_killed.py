"""The command line with parallax, killed at random moments and started again, or cancelled at any."""

import json
import os
import random
import signal
import time

import cv2
import pytest

from tests.marks import rest_slow


@pytest.fixture
def clip(scene, tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for index, image in enumerate(scene.first(12).images, start=1):
        cv2.imwrite(str(folder / f"plate.{index:04d}.png"), image[..., ::-1])
    return folder


@pytest.mark.slow(seconds=40)
def test_runs_that_are_killed_end_in_the_same_bits(worker, clip, tmp_path, helpers):
    def arguments(output):
        return "estimate", clip, "--output", output

    began = time.monotonic()
    done = worker(*arguments(tmp_path / "whole"))
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    moments, killed = random.Random(3), tmp_path / "killed"
    for _attempt in range(3):
        process = worker.fork(*arguments(killed))
        time.sleep(moments.uniform(0.15, 0.6) * took)
        process.kill()
        process.communicate()
        if (killed / "depth.json").exists():
            break
    last = worker(*arguments(killed))
    assert last.returncode == 0 or "the same job" in last.stderr, last.stderr
    assert helpers.contents(killed) == helpers.contents(tmp_path / "whole")


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("label", rest_slow(["Solving the camera", "Tracking points", "Matching neighboring frames"]))
@pytest.mark.parametrize("whom", ["the worker", pytest.param("its whole group", marks=pytest.mark.slow)])
def test_a_termination_is_a_cancel_at_any_stage(worker, clip, tmp_path, label, whom):
    out, log = tmp_path / "out", tmp_path / "log.txt"
    with open(log, "w") as stderr:
        process = worker.start("estimate", clip, "--output", out, "--events", stderr=stderr, start_new_session=True)
        for line in process.stdout:
            if label in line:
                break
        time.sleep(0.2)
        (os.kill if whom == "the worker" else os.killpg)(process.pid, signal.SIGTERM)
        lines = process.stdout.read().splitlines()
        assert process.wait(60) == 130
    assert json.loads(lines[-1])["code"] == 130
    assert not (out / ".fathom" / "lock").exists() and not (out / "depth.json").exists()
    assert "PC:" not in log.read_text() and "@ " not in log.read_text(), "no addresses"
