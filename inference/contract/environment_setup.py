"""Install and remove the worker's environment. Standard library only."""

from __future__ import annotations

import contextlib
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
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

from . import own_files, records
from .client import MAIN, clean_environment, folder_to_run_in, own_group
from .environment import LIGHT, STAMP, TORCH, WHERE, PackageSet, entries, fingerprint, is_used, python_of, state
from .events import Event, Progress, Stage
from .installer import CHECKING, TORCH_INDEX, last_line
from .untrusted import is_folder, is_there, read_text
from .web_address import without_secrets

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)
"""Every package of the locks has wheels for these versions and those between."""

_SIZES: dict[PackageSet, tuple[float, float]] = {
    "light": (0.3, 1.0),
    "full": (3.0, 6.0) if sys.platform.startswith("linux") else (0.5, 2.0),
}
"""Gigabytes to download and on disk, with Python 3.11; PyTorch's Linux build includes the CUDA libraries."""

_ASIDE = ".before"
"""Ending of the name of an environment while the one that replaces it is made."""
_LEAST_ROOM = 1 << 28
"""Bytes that an installation leaves on the disk, as an index may send without end; half of less where there is less."""
_LOOK = 1.0
"""Seconds from one look at the disk to the next."""
_TEMPORARY = "tmp"
"""Folder inside an environment for what pip unpacks, which goes with it where the installation ends early."""
_WAIT = 0.02
"""Seconds that one step waits for a tool's output, so that the caller's loop needs no sleep."""

Events = tuple[Event, ...]
Steps = Generator[Events, bool | None, None]


class SetupError(RuntimeError):
    """The environment could not be installed; the message says what happened and what to do."""


def sizes(packages: PackageSet) -> tuple[float, float]:
    """Approximate gigabytes of a set of packages: to download, and on disk."""
    return _SIZES[packages]


def create(
    folder: Path,
    *,
    python: Path,
    requirements: Sequence[Path] = LIGHT,
    log: Path | None = None,
    needed_bytes: float = 0.0,
    torch_index: str = "",
) -> Steps:
    """Make a virtual environment and install packages; a finished one from the same locks stays unchanged.

    The tools that run end with this process, however it ends.

    Parameters
    ----------
    folder : Path
        Becomes the environment. The remains of an earlier attempt or of another lock are replaced.
    python : Path
        Interpreter to make it with, see `base_python`.
    requirements : paths
        Locks, as for `installer.install`; the index, proxy and certificates of pip's configuration apply.
    log : Path or None
        File for the tools' output; None: beside the folder. It is deleted unless something failed.
    needed_bytes : float
        Disk space that it will take.
    torch_index : str
        Address of the package index for PyTorch; empty: the one for all other packages.

    Yields
    ------
    tuple of Event
        `Stage` and `Progress`, often none; a step takes at most 0.05 s. Sending True cancels: the tools are ended
        and the unfinished environment is removed. Closing the generator does the same.

    Raises
    ------
    SetupError
        What happened and what to do; no unfinished environment is left.
    """
    if state(folder, requirements) == "ready":
        return
    version = _check_python(python)
    _check_room(folder, needed_bytes)
    log = log or folder.with_name(f"{folder.name}.log")
    with _writable(folder):
        log.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.parent):
            yield (_begun(version),)
            yield from _make(folder, python, requirements, log, torch_index)


def _begun(version: str) -> Stage:
    return Stage(name="environment", label=f"Making an environment with Python {version}")


def _make(folder: Path, python: Path, requirements: Sequence[Path], log: Path, torch_index: str) -> Steps:
    """`create`, with the lock held and everything checked."""
    whole = False
    _clear(folder)
    log.unlink(missing_ok=True)
    try:
        whole = yield from _install(folder, python, requirements, log, torch_index)
    finally:
        if not whole:
            with contextlib.suppress(OSError):
                _delete(folder)
    if whole:
        log.unlink(missing_ok=True)


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """A `SetupError` in the place of an OSError."""
    try:
        yield
    except OSError as error:
        raise SetupError(
            f"{error.filename or folder} cannot be written ({error.strerror or error}); correct its permissions, or "
            f"choose another data folder in {WHERE}."
        ) from error


