"""Resolving ``requirements/*.in`` (what is wanted, and why) into ``*.txt`` (the exact version of everything)."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import environments, system
from .environments import REQUIREMENTS
from .problems import Problem

# One bpy for each supported Blender; the newest wheel of that series.
BPY = {"4.2": "bpy==4.2.23", "4.5": "bpy==4.5.15", "5.0": "bpy==5.0.1", "5.2": "bpy==5.2.3"}


@dataclass(frozen=True)
class Lock:
    """One lock file.

    Attributes
    ----------
    output : str
        The file to write.
    source : str
        The file to resolve.
    python : str
        Version of the interpreter that it is for.
    extra : tuple of str
        Requirements beside those of `source`.
    beside : str or None
        Another lock that is installed into the same environment: its versions bind, and it is not repeated.
    """

    output: str
    source: str
    python: str
    extra: tuple[str, ...] = ()
    beside: str | None = None


LOCKS = (
    Lock("light.txt", "light.in", "3.11"),
    Lock("dev-inference.txt", "dev-inference.in", "3.11", beside="light.txt"),
    *(
        Lock(f"dev-blender-{version}.txt", "dev-blender.in", environment.python, extra=(BPY[version],))
        for version, environment in environments.BLENDERS.items()
    ),
)


def lock(arguments: list[str]) -> int:
    """Write the lock files; with arguments, only those named, such as ``light.txt``."""
    for item in LOCKS:
        if arguments and item.output not in arguments:
            continue
        python = system.find_python(item.python)
        if python is None:
            print(f"{item.output} is left as it is: Python {item.python} is not on PATH.")
            continue
        system.need_venv(python)
        pins = _resolve(item, python)
        header = f"# Made by `python3 dev.py lock` from {item.source}; change that file and run it again.\n"
        (REQUIREMENTS / item.output).write_text(header + "".join(f"{pin}\n" for pin in pins), encoding="utf-8")
        print(f"{item.output}: {len(pins)} packages")
    return 0


def _resolve(item: Lock, python: str) -> list[str]:
    """Exact pins of everything that pip would install into an empty environment, by name."""
    with tempfile.TemporaryDirectory(prefix="fathom-lock-") as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        report = Path(folder) / "report.json"
        command = [str(system.executable(Path(folder))), "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--report", str(report), "-r", str(REQUIREMENTS / item.source), *item.extra]
        if item.beside:
            command += ["-c", str(REQUIREMENTS / item.beside)]
        if subprocess.run(command, check=False).returncode:
            raise Problem(f"pip could not resolve {item.source}; its message stands above.")
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    pins = {f"{entry['metadata']['name']}=={entry['metadata']['version']}" for entry in installs}
    pins |= _foreign(REQUIREMENTS / item.source, pins)
    if item.beside:
        pins -= set(_requirements(REQUIREMENTS / item.beside))
    return sorted(pins, key=str.lower)


def _foreign(source: Path, pins: set[str]) -> set[str]:
    """Exact requirements for other platforms (with a marker), which a resolution on this one leaves out."""
    marked = {line for line in _requirements(source) if ";" in line and "==" in line.split(";")[0]}
    return {line for line in marked if line.split(";")[0].strip() not in pins}


def _requirements(file: Path) -> list[str]:
    """The lines of a requirements file without comments."""
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]
