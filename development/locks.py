"""Resolve ``requirements/*.in`` (what is required, and why) into ``*.txt``: versions and checksums of all packages.

uv resolves for all platforms and Pythons at once; pip resolves only for its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import environments, system
from .environments import REQUIREMENTS
from .problems import Problem

# One bpy for each supported Blender; the newest wheel of that series.
BPY = {"4.2": "bpy==4.2.23", "4.5": "bpy==4.5.15", "5.0": "bpy==5.0.1", "5.2": "bpy==5.2.3"}

# Pinned by torch itself, differently in each build, and installed with it.
CUDA = re.compile(r"(nvidia|cuda|triton)\b")

# Platforms (uv's names) and Pythons for which the shipped locks' packages must be published as wheels.
PLATFORMS = {"Linux": "x86_64-manylinux_2_28", "Windows": "x86_64-pc-windows-msvc", "macOS": "aarch64-apple-darwin"}
OLDEST_MACOS = "14.0"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True)
class Lock:
    """One lock file.

    Attributes
    ----------
    output, source : str
        The file to write, and the one to resolve.
    python : str
        The oldest Python that it supports; where it is not shipped, the only one.
    extra : tuple of str
        Requirements beside those of `source`.
    beside : tuple of str
        Other locks of the same environment: their versions are constraints, and are not repeated.
    names : str or None
        One of `beside` that this lock includes, so that installing this one installs both.
    shipped : bool
        Whether it is for every supported platform and Python, and not only for development on this one.
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
    Lock("full.txt", "full.in", "3.11", beside=("light.txt", "torch.txt"), names="light.txt", shipped=True),
    Lock(
        "mattes.txt",
        "mattes.in",
        "3.11",
        beside=("light.txt", "full.txt", "torch.txt"),
        names="light.txt",
        shipped=True,
    ),
    Lock("training.txt", "training.in", "3.11", beside=("light.txt", "full.txt", "torch.txt"), shipped=True),
    Lock("dev-inference.txt", "dev-inference.in", "3.11", beside=("light.txt", "full.txt", "torch.txt")),
    Lock("dev-lock.txt", "dev-lock.in", "3.11"),
    *(
        Lock(f"dev-blender-{version}.txt", "dev-blender.in", environment.python, extra=(BPY[version],))
        for version, environment in environments.BLENDERS.items()
    ),
)


def lock(arguments: list[str]) -> int:
    """Write the lock files; with arguments, only those named, such as ``light.txt``.

    Pinned versions stay while they fit; delete the file to get the newest of everything.
    """
    unknown = set(arguments) - {item.output for item in LOCKS}
    if unknown:
        raise Problem(f"there is no lock '{min(unknown)}'; it is one of {', '.join(item.output for item in LOCKS)}.")
    uv = str(system.executable(environments.ensure(environments.LOCKER).parent.parent, "uv"))
    for item in LOCKS:
        if arguments and item.output not in arguments:
            continue
        file = REQUIREMENTS / item.output
        pins = _resolve(item, uv)
        file.write_text(_text(item, pins), encoding="utf-8")
        print(f"{item.output}: {len(pins)} packages", flush=True)
        if item.shipped:
            _check_builds(file, uv)
    return 0


def _text(item: Lock, pins: Iterable[str]) -> str:
    """The text of the lock file."""
    lines = [f"# Made by `python3 dev.py lock` from {item.source}; change that file and run it again."]
    if item.names:
        lines.append(f"-r {item.names}")
    return "\n".join([*lines, *pins]) + "\n"


def _resolve(item: Lock, uv: str) -> list[str]:
    """Pins, with checksums, of all packages that `item` adds to the locks beside it."""
    with tempfile.TemporaryDirectory(prefix="fathom-lock-") as folder:
        extra, output = Path(folder) / "extra.in", Path(folder) / "lock.txt"
        extra.write_text("\n".join(item.extra), encoding="utf-8")
        current = [REQUIREMENTS / name for name in (item.output, *item.beside)]
        output.write_text("\n".join(pin for path in current if path.exists() for pin in pins_of(path.read_text())))
        inputs = [REQUIREMENTS / item.source, extra, *(REQUIREMENTS / name for name in item.beside)]
        options = ["--generate-hashes", "--no-annotate", "--no-header", "--python-version", item.python]
        options += ["--universal", "--fork-strategy", "fewest"] if item.shipped else []
        _uv(uv, [*options, "--output-file", str(output), *map(str, inputs)], f"uv could not resolve {item.source}")
        pins = list(pins_of(output.read_text(encoding="utf-8")))
    beside = names(pin for name in item.beside for pin in pins_of((REQUIREMENTS / name).read_text(encoding="utf-8")))
    return [pin for pin in pins if not names([pin]) & beside and not CUDA.match(pin)]


def pins_of(text: str) -> Iterator[str]:
    """The requirements of a lock's text, each with the lines of its checksums."""
    for line in re.sub(r"\\\n", "\\\\\0", text).splitlines():
        pin = line.replace("\0", "\n")
        if pin.strip() and not pin.startswith(("#", "-")):
            yield pin


def names(pins: Iterable[str]) -> set[str]:
    """The names of exact requirements, spelt as pip compares them."""
    return {re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins}


def _check_builds(file: Path, uv: str) -> None:
    """Check that every package of a lock has a wheel for every platform and Python that Fathom supports."""
    for version in PYTHONS:
        for system_name, platform in PLATFORMS.items():
            options = ["--no-deps", "--python-version", version, "--python-platform", platform]
            what = f"{file.name} has packages without a wheel for {system_name} and Python {version}"
            _uv(uv, [*options, "--output-file", os.devnull, str(file)], what)
    print(f"{file.name}: wheels for {', '.join(PLATFORMS)} and Python {PYTHONS[0]} to {PYTHONS[-1]}")


def _uv(uv: str, arguments: list[str], failure: str) -> None:
    command = [uv, "pip", "compile", "--quiet", "--only-binary", ":all:", *arguments]
    variables = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS}
    if subprocess.run(command, env=variables, check=False).returncode:
        raise Problem(f"{failure}; see uv's message above.")
