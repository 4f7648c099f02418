"""What goes wrong: one sentence, the right exit code, and nothing that looks like a result."""

import ctypes
import errno
import os
import resource
import shutil
import subprocess
import sys

import pytest

from inference.common import failures
from inference.contract import exit_codes
from tests.marks import rest_slow


def _last(done, helpers):
    """The event that ended a run; standard output must hold nothing but events."""
    return helpers.events_of(done.stdout)[-1]


def _refused(done, code, output, *words):
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    assert code == exit_codes.FAILED or "Traceback" not in done.stderr
    assert not (output / "depth.json").exists()


def test_what_libraries_print_does_not_reach_standard_output(worker, clip, tmp_path, helpers):
    done = worker.estimate(clip, tmp_path, "--parameter", "trouble=noise", "--events")
    assert done.returncode == 0
    assert _last(done, helpers)["event"] == "done"  # every line was JSON
    for words in ("speaks in Python", "speaks in C", "speaks through stdio"):
        assert words in done.stderr
        assert words not in done.stdout


def test_an_estimator_that_crashes(worker, clip, tmp_path, helpers):
    done = worker.estimate(clip, tmp_path, "--parameter", "trouble=crash", "--events")
    assert done.returncode == exit_codes.FAILED
    last = _last(done, helpers)
    assert last["code"] == exit_codes.FAILED
    assert "ZeroDivisionError: something went wrong inside" in last["what"]
    assert "Traceback" in done.stderr, "the log has the details"
    assert not (tmp_path / "depth.json").exists()
    assert not (tmp_path / ".fathom" / "lock").exists()
    assert worker.estimate(clip, tmp_path, "--parameter", "trouble=none").returncode == 0


def test_memory_that_runs_out(worker, clip, tmp_path):
    _refused(
        worker.estimate(clip, tmp_path, "--parameter", "trouble=memory"),
        exit_codes.FAILED, tmp_path, "ran out of memory", "Choose a smaller --size",
    )  # fmt: skip


@pytest.mark.parametrize("trouble", ["nan", "oversure"])
def test_maps_that_are_not_finite_or_out_of_bounds_are_no_result(worker, clip, tmp_path, trouble):
    done = worker.estimate(clip, tmp_path, "--parameter", f"trouble={trouble}")
    assert done.returncode == exit_codes.FAILED
    assert not (tmp_path / "disparity.1003.exr").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--estimator", "nobody"], ["no estimator 'nobody'", "parallax", "running_mean"]),
        (["--parameter", "speed=1"], ["no parameter 'speed'", "pause"]),
        (["--parameter", "pause=fast"], ["pause must be a number, not 'fast'"]),
        (["--parameter", "pause=-1"], ["--parameter pause of Running Mean must be at least 0"]),
        (["--parameter", "mode=c"], ["must be one of a, b"]),
        (["--parameter", "fine=maybe"], ["fine must be yes or no"]),
        (["--parameter", "pause"], ["NAME=VALUE"]),
        (["--frames", "9-3"], ["9-3"]),
        (["--frames", "1001-1013"], ["1001-1013", "1001-1012"]),
        (["--frames", "all"], ["--frames takes a range"]),
        (["--size", "10"], ["at least 64 pixels"]),
        (["--size", "big"], ["whole number"]),
        (["--seed", "-1"], ["seed"]),
        (["--focal-length", "35mm", "--sensor-width", "nan"], ["--sensor-width must be more than 0 millimeters"]),
        (["--focal-length", "35mm", "--sensor-width", "inf"], ["--sensor-width must be more than 0 millimeters"]),
        (["--focal-length", "35", "--sensor-width", "0"], ["--sensor-width must be more than 0 millimeters"]),
        (
            ["--focal-length", "0"],
            ["--focal-length must be in millimeters (35) or pixels of the plate (850px), not '0'"],
        ),
        (["--focal-length", "850px", "--sensor-width", "36"], ["--sensor-width is for a --focal-length in milli"]),
        (["--focal-length", "long"], ["--focal-length must be"]),
        (["--sensor-width", "36"], ["--focal-length"]),
        (["--speed", "3"], ["--speed"]),
    ],
)
def test_a_command_that_makes_no_sense(worker, clip, tmp_path, arguments, words):
    output = tmp_path / "out"
    _refused(worker.estimate(clip, output, *arguments), exit_codes.USAGE, output, *words)
    assert not output.exists(), "nothing was begun"


