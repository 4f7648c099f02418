"""The whole way as processes: tiny weights from a stand-in for the hub, a clip in, killed in both stages, depth out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.contract import depth_sequence, exit_codes
from inference.contract.camera import Camera, Pose
from inference.contract.depth_sequence import DepthSequence, Range, Shot, confidence_name, disparity_name, load
from inference.contract.job import Source
from inference.estimators.stereodiff.settings import MONST3R
from inference.media.exr import read_map, write_map
from inference.video_diffusion.weights import DEPTHCRAFTER, SVD
from tests.inference.support import tiny_models
from tests.inference.support.hub import Hub

ROOT = Path(__file__).parents[4]
WINDOWS = ("--parameter", "window=6", "--parameter", "overlap=2", "--parameter", "decode_chunk=4")
MANY_PAIRS = ("--parameter", "reach=4")  # so that there is time to be killed among them
NUMBERS = range(1001, 1013)


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Data folders whose weights were downloaded through the hub's protocol: all, stage 1's, stage 2's."""
    wanted = {"all": (MONST3R, DEPTHCRAFTER, SVD), "matching": (MONST3R,), "refining": (DEPTHCRAFTER, SVD)}
    found = {}
    hub_folder = tiny_models.write(tmp_path_factory.mktemp("hub"))
    with Hub(hub_folder) as hub:
        for name, models in wanted.items():
            found[name] = str(tmp_path_factory.mktemp(name))
            command = [sys.executable, "-m", "inference", "models", "download", *(model.name for model in models)]
            for model in models:
                command += ["--accept-license", model.licence.name]
            if MONST3R in models:
                command += ["--revision", f"{MONST3R.name}={'5' * 40}"]
            environment = {**os.environ, "FATHOM_HOME": found[name], "HF_ENDPOINT": hub.endpoint}
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return found


@pytest.fixture
def diff(network_worker, homes):
    """``diff(clip, output, ...)`` runs the estimator, with the weights that `diff.home` names and without a hub."""

    def run(clip, output, *more, **options):
        return network_worker(*run.arguments(clip, output, *more), **options)

    def use(home):
        network_worker.environment["FATHOM_HOME"] = homes[home]

    run.arguments = lambda clip, output, *more: (
        "estimate", clip, "--output", output, "--estimator", "stereodiff", *more
    )  # fmt: skip
    run.use = use
    use("all")
    return run


def _pairs_done(output):
    """Lines of stage 1's notes, while it is under way."""
    notes = next(iter(output.glob(".fathom/shot.*/stage1/pairs/scores.jsonl")), None)
    done = next(iter(output.glob(".fathom/shot.*/stage1/frames.json")), None)
    return 0 if notes is None or done else len(notes.read_text().splitlines())


def _killed(worker, helpers, arguments, output, reached):
    """Start a run, and kill it once `reached` is true; whether that was before its end."""
    process = worker.fork(*arguments)
    helpers.wait_for(lambda: reached() or process.poll() is not None, "the moment to kill", 240)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return not (output / "depth.json").exists()


def _killed_in_both_stages(worker, helpers, arguments, output, after):
    """Leave a run that was killed among its pairs, went on, and was killed once the frame `after` was written."""
    for _ in range(5):  # where this process has to wait for its turn, the run may have gone on before the kill
        _killed(worker, helpers, arguments, output, lambda: _pairs_done(output))
        pairs = _pairs_done(output)
        assert not pairs or not list(output.glob("*.exr"))
        if pairs and _killed(worker, helpers, arguments, output, (output / disparity_name(after)).exists):
            return
        shutil.rmtree(output)
    pytest.fail("no run could be killed in time")


@pytest.mark.slow(seconds=40)
def test_a_clip_becomes_depth_confidence_and_camera(diff, network_worker, clip, tmp_path, helpers):
    more = (*WINDOWS, *MANY_PAIRS)
    done = diff(clip, tmp_path / "whole", *more, "--events")
    assert done.returncode == 0, done.stdout + done.stderr
    sequence = load(tmp_path / "whole")
    assert (sequence.quantity, sequence.estimator) == ("inverse_depth", "stereodiff")
    assert (sequence.width, sequence.height) == (64, 48) and sequence.confidence
    assert {w.repository for w in sequence.weights} == {m.repository for m in (MONST3R, DEPTHCRAFTER, SVD)}
    assert {w.licence for w in sequence.weights} == {m.licence.title for m in (MONST3R, DEPTHCRAFTER, SVD)}
    camera = sequence.shots[0].camera
    assert [pose.frame for pose in camera.poses] == list(NUMBERS) and camera.focal_length > 0
    maps = np.stack([read_map(tmp_path / "whole" / disparity_name(n)) for n in NUMBERS])
    sure = np.stack([read_map(tmp_path / "whole" / confidence_name(n)) for n in NUMBERS])
    assert maps.shape == sure.shape == (12, 48, 64) and maps.min() > 0 and maps.std() > 0
    assert sure.min() >= 0 and sure.max() <= 1
    labels = {event["label"] for event in helpers.events_of(done.stdout) if event["event"] == "stage"}
    assert {"Matching frames", "Aligning frames", "Refining window 3 of 3"} <= labels

    cut = tmp_path / "cut"
    _killed_in_both_stages(network_worker, helpers, diff.arguments(clip, cut, *more), cut, after=1004)
    before = {path.name: path.stat().st_mtime_ns for path in cut.glob("disparity.*.exr")}
    assert 0 < len(before) < 12
    assert diff(clip, cut, *more).returncode == 0
    assert helpers.contents(cut) == helpers.contents(tmp_path / "whole")
    assert all((cut / name).stat().st_mtime_ns == time for name, time in before.items())
    assert not (cut / ".fathom" / "shot.1001-1012").exists()


