"""The whole way as processes: weights from a stand-in for the hub, a clip in, killed, resumed, depth out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.contract import exit_codes
from inference.contract.depth_sequence import load
from inference.media.exr import read_map
from inference.video_diffusion.weights import DEPTHCRAFTER, SVD
from tests.inference.support import tiny_models
from tests.inference.support.hub import Hub
from tests.marks import rest_slow

ROOT = Path(__file__).parents[4]
QUICK = ("--parameter", "steps=2", "--parameter", "decode_chunk=4")
SEGMENTS = (*QUICK, "--parameter", "window=6", "--parameter", "overlap=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data folder whose weights were downloaded through the hub's protocol."""
    folder = tmp_path_factory.mktemp("home")
    with Hub(tiny_models.write(tmp_path_factory.mktemp("hub"))) as hub:
        accept = [word for model in (DEPTHCRAFTER, SVD) for word in ("--accept-license", model.licence.name)]
        command = [sys.executable, "-m", "inference", "models", "download", "depthcrafter", "svd-xt", *accept]
        environment = {**os.environ, "FATHOM_HOME": str(folder), "HF_ENDPOINT": hub.endpoint}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return str(folder)


@pytest.fixture
def crafter(network_worker, home):
    """The worker, with weights and without a hub."""
    network_worker.environment["FATHOM_HOME"] = home
    return lambda clip, output, *more, **options: network_worker(
        "estimate", clip, "--output", output, "--estimator", "depthcrafter", *more, **options
    )


@pytest.mark.slow
def test_a_clip_becomes_a_depth_sequence(crafter, clip, tmp_path, helpers):
    done = crafter(clip, tmp_path / "depth", *SEGMENTS, "--events")
    assert done.returncode == 0, done.stdout + done.stderr
    sequence = load(tmp_path / "depth")
    assert (sequence.quantity, sequence.estimator, sequence.width, sequence.height) == (
        "relative_disparity",
        "depthcrafter",
        64,
        48,
    )
    assert sequence.parameters["window"] == 6 and sequence.versions["torch"] and sequence.versions["diffusers"]
    assert {w.repository for w in sequence.weights} == {DEPTHCRAFTER.repository, SVD.repository}
    assert {w.licence for w in sequence.weights} == {DEPTHCRAFTER.licence.title, SVD.licence.title}
    assert all(len(w.sha256) == 64 for w in sequence.weights)
    maps = np.stack([read_map(tmp_path / "depth" / f"disparity.{n}.exr") for n in range(1001, 1013)])
    assert maps.shape == (12, 48, 64) and maps.min() >= 0 and maps.max() <= 1 and maps.std() > 0.01
    told = helpers.events_of(done.stdout)
    labels = {event["label"] for event in told if event["event"] == "stage"}
    assert {"Denoising window 1 of 3", "Denoising window 3 of 3"} <= labels
    # the first frames are final, and written, before the last window is begun
    kinds = [(event["event"], event.get("label") or event.get("number")) for event in told]
    assert kinds.index(("frame", 1001)) < kinds.index(("stage", "Denoising window 3 of 3"))


@pytest.mark.slow
@pytest.mark.parametrize("after", [1004, 1008])  # a window is still to be denoised after each
def test_a_killed_run_goes_on_to_the_same_bits(crafter, network_worker, clip, tmp_path, helpers, after):
    assert crafter(clip, tmp_path / "whole", *SEGMENTS).returncode == 0
    cut = tmp_path / "cut"
    for _ in range(5):  # where this process has to wait for its turn, the run may come to its end before the kill
        process = network_worker.fork("estimate", clip, "--output", cut, "--estimator", "depthcrafter", *SEGMENTS)
        helpers.wait_for(lambda: (cut / f"disparity.{after}.exr").exists() or process.poll() is not None, "a map")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if not (cut / "depth.json").exists():
            break
        shutil.rmtree(cut)
    before = {path.name: path.stat().st_mtime_ns for path in cut.glob("*.exr")}
    assert 0 < len(before) < 12
    assert crafter(clip, cut, *SEGMENTS).returncode == 0
    assert helpers.contents(cut) == helpers.contents(tmp_path / "whole")
    assert all((cut / name).stat().st_mtime_ns == time for name, time in before.items())