def test_a_wrong_command_is_an_event_too(worker, clip, tmp_path, helpers):
    done = worker.estimate(clip, tmp_path, "--speed", "3", "--events")
    assert done.returncode == exit_codes.USAGE
    assert _last(done, helpers)["code"] == exit_codes.USAGE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("{}", "job.source is missing"),
        ('{"source": {"kind": "movie", "path": "x"}, "output": "o", "speed": 3}', "no field 'speed'"),
    ],
)
def test_a_job_file_that_is_none(worker, tmp_path, text, words):
    (tmp_path / "job.json").write_text(text)
    _refused(worker("estimate", "--job", tmp_path / "job.json"), exit_codes.USAGE, tmp_path, words)


def test_a_job_file_beside_options_of_the_clip(worker, clip, tmp_path):
    done = worker.estimate(clip, tmp_path, "--job", tmp_path / "job.json")
    _refused(done, exit_codes.USAGE, tmp_path, "CLIP cannot be combined")


def test_a_clip_that_is_not_there(worker, tmp_path):
    output = tmp_path / "out"
    _refused(worker.estimate(tmp_path / "no.mov", output), exit_codes.BAD_CLIP, output, "no.mov")
    assert not output.exists()


def test_a_frame_that_is_missing_is_named(worker, tmp_path, helpers):
    helpers.write_clip(tmp_path, range(1, 6))
    (tmp_path / "plate.0003.png").unlink()
    output = tmp_path / "out"
    _refused(worker.estimate(tmp_path, output), exit_codes.BAD_CLIP, output, "3")


def test_a_frame_that_breaks_off_in_the_middle_of_the_run_is_named(worker, tmp_path, helpers):
    helpers.write_clip(tmp_path, range(1, 6))
    broken = tmp_path / "plate.0004.png"
    broken.write_bytes(broken.read_bytes()[:100])
    output = tmp_path / "out"
    _refused(worker.estimate(tmp_path, output), exit_codes.BAD_CLIP, output, "plate.0004.png")


def test_a_folder_of_mattes_that_lacks_one(worker, clip, tmp_path):
    (tmp_path / "mattes").mkdir()
    output = tmp_path / "out"
    done = worker.estimate(clip, output, "--mattes", tmp_path / "mattes")
    _refused(done, exit_codes.BAD_CLIP, output, "mattes")


def test_an_output_folder_that_is_a_file(worker, clip, tmp_path):
    (tmp_path / "file").write_text("x")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        _refused(worker.estimate(clip, output), exit_codes.BAD_OUTPUT, output, f"{tmp_path / 'file'} is a file")


