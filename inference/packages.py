"""What packages the worker needs, from its locks, and which of them are there. Standard library only.

Two sets: *light* is what every job needs; *full* adds what estimators with a network declare as their packages.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from . import environment

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)\s*(?:;\s*([^#]+))?")
_IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "opencolorio": "PyOpenColorIO",
    "scenedetect-headless": "scenedetect",
    "pillow": "PIL",
    "PyYAML": "yaml",
    "Jinja2": "jinja2",
    "MarkupSafe": "markupsafe",
    "Pygments": "pygments",
    "markdown-it-py": "markdown_it",
    "fonttools": "fontTools",
    "python-dateutil": "dateutil",
}

# What comes with figures and reports alone (PyYAML, Jinja2, matplotlib and what that needs), or keeps runs apart:
# another version of these makes no other depth.
_NOT_OF_ESTIMATES = {
    "contourpy", "cycler", "filelock", "fonttools", "Jinja2", "kiwisolver", "MarkupSafe", "matplotlib", "pillow",
    "pyparsing", "python-dateutil", "PyYAML",
}  # fmt: skip


def locked() -> dict[str, str]:
    """Name and version of every package of the light set that belongs to this platform."""
    return _pins(environment.LIGHT[-1])


def of_estimates() -> set[str]:
    """Those of the light set that estimates are made with, and not only figures of them."""
    return set(locked()) - _NOT_OF_ESTIMATES


def locked_on_top() -> dict[str, str]:
    """Likewise of what the full set has on top of it."""
    return _pins(environment.FULL[-1])


def _pins(lock: Path) -> dict[str, str]:
    pins = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        match = _PIN.match(line)
        if match and _applies(match.group(3)):
            pins[match.group(1)] = match.group(2)
    return pins


def _applies(marker: str | None) -> bool:
    """Whether a requirement's marker holds here; the locks use no other than ``sys_platform == "…"``."""
    match = re.fullmatch(r'\s*sys_platform\s*==\s*"(\w+)"\s*', marker or "")
    return match is None or match.group(1) == sys.platform


def installed(name: str) -> str | None:
    """The version of a package that is installed; None where it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing() -> list[str]:
    """The packages of the light set that cannot be found (a variant of one under another name serves as well)."""
    return [name for name in locked() if not importable(module_of(name))]


def missing_of(modules: Iterable[str]) -> list[str]:
    """The packages to install for those of some modules that cannot be found."""
    return [package_of(module) for module in modules if not importable(module)]


def importable(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def module_of(package: str) -> str:
    """The name under which a package of the locks is imported."""
    return _IMPORTED_AS.get(package, package.replace("-", "_"))


def package_of(module: str) -> str:
    """The package to install for a module that cannot be imported."""
    top = module.partition(".")[0]
    return next((package for package, name in _IMPORTED_AS.items() if name == top), top)


def install_command(*, full: bool = False) -> str:
    """The command that brings this Python's packages to the light set, or to the full one, which includes it."""
    lock = os.fspath((environment.FULL if full else environment.LIGHT)[-1])
    return f"{pip()} install -r {_quoted(lock)}"


def cure(*, full: bool = False) -> str:
    """What to do where packages of a set are missing: one sentence with the command."""
    what = "all estimators' packages" if full else "the inference environment"
    return f"Set {what} up in Fathom's preferences, or run: {install_command(full=full)}"


def pip() -> str:
    """How a person calls this Python's pip."""
    return f"{_quoted(sys.executable)} -m pip"


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


def is_on_top(module: str) -> bool:
    """Whether a module comes with the full set alone."""
    top = module.partition(".")[0]
    return any(module_of(package) == top for package in locked_on_top())


def versions() -> dict[str, str]:
    """Name to version of what takes part in every estimate: Python, Fathom and packages of the light set."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "fathom": fathom_version()}
    return found | {name: version for name in sorted(of_estimates()) if (version := installed(name)) is not None}


def fathom_version() -> str:
    """The extension's version, from its manifest."""
    manifest = Path(__file__).resolve().parent.parent / "blender_manifest.toml"
    match = re.search(r'^version\s*=\s*"([^"]+)"', manifest.read_text(encoding="utf-8"), re.MULTILINE)
    return match.group(1) if match else "unknown"
