"""What a run leaves behind: nothing where it made nothing, and names of any kind survive."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.contract import client, depth_sequence, events, exit_codes, leftovers
from inference.contract.job import Job, Source
from inference.media.source import describe
from tests.footage_maker import movie, stills

ROOT = Path(__file__).resolve().parents[3]


def unreadable(folder):
    movie(folder / "clip.mp4", range(4)).write_bytes(b"no movie")
    return folder / "clip.mp4"


def broken_frame(folder):
    files = stills(folder / "plate", range(1, 20))
    files[12].write_bytes(files[12].read_bytes()[:200])
    return files[0]


def empty_file(folder):
    (folder / "clip.mp4").touch()
    return folder / "clip.mp4"


def other_size(folder):
    files = stills(folder / "plate", range(1, 8))
    stills(folder / "other", [7], images=[np.zeros((96, 128, 3), np.uint8)])[0].replace(files[6])
    return files[0].parent


@pytest.mark.parametrize("make", [unreadable, broken_frame, empty_file, other_size])
def test_an_unreadable_clip_leaves_nothing(make, worker, tmp_path):
    done = worker.estimate(make(tmp_path), tmp_path / "shots" / "depth")
    assert done.returncode == exit_codes.BAD_CLIP, done.stderr
    assert not (tmp_path / "shots").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--size", "10"], exit_codes.USAGE),
        (["--frames", "100-200"], exit_codes.USAGE),
        (["--parameter", "nonsense=1"], exit_codes.USAGE),
        (["--mattes", "/none"], exit_codes.BAD_CLIP),
        (["--parameter", "refused=1"], exit_codes.UNSUPPORTED),
    ],
)
def test_a_bad_option_and_a_refusal_leave_nothing(options, code, worker, tmp_path):
    clip = stills(tmp_path / "plate", range(1, 6))[0]
    done = worker.estimate(clip, tmp_path / "shots" / "depth", *options)
    assert done.returncode == code, done.stderr
    assert not (tmp_path / "shots").exists()


def test_a_folder_that_was_there_stays_with_what_is_in_it(worker, tmp_path):
    folder = tmp_path / "depth"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert worker.estimate(unreadable(tmp_path), folder).returncode == exit_codes.BAD_CLIP
    assert worker.estimate(broken_frame(tmp_path), folder).returncode == exit_codes.BAD_CLIP
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_clip_that_cannot_be_read_leaves_a_finished_result_as_it_was(worker, tmp_path):
    folder = tmp_path / "depth"
    assert worker.estimate(stills(tmp_path / "good", range(1, 6))[0], folder).returncode == exit_codes.OK
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert worker.estimate(broken_frame(tmp_path), folder, "--overwrite").returncode == exit_codes.BAD_CLIP
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_folder_of_the_clip_is_no_output_folder(worker, tmp_path):
    clip = stills(tmp_path / "plate", range(1, 6))[0]
    (tmp_path / "film").mkdir()
    film = movie(tmp_path / "film" / "clip.mp4", range(4))
    for path in (clip, film):
        before = sorted(path.parent.iterdir())
        done = worker.estimate(path, path.parent)
        assert done.returncode == exit_codes.BAD_OUTPUT, done.stderr
        assert "is the folder of the clip itself" in done.stderr
        assert sorted(path.parent.iterdir()) == before
    mattes = stills(tmp_path / "mattes", range(1, 6))[0].parent
    done = worker.estimate(clip, mattes, "--mattes", mattes)
    assert done.returncode == exit_codes.BAD_OUTPUT and "is the folder of the mattes" in done.stderr
    assert len(list(mattes.iterdir())) == 5
    assert worker.estimate(clip, clip.parent / "depth", "--mattes", mattes).returncode == exit_codes.OK


def errors_of(wanted, worker_python=None):
    found = []
    with pytest.raises(client.WorkerError) as caught:
        client.run_blocking(wanted, python=worker_python or sys.executable, on_event=found.append)
    return caught.value.event


@pytest.mark.parametrize("make", [unreadable, broken_frame])
def test_the_client_leaves_nothing_of_a_clip_that_cannot_be_read(make, tmp_path):
    clip = make(tmp_path)
    source = describe(clip) if clip.suffix == ".png" else Source(kind="movie", path=str(clip))
    error = errors_of(Job(source=source, output=str(tmp_path / "shots" / "depth")))
    assert error.code == exit_codes.BAD_CLIP, error.message
    assert not (tmp_path / "shots").exists()


def test_the_client_starts_no_job_that_is_wrong(tmp_path):
    source = describe(stills(tmp_path / "plate", range(1, 6))[0])
    output = tmp_path / "shots" / "depth"
    assert errors_of(Job(source=source, output=str(output), size=3)).code == exit_codes.USAGE
    assert errors_of(Job(source=source, output=str(tmp_path / "plate"))).code == exit_codes.BAD_OUTPUT
    assert errors_of(Job(source=source, output=str(output)), tmp_path / "no-python").code == exit_codes.MISSING
    assert errors_of(Job(source=source, output=str(output), estimator="none")).code == exit_codes.USAGE
    assert not (tmp_path / "shots").exists()
    assert len(list((tmp_path / "plate").iterdir())) == 5


def test_a_run_that_is_cancelled_at_once_leaves_nothing(tmp_path):
    source = describe(stills(tmp_path / "plate", range(1, 6))[0])
    steps = client.estimate(Job(source=source, output=str(tmp_path / "shots" / "depth")), python=sys.executable)
    next(steps)
    heard = list(steps.send(True))
    for more in steps:
        heard += more
    assert isinstance(heard[-1], events.Error) and heard[-1].code == exit_codes.CANCELLED
    assert not (tmp_path / "shots").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once")
def test_the_command_line_that_is_cancelled_at_once_leaves_nothing(worker, tmp_path):
    clip = stills(tmp_path / "plate", range(1, 200))[0]
    output = tmp_path / "shots" / "depth"
    process = worker.start("estimate", clip, "--output", output, "--estimator", "running_mean", "--events")
    process.stdout.readline()  # its first stage
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == exit_codes.CANCELLED
    assert not (tmp_path / "shots").exists() or leftovers.holds_work(output), "nothing, or frames to go on from"


FORCED = """
import sys
from pathlib import Path
from inference.commands import main
from inference.common.failures import Cancelled
from inference.run import runner

