"""Resolving ``requirements/*.in`` (what is wanted, and why) into ``*.txt`` (the exact version of everything)."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import environments, system
from .environments import REQUIREMENTS
from .problems import Problem

# One bpy for each supported Blender; the newest wheel of that series.
BPY = {"4.2": "bpy==4.2.23", "4.5": "bpy==4.5.15", "5.0": "bpy==5.0.1", "5.2": "bpy==5.2.3"}

# Torch pins these itself, exactly, and asks for them on Linux alone.
CUDA = re.compile(r"(nvidia|cuda|triton)\b")
CUDA_NOTE = (
    "# The same on every platform: the CUDA parts (nvidia-*, cuda-*, triton) that torch's build for Linux brings are "
    "pinned by torch itself."
)

# What the shipped locks must be published for, ready-built: pip's names of the platforms, and the Pythons.
GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
PLATFORMS = {
    "Linux": (*(f"manylinux_{version}_x86_64" for version in GLIBC), "manylinux2014_x86_64", "manylinux2010_x86_64"),
    "Windows": ("win_amd64",),
    "macOS": ("macosx_14_0_arm64",),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


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
    beside : tuple of str
        Other locks that are installed into the same environment: their versions bind, and are not repeated.
    names : str or None
        One of `beside` that this lock names, so that installing this one installs both.
    shipped : bool
        Whether it serves every supported platform and Python, and not development on this one alone.
    """

    output: str
    source: str
    python: str
    extra: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    names: str | None = None
    shipped: bool = False


LOCKS = (
    Lock("light.txt", "light.in", "3.11", shipped=True),
    Lock("full.txt", "full.in", "3.11", beside=("light.txt",), names="light.txt", shipped=True),
    Lock("dev-inference.txt", "dev-inference.in", "3.11", beside=("light.txt", "full.txt")),
    *(
        Lock(f"dev-blender-{version}.txt", "dev-blender.in", environment.python, extra=(BPY[version],))
        for version, environment in environments.BLENDERS.items()
    ),
)


def lock(arguments: list[str]) -> int:
    """Write the lock files; with arguments, only those named, such as ``light.txt``."""
    unknown = set(arguments) - {item.output for item in LOCKS}
    if unknown:
        raise Problem(f"there is no lock '{min(unknown)}'; it is one of {', '.join(item.output for item in LOCKS)}.")
    for item in LOCKS:
        if arguments and item.output not in arguments:
            continue
        python = system.find_python(item.python)
        if python is None:
            print(f"{item.output} is left as it is: Python {item.python} is not on PATH.")
            continue
        system.need_venv(python)
        with tempfile.TemporaryDirectory(prefix="fathom-lock-") as folder:
            subprocess.run([python, "-m", "venv", folder], check=True)
            pins = _resolve(item, system.executable(Path(folder)), Path(folder))
            file = REQUIREMENTS / item.output
            file.write_text(_text(item, pins), encoding="utf-8")
            print(f"{item.output}: {len(pins)} packages", flush=True)
            if item.shipped:
                _check_builds(file, system.executable(Path(folder)))
    return 0


def _text(item: Lock, pins: list[str]) -> str:
    """What the lock file says."""
    lines = [f"# Made by `python3 dev.py lock` from {item.source}; change that file and run it again."]
    if any(pin.startswith("torch==") for pin in pins):
        lines.append(CUDA_NOTE)
    if item.names:
        lines.append(f"-r {item.names}")
    return "\n".join([*lines, *pins]) + "\n"


def _resolve(item: Lock, python: Path, folder: Path) -> list[str]:
    """Exact pins of everything that pip would install into an empty environment, by name."""
    report, bounds = folder / "report.json", folder / "bounds.txt"
    beside = [pin for name in item.beside for pin in _requirements(REQUIREMENTS / name)]
    bounds.write_text("\n".join(beside), encoding="utf-8")
    command = [str(python), "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--report", str(report), "-r", str(REQUIREMENTS / item.source), *item.extra, "-c", str(bounds)]
    if subprocess.run(command, check=False).returncode:
        raise Problem(f"pip could not resolve {item.source}; its message stands above.")
    pins = pins_of(json.loads(report.read_text(encoding="utf-8"))["install"])
    pins |= _foreign(REQUIREMENTS / item.source, pins)
    if item.shipped:
        _check_whole(item, report, python, known=_names([*pins, *beside]))
    return sorted(pins - set(beside), key=str.lower)


def pins_of(installs: list[dict]) -> set[str]:
    """Exact pins from pip's report, without what ties them to this computer: local versions, and torch's CUDA parts."""
    return {
        f"{entry['metadata']['name']}=={entry['metadata']['version'].partition('+')[0]}"
        for entry in installs
        if not CUDA.match(entry["metadata"]["name"])
    }


def _check_whole(item: Lock, report: Path, python: Path, *, known: set[str]) -> None:
    """See that a lock names what its packages need on other platforms and Pythons too.

    Raises
    ------
    Problem
        One is not named; the message says which, and where to.
    """
    pip = [str(python), "-m", "pip", "install", "--quiet", "packaging"]
    if subprocess.run(pip, check=False).returncode:
        raise Problem("pip could not install packaging; its message stands above.")
    script = Path(__file__).with_name("elsewhere.py")
    told = subprocess.run([str(python), str(script), str(report)], check=True, capture_output=True, text=True).stdout
    for name, requirement, package in json.loads(told):
        if name not in known and not CUDA.match(name):
            raise Problem(
                f"{package} needs {requirement}, not on this computer but on others: "
                f"pin it in {item.source}, as in '{name}==VERSION ; sys_platform == \"win32\"'."
            )


def _check_builds(file: Path, python: Path) -> None:
    """See that every package of a lock is published ready-built for every platform and Python that Fathom supports.

    Raises
    ------
    Problem
        One is not; pip's message, which names it, stands above.
    """
    for version in PYTHONS:
        for system_name, tags in PLATFORMS.items():
            command = [str(python), "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--target", "unused"]
            command += ["--only-binary=:all:", "--python-version", version, "-r", str(file)]
            command += [part for tag in tags for part in ("--platform", tag)]
            if subprocess.run(command, check=False).returncode:
                raise Problem(f"{file.name} is not to be had ready-built for {system_name} and Python {version}.")
    print(f"{file.name}: ready-built for {', '.join(PLATFORMS)} and Python {PYTHONS[0]} to {PYTHONS[-1]}")


def _foreign(source: Path, pins: set[str]) -> set[str]:
    """Exact requirements for other platforms (with a marker), which a resolution on this one leaves out."""
    marked = {line for line in _requirements(source) if ";" in line and "==" in line.split(";")[0]}
    return {line for line in marked if line.split(";")[0].strip() not in pins}


def _names(pins: Iterable[str]) -> set[str]:
    """The names of exact requirements, spelt as pip compares them."""
    return {re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins}


def _requirements(file: Path) -> list[str]:
    """The requirements in a file, without comments and without those of files that it names."""
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]
