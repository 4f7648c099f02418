"""Jobs for Flamenco 3: the job type, compiled as the Manager does, and its tasks run in their order."""

import contextlib
import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from inference.common.failures import Cancelled, Failure
from inference.contract import exit_codes
from inference.farm import sending

NODE = shutil.which("node")
MANAGER = Path(__file__).with_name("manager.js")

needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


def compiled(folder, *, code=0):
    """The tasks of a bundle's job."""
    command = [NODE, MANAGER, folder / "fathom-depth.js", folder / "job.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def settings_of(folder):
    return json.loads((folder / "job.json").read_text())["settings"]


def changed(folder, **settings):
    job = json.loads((folder / "job.json").read_text())
    job["settings"] |= settings
    (folder / "job.json").write_text(json.dumps(job))


def arguments_of(task):
    (command,) = task["commands"]
    return command["parameters"]["args"]


@needs_node
def test_a_task_is_a_chunk_and_waits_for_its_shots_phase_before(bundle, cut_clip, clip, fathom, tmp_path):
    folder = bundle(cut_clip, clip, kind="flamenco", frames=6)
    tasks = compiled(folder)
    names = [task["name"] for task in tasks]
    plate = f"plate ({cut_clip.name})"
    assert names[:5] == [
        f"{plate}: check the plan",
        *(f"{plate}: Looking, chunk {number}" for number in range(4)),
    ]
    assert sum(name.endswith("merge") for name in names) == 2 and len(tasks) == 2 + 2 + 12 + 6
    assert all(place < index for index, task in enumerate(tasks) for place in task["dependencies"])
    waits = {task["name"]: [names[place] for place in task["dependencies"]] for task in tasks}
    assert waits[f"{plate}: Looking, chunk 2"] == [f"{plate}: check the plan"]
    assert waits[f"{plate}: Averaging, chunk 5"] == [f"{plate}: Looking, chunk {number}" for number in (2, 3)]
    assert set(waits[f"{plate}: merge"]) == {f"{plate}: Finishing the shot, chunk {n}" for n in (10, 11)}
    first = arguments_of(tasks[1])
    assert first[:3] == ["-I", "-u", f"{fathom}/__main__.py"]
    assert first[3:] == [
        *("estimate", str(cut_clip), "--planned", str(tmp_path / "depths" / cut_clip.name)),
        *("--chunks", "0"),
    ]  # fmt: skip
    assert {task["type"] for task in tasks} == {"misc"}


@needs_node
def test_a_task_may_do_several_chunks_and_many_are_gathered(bundle, cut_clip, tmp_path):
    folder = bundle(cut_clip, kind="flamenco", frames=1, more=("--cuts", "none"))
    tasks = compiled(folder)
    gates = [task for task in tasks if task["commands"][0]["name"] == "echo"]
    assert [len(task["dependencies"]) for task in gates] == [30, 30]
    assert max(len(task["dependencies"]) for task in tasks if task not in gates) == 1
    changed(folder, chunks_per_task=8)
    chunks = [arguments_of(task)[-1] for task in compiled(folder) if "Looking" in task["name"]]
    assert chunks == ["0-7", "8-15", "16-23", "24-29"]


@needs_node
def test_paths_are_below_those_that_the_manager_maps(bundle, cut_clip, tmp_path):
    folder = bundle(cut_clip, kind="flamenco")
    found = settings_of(folder)
    assert found["outputs"] == str(tmp_path / "depths") and found["clips"] == str(cut_clip.parent)
    assert str(tmp_path) not in found["plans"]
    changed(folder, outputs="{depths}", clips="{clips}")
    arguments = arguments_of(compiled(folder)[1])
    assert f"{{depths}}/{cut_clip.name}" in arguments and f"{{clips}}/{cut_clip.name}" in arguments
    changed(folder, plans="")
    assert "This job has no chunks" in compiled(folder, code=1)


@needs_node
@pytest.mark.slow
def test_a_job_that_is_run_makes_what_one_run_makes(bundle, cut_clip, whole, farm, worker, tmp_path):
    for task in compiled(bundle(cut_clip, kind="flamenco")):
        for command in task["commands"]:
            parameters = command["parameters"]
            if command["name"] == "exec":
                asked = [parameters["exe"], *parameters["args"]]
                subprocess.run(asked, env=worker.environment, capture_output=True, timeout=120, check=True)
    assert farm.contents(tmp_path / "depths" / cut_clip.name) == whole()


class Manager(http.server.BaseHTTPRequestHandler):
    """The Manager's API, as far as jobs are sent to it."""

    jobs = []
    status, answer = 200, {"id": "f7c2", "name": "depth"}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.jobs.append((self.path, json.loads(body)))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.answer).encode())

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def manager(monkeypatch):
    monkeypatch.setattr(Manager, "jobs", [])
    server = http.server.HTTPServer(("127.0.0.1", 0), Manager)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_manager_gets_the_job(bundle, clip, manager, monkeypatch):
    folder = bundle(clip, kind="flamenco", more=("--manager", f"{manager}/", "--name", "Night"))
    ((path, job),) = Manager.jobs
    assert path == "/api/v3/jobs" and job == json.loads((folder / "job.json").read_text())
    assert (job["type"], job["name"], job["priority"]) == ("fathom-depth", "Night", 50)
    monkeypatch.setattr(Manager, "status", 400)
    monkeypatch.setattr(Manager, "answer", {"code": 400, "message": "job type unknown"})
    refused = bundle(clip, kind="flamenco", more=("--manager", manager), code=exit_codes.FAILED)
    assert "does not take the job: job type unknown. Copy fathom-depth.js" in refused