def stuck(job, *, emit, cancelled, overwrite):
    scratch = Path(job.output) / ".fathom"
    scratch.mkdir(parents=True)
    (scratch / "state.json").write_text("{}")
    (scratch / ".tmp-1-state.json").write_text("{")
    if "--full-size" in sys.argv:
        (scratch / "clip").mkdir()
        (scratch / "clip" / "frames.u8").write_bytes(b"1")
    for word in cancelled.before_kill:
        word()
    raise Cancelled

runner.estimate = stuck
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("frames", [False, True])
def test_a_run_that_is_ended_by_force_leaves_nothing_but_frames(frames, tmp_path):
    clip = stills(tmp_path / "plate", range(1, 6))[0]
    output = tmp_path / "shots" / "depth"
    command = [sys.executable, "-c", FORCED, "estimate", clip, "--output", output, *(["--full-size"] if frames else [])]
    ended = subprocess.run(list(map(str, command)), capture_output=True, cwd=ROOT, check=False)
    assert ended.returncode == exit_codes.CANCELLED, ended.stderr
    assert leftovers.holds_work(output) == frames == (tmp_path / "shots").exists()


# Names that are no UTF-8


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no names that are no Unicode")
@pytest.mark.parametrize("kind", ["movie", "sequence"])
def test_names_that_are_no_utf_8(kind, worker, tmp_path):
    home = tmp_path / os.fsdecode(b"r\xe9sum\xe9")
    home.mkdir()
    if kind == "movie":
        clip = movie(tmp_path / "plain.mp4", range(6)).rename(home / os.fsdecode(b"caf\xe9.mp4"))
    else:
        files = stills(tmp_path / "plain", range(1, 7))
        for number, file in enumerate(files, 1):
            clip = file.rename(home / os.fsdecode(b"caf\xe9.%d.png" % number))
    output = home / os.fsdecode(b"d\xe9pth")
    strict = {**worker.environment, "PYTHONIOENCODING": "utf-8:strict", "LC_ALL": "C.UTF-8"}
    done = worker.estimate(clip, output, "--full-size", text=False, env=strict)
    assert done.returncode == exit_codes.OK, done.stderr
    assert os.fsencode(output) in done.stdout
    sequence = depth_sequence.load(output)
    assert sequence.source.path == str(clip if kind == "movie" else home)
    assert (output / "disparity.0001.exr").is_file()
    json.loads((output / "depth.json").read_bytes())
    again = worker.estimate(clip, output, "--full-size", "--events")
    assert again.returncode == exit_codes.BAD_OUTPUT
    error = events.decode(again.stdout.splitlines()[-1])
    assert str(output) in error.what and "the same job" in error.what
    report = home / os.fsdecode(b"r\xe9port")
    looked = worker("evaluate", output, "--report", report, text=False, env=strict)
    assert looked.returncode == exit_codes.OK, looked.stderr
    assert (report / "index.html").read_text(encoding="utf-8")
