"""The client: the same generator for operators and scripts, over a real worker."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from inference.contract import bounded_log, client, depth_sequence, events, exit_codes
from inference.contract.job import Job, Source
from tests.marks import rest_slow

WORKER = Path(__file__).resolve().parents[1] / "support" / "worker.py"
SOON = 15.0
"""Seconds; what hangs in these tests would hang for ten minutes. How soon is measured by a benchmark."""


@pytest.fixture(autouse=True)
def estimators_for_tests(monkeypatch, tmp_path_factory):
    """The worker that the client starts knows the estimators for tests."""
    monkeypatch.setattr(client, "MAIN", WORKER)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path_factory.getbasetemp() / "home"))


def _job(clip: Path, output: Path, **parameters) -> Job:
    names = tuple(sorted(path.name for path in clip.iterdir()))
    source = Source(kind="sequence", path=str(clip), files=names)
    return Job(source=source, output=str(output), estimator="running_mean", parameters=parameters)


def _until(steps, condition) -> list:
    heard = []
    for batch in steps:
        heard += batch
        if any(condition(event) for event in batch):
            return heard
    raise AssertionError(f"it never came: {heard}")


def _rest(steps) -> list:
    return [event for batch in steps for event in batch]


def test_a_job_is_run_and_every_event_is_heard(clip, tmp_path):
    heard = []
    sequence = client.run_blocking(_job(clip, tmp_path), python=sys.executable, on_event=heard.append)
    assert sequence == depth_sequence.load(tmp_path)
    assert [event.number for event in heard if isinstance(event, events.Frame)] == list(range(1001, 1013))
    assert isinstance(heard[-1], events.Done)
    assert sum(isinstance(event, (events.Done, events.Error)) for event in heard) == 1


def test_the_log_takes_what_libraries_say(clip, tmp_path):
    client.run_blocking(_job(clip, tmp_path, trouble="noise"), python=sys.executable)
    log = (tmp_path / client.LOG).read_text()
    assert "speaks in C" in log and "speaks in Python" in log


def test_steps_come_also_when_nothing_happens(clip, tmp_path):
    steps = client.estimate(_job(clip, tmp_path, pause=1.0), python=sys.executable)
    _until(steps, lambda event: isinstance(event, events.Frame))
    assert sum(not next(steps) for _ in range(10)) >= 5, "most steps are empty while the worker pauses"
    steps.close()


@pytest.mark.parametrize("trouble", ["none", "child", "native", "stubborn child"])
def test_cancelling_ends_the_worker_and_its_children(clip, tmp_path, trouble, helpers):
    steps = client.estimate(_job(clip, tmp_path, pause=0.2, trouble=trouble), python=sys.executable)
    _until(steps, lambda event: isinstance(event, events.Frame) and event.number >= 1002)
    if "child" in trouble:
        helpers.wait_for(lambda: helpers.number_after("child", tmp_path / client.LOG), "the child")
    family = psutil.Process().children(recursive=True)
    assert len(family) >= (2 if "child" in trouble else 1)
    heard = list(steps.send(True))
    heard += _rest(steps)
    assert isinstance(heard[-1], events.Error)
    assert heard[-1].code == exit_codes.CANCELLED
    assert not [process for process in family if not helpers.is_gone(process.pid)]
    assert (tmp_path / "disparity.1001.exr").exists()
    assert not (tmp_path / "depth.json").exists()


def test_a_cancelled_job_goes_on(clip, tmp_path):
    steps = client.estimate(_job(clip, tmp_path, pause=0.1), python=sys.executable)
    _until(steps, lambda event: isinstance(event, events.Frame) and event.number == 1005)
    steps.send(True)
    _rest(steps)
    heard = []
    client.run_blocking(_job(clip, tmp_path, pause=0.1), python=sys.executable, on_event=heard.append)
    told = [event.number for event in heard if isinstance(event, events.Frame)]
    assert told[0] >= 1006 and told[-1] == 1012


def test_closing_the_generator_ends_the_worker(clip, tmp_path, helpers):
    steps = client.estimate(_job(clip, tmp_path, trouble="child"), python=sys.executable)
    _until(steps, lambda event: isinstance(event, events.Frame))
    helpers.wait_for(lambda: helpers.number_after("child", tmp_path / client.LOG), "the child")
    family = psutil.Process().children(recursive=True)
    steps.close()
    helpers.wait_for(lambda: all(helpers.is_gone(process.pid) for process in family), "their end", SOON)


def test_a_worker_that_is_killed_ends_in_an_error(clip, tmp_path):
    steps = client.estimate(_job(clip, tmp_path, pause=0.2), python=sys.executable)
    _until(steps, lambda event: isinstance(event, events.Frame))
    for process in psutil.Process().children():
        process.kill()
    last = _rest(steps)[-1]
    assert isinstance(last, events.Error)
    assert "was killed (SIGKILL), as the system does when memory runs out" in last.what
    assert last.code == exit_codes.FAILED and "Close other programs or choose a smaller [[size]]" in last.hint
    assert str(tmp_path / client.LOG) in last.hint


def test_a_worker_whose_library_crashes_ends_in_an_error(clip, tmp_path):
    steps = client.estimate(_job(clip, tmp_path, pause=0.2), python=sys.executable)
    _until(steps, lambda event: isinstance(event, events.Frame))
    for process in psutil.Process().children():
        process.send_signal(signal.SIGSEGV)
    last = _rest(steps)[-1]
    assert last.code == exit_codes.FAILED and last.what == "The worker crashed (SIGSEGV) without a result."
    assert str(tmp_path / client.LOG) in last.hint and "memory" not in last.message


@pytest.mark.parametrize(
    ("code", "words", "memory"),
    [
        (-9, "was killed (SIGKILL)", True),
        (137, "was killed (SIGKILL)", True),
        (-11, "crashed (SIGSEGV)", False),
        (134, "crashed (SIGABRT)", False),
        (-15, "was ended from outside (SIGTERM)", False),
        (0xC0000005, "crashed (access violation)", False),
        (-0x3FFFFFFB, "crashed (access violation)", False),
        (0xC0000017, "ran out of memory", True),
        (3, "ended with exit code 3", False),
        (0, "ended with exit code 0", False),
        (255, "ended with exit code 255", False),
    ],
)
def test_how_a_process_ended(code, words, memory):
    said, of_memory = exit_codes.ending(code)
    assert said.startswith(words) and of_memory == memory


def test_a_finished_folder_needs_to_be_overwritten(clip, tmp_path):
    client.run_blocking(_job(clip, tmp_path), python=sys.executable)
    with pytest.raises(client.WorkerError, match="finished result of the same job") as caught:
        client.run_blocking(_job(clip, tmp_path), python=sys.executable)
    assert caught.value.event.code == exit_codes.BAD_OUTPUT
    client.run_blocking(_job(clip, tmp_path), python=sys.executable, overwrite=True)


def test_errors_of_the_worker_arrive_as_they_are(clip, tmp_path):
    with pytest.raises(client.WorkerError, match="no parameter 'speed'") as caught:
        client.run_blocking(_job(clip, tmp_path, speed=3), python=sys.executable)
    assert caught.value.event.code == exit_codes.USAGE


def test_a_python_that_is_not_there(clip, tmp_path):
    (heard,) = client.estimate(_job(clip, tmp_path), python=tmp_path / "no" / "python")
    assert heard[0].code == exit_codes.MISSING
    assert "Install Dependencies" in heard[0].hint


def test_an_output_folder_that_cannot_be_made(clip, tmp_path):
    (tmp_path / "file").write_text("")
    (heard,) = client.estimate(_job(clip, tmp_path / "file"), python=sys.executable)
    assert heard[0].code == exit_codes.BAD_OUTPUT


def test_a_worker_that_talks_nonsense_is_survived(clip, tmp_path, monkeypatch):
    script = tmp_path / "nonsense.py"
    script.write_text(
        "import os, sys\n"
        "os.write(1, b'\\xff\\xfe\\n{\\n[]\\nnull\\n{\"event\": \"news\", \"x\": 1}\\n' + b'x' * 300000 + b'\\n')\n"
        'os.write(1, b\'{"event": "stage", "name": "n", "label": "l"}\')\n'
        "sys.exit(7)\n"
    )
    monkeypatch.setattr(client, "MAIN", script)
    heard = _rest(client.estimate(_job(clip, tmp_path / "out"), python=sys.executable))
    assert heard[0] == events.Stage(name="n", label="l")
    assert isinstance(heard[1], events.Error) and "exit code 7" in heard[1].what


def test_the_workers_environment_knows_nothing_of_this_pythons(monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("OCIO", "/studio/config.ocio")
    clean = client.clean_environment()
    assert clean["OCIO"] == "/studio/config.ocio"
    assert not [name for name in clean if name.startswith("PYTHON") or "LIBRARY_PATH" in name]


def test_a_hostile_environment_does_not_reach_the_worker(clip, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    client.run_blocking(_job(clip, tmp_path / "out"), python=sys.executable)


def test_no_job_file_threads_or_pipes_are_left_behind(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.exists("/proc") else 0
    client.run_blocking(_job(clip, tmp_path / "out"), python=sys.executable)
    time.sleep(0.1)
    assert not list(tmp_path.glob("fathom-job-*"))
    assert threading.active_count() == threads
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_the_file_itself_is_the_worker_as_blender_starts_it(tmp_path):
    """Isolated, from another folder, without the package on the path."""
    main = Path(client.__file__).resolve().parents[1] / "__main__.py"
    done = subprocess.run(
        [sys.executable, "-I", "-u", str(main), "estimators", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)


class _Process:
    """A worker that says what it is told to and ends when it is killed."""

    def __init__(self, code: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def worker(self, tmp_path) -> "client._Worker":
        return client._Worker(self.popen, tmp_path / "log", lambda **_: None)


_PROGRESS = '{"event": "progress", "done": 1, "total": 2}'


@pytest.mark.parametrize(
    "code",
    rest_slow(
        [
            "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)",  # no end of a line
            f"while True: print('{_PROGRESS}')",  # events without end
            "import sys\nwhile True: sys.stdout.buffer.write(b'\\xff\\xfe\\x1b[2J\\n' * 1000)",
            "while True: print('{\"event\": ' * 5000)",
        ],
        2,
    ),
    ids=["endless line", "flood", "no text", "no end of brackets"],
)
def test_whatever_a_worker_says_steps_stay_short_and_memory_bounded(tmp_path, code):
    process = _Process(code)
    worker = process.worker(tmp_path)
    before = psutil.Process().memory_info().rss
    heard = 0
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        found = worker.receive()
        heard = max(heard, len(found))
    assert heard <= client._MOST_AT_ONCE and worker._waiting <= client._MOST_WAITING + events.LONGEST_LINE + 500
    assert psutil.Process().memory_info().rss - before < 300e6
    worker.close(keep_log=False)
    assert process.popen.poll() is not None
    assert not worker._reader.is_alive()


def test_nobody_listens_and_the_worker_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_MOST_WAITING", 100_000)
    process = _Process(f"while True: print('{_PROGRESS}')")
    worker = process.worker(tmp_path)
    time.sleep(1.0)
    assert worker._unread.qsize() <= 100_000 / client._OF_AN_EVENT
    assert worker.receive()
    worker.close(keep_log=False)
    assert not worker._reader.is_alive()


def test_what_comes_after_a_line_that_is_too_long_is_heard(tmp_path):
    code = f"print('x' * 5_000_000); print('{_PROGRESS}'); print('y' * {events.LONGEST_LINE}); print('{_PROGRESS}')"
    process = _Process(code)
    worker = process.worker(tmp_path)
    heard = []
    until = time.monotonic() + SOON
    while not worker.is_over() and time.monotonic() < until:
        heard += worker.receive()
    worker.close(keep_log=False)
    assert heard == [events.Progress(done=1, total=2)] * 2


def test_what_was_said_at_the_end_is_heard_however_much_it_is(tmp_path):
    code = f"for i in range(20_000): print('{_PROGRESS}')\n"
    process = _Process(code + """print('{"event": "done", "folder": "x", "frames": 1, "seconds": 1}')""")
    steps = client._followed(process.worker(tmp_path))
    heard = []
    for batch in steps:
        heard += batch
        time.sleep(0.1)  # as a timer in Blender, or Blender while it is busy
    assert len(heard) == 20_001
    assert heard[-1] == events.Done(folder="x", frames=1, seconds=1)


def test_who_goes_on_with_the_flood_of_a_worker_that_has_ended_holds_nothing_up_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_LONGEST_END", 1.0)
    flood = f"while True: print('{_PROGRESS}')"
    process = _Process(f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {flood!r}])")
    steps = client._followed(process.worker(tmp_path))
    try:
        assert isinstance(_rest(steps)[-1], events.Error)
    finally:
        os.killpg(process.popen.pid, signal.SIGKILL)


def test_the_log_keeps_the_beginning_and_the_end_of_what_is_too_much(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(bounded_log.copy, "__kwdefaults__", {"head": 1000, "tail": 500})
    (tmp_path / client.LOG).write_text("first\n")
    worker = tmp_path / "worker.py"
    worker.write_text("import sys\nfor i in range(20_000): print('line', i, file=sys.stderr)\nsys.exit(1)\n")
    monkeypatch.setattr(client, "MAIN", worker)
    heard = _rest(client.estimate(_job(clip, tmp_path), python=sys.executable))
    assert heard[-1].code == exit_codes.FAILED
    log = (tmp_path / client.LOG).read_text()
    assert len(log) < 1000 + 2 * 500 + 200
    assert log.startswith("first\nline 0\nline 1\n") and log.rstrip().endswith("line 19999")
    assert log.count("removed the middle") == 1


class _Full:
    """A disk that is full, as what writes a job meets it."""

    def __call__(self, *_arguments, **_options):
        raise OSError(28, "No space left on device")


def test_no_room_for_the_job_is_one_sentence_and_leaves_nothing(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(client.job, "save", _Full())
    monkeypatch.setattr(client.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(client.WorkerError, match=r"temporary files \(No space left on device\)\. Free some space"):
        client.run_blocking(_job(clip, tmp_path / "out" / "v001"), python=sys.executable)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(client.tempfile, "mkstemp", _Full())
    (heard,) = _rest(client.estimate(_job(clip, tmp_path / "out" / "v001"), python=sys.executable))
    assert heard.code == exit_codes.FAILED and "TMPDIR" in heard.message
    assert not list(tmp_path.iterdir())


def _download(home):
    return _rest(client.download(["quick"], licences=["MIT"], offline=True, python=sys.executable, home=home))


def test_a_data_folder_that_cannot_be_written_is_not_called_a_broken_environment(tmp_path):
    (tmp_path / "file").write_text("")
    (heard,) = _download(tmp_path / "file")
    assert heard.what.startswith(f"The data folder {tmp_path / 'file'} cannot be written")
    assert "environment" not in heard.message


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_log_of_downloads_that_is_a_link_is_said_to_be_one(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "download.log").symlink_to(tmp_path / "mine")
    (heard,) = _download(tmp_path / "home")
    assert "download.log is a link" in heard.what and (tmp_path / "mine").read_text() == "precious"


def test_two_downloads_have_a_log_each(tmp_path):
    path, one = client._own_log(tmp_path / "download.log", "", "")
    other, two = client._own_log(tmp_path / "download.log", "", "")
    assert (path.name, other.name) == ("download.log", "download-2.log")
    one.close()
    again, three = client._own_log(tmp_path / "download.log", "", "")
    assert again == path
    two.close()
    three.close()


def test_a_result_that_somebody_took_away_is_one_sentence(clip, tmp_path):
    def take_away(event):
        if isinstance(event, events.Done):
            (tmp_path / "out" / "depth.json").unlink()

    with pytest.raises(client.WorkerError, match=r"contains no depth\.json"):
        client.run_blocking(_job(clip, tmp_path / "out"), python=sys.executable, on_event=take_away)