@pytest.mark.slow
def test_maps_reach_the_plate_s_size(crafter, tmp_path, helpers):
    clip = helpers.write_clip(_made(tmp_path / "clip"), range(1, 4), size=(150, 90))
    assert crafter(clip, tmp_path / "depth", *QUICK, "--size", "64", "--full-size").returncode == 0
    sequence = load(tmp_path / "depth")
    assert (sequence.width, sequence.height) == (150, 90)
    assert read_map(tmp_path / "depth" / "disparity.0002.exr").shape == (90, 150)


@pytest.mark.slow
def test_one_frame_is_a_clip(crafter, clip, tmp_path):
    assert crafter(clip, tmp_path / "depth", *QUICK, "--frames", "1005").returncode == 0
    assert [path.name for path in (tmp_path / "depth").glob("*.exr")] == ["disparity.1005.exr"]


@pytest.mark.slow
def test_shots_are_estimated_apart(crafter, cut_clip, tmp_path):
    assert crafter(cut_clip, tmp_path / "depth", "--parameter", "steps=1").returncode == 0
    assert [(s.first_frame, s.last_frame) for s in load(tmp_path / "depth").shots] == [(1, 15), (16, 30)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    rest_slow(
        [
            (("window=10", "overlap=10"), exit_codes.USAGE, "smaller than the window (10 frames)"),
            (("window=20",), exit_codes.USAGE, "overlap (25 frames)"),
            (("steps=0",), exit_codes.USAGE, "steps"),
            (("device=cuda",), exit_codes.MISSING, "CUDA"),
        ],
        rows=True,
    ),
)
def test_settings_that_make_no_sense_are_refused_in_a_sentence(crafter, clip, tmp_path, arguments, code, said):
    words = [word for argument in arguments for word in ("--parameter", argument)]
    done = crafter(clip, tmp_path / "depth", *words)
    assert done.returncode == code and said in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_weights_are_told_with_the_command(worker, clip, tmp_path):
    worker.environment["FATHOM_HOME"] = str(tmp_path / "empty")
    done = worker("estimate", clip, "--output", tmp_path / "depth", "--estimator", "depthcrafter")
    assert done.returncode == exit_codes.MISSING
    assert "models download depthcrafter" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "depth").exists()


@pytest.mark.slow(seconds=30)
@pytest.mark.parametrize(
    ("count", "window", "overlap", "segments", "after"), [(195, 110, 25, 2, 70), (60, 24, 6, 3, 22)]
)
def test_real_footage_in_windows(
    crafter, network_worker, footage, tmp_path, helpers, count, window, overlap, segments, after
):
    clip = footage / "clips" / "tokyo-walk.mp4"
    windows = ("--parameter", f"window={window}", "--parameter", f"overlap={overlap}")
    arguments = ("--size", "64", "--frames", f"1-{count}", *windows, "--events")
    written = f"disparity.{after:04d}.exr"
    done = crafter(clip, tmp_path / "whole", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    labels = [event["label"] for event in helpers.events_of(done.stdout) if event["event"] == "stage"]
    assert f"Denoising window {segments} of {segments}" in labels
    cut = tmp_path / "cut"
    process = network_worker.fork("estimate", clip, "--output", cut, "--estimator", "depthcrafter", *arguments)
    helpers.wait_for(lambda: (cut / written).exists() or process.poll() is not None, "a map", 240)
    process.kill()
    process.wait()
    assert (cut / written).exists() and not (cut / "depth.json").exists()
    assert crafter(clip, cut, *arguments).returncode == 0
    whole, resumed = (helpers.contents(folder) for folder in (tmp_path / "whole", cut))
    assert len(whole) == count + 1 and {**resumed, "depth.json": 0} == {**whole, "depth.json": 0}
    facts = [json.loads(contents["depth.json"]) for contents in (whole, resumed)]
    assert facts[0]["shots"] == facts[1]["shots"]


def _made(folder):
    folder.mkdir()
    return folder