def repair(
    folder: Path,
    *,
    python: Path,
    requirements: Sequence[Path] = LIGHT,
    needed_bytes: float = 0.0,
    torch_index: str = "",
    offline: str | None = None,
) -> Steps:
    """Check that every package of an environment is there and loads, and make it again where one does not.

    It is also made again where its PyTorch came from another index than `torch_index`: the GPU or the driver is another
    now. Until the new one is whole, the old one is kept; where none can be made, it stays. Arguments, steps and errors
    are those of `create`; `offline` is why no packages may be had, as a sentence, with what to do about it.
    """
    if state(folder, requirements) != "ready":
        if offline is not None:
            raise SetupError(offline)
        yield from create(
            folder, python=python, requirements=requirements, needed_bytes=needed_bytes, torch_index=torch_index
        )
        return
    log = folder.with_name(f"{folder.name}.log")
    if TORCH in requirements and _torch_index(folder) != without_secrets(torch_index):
        reason = "another build of PyTorch fits this computer now"
    else:
        command: list[str | Path] = [python_of(folder), "-I", "-u", MAIN, "install", "--check-only", "--parent-pipe"]
        total = sum(_count(path) for path in requirements) + 1
        try:
            code, _ = yield from run_tool(
                [*command, *map(Path.absolute, requirements)],
                log,
                clean_environment(folder.parent.parent),
                first="Checking the packages",
                done=0,
                total=total,
            )
            if code is None:
                return
            if code == 0:
                log.unlink(missing_ok=True)
                yield (Progress(done=total, total=total),)
                return
            reason = _last_error(log, code)
        except OSError as error:
            reason = f"its Python does not start ({error.strerror or error})"
    if offline is not None:
        raise SetupError(f"The inference environment was left as it is ({reason.rstrip('.')}). {offline}")
    if is_used(folder):
        raise SetupError(
            f"The inference environment has to be made again ({reason.rstrip('.')}), and it is in use by another "
            "Blender: wait until nothing runs there, then press Repair again."
        )
    yield (Stage(name="environment", label=f"Repairing: {reason}"),)
    version = _check_python(python)
    _check_room(folder, needed_bytes)
    with _writable(folder), _alone(folder.parent), _kept(folder, requirements):
        yield (_begun(version),)
        yield from _make(folder, python, requirements, log, torch_index)


@contextlib.contextmanager
def _kept(folder: Path, requirements: Sequence[Path]) -> Iterator[None]:
    """Put an environment aside while another is made in its place, and back where that does not become ready."""
    aside = folder.with_name(f"{folder.name}{_ASIDE}")
    _clear(aside)  # of a repair that was killed
    os.replace(folder, aside)
    try:
        yield
    finally:
        if state(folder, requirements) == "ready":
            with contextlib.suppress(OSError, SetupError):  # a program of it runs; `remove_others` deletes it later
                _clear(aside)
        elif not os.path.lexists(folder):
            os.replace(aside, folder)


def add(folder: Path, requirements: Sequence[Path]) -> Steps:
    """Install further packages into an environment that `create` made, which serves without them as before.

    Steps and errors are those of `create`.
    """
    log = folder.with_name(f"{folder.name}.log")
    command: list[str | Path] = [python_of(folder), "-I", "-u", MAIN, "install", "--parent-pipe"]
    command += map(Path.absolute, requirements)
    total = 2 * sum(_count(path) for path in requirements) + 1
    try:
        with _alone(folder.parent):
            code, _ = yield from run_tool(
                command, log, clean_environment(folder.parent.parent), first="Installing the packages", done=0,
                total=total,
            )  # fmt: skip
            if code:
                raise SetupError(
                    f"Installing the packages failed: {_last_error(log, code)} See {log} for the rest, then try again."
                )
            log.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(
            f"{error.filename or folder} cannot be written ({error.strerror or error}); correct its permissions, or "
            f"choose another data folder in {WHERE}."
        ) from error
    if code is not None:
        yield (Progress(done=total, total=total),)


def remove(home: Path) -> None:
    """Delete every environment that Fathom made in the data folder `home`, and their logs.

    Everything else stays: the artist may have chosen a folder with other environments.

    Raises
    ------
    SetupError
        One is being installed, or in use.
    OSError
        One cannot be deleted.
    """
    place = home / "environments"
    if not is_folder(place):
        return
    with _alone(place):
        if any(map(is_used, _ours(place))):
            raise SetupError("The inference environment is in use by another Blender: wait until nothing runs there.")
        for folder in [*_ours(place), *_ours(place, _ASIDE)]:
            _delete(folder)
        for log in _named(place, ".log"):
            log.unlink()
    if not any(place.iterdir()):
        place.rmdir()


def are_there(home: Path) -> bool:
    """Whether the data folder `home` contains an environment that Fathom made, finished or not."""
    return bool(_ours(home / "environments"))


def remove_others(folder: Path) -> None:
    """Delete the environments beside `folder`, which belong to other versions of Fathom or have less packages.

    Those in use stay, and while one is being installed nothing is deleted; the next installation does it.
    """
    with contextlib.suppress(SetupError, OSError), _alone(folder.parent):
        for other in [*_ours(folder.parent), *_ours(folder.parent, _ASIDE)]:
            if other != folder and not is_used(other):
                _delete(other)


def _ours(place: Path, suffix: str = "") -> list[Path]:
    """The environments in a folder that Fathom made, finished or not."""
    return [path for path in _named(place, suffix) if is_there(path / "pyvenv.cfg") and not _is_link(path)]


