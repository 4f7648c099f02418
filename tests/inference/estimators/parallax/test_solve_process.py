"""The camera solve's own process: how it may end, and what that says of the shot."""

import json
import os
import time

import cv2
import numpy as np
import psutil
import pytest

from inference.common.failures import Failure
from inference.contract import exit_codes, records
from inference.estimators.parallax import solve_process
from inference.estimators.parallax.lens import Lens, SolveError
from inference.estimators.parallax.tracks import Tracks

LENS = Lens(width=640, height=480, focal=500.0, center=(319.5, 239.5))


def ends(tmp_path, monkeypatch, code, *, limit=60.0):
    """Have a child run other code, given its folder, in the place of the solve."""
    script = tmp_path / "child.py"
    script.write_text(f"import os, pathlib, signal, sys, time\nfolder = pathlib.Path(sys.argv[1])\n{code}\n")
    monkeypatch.setattr(solve_process, "__file__", str(script))
    tracks = Tracks(np.array([0, 1, 2]), np.zeros(2, np.int32), np.zeros((2, 2), np.float32))
    return solve_process.solve_apart(tracks, LENS, seed=0, folder=tmp_path / "solve", check=lambda: None, limit=limit)


ENDINGS = {
    "out of memory": ("os.kill(os.getpid(), 9)", r"was killed \(SIGKILL\), as the system does when memory runs out"),
    "out of memory in a shell": ("os._exit(137)", r"was killed \(SIGKILL\)"),
    "segmentation": ("signal.raise_signal(11)", r"crashed \(SIGSEGV\)"),
    "abort": ("os.abort()", r"crashed \(SIGABRT\)"),
    "termination": ("os.kill(os.getpid(), 15)", r"ended from outside \(SIGTERM\)"),
    "exception": ("1 / 0", "ended with exit code 1"),
    "pipe": ("raise BrokenPipeError", "ended with exit code 1"),
    "nothing": ("", "without a readable result"),
    "garbage": ("(folder / 'views.npz').write_bytes(bytes(range(256)))", "without a readable result"),
    "half an answer": ("(folder / 'views.npz').write_bytes(b'PK\\3\\4' + bytes(26))", "without a readable result"),
    "no reason": ("sys.exit(20)", "without a readable result"),
    "an empty reason": ("(folder / 'reason.txt').write_text(' '); sys.exit(20)", "without a readable result"),
    "a reason of garbage": (
        "(folder / 'reason.txt').write_bytes(b'\\xff\\xfe'); sys.exit(20)",
        "without a readable result",
    ),
    "an endless reason": ("(folder / 'reason.txt').write_text('no' * 9999); sys.exit(20)", "without a readable result"),
}


@pytest.mark.skipif(os.name != "posix", reason="ends itself by POSIX signals")
@pytest.mark.parametrize(("code", "said"), ENDINGS.values(), ids=ENDINGS.keys())
def test_a_child_that_ends_otherwise_is_a_failure_of_the_run(tmp_path, monkeypatch, code, said):
    with pytest.raises(Failure, match=f"^The camera solve .*{said}") as caught:
        ends(tmp_path, monkeypatch, code)
    assert caught.value.code == exit_codes.FAILED and "start the same job again" in caught.value.hint
    assert ("Close other programs" in caught.value.hint) == ("SIGKILL" in said)


def test_a_child_that_hangs_is_a_failure_and_is_ended(tmp_path, monkeypatch):
    with pytest.raises(Failure, match="did not finish within 1 seconds") as caught:
        ends(tmp_path, monkeypatch, "time.sleep(1000)", limit=1.0)
    assert caught.value.code == exit_codes.FAILED
    assert not [child for child in psutil.Process().children() if "child.py" in " ".join(child.cmdline())]


def test_a_child_that_computes_too_long_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(solve_process, "_processor_time", lambda process: 61.0)
    with pytest.raises(Failure, match="did not finish within 60 seconds"):
        ends(tmp_path, monkeypatch, "time.sleep(1000)")


def test_time_in_which_others_compute_does_not_count(tmp_path, monkeypatch):
    times = iter(np.arange(0.01, 0.4, 0.01))  # of a hundredth of the clock's time, until the child ends
    monkeypatch.setattr(solve_process, "_processor_time", lambda process: next(times, 0.4))
    code = "time.sleep(1.2); (folder / 'reason.txt').write_text('It fails.'); sys.exit(20)"
    with pytest.raises(SolveError, match="It fails"):
        ends(tmp_path, monkeypatch, code, limit=0.5)


def test_a_process_has_a_processor_time():
    assert solve_process._processor_time(os.getpid()) > 0
    assert solve_process._processor_time(2**22 + 1) == 0  # no process has this number


