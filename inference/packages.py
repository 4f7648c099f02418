"""What packages the worker needs, from its lock, and which of them are there. Standard library only."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from pathlib import Path

from . import environment

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)\s*(?:;\s*([^#]+))?")
_IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "opencolorio": "PyOpenColorIO",
    "scenedetect-headless": "scenedetect",
}


def locked() -> dict[str, str]:
    """Name and version of every package in the shipped lock that belongs to this platform."""
    pins = {}
    for line in environment.LIGHT[0].read_text(encoding="utf-8").splitlines():
        match = _PIN.match(line)
        if match and _applies(match.group(3)):
            pins[match.group(1)] = match.group(2)
    return pins


def _applies(marker: str | None) -> bool:
    """Whether a requirement's marker holds here; the lock uses no other than ``sys_platform == "…"``."""
    match = re.fullmatch(r'\s*sys_platform\s*==\s*"(\w+)"\s*', marker or "")
    return match is None or match.group(1) == sys.platform


def installed(name: str) -> str | None:
    """The version of a package that is installed; None where it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing() -> list[str]:
    """The packages of the lock that cannot be found (a variant of one under another name serves as well)."""
    return [name for name in locked() if not importable(module_of(name))]


def importable(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def module_of(package: str) -> str:
    """The name under which a package of the lock is imported."""
    return _IMPORTED_AS.get(package, package)


def package_of(module: str) -> str:
    """The package to install for a module that cannot be imported."""
    top = module.partition(".")[0]
    return next((package for package, name in _IMPORTED_AS.items() if name == top), top)


def install_command() -> str:
    """The command that brings this Python's packages to the lock."""
    arguments = [sys.executable, "-m", "pip", "install", "-r", os.fspath(environment.LIGHT[0])]
    return " ".join(f'"{argument}"' if " " in argument else argument for argument in arguments)


def versions() -> dict[str, str]:
    """Name to version of what takes part in every estimate: Python, Fathom and the packages of the lock."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "fathom": fathom_version()}
    return found | {name: version for name in sorted(locked()) if (version := installed(name)) is not None}


def fathom_version() -> str:
    """The extension's version, from its manifest."""
    manifest = Path(__file__).resolve().parent.parent / "blender_manifest.toml"
    match = re.search(r'^version\s*=\s*"([^"]+)"', manifest.read_text(encoding="utf-8"), re.MULTILINE)
    return match.group(1) if match else "unknown"