@pytest.mark.slow(seconds=40)
def test_real_footage(diff, network_worker, footage, tmp_path, helpers):
    clip = footage / "gt" / "7scenes_redkitchen_50" / "rgb"
    if not clip.is_dir():
        pytest.skip(f"no footage in {clip}")
    more = ("--size", "64", "--frames", "0-23", "--parameter", "window=10", "--parameter", "overlap=3")  # three windows
    done = diff(clip, tmp_path / "whole", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = helpers.contents(tmp_path / "whole")
    assert {name for number in range(24) for name in (disparity_name(number), confidence_name(number))} < set(whole)
    camera = load(tmp_path / "whole").shots[0].camera
    assert len(camera.poses) == 24 and (camera.width, camera.height) == (640, 480)
    cut = tmp_path / "cut"
    _killed_in_both_stages(network_worker, helpers, diff.arguments(clip, cut, *more), cut, after=5)
    assert diff(clip, cut, *more).returncode == 0
    assert helpers.contents(cut) == whole


@pytest.mark.slow
def test_stage_1_alone_needs_its_own_weights_only(diff, clip, tmp_path):
    diff.use("matching")
    done = diff(clip, tmp_path / "depth", "--parameter", "stage=1", "--frames", "1001-1004")
    assert done.returncode == 0, done.stdout + done.stderr
    sequence = load(tmp_path / "depth")
    assert {w.repository for w in sequence.weights} == {MONST3R.repository}
    assert sequence.quantity == "inverse_depth" and len(sequence.shots[0].camera.poses) == 4
    assert len(list((tmp_path / "depth").glob("*.exr"))) == 8
    refused = diff(clip, tmp_path / "both", "--frames", "1001-1004")
    assert refused.returncode == exit_codes.MISSING and "DepthCrafter's UNet" in refused.stderr


def _sequence_prior(folder, *, first=1001, last=1012, size=(32, 24), camera=True, quantity="inverse_depth"):
    """A synthetic depth sequence of the clip: a ramp that moves."""
    folder.mkdir()
    ramp = np.tile(np.linspace(0.5, 1.5, size[0], dtype=np.float32), (size[1], 1))
    for number in range(first, last + 1):
        write_map(folder / disparity_name(number), np.roll(ramp, number - first, axis=1))
        write_map(folder / confidence_name(number), ramp / 2)
    pose = tuple(tuple(row) for row in np.eye(4).tolist())
    made = Camera(
        width=64,
        height=48,
        focal_length=60.0,
        principal_point=(31.5, 23.5),
        poses=tuple(Pose(frame=number, camera_to_world=pose) for number in range(first, last + 1)),
    )
    shot = Shot(
        first_frame=first,
        last_frame=last,
        status="done",
        range=Range(minimum=0.5, maximum=1.5, p1=0.5, p99=1.5),
        camera=made if camera else None,
    )
    sequence = DepthSequence(
        source=Source(path=str(folder / "plate.mp4"), kind="movie"),
        first_frame=first,
        last_frame=last,
        width=size[0],
        height=size[1],
        quantity=quantity,
        shots=(shot,),
        estimator="made up",
        fingerprint="none",
        confidence="made up",
    )
    depth_sequence.save(sequence, folder)
    return folder, made


@pytest.mark.slow
@pytest.mark.parametrize(("quantity", "with_camera"), [("inverse_depth", True), ("relative_disparity", False)])
def test_any_depth_sequence_is_refined(diff, clip, tmp_path, quantity, with_camera):
    diff.use("refining")
    given, camera = _sequence_prior(tmp_path / "given", camera=with_camera, quantity=quantity)
    done = diff(clip, tmp_path / "depth", "--parameter", f"stage1_from={given}", *WINDOWS)
    assert done.returncode == 0, done.stdout + done.stderr
    sequence = load(tmp_path / "depth")
    assert sequence.quantity == quantity and "made up" in sequence.confidence
    assert sequence.shots[0].camera == (camera if with_camera else None)
    assert {w.repository for w in sequence.weights} == {DEPTHCRAFTER.repository, SVD.repository}
    maps = np.stack([read_map(tmp_path / "depth" / disparity_name(n)) for n in NUMBERS])
    assert maps.shape == (12, 48, 64) and maps.min() >= 0.49 and maps.max() <= 1.51 and maps.std() > 0
    sure = read_map(tmp_path / "depth" / confidence_name(1005))
    np.testing.assert_allclose(sure[0], cv2.resize(np.linspace(0.25, 0.75, 32)[None], (64, 1))[0], atol=1e-6)


@pytest.mark.slow
def test_a_depth_sequence_that_does_not_do_is_told_in_a_sentence(diff, clip, tmp_path):
    diff.use("refining")
    given, _ = _sequence_prior(tmp_path / "given", last=1008)
    done = diff(clip, tmp_path / "depth", "--parameter", f"stage1_from={given}")
    said = "frames 1001 to 1008 only, not of all frames 1001 to 1012"
    assert done.returncode == exit_codes.UNSUPPORTED and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "depth" / "depth.json").exists()


@pytest.mark.slow
def test_shots_are_estimated_apart(diff, cut_clip, tmp_path):
    done = diff(cut_clip, tmp_path / "depth", "--frames", "13-18", *WINDOWS)
    assert done.returncode == 0, done.stdout + done.stderr
    shots = load(tmp_path / "depth").shots
    assert [(s.first_frame, s.last_frame) for s in shots] == [(13, 15), (16, 18)]
    assert [[pose.frame for pose in s.camera.poses] for s in shots] == [[13, 14, 15], [16, 17, 18]]