def test_a_child_without_memory_says_so(tmp_path, monkeypatch):
    with pytest.raises(MemoryError):
        ends(tmp_path, monkeypatch, "sys.exit(21)")


def test_an_answer_for_other_frames_is_none(tmp_path, monkeypatch):
    code = f"""
sys.path.insert(0, {str(records.__file__.rsplit("inference", 1)[0])!r})
import numpy as np
from inference.estimators.parallax.view import Views
Views(width=640, height=480, focal=500.0, center=np.zeros(2), distortion=np.zeros(2),
      world_to_camera=np.zeros((7, 3, 4)), points=np.zeros((1, 3)), seen=np.zeros((1, 2), np.int32)
).save(folder / "views.npz")"""
    with pytest.raises(Failure, match="without a readable result"):
        ends(tmp_path, monkeypatch, code)


def test_what_the_child_measured_is_a_reason(tmp_path, monkeypatch):
    with pytest.raises(SolveError, match=r"^No path explains it\.$"):
        ends(tmp_path, monkeypatch, "(folder / 'reason.txt').write_text('No path explains it.'); sys.exit(20)")


@pytest.mark.parametrize(("line", "solved"), [("0 1", (0, 1)), ("1 0", None), ("0 9999", None), ("a b", "nothing")])
def test_so_is_which_frames_it_solved(tmp_path, monkeypatch, line, solved):
    code = f"(folder / 'reason.txt').write_text('It fails.\\n{line}'); sys.exit(20)"
    if solved == "nothing":
        with pytest.raises(Failure, match="without a readable result"):
            ends(tmp_path, monkeypatch, code)
        return
    with pytest.raises(SolveError, match=r"^It fails\.$") as caught:
        ends(tmp_path, monkeypatch, code)
    assert caught.value.solved == solved


def test_a_disk_that_is_full_is_why_a_child_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(solve_process, "_LEAST_ROOM", 1 << 62)
    with pytest.raises(OSError, match="no room"):
        ends(tmp_path, monkeypatch, "sys.exit(1)")


@pytest.fixture
def two_shots(scene, tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    images = scene.first(12).images
    for index, image in enumerate([*images, *images], start=1):
        cv2.imwrite(str(folder / f"plate.{index:04d}.png"), image[..., ::-1])
    return folder, len(images)


def _solver(process, helpers):
    """The solve's process under a worker, once it is there."""

    def found():
        return next((c for c in process.children() if "solve_process.py" in " ".join(c.cmdline())), None)

    return helpers.wait_for(found, "the camera solve")


@pytest.mark.slow(seconds=40)
@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_a_solve_that_is_killed_is_no_verdict_and_is_tried_again(worker, two_shots, tmp_path, helpers):
    clip, count = two_shots
    out = tmp_path / "out"
    arguments = ("estimate", clip, "--output", out, "--cuts", count + 1, "--events")
    process = worker.start(*arguments, stderr=open(tmp_path / "log.txt", "w"))  # noqa: SIM115  lives as long
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1].get("label", "").startswith("Solving the camera (shot 2"):
            _solver(psutil.Process(process.pid), helpers).kill()
            break
    lines += helpers.events_of(process.stdout.read())
    assert process.wait(60) == exit_codes.FAILED
    assert "camera solve" in lines[-1]["what"] and "SIGKILL" in lines[-1]["what"]
    assert not (out / "depth.json").exists()
    kept = json.loads((out / ".fathom" / "state.json").read_text())["shots"]
    assert [(shot["first_frame"], shot["status"]) for shot in kept] == [(1, "done")]
    again = worker(*arguments)
    assert again.returncode == exit_codes.OK, again.stderr
    written = [event["number"] for event in helpers.events_of(again.stdout) if event["event"] == "frame"]
    assert sorted(written) == list(range(count + 1, 2 * count + 1)), "what was done is kept"
    shots = json.loads((out / "depth.json").read_text())["shots"]
    assert [shot["status"] for shot in shots] == ["done", "done"]


@pytest.mark.slow
def test_the_solve_ends_with_a_worker_that_is_killed(worker, two_shots, tmp_path, helpers):
    process = worker.start("estimate", two_shots[0], "--output", tmp_path / "out", "--cuts", "none", "--events")
    for line in process.stdout:
        if "Solving the camera" in line:
            break
    solver = _solver(psutil.Process(process.pid), helpers)
    time.sleep(0.8)  # into the library's own code
    assert not helpers.is_gone(solver.pid)
    process.kill()
    helpers.wait_for(lambda: helpers.is_gone(solver.pid), "the solve's end", 5)
