"""The command line with parallax, killed at random moments and started again."""

import random
import time

import cv2


def test_runs_that_are_killed_end_in_the_same_bits(worker, scene, tmp_path, helpers):
    clip = tmp_path / "clip"
    clip.mkdir()
    for index, picture in enumerate(scene.pictures, start=1):
        cv2.imwrite(str(clip / f"plate.{index:04d}.png"), picture[..., ::-1])

    def arguments(output):
        return "estimate", clip, "--output", output

    began = time.monotonic()
    done = worker(*arguments(tmp_path / "whole"))
    took = time.monotonic() - began  # some of it to compile what the others only read
    assert done.returncode == 0, done.stderr
    moments, killed = random.Random(3), tmp_path / "killed"
    for _attempt in range(3):
        process = worker.start(*arguments(killed))
        time.sleep(moments.uniform(0.15, 0.6) * took)
        process.kill()
        process.communicate()
        if (killed / "depth.json").exists():
            break
    last = worker(*arguments(killed))
    assert last.returncode == 0 or "this very job" in last.stderr, last.stderr
    assert helpers.contents(killed) == helpers.contents(tmp_path / "whole")
