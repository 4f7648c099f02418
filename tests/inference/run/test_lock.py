"""Two runs into one folder."""

import json
import os
import platform
import subprocess
import sys
import time

import psutil
import pytest

from inference.faults import Failure
from inference.run import lock


def _write(folder, **changes):
    folder.mkdir(exist_ok=True)
    holder = {
        "host": platform.node(),
        "process": os.getpid(),
        "started": psutil.Process().create_time(),
        **changes,
    }
    (folder / lock.NAME).write_text(json.dumps(holder))


def test_a_lock_is_taken_once_and_given_back(tmp_path):
    folder = tmp_path / ".fathom"
    held = lock.acquire(folder)
    with pytest.raises(Failure, match=f"process {os.getpid()}.*writing into {tmp_path}"):
        lock.acquire(folder)
    held.release()
    assert not folder.exists()
    lock.acquire(folder).release()


def test_the_folder_stays_where_work_is_kept_in_it(tmp_path):
    held = lock.acquire(tmp_path / ".fathom")
    (tmp_path / ".fathom" / "state.json").write_text("{}")
    held.release()
    assert [path.name for path in (tmp_path / ".fathom").iterdir()] == ["state.json"]


def test_the_lock_of_a_dead_process_is_stale(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _write(tmp_path / ".fathom", process=dead.pid)
    lock.acquire(tmp_path / ".fathom").release()


def test_the_lock_of_a_process_whose_number_was_given_to_another_is_stale(tmp_path):
    _write(tmp_path / ".fathom", started=psutil.Process().create_time() - 3600)
    lock.acquire(tmp_path / ".fathom").release()


def test_the_lock_of_another_computer_is_never_stale_and_the_sentence_says_so(tmp_path):
    _write(tmp_path / ".fathom", host="render07", process=12)
    with pytest.raises(Failure, match=r"render07 \(process 12\).*delete .*lock") as caught:
        lock.acquire(tmp_path / ".fathom")
    assert caught.value.code == 5


def test_a_lock_that_was_never_written_to_its_end_is_stale_after_a_while(tmp_path):
    folder = tmp_path / ".fathom"
    folder.mkdir()
    (folder / lock.NAME).write_text("{")
    long_ago = time.time() - 60
    os.utime(folder / lock.NAME, (long_ago, long_ago))
    lock.acquire(folder).release()


def test_a_takeover_that_was_killed_half_way_does_not_block_the_next(tmp_path):
    folder = tmp_path / ".fathom"
    _write(folder, started=0.0)
    takeover = folder / f"{lock.NAME}.takeover"
    takeover.mkdir()
    long_ago = time.time() - 60
    os.utime(takeover, (long_ago, long_ago))
    lock.acquire(folder).release()


def test_of_many_that_find_a_stale_lock_at_once_one_gets_it(tmp_path):
    _write(tmp_path / ".fathom", started=0.0)
    code = f"""
import sys, time
sys.path.insert(0, {str(lock.__file__).rsplit("/inference/", 1)[0]!r})
from pathlib import Path
from inference.run import lock
from inference.faults import Failure
try:
    held = lock.acquire(Path({str(tmp_path / ".fathom")!r}))
except Failure:
    print("refused")
else:
    print("held", flush=True)
    time.sleep(3)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = sorted(process.communicate()[0].strip() for process in processes)
    assert said == ["held"] + ["refused"] * 5


def test_the_second_of_two_runs_is_refused_and_the_first_goes_on(worker, clip, tmp_path, helpers):
    arguments = ("estimate", clip, "--output", tmp_path, "--estimator", "running_mean", "--parameter", "pause=0.2")
    first = worker.start(*arguments)
    helpers.wait_for((tmp_path / "disparity.1002.exr").exists, "the first run")
    second = worker(*arguments)
    assert second.returncode == 5
    assert f"process {first.pid}" in second.stderr
    assert first.wait(60) == 0