def _delete(folder: Path) -> None:
    """Delete an environment; ``pyvenv.cfg``, which identifies it as one, goes last, in case this is interrupted.

    If the folder has been replaced by a link meanwhile, the link and its target stay.
    """
    if not folder.exists() or _is_link(folder):
        return
    (folder / STAMP).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "pyvenv.cfg":
            path.unlink()
    (folder / "pyvenv.cfg").unlink(missing_ok=True)
    folder.rmdir()


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold the operating system's lock on the folder of environments, which ends with this process.

    On a disk without locks (some network folders), nothing prevents two installations at once.

    Raises
    ------
    SetupError
        Another Blender holds it.
    """
    path = place / ".lock"
    with open(own_files.open_file(path, os.O_CREAT | os.O_RDWR, alone=False), "r+b") as file:
        if not (own_files.lock(file.fileno()) and own_files.is_at(path, file.fileno())):
            raise SetupError(
                "Another Blender is installing an inference environment in the same data folder; wait until it is "
                "done, or cancel it there."
            )
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows cannot delete an open file
                path.unlink()
    if os.name == "nt":
        with contextlib.suppress(OSError):
            path.unlink()


def _is_link(path: Path) -> bool:
    """Whether a path is a link or a Windows junction."""
    return own_files.is_link(path.lstat())


def _named(place: Path, suffix: str = "") -> list[Path]:
    """The paths with a name as from `environment.own_environment`."""
    names = re.compile(r"[0-9a-f]{12}" + re.escape(suffix))
    return [path for path in entries(place) if names.fullmatch(path.name)]


def base_python() -> Path:
    """The Python interpreter of this Blender, which a new environment is made with.

    Blender ships its Python as a program, the Debian package uses the system's and the ``bpy`` wheel runs inside one:
    ``sys.executable`` names it in all three. If that is Blender itself, the program is in ``sys.prefix``.

    Raises
    ------
    SetupError
        No interpreter is found.
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
        f"This Blender has no Python program; make an environment by hand (docs/install.md) and choose it in {WHERE}."
    )


def _check_python(python: Path) -> str:
    """The version of an interpreter, which must be supported and have the module venv."""
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
    except PermissionError as error:
        raise SetupError(
            f"{python} may only be run by Blender itself, as in Blender from an app store: use Blender's own "
            f"download, or make an environment by hand (docs/install.md) and choose it in {WHERE}."
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{python} does not run ({error}); choose another Python.") from error
    if answer.returncode:
        if "No module named" in answer.stderr:
            raise SetupError(
                f"{python} has no module venv; on Debian and Ubuntu install it with: apt install python3-venv"
            )
        raise SetupError(f"{python} does not run ({last_line(answer.stderr)}); choose another Python.")
    version = answer.stdout.strip()
    if not OLDEST_PYTHON <= tuple(map(int, version.split("."))) <= NEWEST_PYTHON:
        oldest, newest = (".".join(map(str, v)) for v in (OLDEST_PYTHON, NEWEST_PYTHON))
        raise SetupError(
            f"{python} is Python {version} and the worker needs {oldest} to {newest}; choose another Python."
        )
    return version


def _check_room(folder: Path, needed: float) -> None:
    there = next(path for path in folder.parents if is_there(path))
    free = shutil.disk_usage(there).free
    if free < needed:
        raise SetupError(
            f"The packages need about {needed / 1e9:.1f} GB and the disk of {there} has {free / 1e9:.1f} GB left; "
            f"free some space, or choose another data folder in {WHERE}."
        )


def _clear(folder: Path) -> None:
    """Delete an old environment; raise an error for anything else in its place."""
    if not os.path.lexists(folder):
        return
    if _is_link(folder):
        raise SetupError(
            f"{folder} is a link and not an environment of Fathom's; remove it, or choose another data folder."
        )
    holds_files = any(path.is_symlink() or not path.is_dir() for path in folder.rglob("*"))
    if holds_files and not (folder / "pyvenv.cfg").exists():
        raise SetupError(f"{folder} contains files but no environment; choose another folder or empty it.")
    try:
        _delete(folder)
    except OSError as error:
        raise SetupError(f"The old environment cannot be removed ({error}); end the programs that use it.") from error


def _install(
    folder: Path, python: Path, requirements: Sequence[Path], log: Path, torch_index: str
) -> Generator[Events, bool | None, bool]:
    """Run venv, then the installer with the new environment's Python; False if cancelled."""
    steps: tuple[tuple[str, list[str | Path]], ...] = (
        (
            "Making the environment",
            [python, "-I", "-u", MAIN.parent / "common" / "parent_watch.py", "venv", "--clear", folder],
        ),
        (
            "Installing the packages",
            [python_of(folder), "-I", "-u", MAIN, "install", "--parent-pipe", *map(Path.absolute, requirements)],
        ),
    )
    variables = clean_environment(folder.parent.parent)
    if torch_index:
        variables[TORCH_INDEX] = torch_index
    total = 2 * sum(_count(path) for path in requirements) + 2  # and one each for venv and for unpacking
    done = 0
    for name, command in steps:
        if folder.exists():  # venv has made it
            (folder / _TEMPORARY).mkdir()
            variables |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder / _TEMPORARY))
        code, done = yield from run_tool(command, log, variables, first=name, done=done + 1, total=total)
        if code is None:
            return False
        if code:
            reason = _last_error(log, code).removeprefix(f"{name} failed: ")
            raise SetupError(f"{name} failed: {reason} See {log} for the rest, then press Install Dependencies again.")
    shutil.rmtree(folder / _TEMPORARY, ignore_errors=True)
    stamp = {
        "requirements": fingerprint(requirements),
        "python": str(python),
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "torch_index": without_secrets(torch_index),
    }
    own_files.save_text(folder / STAMP, json.dumps(stamp) + "\n")
    yield (Progress(done=total, total=total),)
    return True