def test_what_cannot_be_sent_is_said(bundle, clip):
    unsent = bundle(clip, kind="flamenco", more=("--manager", "manager:8080"), code=exit_codes.USAGE)
    assert "no address of a Flamenco Manager" in unsent
    unsent = bundle(clip, kind="flamenco", more=("--manager", "http://127.0.0.1:9"), code=exit_codes.FAILED)
    assert "cannot be reached" in unsent and "the job is in" in unsent
    assert "not by --send" in bundle(clip, kind="flamenco", more=("--send",), code=exit_codes.USAGE)
    assert "is of bundle flamenco" in bundle(clip, more=("--manager", "http://a"), code=exit_codes.USAGE)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000, "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", "cannot be reached"),
        (b"HTTP/1.1 400 No\r\n\r\n" + b"[" * 200_000, "does not take the job"),
    ],
)
def test_what_is_no_manager_is_said(tmp_path, answer, said):
    (tmp_path / "job.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                sent = b""
                while not sent.endswith(b"{}"):  # what is left unread would reset the connection
                    sent += connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Failure, match=said):
            sending.to_flamenco(tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    with pytest.raises(Failure, match="cannot be reached"):
        sending.to_flamenco(tmp_path, "http://a b\n")


def test_an_answer_that_breaks_off_behind_its_status_is_said(tmp_path, monkeypatch):
    class Reset(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError(104, "Connection reset by peer")

    def answer(request, **_):
        raise urllib.error.HTTPError(request.full_url, 400, "Bad Request", {}, Reset())

    (tmp_path / "job.json").write_text("{}")
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    with pytest.raises(Failure, match=r"does not take the job: Bad Request\."):
        sending.to_flamenco(tmp_path, "http://127.0.0.1:8080")


def test_a_server_that_never_ends_to_answer_holds_nothing_up(tmp_path, monkeypatch):
    (tmp_path / "job.json").write_text("{}")
    monkeypatch.setattr(sending, "_OF_AN_ANSWER", 0.5)
    timed_out, cancelled = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for is_over in (timed_out, cancelled):
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                    while not is_over.wait(0.1):
                        connection.sendall(b"x")

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Failure, match="takes too long to answer"):
            sending.to_flamenco(tmp_path, address)
        timed_out.set()

        def check():
            raise Cancelled

        with pytest.raises(Cancelled):
            sending.to_flamenco(tmp_path, address, check=check)
        cancelled.set()
        thread.join()


@pytest.mark.parametrize(("name", "said"), [("{clips}", "contains braces"), (b"\xff", "letters that are not UTF-8")])
def test_a_name_that_no_job_can_have_is_said(bundle, cut_clip, tmp_path, name, said):
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    for path in sorted(cut_clip.iterdir())[:4]:
        shutil.copy(path, folder)
    assert said in bundle(folder, kind="flamenco", code=exit_codes.USAGE)