def test_a_clip_is_never_written_over(worker, tmp_path, helpers):
    plain = helpers.write_clip(tmp_path, range(1, 5))
    for path in sorted(plain.iterdir()):
        path.rename(tmp_path / f"disparity.{path.stem[-4:]}.exr")  # named as ours; what is in them does not matter
    from inference.media.exr import write_map

    before = {}
    for path in tmp_path.iterdir():
        write_map(path, [[0.25] * 64] * 64)
        before[path.name] = path.read_bytes()
    done = worker.estimate(tmp_path, tmp_path, "--overwrite")
    assert done.returncode == exit_codes.BAD_OUTPUT, done.stderr
    assert "is the folder of the clip itself" in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for a few maps, in its own mount name space where that can be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or not mount:
        pytest.skip("mounting a small disk takes root")
    command = [mount, "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this system mounts no tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("full_size", rest_slow([False, True]))
def test_a_full_disk(worker, tmp_path, helpers, small_disk, full_size):
    (tmp_path / "clip").mkdir()
    clip = helpers.write_clip(tmp_path / "clip", range(1, 9), size=(128, 96))
    extra = ["--full-size"] if full_size else []
    done = worker.estimate(clip, small_disk, "--events", *extra)
    assert done.returncode == exit_codes.BAD_OUTPUT, done.stderr
    last = _last(done, helpers)
    assert "The disk is full" in last["what"]
    assert "MB more are needed" in last["why"]
    assert not (small_disk / "depth.json").exists()
    assert not list(small_disk.rglob("*.tmp")) and not list(small_disk.rglob(".tmp-*")), "half files are removed"
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    again = worker.estimate(clip, small_disk, *extra)
    assert again.returncode == 0, again.stderr
    whole = tmp_path / "whole"
    assert worker.estimate(clip, whole, *extra).returncode == 0
    assert helpers.contents(small_disk) | {"depth.json": b""} == helpers.contents(whole) | {"depth.json": b""}


def test_a_file_that_may_not_grow(worker, clip, tmp_path, helpers):
    """The same for those who are not root: the system refuses files beyond a size."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = worker.estimate(clip, tmp_path, "--events", preexec_fn=limit)
    assert done.returncode == exit_codes.BAD_OUTPUT, done.stderr
    assert "The disk is full" in _last(done, helpers)["what"]
    assert not (tmp_path / "depth.json").exists()


def _like_anybody():
    """Give up root's power to write anywhere, kept by the system for the process to come (Linux)."""
    if os.geteuid() == 0:
        drop_from_bounding_set, override_permissions = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
        if ctypes.CDLL(None).prctl(drop_from_bounding_set, override_permissions, 0, 0, 0):
            raise OSError("prctl")


def test_a_folder_that_may_not_be_written(worker, clip, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        for output in (folder, folder / "below"):
            done = worker.estimate(clip, output, preexec_fn=_like_anybody)
            _refused(done, exit_codes.BAD_OUTPUT, output, "permission is denied", "Choose a folder")
    finally:
        folder.chmod(0o755)


def test_a_disk_that_is_read_only(worker, clip, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    _refused(worker.estimate(clip, small_disk / "out"), exit_codes.BAD_OUTPUT, small_disk / "out", "read-only")


@pytest.mark.parametrize("package", ["numpy", "psutil", "cv2", "tqdm"])
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(worker, clip, tmp_path, package):
    code = f"""
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
sys.argv = ["worker", *sys.argv[1:]]
import runpy
runpy.run_path({str(worker.command()[3])!r}, run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "estimate", clip, "--output", tmp_path / "out"],
        env=worker.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == exit_codes.MISSING, done.stderr
    assert "Traceback" not in done.stderr
    name = {"cv2": "opencv-python-headless"}.get(package, package)
    assert name in done.stderr and "-m pip install -r" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_native_crash_leaves_finished_frames_that_the_next_run_takes_up(worker, clip, tmp_path, helpers):
    process = worker.start("estimate", clip, "--output", tmp_path, "--estimator", "running_mean", "--events",
                           "--parameter", "pause=0.1")  # fmt: skip
    for line in process.stdout:
        if '"number": 1004' in line:
            break
    process.send_signal(11)
    process.communicate()
    assert process.returncode == -11
    assert worker.estimate(clip, tmp_path, "--parameter", "pause=0.1").returncode == 0


@pytest.mark.parametrize(
    ("error", "of_files"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (PermissionError(errno.EACCES, "closed"), True),
        (FileNotFoundError(errno.ENOENT, "gone"), True),
        (OSError(errno.EIO, "broken disk"), True),
        (OSError(errno.ENOMEM, "cannot start a process"), False),
        (BlockingIOError(errno.EAGAIN, "no more processes"), False),
        (BrokenPipeError(errno.EPIPE, "a child is gone"), False),
        (ChildProcessError(errno.ECHILD, "no child"), False),
        (OSError(errno.EMFILE, "too many files"), False),
        (TimeoutError("a child hangs"), False),
        (OSError("who knows"), False),
    ],
)
def test_which_errors_say_that_the_output_cannot_be_written(error, of_files):
    assert failures.is_of_files(error) == of_files


def test_an_allocation_that_fails_in_a_library_is_told_as_memory():
    for error in (MemoryError(), RuntimeError("std::bad_alloc"), OSError(errno.ENOMEM, "fork")):
        assert failures.explain(error).what == "The computer ran out of memory."
        assert failures.explain(error).code == exit_codes.FAILED


def test_what_a_child_does_to_the_run_is_no_fault_of_the_output_folder(worker, clip, tmp_path, helpers):
    done = worker.estimate(clip, tmp_path, "--parameter", "trouble=pipe", "--events")
    assert done.returncode == exit_codes.FAILED
    assert "BrokenPipeError" in _last(done, helpers)["what"] and "cannot be written" not in done.stdout
    assert worker.estimate(clip, tmp_path, "--parameter", "trouble=none").returncode == 0
