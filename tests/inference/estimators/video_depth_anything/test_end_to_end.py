"""The whole way as processes: weights from a stand-in for the hub, a clip in, killed, resumed, depth out."""

import json
import os
import shutil
import signal

import numpy as np
import pytest

pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from inference.contract import exit_codes
from inference.contract.depth_sequence import load
from inference.estimators.video_depth_anything.weights import METRIC, SMALL
from inference.media.exr import read_map
from tests.inference.support import tiny_video_depth
from tests.inference.support.hub import Hub

FAST = ("--parameter", "input_size=56")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    return tiny_video_depth.write(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def vda(network_worker, served, tmp_path_factory):
    """The worker, with weights and without a hub; they are downloaded through the hub's protocol, with no license
    accepted, since theirs asks for nothing.
    """
    home = tmp_path_factory.getbasetemp() / "vda-home"
    network_worker.environment |= {"FATHOM_HOME": str(home), tiny_video_depth.INSTALLED: str(served)}
    if not home.exists():
        nowhere = network_worker.environment["HF_ENDPOINT"]
        with Hub(served) as hub:
            network_worker.environment["HF_ENDPOINT"] = hub.endpoint
            done = network_worker("models", "download", SMALL.name, METRIC.name)
            assert done.returncode == 0, done.stdout + done.stderr
            assert not [request for request in hub.log if "/api/" in request.path], "Fathom fixes the checksums"
        network_worker.environment["HF_ENDPOINT"] = nowhere
    return lambda clip, output, *more, **options: network_worker(
        "estimate", clip, "--output", output, "--estimator", "video_depth_anything", *FAST, *more, **options
    )


def maps_of(folder, numbers):
    return np.stack([read_map(folder / f"disparity.{number:04d}.exr") for number in numbers])


@pytest.mark.slow
def test_a_clip_becomes_a_depth_sequence(vda, network_worker, clip, tmp_path, helpers):
    done = vda(clip, tmp_path / "depth", "--events")
    assert done.returncode == 0, done.stdout + done.stderr
    sequence = load(tmp_path / "depth")
    assert (sequence.quantity, sequence.estimator) == ("relative_disparity", "video_depth_anything")
    assert (sequence.width, sequence.height) == (64, 48)
    (weights,) = sequence.weights
    assert (weights.repository, weights.revision, weights.licence) == (
        SMALL.repository,
        SMALL.revision,
        "Apache License 2.0",
    )
    assert sequence.versions["torch"] and "diffusers" not in sequence.versions
    maps = maps_of(tmp_path / "depth", range(1001, 1013))
    assert maps.shape == (12, 48, 64) and maps.min() >= 0 and maps.std() > 0.01
    again = vda(clip, tmp_path / "again")
    assert again.returncode == 0, again.stderr
    assert helpers.contents(tmp_path / "again") == helpers.contents(tmp_path / "depth")
    kept = list((tmp_path / "depth").iterdir())
    assert {path.suffix for path in kept} == {".exr", ".json"}, "nothing is left of the windows"


@pytest.mark.slow
def test_meters_are_inverse_depth(vda, clip, tmp_path):
    done = vda(clip, tmp_path / "depth", "--parameter", "metric=yes")
    assert done.returncode == 0, done.stderr
    sequence = load(tmp_path / "depth")
    assert (sequence.quantity, sequence.unit) == ("inverse_depth", "metres")
    assert sequence.weights[0].repository == METRIC.repository
    assert sequence.shots[0].camera is None


@pytest.mark.slow
def test_one_frame_is_a_clip_and_maps_reach_the_plate_s_size(vda, tmp_path, helpers):
    (tmp_path / "clip").mkdir()
    clip = helpers.write_clip(tmp_path / "clip", range(1, 4), size=(150, 91))
    assert vda(clip, tmp_path / "depth", "--size", "64", "--full-size", "--frames", "2").returncode == 0
    assert load(tmp_path / "depth").shots[0].range.maximum > 0
    assert read_map(tmp_path / "depth" / "disparity.0002.exr").shape == (91, 150)


@pytest.mark.slow
def test_shots_are_estimated_apart(vda, cut_clip, tmp_path):
    assert vda(cut_clip, tmp_path / "depth").returncode == 0
    assert [(s.first_frame, s.last_frame) for s in load(tmp_path / "depth").shots] == [(1, 15), (16, 30)]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(vda, network_worker, tmp_path, helpers):
    (tmp_path / "clip").mkdir()
    clip = helpers.write_clip(tmp_path / "clip", range(1, 91))
    assert vda(clip, tmp_path / "whole").returncode == 0
    cut = tmp_path / "cut"
    for _ in range(5):  # where this process has to wait for its turn, the run may come to its end before the kill
        process = network_worker.fork("estimate", clip, "--output", cut, "--estimator", "video_depth_anything", *FAST)
        window = cut / ".fathom" / "shot.0001-0090" / "window.000001.npy"
        helpers.wait_for(lambda: window.exists() or process.poll() is not None, "a window")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if not (cut / "depth.json").exists():
            break
        shutil.rmtree(cut)
    assert window.exists()
    before = window.stat().st_mtime_ns
    done = vda(clip, cut, "--events")
    told = helpers.events_of(done.stdout)
    labels = {event.get("label") for event in told}
    assert done.returncode == 0 and before and not any("window 1 of" in str(label) for label in labels)
    assert helpers.contents(cut) == helpers.contents(tmp_path / "whole")


def test_missing_weights_are_told_with_the_command(worker, clip, tmp_path):
    worker.environment["FATHOM_HOME"] = str(tmp_path / "empty")
    done = worker("estimate", clip, "--output", tmp_path / "depth", "--estimator", "video_depth_anything")
    assert done.returncode == exit_codes.MISSING
    assert f"models download {SMALL.name}" in done.stderr and "Traceback" not in done.stderr
    assert "Apache License 2.0" in done.stderr and not (tmp_path / "depth").exists()


def test_weights_that_are_not_the_released_ones_are_not_used(worker, served, clip, tmp_path):
    """Without the tests' own facts, the tiny network has the wrong size for the one that Fathom fixes."""
    worker.environment |= {"FATHOM_HOME": str(tmp_path / "empty"), "FATHOM_WEIGHTS": str(served)}
    done = worker("estimate", clip, "--output", tmp_path / "depth", "--estimator", "video_depth_anything")
    assert done.returncode == exit_codes.MISSING and "damaged" in done.stderr


def test_the_list_has_both_weights_and_says_that_nothing_need_be_accepted(worker):
    listed = {each["name"]: each for each in json.loads(worker("models", "list", "--json").stdout)}
    for model in (SMALL, METRIC):
        found = listed[model.name]
        assert found["estimators"] == ["video_depth_anything"] and not found["licence"]["needs_acceptance"]
        assert found["files"][0]["sha256"] == model.files[0].sha256
    assert "accepted    not necessary" in worker("models", "list", SMALL.name).stdout


@pytest.mark.slow
def test_automatic_takes_it_where_its_weights_are_there(vda, network_worker, clip, tmp_path):
    done = network_worker("estimate", clip, "--output", tmp_path / "depth")
    assert done.returncode == 0, done.stdout + done.stderr
    sequence = load(tmp_path / "depth")
    (shot,) = sequence.shots
    assert sequence.estimator == "automatic" and shot.estimators[-1] == "video_depth_anything"
    assert SMALL.repository in {weights.repository for weights in sequence.weights} and sequence.versions["torch"]
    assert "Video Depth Anything" in shot.reason
    maps = maps_of(tmp_path / "depth", range(1001, 1013))
    assert maps.shape == (12, 48, 64) and maps.std() > 0.01


@pytest.mark.slow
def test_chunks_by_processes_at_once_make_what_one_run_makes(vda, network_worker, cut_clip, tmp_path, helpers):
    assert vda(cut_clip, tmp_path / "one").returncode == 0
    arguments = ("--output", tmp_path / "many", "--estimator", "video_depth_anything", *FAST, "--chunk-frames", 22)
    done = network_worker("plan", cut_clip, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    phases = {}
    for chunk in json.loads(done.stdout)["chunks"]:
        phases.setdefault((chunk["phase"], chunk["kind"]), []).append(chunk["number"])
    assert [kind for _, kind in phases] == ["window", "shot"]
    for numbers in phases.values():
        processes = [network_worker.fork("estimate", "--planned", tmp_path / "many", "--chunks", n) for n in numbers]
        for process in processes:
            _, err = process.communicate()
            assert process.returncode == 0, err
    assert network_worker("merge", tmp_path / "many").returncode == 0
    assert helpers.contents(tmp_path / "many") == helpers.contents(tmp_path / "one")
