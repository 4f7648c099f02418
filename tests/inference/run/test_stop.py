"""Cancelling: the process and its children are gone soon, and nobody is cancelled by mistake.

How soon is measured by ``development/benchmarks/cancel.py``; here the bound only tells ending from waiting.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from inference.contract.client import MAIN
from tests.marks import rest_slow

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")

LIMIT = 15.0
"""Seconds in which everything must be gone; what hangs in these tests would hang for ten minutes."""


def _start(worker, clip, output, *arguments, **options):
    return worker.start("estimate", clip, "--output", output, "--estimator", "running_mean", *arguments, **options)


def _log(tmp_path):
    return open(tmp_path / "log.txt", "w")


def _soon(gone) -> bool:
    until = time.monotonic() + LIMIT
    while not gone() and time.monotonic() < until:
        time.sleep(0.005)
    return gone()


@pytest.mark.parametrize("number", rest_slow([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
def test_a_signal_cancels_and_keeps_what_is_finished(worker, clip, tmp_path, helpers, number):
    process = _start(worker, clip, tmp_path, "--parameter", "pause=0.2", "--events")
    for line in process.stdout:
        if '"number": 1003' in line:
            break
    process.send_signal(number)
    assert _soon(lambda: process.poll() is not None)
    assert process.returncode == 130
    last = helpers.events_of(process.stdout.read())[-1]
    assert last["event"] == "error" and last["code"] == 130
    assert (tmp_path / "disparity.1003.exr").exists()
    assert not (tmp_path / ".fathom" / "lock").exists()
    assert not (tmp_path / "depth.json").exists()


def test_a_native_call_that_cannot_be_interrupted_is_ended_by_the_watchdog(worker, clip, tmp_path, helpers):
    with _log(tmp_path) as log:
        process = _start(worker, clip, tmp_path / "out", "--parameter", "trouble=native", "--events", stderr=log)
        helpers.wait_for(lambda: "hanging" in (tmp_path / "log.txt").read_text(), "the native call")
        process.send_signal(signal.SIGINT)
        assert _soon(lambda: process.poll() is not None)
    assert process.returncode == 130
    assert helpers.events_of(process.stdout.read())[-1]["code"] == 130, "the last word was still said"
    assert not (tmp_path / "out" / ".fathom" / "lock").exists(), "and the lock given back"


def test_a_library_that_takes_the_signals_does_not_keep_them(worker, clip, tmp_path, helpers):
    with _log(tmp_path) as log:
        process = _start(worker, clip, tmp_path / "out", "--parameter", "trouble=signals", "--events", stderr=log)
        helpers.wait_for(lambda: "taken" in (tmp_path / "log.txt").read_text(), "the library")
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert _soon(lambda: process.poll() is not None)
    assert process.returncode == 130
    assert helpers.events_of(process.stdout.read())[-1]["code"] == 130
    assert not (tmp_path / "out" / ".fathom" / "lock").exists()


@pytest.mark.parametrize("after", [0.05, 0.1, 0.15])
def test_a_signal_while_the_worker_starts_is_a_cancel(clip, tmp_path, after):
    command = [sys.executable, "-I", "-u", str(MAIN), "estimate", str(clip), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(after)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGTERM), log  # the latter before the worker's first line is read
    assert process.returncode != 130 or ("ancelled" in log and "Traceback" not in log), log


@pytest.mark.parametrize("trouble", ["child", "stubborn child"])
def test_children_go_with_the_worker(worker, clip, tmp_path, helpers, trouble):
    with _log(tmp_path) as log:
        process = _start(worker, clip, tmp_path / "out", "--parameter", f"trouble={trouble}", stderr=log)
        child = helpers.wait_for(lambda: helpers.number_after("child", tmp_path / "log.txt"), "the child")
        process.send_signal(signal.SIGTERM)
        both = lambda: process.poll() is not None and helpers.is_gone(child)  # noqa: E731
        assert _soon(both)
    assert process.returncode == 130


@pytest.mark.parametrize("trouble", ["refusing child", "failing child"])
def test_a_terminals_interrupt_that_reaches_the_child_as_well_is_a_cancel(worker, clip, tmp_path, helpers, trouble):
    with _log(tmp_path) as log:
        process = _start(
            worker, clip, tmp_path / "out", "--parameter", f"trouble={trouble}", stderr=log, start_new_session=True
        )
        helpers.wait_for(lambda: helpers.number_after("child", tmp_path / "log.txt"), "the child")
        os.killpg(process.pid, signal.SIGINT)
        assert _soon(lambda: process.poll() is not None)
    assert process.returncode == 130
    assert '"refused"' not in (tmp_path / "out" / ".fathom" / "state.json").read_text()


def test_the_child_of_a_killed_worker_ends_by_itself(worker, clip, tmp_path, helpers):
    with _log(tmp_path) as log:
        process = _start(worker, clip, tmp_path / "out", "--parameter", "trouble=child", stderr=log)
        child = helpers.wait_for(lambda: helpers.number_after("child", tmp_path / "log.txt"), "the child")
        helpers.wait_for(lambda: "child ready" in (tmp_path / "log.txt").read_text(), "the child's start")
        process.kill()
        assert _soon(lambda: helpers.is_gone(child))


def test_the_end_of_the_parent_pipe_cancels(worker, clip, tmp_path):
    process = _start(
        worker, clip, tmp_path, "--parameter", "pause=0.2", "--events", "--parent-pipe", stdin=subprocess.PIPE
    )
    for line in process.stdout:
        if '"number": 1003' in line:
            break
    process.stdin.close()
    assert _soon(lambda: process.poll() is not None)
    assert process.returncode == 130


def test_worker_and_child_end_when_the_parent_is_killed(worker, clip, tmp_path, helpers):
    command = worker.command(
        "estimate",
        clip,
        "--output",
        tmp_path / "out",
        "--estimator",
        "running_mean",
        "--events",
        "--parent-pipe",
        "--parameter",
        "trouble=child",
    )
    code = f"""
