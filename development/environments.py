"""The virtual environments of development: the worker's, and one for each supported Blender.

Each is made from lock files under ``requirements/`` and marked with their hashes, written last: an environment whose
installation was interrupted, or whose lock has changed since, is made again from scratch. The worker's starts with the
packages of the main job; verbs that need more add them in place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import system
from .problems import NoInterpreter, Problem

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
DEFAULT_BLENDER = "5.0"
WORKER_MAIN = ROOT / "inference" / "__main__.py"
GUARD = WORKER_MAIN.parent / "common" / "parent_watch.py"


@dataclass(frozen=True)
class Environment:
    """A virtual environment in the repository's root.

    Attributes
    ----------
    folder, python : str
        Its name, and the version of the interpreter that it needs.
    locks : tuple of str
        Files under ``requirements/`` that are installed into it. One that begins as another in the same folder does
        adds its packages to that.
    label : str
        Description, for progress messages.
    blender : bool
        Whether it holds bpy, which needs system libraries.
    """

    folder: str
    python: str
    locks: tuple[str, ...]
    label: str
    blender: bool = False

    @property
    def path(self) -> Path:
        """Its folder."""
        return ROOT / self.folder

    @property
    def stamp(self) -> Path:
        """The file that has the hashes of what is in it."""
        return self.path / "fathom-stamp"

    @property
    def executable(self) -> Path:
        """Its interpreter."""
        return system.executable(self.path)


WORKER = Environment(
    folder=".venv-inference",
    python="3.11",
    locks=("light.txt",),
    label="the worker's packages for the main job, 1.0 GB",
)
FULL_WORKER = Environment(
    folder=WORKER.folder,
    python=WORKER.python,
    locks=(*WORKER.locks, "full.txt", "dev-inference.txt", "torch.txt", "training.txt"),
    label="the networks' packages and the development tools, 6 GB on Linux, 2 GB where pip finds torch without CUDA",
)
BLENDERS = {
    version: Environment(
        folder=".venv" if version == DEFAULT_BLENDER else f".venv-{version}",
        python=python,
        locks=(f"dev-blender-{version}.txt",),
        label=f"Blender {version} as a Python module, about 1 GB",
        blender=True,
    )
    for version, python in {"4.2": "3.11", "4.5": "3.11", "5.0": "3.11", "5.2": "3.13"}.items()
}

LOCKER = Environment(
    folder=".venv-lock", python="3.11", locks=("dev-lock.txt",), label="the tool that writes lock files, 60 MB"
)


def ensure(environment: Environment) -> Path:
    """Make an environment unless it exists; its interpreter.

    A stamp file has the hashes of what is in it. It is deleted before anything is installed, so an interrupted
    installation is not taken for an environment. Where another process is at it, this one waits.

    Raises
    ------
    NoInterpreter
        The interpreter is missing.
    Problem
        A system package is missing, or pip failed.
    """
    if environment.blender:
        system.need_blender_libraries()
    if _is_there(environment):
        return environment.executable
    python = system.find_python(environment.python)
    if python is None:
        raise NoInterpreter(
            f"{environment.folder} needs Python {environment.python}, which is not on PATH; "
            f"install it so that `python{environment.python}` runs."
        )
    with _alone(environment):
        if not _is_there(environment):  # else another process made it meanwhile
            _make(environment, python)
    return environment.executable


def _is_there(environment: Environment) -> bool:
    return environment.executable.exists() and _fingerprints(environment)[-1] in _stamped(environment)


def _make(environment: Environment, python: str) -> None:
    there, wanted = _stamped(environment), _fingerprints(environment)
    if environment.executable.exists() and there and there == wanted[: len(there)]:
        print(f"Adding to {environment.folder}: {environment.label} (only this once)", flush=True)
        environment.stamp.unlink()
    else:
        system.need_venv(python)
        print(f"Setting up {environment.folder}: {environment.label} (only this once)", flush=True)
        shutil.rmtree(environment.path, ignore_errors=True)
        _run([python, "-I", str(GUARD), "venv", str(environment.path)], f"{python} could not make {environment.folder}")
    locks = [str(REQUIREMENTS / lock) for lock in environment.locks]
    install = [str(environment.executable), "-I", str(WORKER_MAIN), "install", "--quiet", "--parent-pipe"]
    # Importing bpy would read the user's own Blender's settings.
    install += [*(["--no-load"] if environment.blender else []), *locks]
    _run(install, f"{' and '.join(environment.locks)} could not be installed into {environment.folder}")
    environment.stamp.write_text("\n".join(wanted))


@contextmanager
def _alone(environment: Environment) -> Iterator[None]:
    """A lock that is let go with the process, by the standard library, for nothing is installed yet."""
    with open(ROOT / f"{environment.folder}.lock", "w") as lock:
        if not _locked(lock.fileno()):
            print(f"Waiting for another process, which sets up {environment.folder}", flush=True)
            while not _locked(lock.fileno()):
                time.sleep(0.5)
        yield


def _locked(descriptor: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # a disk without locks: nobody is known to be at it
    return True


def _stamped(environment: Environment) -> list[str]:
    return environment.stamp.read_text().split() if environment.stamp.exists() else []


def _fingerprints(environment: Environment) -> list[str]:
    """A hash of the Python version and the first lock, the first two, and so on."""
    digest, found = hashlib.sha256(environment.python.encode()), []
    for lock in environment.locks:
        digest.update((REQUIREMENTS / lock).read_bytes())
        found.append(digest.hexdigest())
    return found


def _run(command: list[str], failure: str) -> None:
    """Run a command that ends, with its children, when this process ends (see `inference/common/parent_watch.py`)."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=os.name != "nt") as process:
        code = process.wait()
    if code:
        raise Problem(f"{failure}; see its message above. Fix that, and run the same command again.")
