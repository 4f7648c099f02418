"""Where the worker's environment is and how its Python is found. Standard library only.

The environment is a plain ``venv`` that pip fills from the lock files that Fathom ships (`environment_setup` makes it).
There are two sets of packages, *light* for estimators without a network and *full* for all, each with its own
environment; the full one serves both. The folder's name contains the locks' hash, and a stamp is written last, so that
an unfinished environment or one of another version of Fathom is never used by mistake.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from . import own_files, records
from .untrusted import absolute, is_file, is_folder, is_there, read_text

_REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
LIGHT = (_REQUIREMENTS / "light.txt",)
"""The lock of the packages that every job needs."""
TORCH = _REQUIREMENTS / "torch.txt"
"""The version of PyTorch; it alone is locked without checksums, since it is published in several builds."""
FULL = (*LIGHT, _REQUIREMENTS / "full.txt", TORCH)
"""The light set's lock, and those of the packages that networks need in addition."""
NO_TELEMETRY = {"HF_HUB_DISABLE_TELEMETRY": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""Environment variables by which libraries report nothing to their makers; each reads its own when it is imported."""
MATTES = (_REQUIREMENTS / "mattes.txt",)
"""The lock of the packages that run the matte network; optional, on top of either set."""
TRAINING = (_REQUIREMENTS / "training.txt",)
"""The lock of the packages that training needs beside the full set; optional."""

WEIGHTS = "FATHOM_WEIGHTS"
"""Environment variable that names a studio's folder of weights."""
_WEIGHTS_NOTE = Path("models") / "folder.json"
"""In the data folder: the folder of weights that the artist chose, for all Blender versions and the command line."""

STAMP = "fathom-environment.json"
_USE = ".used-by-"
"""Beginning of the names of files in an environment that say that a program of it runs."""
WHERE = "Edit > Preferences > Add-ons > Fathom"
"""Where the artist installs the environment."""

PackageSet = Literal["light", "full"]
State = Literal["missing", "unfinished", "outdated", "broken", "ready"]


PROBLEMS: dict[State, str] = {
    "missing": "The inference environment that Fathom needs is not installed yet",
    "unfinished": "The installation of the inference environment was interrupted",
    "outdated": "The inference environment belongs to another version of Fathom",
    "broken": "The Python that the inference environment was made with no longer exists",
}
"""What is wrong with an environment that is not ready."""


class MissingEnvironment(RuntimeError):
    """There is no Python that can run the worker; the message is one sentence with a hint.

    `by_setup`: whether installing an environment solves it.
    """

    def __init__(self, message: str, *, by_setup: bool = False) -> None:
        super().__init__(message)
        self.by_setup = by_setup


def data_folder(preference: str | None = None) -> Path:
    """The per-user folder for what Fathom installs and downloads, shared by all Blender versions; it need not exist.

    Without a folder that the artist chose: that in the environment variable ``FATHOM_HOME``, else the platform's usual
    place for a user's data.
    """
    chosen = preference or os.environ.get("FATHOM_HOME")
    if chosen:
        return absolute(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Fathom"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Fathom"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "fathom"


def weights_folder(home: Path | None = None) -> Path | None:
    """A studio's folder of weights, which Fathom reads and never changes; None where none is named.

    That of the environment variable ``FATHOM_WEIGHTS``, else the one that was chosen for the data folder `home`. It
    need not exist. OSError or RecordError where the note cannot be read.
    """
    named = os.environ.get(WEIGHTS)
    if not named:
        note = (home or data_folder()) / _WEIGHTS_NOTE
        named = records.parse(read_text(note), where=str(note)) if is_file(note) else ""
        if not isinstance(named, str):
            raise records.RecordError(f"{note} names no folder")
    return absolute(named) if named else None


def choose_weights_folder(home: Path, folder: Path | None) -> None:
    """Note a studio's folder of weights for the data folder `home`; None: there is none. OSError where that fails."""
    note = home / _WEIGHTS_NOTE
    if folder is None:
        note.unlink(missing_ok=True)
        return
    note.parent.mkdir(parents=True, exist_ok=True)
    own_files.save_text(note, f"{json.dumps(str(folder))}\n")


def requirements_of(packages: PackageSet) -> tuple[Path, ...]:
    """The locks of a set of packages."""
    return FULL if packages == "full" else LIGHT


def own_environment(home: Path, requirements: Sequence[Path] = LIGHT) -> Path:
    """The folder in the data folder `home` for the environment of some locks."""
    return home / "environments" / fingerprint(requirements)[:12]


def python_of(folder: Path) -> Path:
    """The interpreter of the virtual environment in `folder`."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def state(folder: Path, requirements: Sequence[Path] = LIGHT) -> State:
    """The state of an environment.

    ``missing``; ``unfinished`` (its installation was interrupted); ``outdated`` (made from another lock); ``broken``
    (the Python that it was made with no longer exists, for example because that Blender was removed); ``ready``.
    """
    if not is_there(folder):
        return "missing"
    try:
        stamp = records.parse(read_text(folder / STAMP), where=STAMP)
    except (OSError, records.RecordError):
        return "unfinished"
    if not isinstance(stamp, dict) or stamp.get("requirements") != fingerprint(requirements):
        return "outdated"
    return "ready" if is_there(python_of(folder)) else "broken"


def fingerprint(requirements: Sequence[Path]) -> str:
    """A hash of the text of some locks, the same for any line endings."""
    digest = hashlib.sha256()
    for path in requirements:
        try:
            digest.update(path.read_text(encoding="utf-8").encode() + b"\0")
        except OSError as error:
            raise MissingEnvironment(f"{path} cannot be read, so Fathom is damaged; install it again.") from error
    return digest.hexdigest()


class Use:
    """Says that a program of one of Fathom's own environments runs, so that nobody removes it; until `end`.

    A lock of the operating system's, so that it ends with this process. Nothing for another Python, nor where the
    environment cannot be written.
    """

    def __init__(self, python: Path) -> None:
        folder, self._descriptor = python.parent.parent, -1
        self._path = folder / f"{_USE}{os.getpid()}-{secrets.token_hex(4)}"
        if is_file(folder / STAMP):
            with contextlib.suppress(OSError):
                self._descriptor = own_files.open_file(self._path, os.O_CREAT | os.O_RDWR)
                own_files.lock(self._descriptor)

    def end(self) -> None:
        """Say so no longer."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def is_used(folder: Path) -> bool:
    """Whether a program of an environment runs, as far as a `Use` says so."""
    for path in entries(folder):
        if not path.name.startswith(_USE):
            continue
        try:
            descriptor = own_files.open_file(path, os.O_RDWR)
        except OSError:
            continue
        try:
            if not own_files.lock(descriptor):
                return True
        finally:
            os.close(descriptor)
    return False


def states(home: Path) -> dict[PackageSet, State]:
    """The states of both sets' environments in the data folder `home`, the full one first."""
    sets: tuple[PackageSet, ...] = ("full", "light")
    found = {name: requirements_of(name) for name in sets}
    return {name: state(own_environment(home, locks), locks) for name, locks in found.items()}


def entries(folder: Path) -> list[Path]:
    """What a folder contains; nothing if it does not exist or cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def find_python(
    preference: str | None = None, *, home: Path | None = None, requirements: Sequence[Path] | None = None
) -> Path:
    """The Python that runs the worker.

    Parameters
    ----------
    preference : str or None
        Interpreter, or folder of a virtual environment, that the artist chose. Empty or None: the environment
        variable ``FATHOM_PYTHON``, then the environment that Fathom installed.
    home : Path or None
        The data folder; None: `data_folder` without a preference.
    requirements : paths or None
        The locks that Fathom's own environment must be made from; None: the full set's, else the light one's.

    Raises
    ------
    MissingEnvironment
        One sentence that says what to do.
    """
    for origin, value in (
        ("the preference Python Executable", preference),
        ("FATHOM_PYTHON", os.environ.get("FATHOM_PYTHON")),
    ):
        if value:
            path = absolute(value)
            path = python_of(path) if is_folder(path) else path
            if not (is_file(path) and os.access(path, os.X_OK)):
                raise MissingEnvironment(
                    f"{path}, set by {origin}, is not a program that can be run; correct it in {WHERE} or clear it."
                )
            return path
    home = home or data_folder()
    standing: State = "missing"
    for locks in (FULL, LIGHT) if requirements is None else (requirements,):
        folder = own_environment(home, locks)
        found = state(folder, locks)
        if found == "ready":
            return python_of(folder)
        standing = found if standing == "missing" else standing
    if standing == "missing" and any(is_there(each / "pyvenv.cfg") for each in entries(home / "environments")):
        standing = "outdated"
    raise MissingEnvironment(f"{PROBLEMS[standing]}: press Install Dependencies in {WHERE}.", by_setup=True)