def _torch_index(folder: Path) -> str:
    """Where PyTorch came from by an environment's stamp; empty: from where all packages did, or unknown."""
    try:
        stamp = records.parse(read_text(folder / STAMP), where=STAMP)
    except (OSError, records.RecordError):
        return ""
    return str(stamp.get("torch_index", "")) if isinstance(stamp, dict) else ""


def _count(path: Path) -> int:
    """The number of packages in a lock."""
    return sum(1 for line in path.read_text(encoding="utf-8").splitlines() if "==" in line.split("#")[0])


def _last_error(log: Path, code: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = last_line("\n".join(lines))
    reason = errors[-1] if errors else last if code == 1 else f"it ended with code {code} after: {last}"
    return reason if reason.endswith(".") else reason + "."


# Running a tool in steps: its output becomes a log and events


def run_tool(
    command: list[str | Path], log: Path, variables: dict[str, str], *, first: str, done: int, total: int
) -> Generator[Events, bool | None, tuple[int | None, int]]:
    """Run a tool that ends when its standard input closes; the processes that it starts end with it.

    Its output is appended to `log`; `first` is the prefix of the labels; `done` of `total` is the progress of the whole
    installation so far. Yields events as `create`; sending True ends the tool. Returns the exit code,
    None if cancelled, and the progress.

    Raises
    ------
    OSError
        The tool cannot be started, or the log cannot be written.
    SetupError
        The disk is nearly full.
    """
    least, looked = min(_LEAST_ROOM, shutil.disk_usage(log.parent).free // 2), time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=variables,
        cwd=folder_to_run_in(),
        **own_group(),
    )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
    try:
        with open(log, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"$ {' '.join(map(str, command))}\n")
            ended = False
            while not ended:
                events: list[Event] = []
                for line in _drain(lines):
                    if line is None:
                        ended = True
                        break
                    file.write(line)
                    label = _label(line)
                    if label:
                        events.append(Stage(name="environment", label=f"{first}: {label}"))
                    if line.startswith(("Collecting ", "Processing ", CHECKING)):
                        done = min(done + 1, total - 1)
                        events.append(Progress(done=done, total=total))
                if (yield tuple(events)):
                    return None, done
                if time.monotonic() - looked > _LOOK:
                    looked = time.monotonic()
                    _require_room(log.parent, least)
        return process.wait(), done
    finally:
        _end_tool(process)


def _require_room(place: Path, least: int) -> None:
    if shutil.disk_usage(place).free < least:
        raise SetupError(
            f"The disk of {place} is nearly full, so the installation was ended: free some space, or ask who maintains "
            "the package index whether it sends more than the packages."
        )


def _label(line: str) -> str:
    """A label for the current step from a line of the tool's output; empty if it names none."""
    if line.startswith(("Collecting ", "Processing ")):
        return Path(line.split()[1]).name
    if line.startswith("Installing collected"):
        return "unpacking"
    return line.strip() if line.startswith((CHECKING, "PyTorch ")) else ""


def _pump(stream: Iterable[str] | None, lines: queue.Queue[str | None]) -> None:
    for line in stream or ():
        lines.put(line)
    lines.put(None)


def _drain(lines: queue.Queue[str | None]) -> list[str | None]:
    """The new lines; waits a moment for the first."""
    found = []
    try:
        found.append(lines.get(timeout=_WAIT))
        while True:
            found.append(lines.get_nowait())
    except queue.Empty:
        return found


def _end_tool(process: subprocess.Popen[str]) -> None:
    """End a tool and the processes that it started, which may outlive it, for example if memory ran out.

    On Windows those end with it (see `parent_watch`).
    """
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # none left (macOS: none running)
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