import subprocess, sys, time
with open({str(tmp_path / "log.txt")!r}, "w") as log:
    worker = subprocess.Popen({command!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                              start_new_session=True)
print(worker.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=worker.environment)
    running = int(parent.stdout.readline())
    child = helpers.wait_for(lambda: helpers.number_after("child", tmp_path / "log.txt"), "the child")
    helpers.wait_for(lambda: "child ready" in (tmp_path / "log.txt").read_text(), "the child's start")
    parent.kill()
    parent.communicate()
    assert _soon(lambda: helpers.is_gone(running) and helpers.is_gone(child))


@pytest.mark.slow
def test_a_run_under_nohup_does_not_hear_the_terminal_close(worker, clip, tmp_path, helpers):
    command = ["nohup", *worker.command("estimate", clip, "--output", tmp_path, "--estimator", "running_mean")]
    process = subprocess.Popen(
        [*command, "--parameter", "pause=0.1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=worker.environment,
    )
    helpers.wait_for((tmp_path / "disparity.1002.exr").exists, "the run")
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    assert (tmp_path / "depth.json").exists()


@pytest.mark.parametrize("stdin", rest_slow(["closed", "null", "empty pipe"]))
def test_without_the_option_standard_input_means_nothing(worker, clip, tmp_path, stdin):
    options = {"null": {"stdin": subprocess.DEVNULL}, "empty pipe": {"stdin": subprocess.PIPE}}.get(stdin, {})
    if stdin == "closed":
        options = {"preexec_fn": lambda: os.close(0)}
    process = _start(worker, clip, tmp_path, **options)
    if stdin == "empty pipe":
        process.stdin.close()
        process.stdin = None
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log


def test_a_reader_that_goes_away_cancels(worker, clip, tmp_path, helpers):
    process = _start(worker, clip, tmp_path, "--parameter", "pause=0.1", "--events")
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.wait(30) == 130


def test_a_reader_that_sleeps_does_not_keep_the_worker_from_ending(worker, cut_clip, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("this system cannot make a pipe small")
    mouth, ear = os.pipe()
    fcntl.fcntl(ear, fcntl.F_SETPIPE_SZ, 4096)
    process = _start(worker, cut_clip, tmp_path, "--events", stdout=ear)
    os.close(ear)
    full = lambda: _waiting_bytes(mouth) >= 3800  # noqa: E731
    assert _soon(full), "the pipe was never full"
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert _soon(lambda: process.poll() is not None)
    os.close(mouth)


def _waiting_bytes(descriptor: int) -> int:
    import fcntl
    import struct
    import termios

    return struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
