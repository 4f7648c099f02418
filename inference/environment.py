"""Where the worker's environment lies and how its Python is found. Standard library only.

The environment is a plain ``venv`` filled by pip from a shipped lock (`environment_setup` makes it). Its folder's
name carries the lock's hash and a stamp is written into it last, so that neither a half-built environment nor one
of another version of Fathom is taken for ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

LIGHT = (Path(__file__).resolve().parent.parent / "requirements" / "light.txt",)
"""The lock of what every job needs."""

STAMP = "fathom-environment.json"
WHERE = "Edit > Preferences > Add-ons > Fathom"
"""Where the artist sets the environment up."""

State = Literal["missing", "unfinished", "outdated", "broken", "ready"]


class MissingEnvironment(RuntimeError):
    """There is no Python that can run the worker; the message is one sentence that names the cure."""


def data_folder(preference: str | None = None) -> Path:
    """The per-user folder of what Fathom installs and downloads for itself, shared by all Blender versions.

    Parameters
    ----------
    preference : str or None
        The folder that the artist chose; empty or None: the environment variable ``FATHOM_HOME``, then the
        platform's usual place for a user's data. The folder need not exist.
    """
    chosen = preference or os.environ.get("FATHOM_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Fathom"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Fathom"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "fathom"


def own_environment(home: Path, requirements: Sequence[Path] = LIGHT) -> Path:
    """The folder in the data folder `home` where the environment for a lock belongs."""
    return home / "environments" / fingerprint(requirements)[:12]


def python_of(folder: Path) -> Path:
    """The interpreter of the virtual environment in `folder`."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def state(folder: Path, requirements: Sequence[Path] = LIGHT) -> State:
    """How an environment stands.

    Returns
    -------
    str
        ``missing``; ``unfinished`` (setting it up was broken off); ``outdated`` (made from another lock); ``broken``
        (the Python that it was made with has gone, as when that Blender was removed); ``ready``.
    """
    if not folder.exists():
        return "missing"
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "unfinished"
    if stamp.get("requirements") != fingerprint(requirements):
        return "outdated"
    return "ready" if python_of(folder).exists() else "broken"


def fingerprint(requirements: Sequence[Path]) -> str:
    """A hash of a lock's text, the same however git ends its lines."""
    digest = hashlib.sha256()
    for path in requirements:
        try:
            digest.update(path.read_text(encoding="utf-8").encode() + b"\0")
        except OSError as error:
            raise MissingEnvironment(f"{path} cannot be read, so Fathom is not whole; install it again.") from error
    return digest.hexdigest()


def find_python(
    preference: str | None = None, *, home: Path | None = None, requirements: Sequence[Path] = LIGHT
) -> Path:
    """The Python that runs the worker.

    Parameters
    ----------
    preference : str or None
        Interpreter, or folder of a virtual environment, that the artist chose. Empty or None: the environment
        variable ``FATHOM_PYTHON``, then the environment that Fathom set up.
    home : Path or None
        The data folder; None: `data_folder` without a preference.
    requirements : paths
        The lock that our own environment must have been made from.

    Raises
    ------
    MissingEnvironment
        One sentence that says what to do.
    """
    for origin, value in (
        ("the preference Worker Python", preference),
        ("FATHOM_PYTHON", os.environ.get("FATHOM_PYTHON")),
    ):
        if value:
            path = Path(value).expanduser().absolute()
            path = python_of(path) if path.is_dir() else path
            if not (path.is_file() and os.access(path, os.X_OK)):
                raise MissingEnvironment(
                    f"{path}, named by {origin}, is no program that can be run; correct it in {WHERE} or clear it."
                )
            return path
    folder = own_environment(home or data_folder(), requirements)
    standing = state(folder, requirements)
    if standing == "ready":
        return python_of(folder)
    if standing == "missing" and not any(folder.parent.glob("*/pyvenv.cfg")):
        problem = "The inference environment that Fathom works in is not there yet"
    elif standing == "broken":
        problem = "The Python that the inference environment was made with has gone"
    elif standing == "unfinished":
        problem = "Setting up the inference environment was broken off"
    else:
        problem = "The inference environment belongs to another version of Fathom"
    raise MissingEnvironment(f"{problem}: press Set Up in {WHERE}.")
