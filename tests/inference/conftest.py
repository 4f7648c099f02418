"""What tests of the worker share: small clips, and the worker with the estimators for tests."""

import contextlib
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import psutil
import pytest

from inference.contract import packages

hypothesis.settings.register_profile("fathom", deadline=None)  # how long an example takes is not what is tested
hypothesis.settings.load_profile("fathom")

WORKER = Path(__file__).resolve().parent / "support" / "worker.py"
WORKER_SERVER = WORKER.with_name("worker_server.py")
OF_NETWORKS = {"OMP_NUM_THREADS": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A folder of twelve frames, 1001 to 1012, 64x48."""
    return write_clip(tmp_path_factory.mktemp("clip"), range(1001, 1013))


@pytest.fixture(scope="session")
def cut_clip(tmp_path_factory) -> Path:
    """A folder of 30 frames from 1 on with a hard cut before 16."""
    return write_clip(tmp_path_factory.mktemp("cut"), range(1, 31), cut=16)


def write_clip(folder: Path, numbers: range, *, size=(64, 48), cut: int | None = None) -> Path:
    """Images of a texture that moves; another texture and color from frame `cut` on."""
    width, height = size
    rng = np.random.default_rng(7)
    for number in numbers:
        later = cut is not None and number >= cut
        texture = np.random.default_rng(2 if later else 1).integers(0, 256, (height, width * 2, 3), np.uint8)
        texture = cv2.GaussianBlur(texture, (0, 0), 2)
        shift = number % width
        image = texture[:, shift : shift + width].astype(np.int16)
        image = image // 3 + ((0, 0, 160) if later else (160, 60, 0)) + rng.integers(0, 4, image.shape)
        cv2.imwrite(str(folder / f"plate.{number:04d}.png"), np.clip(image, 0, 255).astype(np.uint8))
    return folder


class Forked:
    """A worker that `worker_server` has forked, to be used as a `subprocess.Popen`; its outputs are for its end."""

    stdin = stdout = stderr = None

    def __init__(self, server: Path, arguments: list[str], environment: dict[str, str]) -> None:
        self.returncode: int | None = None
        self._answers = b""
        self._files = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(2)]  # noqa: SIM115  live as long
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(os.fspath(server))
        request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": environment}
        socket.send_fds(self._connection, [json.dumps(request).encode()], [file.fileno() for file in self._files])
        self.pid = self._answer(60)

    def _answer(self, timeout: float | None) -> int:
        """The next number that the server sends."""
        self._connection.settimeout(timeout)
        while b"\n" not in self._answers:
            received = self._connection.recv(64)
            assert received, "the server has ended"
            self._answers += received
        line, _, self._answers = self._answers.partition(b"\n")
        return int(line)

    def poll(self) -> int | None:
        with contextlib.suppress(BlockingIOError):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = self._answer(timeout)
            self._connection.close()
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; what it has printed. One that takes too long is killed."""
        try:
            self.wait(timeout)
        except TimeoutError:
            self.kill()
            raise
        texts = []
        for file in self._files:
            with file:
                file.seek(0)
                texts.append(file.read())
        return texts[0], texts[1]


class Worker:
    """The command line, as a process: a new Python, or forked from `worker_server`, which is sooner there."""

    def __init__(self, home: Path, server: Path, **settings: str) -> None:
        self.environment = {**os.environ, "FATHOM_HOME": str(home), **settings}
        self.server = server
        self.at_start = settings_apart(self.environment)
        self.started: list[subprocess.Popen | Forked] = []

    def command(self, *arguments) -> list[str]:
        return [sys.executable, "-I", "-u", str(WORKER), *map(str, arguments)]

    def start(self, *arguments, **options) -> subprocess.Popen:
        """Start it in a new Python, with its outputs in pipes."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        options.setdefault("env", self.environment)
        self.started.append(subprocess.Popen(self.command(*arguments), **options))
        return self.started[-1]

    def fork(self, *arguments) -> Forked:
        """Start it with what Python and the libraries have read as its server started."""
        assert settings_apart(self.environment) == self.at_start
        self.started.append(Forked(self.server, list(map(str, arguments)), self.environment))
        return self.started[-1]

    def __call__(self, *arguments, **options) -> subprocess.CompletedProcess:
        """Run it to its end."""
        can_fork = options in ({}, {"stdin": subprocess.DEVNULL}) and settings_apart(self.environment) == self.at_start
        process = self.fork(*arguments) if can_fork else self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(self.command(*arguments), process.returncode, out, err)

    def estimate(self, clip: Path, output: Path, *arguments, **options) -> subprocess.CompletedProcess:
        """Run an estimate by the estimator for tests."""
        return self("estimate", clip, "--output", output, "--estimator", "running_mean", *arguments, **options)


@contextlib.contextmanager
def serving(*more: str, **settings: str):
    """A process that forks workers, which get these environment variables; its socket."""
    with tempfile.TemporaryDirectory() as folder:  # a socket's path is short
        path = Path(folder) / "worker"
        command = [sys.executable, "-I", "-u", WORKER_SERVER, path, *more]
        environment = {**os.environ, **settings}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
            assert server.stdout.readline() == b"ready\n"
            server.wait()
            yield path


@contextlib.contextmanager
def working(made: Worker):
    """End what a worker has started."""
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture(scope="session")
def worker_server():
    """The socket of a process that forks workers."""
    with serving() as path:
        yield path


@pytest.fixture
def worker(tmp_path_factory, worker_server):
    with working(Worker(tmp_path_factory.getbasetemp() / "home", worker_server)) as made:
        yield made


@pytest.fixture(scope="session")
def network_server():
    """The socket of a process that forks workers that have imported the packages of the network estimators."""
    with serving("networks", **OF_NETWORKS) as path:
        yield path


@pytest.fixture
def network_worker(tmp_path_factory, network_server):
    """A worker for tiny networks, in one thread and without a hub."""
    with working(Worker(tmp_path_factory.getbasetemp() / "home", network_server, **OF_NETWORKS)) as made:
        yield made


@pytest.fixture(scope="session")
def light_python(tmp_path_factory) -> Path:
    """A Python that has the light set of packages and nothing else, by links to those of this one."""
    if os.name == "nt":
        pytest.skip("links to packages need privileges on Windows")
    folder = tmp_path_factory.mktemp("light")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages_folder,) = folder.glob("lib/python*/site-packages")
    for name in packages.locked():
        distribution = importlib.metadata.distribution(name)
        tops = {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            (packages_folder / top).symlink_to(distribution.locate_file(top))
    return folder / "bin" / "python"


def settings_apart(environment: dict[str, str]) -> dict[str, str]:
    """An environment without what Fathom, the hub's library and the tests' own parts read later than as they start."""
    when_asked = ("FATHOM_HOME", "HF_", "PYTEST_", "KILLED_AT", "FATHOM_TEST_VIDEO_DEPTH")
    return {name: value for name, value in environment.items() if not name.startswith(when_asked)}


def events_of(text: str) -> list[dict]:
    """Every line of standard output as the JSON that it must be."""
    return [json.loads(line) for line in text.splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """A depth sequence's files by name, ``depth.json`` without the time it took."""
    found = {path.name: path.read_bytes() for path in folder.glob("*.exr")}
    facts = json.loads((folder / "depth.json").read_text())
    del facts["seconds"]
    return {**found, "depth.json": json.dumps(facts).encode()}


def wait_for(condition, what: str, seconds: float = 60.0):
    """Wait until `condition` is true and return its value."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.01)
    return value


def is_gone(process: int) -> bool:
    """Whether a process has ended (its remains may not have been collected)."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def number_after(word: str, path: Path) -> int | None:
    """The number that follows a word in a log, once it is there."""
    words = path.read_text().split() if path.exists() else []
    return int(words[words.index(word) + 1]) if word in words[:-1] else None


@pytest.fixture(scope="session")
def helpers():
    """The functions of this file, which tests cannot import."""
    return sys.modules[__name__]


@pytest.fixture(autouse=True)
def no_left_over_signal_handlers():
    """Signals are as they were when a test has run in this process."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before
