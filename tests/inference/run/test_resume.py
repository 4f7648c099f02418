"""Going on where a run was cancelled, killed or crashed."""

import json
import os
import random
import shutil
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from inference.contract import depth_sequence
from inference.contract.depth_sequence import Shot
from inference.media.exr import write_map
from inference.run import output
from tests.marks import rest_slow


@pytest.fixture
def expected(worker, cut_clip, tmp_path_factory, helpers):
    """The files of an uninterrupted run over two shots."""
    output = tmp_path_factory.mktemp("reference")
    assert worker.estimate(cut_clip, output, "--overwrite").returncode == 0
    return helpers.contents(output)


@pytest.mark.slow
@pytest.mark.parametrize("full_size", [False, True])
def test_runs_that_are_killed_at_random_moments_end_in_the_same_bits(worker, cut_clip, tmp_path, helpers, full_size):
    extra = ("--full-size", "--size", "64") if full_size else ()
    clip = cut_clip
    if full_size:
        clip = helpers.write_clip(tmp_path, range(1, 13), size=(160, 96), cut=7)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # the pause is a parameter, so both runs have it: the fingerprints must be the same
    arguments = ("--parameter", "pause=0.05", *extra)
    began = time.monotonic()
    assert worker.estimate(clip, whole, *arguments).returncode == 0
    took = time.monotonic() - began
    moments = random.Random(5)
    for _ in range(6):
        process = worker.fork("estimate", clip, "--output", killed, "--estimator", "running_mean", *arguments)
        time.sleep(moments.uniform(0.2, 0.8) * took)
        process.kill()
        process.communicate()
        if (killed / "depth.json").exists():
            break
    done = worker.estimate(clip, killed, *arguments)
    assert done.returncode == 0 or "the same job" in done.stderr, done.stderr
    assert helpers.contents(killed) == helpers.contents(whole)
    assert {p.name for p in killed.iterdir()} == {p.name for p in whole.iterdir()}, "nothing temporary is left"


