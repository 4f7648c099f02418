"""Make the worker's environment, and remove it. Standard library only."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

from .client import clean_environment
from .environment import LIGHT, STAMP, WHERE, PackageSet, fingerprint, python_of, state
from .events import Event, Progress, Stage

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)
"""Every package of the lock is published ready-built for these and what lies between."""

_SIZES: dict[PackageSet, tuple[float, float]] = {
    "light": (0.3, 1.0),
    "full": (3.0, 6.0) if sys.platform.startswith("linux") else (0.5, 2.0),
}
"""Gigabytes to download and on disk, with Python 3.11; torch's build for Linux brings CUDA's libraries."""

_WAIT = 0.02
"""Seconds that one step waits for news, so that a caller's loop needs no pause of its own."""

Events = tuple[Event, ...]
Steps = Generator[Events, bool | None, None]


class SetupError(RuntimeError):
    """The environment could not be made; the message says what happened and what to do."""


def sizes(packages: PackageSet) -> tuple[float, float]:
    """Gigabytes that a set of packages takes, about: to download, and on disk."""
    return _SIZES[packages]


def create(
    folder: Path,
    *,
    python: Path,
    requirements: Sequence[Path] = LIGHT,
    log: Path | None = None,
    needed_bytes: float = 0.0,
) -> Steps:
    """Make a virtual environment and fill it; a whole one from the same lock is left as it is.

    Parameters
    ----------
    folder : Path
        Becomes the environment. What is left there of an earlier attempt or of another lock is replaced.
    python : Path
        Interpreter to make it with, see `base_python`.
    requirements : paths
        Files for ``pip install -r``; pip's own configuration (index, proxy, certificates) is the user's.
    log : Path or None
        Where the tools' output goes; None: beside the folder. It is kept only when something failed.
    needed_bytes : float
        Room that it will take on the disk.

    Yields
    ------
    tuple of Event
        A `Stage` or `Progress`, often nothing; a step takes no longer than 0.05 s. Sending True cancels:
        the tools are ended and what was begun is removed. Closing the generator does the same.

    Raises
    ------
    SetupError
        What happened and what to do; nothing half-built is left.
    """
    if state(folder, requirements) == "ready":
        return
    version = _check_python(python)
    _clear(folder)
    _check_room(folder, needed_bytes)
    log = log or folder.with_name(f"{folder.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    whole = False
    try:
        yield (Stage(name="environment", label=f"Making an environment with Python {version}"),)
        whole = yield from _install(folder, python, requirements, log)
    finally:
        if not whole:
            shutil.rmtree(folder, ignore_errors=True)
    if whole:
        log.unlink(missing_ok=True)


def remove(home: Path) -> None:
    """Delete every environment that Fathom made in the data folder `home`, and what their set-up left beside them.

    Anything else stays: the artist may have chosen a folder with environments of their own.
    """
    place = home / "environments"
    for folder in _ours(place):
        shutil.rmtree(folder)
    for log in _named(place, ".log"):
        log.unlink()
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def are_there(home: Path) -> bool:
    """Whether the data folder `home` holds an environment that Fathom made, finished or not."""
    return bool(_ours(home / "environments"))


def remove_others(folder: Path) -> None:
    """Delete the environments beside `folder`, which belong to other versions of Fathom."""
    for other in _ours(folder.parent):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _ours(place: Path) -> list[Path]:
    """The environments in a folder that Fathom made, finished or not."""
    return [path for path in _named(place) if (path / "pyvenv.cfg").exists()]


def _named(place: Path, suffix: str = "") -> list[Path]:
    """What bears a name as `environment.own_environment` gives it."""
    names = re.compile(r"[0-9a-f]{12}" + re.escape(suffix))
    return [path for path in place.iterdir() if names.fullmatch(path.name)] if place.is_dir() else []


def base_python() -> Path:
    """The interpreter of the Blender that runs us: what a new environment is made with.

    Blender ships its Python as a program, the Debian package uses the system's and the ``bpy`` wheel runs inside one:
    ``sys.executable`` names it in all three. Where it names Blender itself, the program lies in ``sys.prefix``.

    Raises
    ------
    SetupError
        If no interpreter is found.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    candidates = [
        Path(sys.executable or "."),
        base / "bin" / f"python{version}",
        base / "bin" / "python.exe",
        base / "python.exe",
    ]
    for path in candidates:
        if path.name.lower().startswith("python") and path.is_file():
            return path
    raise SetupError(
        f"This Blender brings no Python program; make an environment by hand (docs/install.md) and name it in {WHERE}."
    )


def _check_python(python: Path) -> str:
    """Version of an interpreter that packages and venv are to be had for."""
    probe = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [python, "-I", "-c", probe],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{python} does not run ({error}); choose another Python.") from error
    if answer.returncode:
        if "No module named" in answer.stderr:
            raise SetupError(
                f"{python} lacks the module venv; on Debian and Ubuntu install it with: apt install python3-venv"
            )
        raise SetupError(f"{python} does not run ({_last_line(answer.stderr)}); choose another Python.")
    version = answer.stdout.strip()
    if not OLDEST_PYTHON <= tuple(map(int, version.split("."))) <= NEWEST_PYTHON:
        oldest, newest = (".".join(map(str, v)) for v in (OLDEST_PYTHON, NEWEST_PYTHON))
        raise SetupError(
            f"{python} is Python {version} and the worker needs {oldest} to {newest}; choose another Python."
        )
    return version


def _check_room(folder: Path, needed: float) -> None:
    there = next(path for path in folder.parents if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise SetupError(
            f"The packages take about {needed / 1e9:.1f} GB and the disk of {there} has {free / 1e9:.1f} GB left; "
            f"make room, or choose another data folder in {WHERE}."
        )


def _clear(folder: Path) -> None:
    """Make room, but only where an environment or nothing lies: never delete what is not ours."""
    if not folder.exists():
        return
    if not (folder / "pyvenv.cfg").exists() and any(path.is_file() for path in folder.rglob("*")):
        raise SetupError(f"{folder} holds files that are no environment; choose another folder or empty it.")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise SetupError(f"The old environment cannot be removed ({error}); end what still runs from it.") from error


def _install(
    folder: Path, python: Path, requirements: Sequence[Path], log: Path
) -> Generator[Events, bool | None, bool]:
    """Run venv and pip; returns whether the environment is whole (False: cancelled)."""
    pip: list[str | Path] = [
        python_of(folder),
        "-I",
        "-u",
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
    ]
    # Ready-built packages only: a compiler is nothing to ask of an artist.
    pip += ["--only-binary=:all:", "--progress-bar=off"]
    locks: list[str | Path] = [part for path in requirements for part in ("--requirement", path)]
    steps: tuple[tuple[str, list[str | Path]], ...] = (
        ("Making the environment", [python, "-I", "-m", "venv", "--clear", folder]),
        ("Installing the packages", [*pip, *locks]),
    )
    total = sum(_count(path) for path in requirements) + 2  # and one each for venv and for unpacking
    for name, command in steps:
        code = yield from _run(command, log, first=name, total=total)
        if code is None:
            return False
        if code:
            reason = _last_error(log)
            raise SetupError(f"{name} failed: {reason} See {log} for the rest, then press Set Up again.")
    stamp = {"requirements": fingerprint(requirements), "python": str(python), "made": time.strftime("%Y-%m-%d %H:%M")}
    temporary = folder / f"{STAMP}.tmp"
    temporary.write_text(json.dumps(stamp) + "\n", encoding="utf-8")
    os.replace(temporary, folder / STAMP)
    yield (Progress(done=total, total=total),)
    return True


def _run(command: list[str | Path], log: Path, *, first: str, total: int) -> Generator[Events, bool | None, int | None]:
    """Run one tool, its output to `log` and told as events; returns its exit code, None when cancelled."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=clean_environment(),
            start_new_session=os.name != "nt",
            creationflags=0x08000200 if os.name == "nt" else 0,  # CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP
        )
    except OSError as error:
        raise SetupError(f"{command[0]} does not run ({error}); choose another Python.") from error
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
    collected = 1
    try:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(map(str, command))}\n")
            ended = False
            while not ended:
                events: list[Event] = []
                for line in _drain(lines):
                    if line is None:
                        ended = True
                        break
                    file.write(line)
                    if line.startswith(("Collecting ", "Processing ")):
                        collected += 1
                        events.append(Stage(name="environment", label=f"{first}: {Path(line.split()[1]).name}"))
                        events.append(Progress(done=min(collected, total - 1), total=total))
                    elif line.startswith("Installing collected"):
                        events.append(Stage(name="environment", label=f"{first}: unpacking"))
                if (yield tuple(events)):
                    return None
        return process.wait()
    finally:
        _end(process)


def _pump(stream: Iterable[str] | None, lines: queue.Queue[str | None]) -> None:
    for line in stream or ():
        lines.put(line)
    lines.put(None)


def _drain(lines: queue.Queue[str | None]) -> list[str | None]:
    """What has come in; waits a moment for the first line."""
    found = []
    try:
        found.append(lines.get(timeout=_WAIT))
        while True:
            found.append(lines.get_nowait())
    except queue.Empty:
        return found


def _end(process: subprocess.Popen[str]) -> None:
    """End a tool and what it started."""
    if process.poll() is None:
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def _count(path: Path) -> int:
    """How many packages a lock names."""
    return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if "==" in line.split("#")[0])


def _last_error(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = errors[-1] if errors else _last_line("\n".join(lines))
    return reason if reason.endswith(".") else reason + "."


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "without a word")
