"""System requirements of the environments: an interpreter, venv, and bpy's system libraries."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .problems import Problem

# Libraries that bpy links to and its wheels do not include: shared library -> Debian package.
BLENDER_LIBRARIES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXext.so.6": "libxext6",
    "libXxf86vm.so.1": "libxxf86vm1",  # Blender 4.2
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
}


def find_python(version: str) -> str | None:
    """Path of an interpreter of a version, such as '3.11': the running one, or one on PATH; None if none is found."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    for name in (f"python{version}", "python3", "python"):
        found = shutil.which(name)
        if found and _answer(found, "import sys; print('%d.%d' % sys.version_info[:2])") == version:
            return found
    return None


def need_venv(python: str) -> None:
    """Make sure that `python` can make a virtual environment with pip.

    Debian packages that separately; other interpreters always can.
    """
    if _answer(python, "import ensurepip, venv; print('yes')") == "yes":
        return
    version = _answer(python, "import sys; print('%d.%d' % sys.version_info[:2])")
    install({f"python{version}-venv"}, reason=f"{python} cannot make virtual environments")


def need_blender_libraries() -> None:
    """Make sure that bpy's system libraries are installed; only Linux needs any."""
    if sys.platform != "linux":
        return
    missing = {package for library, package in BLENDER_LIBRARIES.items() if not _loads(library)}
    if missing:
        install(missing, reason="Blender's Python module needs system libraries that are not installed")


def install(packages: set[str], *, reason: str) -> None:
    """Install Debian packages by apt as root; Problem with what to run by hand where that cannot be or fails."""
    names = sorted(packages)
    if not shutil.which("apt-get"):
        raise Problem(f"{reason}. Install your system's equivalents of these Debian packages: {' '.join(names)}.")
    commands = (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *names])
    line = " && ".join(map(" ".join, commands))
    if os.geteuid() != 0:
        raise Problem(f"{reason}. Run this line as root, then the same command again:\n  {line}")
    print(f"{reason}: installing {' '.join(names)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in commands:
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            raise Problem(f"apt-get failed; see its message above. Fix that, and run: {line}")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _answer(python: str, code: str) -> str:
    """What `python` prints for `code`; empty where it fails."""
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def executable(environment: Path, name: str = "python") -> Path:
    """Path of a program in a virtual environment."""
    return environment / ("Scripts" if os.name == "nt" else "bin") / (name + (".exe" if os.name == "nt" else ""))