def test_finished_frames_are_not_made_again_and_their_time_counts(worker, clip, tmp_path, helpers):
    arguments = ("--parameter", "pause=0.2")
    process = worker.start(
        "estimate", clip, "--output", tmp_path, "--estimator", "running_mean", *arguments, "--events"
    )
    for line in process.stdout:
        if '"number": 1006' in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 130
    stamps = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.exr")}
    assert len(stamps) >= 12
    before = json.loads((tmp_path / ".fathom" / "state.json").read_text())["seconds"]
    assert before > 0.8
    assert 0.4 <= depth_sequence.unfinished_progress(tmp_path) < 1, "half of the frames and what came before"
    done = worker.estimate(clip, tmp_path, *arguments, "--events")
    events = helpers.events_of(done.stdout)
    told = [event["number"] for event in events if event["event"] == "frame"]
    assert told == list(range(1001 + len(stamps) // 2, 1013))
    assert not [event for event in events if event["event"] == "warning" and "from the beginning" in event["message"]]
    for name, stamp in stamps.items():
        assert (tmp_path / name).stat().st_mtime_ns == stamp
    assert depth_sequence.load(tmp_path).seconds > before + 0.2 * len(told)


def test_a_finished_shot_is_kept_and_lost_maps_of_it_are_made_again(worker, cut_clip, tmp_path, helpers, expected):
    done = worker.estimate(cut_clip, tmp_path, "--parameter", "trouble=none")
    assert done.returncode == 0
    shutil.rmtree(tmp_path)
    process = worker.start("estimate", cut_clip, "--output", tmp_path, "--estimator", "running_mean", "--events")
    for line in process.stdout:
        if '"number": 17' in line:
            process.kill()
            break
    process.communicate()
    state = json.loads((tmp_path / ".fathom" / "state.json").read_text())
    if not (tmp_path / "depth.json").exists():
        assert [shot["first_frame"] for shot in state["shots"]][:1] == [1]
        (tmp_path / "disparity.0003.exr").unlink()
        shutil.rmtree(tmp_path / ".fathom" / "shot.0001-0015")
        assert worker.estimate(cut_clip, tmp_path).returncode == 0
    assert helpers.contents(tmp_path) == expected


def _broken_off(worker, clip, output, *arguments, at=1006):
    """Leave an unfinished run behind that has just made a frame."""
    process = worker.start(
        "estimate",
        clip,
        "--output",
        output,
        "--estimator",
        "running_mean",
        "--events",
        "--parameter",
        "pause=0.1",
        *arguments,
    )
    for line in process.stdout:
        if f'"number": {at}' in line:
            process.kill()
            break
    process.communicate()
    assert not (output / "depth.json").exists()


@pytest.mark.slow
def test_another_job_starts_afresh_and_says_so(worker, clip, tmp_path, helpers):
    _broken_off(worker, clip, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "disparity.2000.exr").write_text("mine as well")
    done = worker.estimate(clip, tmp_path, "--frames", "1009-1012", "--events")
    assert done.returncode == 0, done.stderr
    warnings = [event["message"] for event in helpers.events_of(done.stdout) if event["event"] == "warning"]
    assert any("starts from the beginning" in message for message in warnings)
    names = {path.name for path in tmp_path.iterdir()}
    ours = {f"{kind}.{n}.exr" for kind in ("disparity", "confidence") for n in range(1009, 1013)}
    assert names == ours | {"depth.json", "notes.txt", "disparity.2000.exr"}, "ours are gone, others' files are not"


def test_a_clip_that_has_changed_meanwhile_starts_afresh(worker, tmp_path, helpers):
    plate, output = tmp_path / "plate", tmp_path / "out"
    plate.mkdir()
    helpers.write_clip(plate, range(1001, 1013))
    _broken_off(worker, plate, output)
    os.utime(plate / "plate.1001.png", (1, 1))
    done = worker.estimate(plate, output, "--parameter", "pause=0.1")
    assert done.returncode == 0
    assert "starts from the beginning" in done.stderr


def test_a_finished_folder_is_left_alone_unless_asked(worker, clip, tmp_path, helpers):
    assert worker.estimate(clip, tmp_path).returncode == 0
    before = helpers.contents(tmp_path)
    again = worker.estimate(clip, tmp_path)
    assert again.returncode == 5
    assert "the same job" in again.stderr and "--overwrite" in again.stderr
    other = worker.estimate(clip, tmp_path, "--seed", "1")
    assert other.returncode == 5
    assert "another job" in other.stderr
    assert helpers.contents(tmp_path) == before
    assert not (tmp_path / ".fathom").exists()
    done = worker.estimate(clip, tmp_path, "--seed", "1", "--frames", "1003-1006", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("disparity.*")} == {f"disparity.{n}.exr" for n in range(1003, 1007)}
    assert depth_sequence.load(tmp_path).seed == 1


@pytest.mark.slow
def test_the_old_result_stays_whole_until_the_new_one_is_complete(worker, clip, tmp_path, helpers):
    assert worker.estimate(clip, tmp_path).returncode == 0
    old = helpers.contents(tmp_path)
    _broken_off_over(worker, clip, tmp_path)
    assert helpers.contents(tmp_path) == old
    refused = worker.estimate(clip, tmp_path)
    assert refused.returncode == 5, "still a finished folder"
    assert worker.estimate(clip, tmp_path, "--seed", "2", "--parameter", "pause=0.1", "--overwrite").returncode == 0
    fresh = tmp_path / "fresh"
    assert worker.estimate(clip, fresh, "--seed", "2", "--parameter", "pause=0.1").returncode == 0
    new = helpers.contents(tmp_path)
    assert {n: v for n, v in new.items() if n != "depth.json"} == {
        n: v for n, v in helpers.contents(fresh).items() if n != "depth.json"
    }
    assert not (tmp_path / ".fathom").exists()


def _broken_off_over(worker, clip, output):
    process = worker.start(
        "estimate",
        clip,
        "--output",
        output,
        "--estimator",
        "running_mean",
        "--events",
        "--overwrite",
        "--seed",
        "2",
        "--parameter",
        "pause=0.1",
    )
    for line in process.stdout:
        if '"number": 1006' in line:
            process.kill()
            break
    process.communicate()
    assert (output / ".fathom" / "new" / "disparity.1001.exr").exists()


def test_maps_of_unknown_origin_are_not_written_over(worker, clip, tmp_path):
    (tmp_path / "disparity.1003.exr").write_text("somebody's")
    done = worker.estimate(clip, tmp_path)
    assert done.returncode == 5
    assert "disparity.1003.exr" in done.stderr
    assert (tmp_path / "disparity.1003.exr").read_text() == "somebody's"
    assert worker.estimate(clip, tmp_path, "--overwrite").returncode == 0


def _cut(path):
    path.write_bytes(path.read_bytes()[:50])


def _not_finite(path):
    write_map(path, np.full((48, 64), np.nan, np.float32))


def _of_another_size(path):
    write_map(path, np.ones((8, 8), np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", rest_slow(["disparity.1002.exr", "confidence.1002.exr"]))
@pytest.mark.parametrize("damage", rest_slow([_cut, _not_finite, _of_another_size]))
def test_a_map_that_was_damaged_meanwhile_is_made_again(worker, clip, tmp_path, helpers, damage, name):
    whole, output = tmp_path / "whole", tmp_path / "out"
    assert worker.estimate(clip, whole, "--parameter", "pause=0.1").returncode == 0
    _broken_off(worker, clip, output)
    damage(output / name)
    for path in output.glob(".fathom/shot*/*"):
        path.unlink()
    assert worker.estimate(clip, output, "--parameter", "pause=0.1").returncode == 0
    assert helpers.contents(output) == helpers.contents(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", rest_slow(["disparity.0003.exr", "confidence.0003.exr"]))
@pytest.mark.parametrize("damage", rest_slow([_cut, _not_finite, _of_another_size]))
def test_a_damaged_map_of_a_finished_shot_is_made_again_however_often_that_is_broken_off(
    worker, cut_clip, tmp_path, helpers, expected, damage, name
):
    for number in (20, 22):
        _broken_off(worker, cut_clip, tmp_path, at=number)
        state = json.loads((tmp_path / ".fathom" / "state.json").read_text())
        assert [shot["first_frame"] for shot in state["shots"]] == [1]
        damage(tmp_path / name)
        shutil.rmtree(tmp_path / ".fathom" / "shot.0001-0015", ignore_errors=True)
    assert worker.estimate(cut_clip, tmp_path, "--parameter", "pause=0.1").returncode == 0
    maps = {name: data for name, data in helpers.contents(tmp_path).items() if name != "depth.json"}
    assert maps == {name: data for name, data in expected.items() if name != "depth.json"}


@pytest.mark.slow
@pytest.mark.parametrize("name", rest_slow(["disparity.1002.exr", "confidence.1002.exr"]))
@pytest.mark.parametrize("damage", rest_slow([_cut, _not_finite, _of_another_size]))
def test_a_damaged_map_that_waits_for_its_full_size_is_made_again(worker, clip, tmp_path, helpers, damage, name):
    whole, output = tmp_path / "whole", tmp_path / "out"
    options = ("--full-size", "--parameter", "pause=0.1")
    assert worker.estimate(clip, whole, *options).returncode == 0
    low = output / ".fathom" / "low"
    process = worker.fork("estimate", clip, "--output", output, "--estimator", "running_mean", *options)
    helpers.wait_for((low / "disparity.1006.exr").exists, "a map")
    process.kill()
    process.communicate()
    damage(low / name)
    for path in output.glob(".fathom/shot*/*"):
        path.unlink()
    done = worker.estimate(clip, output, *options)
    assert done.returncode == 0, done.stderr
    assert helpers.contents(output) == helpers.contents(whole)


def test_writing_down_what_is_finished_takes_a_small_part_of_the_time(tmp_path, monkeypatch):
    writes = []

    def slow(state, scratch):
        writes.append(len(state.shots))
        time.sleep(0.02)

    monkeypatch.setattr(output, "write_state", slow)
    state = output.State(key="k", first_frame=1, last_frame=1000)
    held = SimpleNamespace(is_ours=lambda: True)
    out = output.Output(tmp_path, held, state, size=(1, 1), confidence=False, emit=lambda event: None, started=None)
    for number in range(1, 1001):
        out.keep(Shot(first_frame=number, last_frame=number, status="refused", reason="It is short."))
    assert writes[0] == 1 and len(writes) < 20
    assert [shot.first_frame for shot in out.state.shots] == list(range(1, 1001))
