"""``doctor``: what is installed, what would be used, and what to do about each lack."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..common import devices
from ..contract import environment, exit_codes, packages
from ..estimators import registry
from . import torch_device
from .estimators import asked_for

_OLDEST_PYTHON = (3, 11)
_LITTLE_MEMORY = 2e9
_LITTLE_DISK = 5e9

Standing = Literal["ok", "note", "lack"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at: `what` was found of `topic`, and the `cure` where it does not suffice."""

    topic: str
    what: str
    standing: Standing = "ok"
    cure: str = ""


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("doctor", help="say what is installed and what is missing", description=__doc__)
    verb.add_argument("--output", metavar="DIR", help="look at the disk of this folder (default: the current one)")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; the exit code is MISSING where estimates cannot run."""
    lacks = 0
    for finding in findings(Path(options.output or ".")):
        mark = {"ok": " ok ", "note": "note", "lack": "LACK"}[finding.standing]
        print(f"[{mark}] {finding.topic}: {finding.what}")
        if finding.cure:
            print(f"       -> {finding.cure}")
        lacks += finding.standing == "lack"
    print("Everything that an estimate needs is here." if not lacks else f"{lacks} lacks keep estimates from running.")
    return exit_codes.MISSING if lacks else exit_codes.OK


def findings(output: Path) -> Iterator[Finding]:
    """Look at everything that an estimate needs.

    Parameters
    ----------
    output : Path
        Folder whose disk would be written to; it need not exist.
    """
    yield Finding(topic="Fathom", what=packages.fathom_version())
    yield _python()
    yield from _packages()
    yield _device()
    yield _memory()
    yield _disk(output.absolute())
    yield _data_folder()
    yield from _estimators()


def _python() -> Finding:
    what = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < _OLDEST_PYTHON:
        wanted = ".".join(map(str, _OLDEST_PYTHON))
        return Finding(topic="Python", what=what, standing="lack", cure=f"Use Python {wanted} or newer.")
    return Finding(topic="Python", what=what)


def _packages() -> Iterator[Finding]:
    differ = False
    for name, wanted in packages.locked().items():
        finding = _package(name, wanted)
        differ = differ or _differs(name, wanted)
        yield finding
    if differ:
        yield Finding(
            topic="packages",
            what="some are not in the versions that Fathom was tested with",
            standing="note",
            cure=f"Run: {packages.install_command()}",
        )
    yield from _packages_on_top()


def _package(name: str, wanted: str) -> Finding:
    """A package of the light set."""
    found = packages.installed(name)
    if not packages.importable(packages.module_of(name)):
        cure = f"Run: {packages.install_command()}"
        return Finding(topic=name, what=f"missing ({wanted} wanted)", standing="lack", cure=cure)
    if found is None:
        return Finding(topic=name, what=f"installed under another name ({wanted} wanted)", standing="note")
    if _differs(name, wanted):
        return Finding(topic=name, what=f"{found} ({wanted} was tested)", standing="note")
    return Finding(topic=name, what=found)


def _packages_on_top() -> Iterator[Finding]:
    """What the full set has on top of the light one, together: nothing of it is needed by parallax."""
    topic, cure = "full set", packages.cure(full=True)
    wanted = packages.locked_on_top()
    missing = [name for name in wanted if not packages.importable(packages.module_of(name))]
    differing = [
        f"{name} {packages.installed(name)} ({wanted[name]})" for name in wanted if _differs(name, wanted[name])
    ]
    if "torch" in missing:
        what = "the packages of the estimators with a network are not installed; parallax and quick need none of them"
        yield Finding(topic=topic, what=what, standing="note", cure=cure)
    elif missing:
        yield Finding(topic=topic, what=f"missing: {', '.join(missing)}", standing="note", cure=cure)
    elif differing:
        what = f"not in the versions that Fathom was tested with: {', '.join(differing)}"
        yield Finding(topic=topic, what=what, standing="note", cure=cure)
    else:
        yield Finding(topic=topic, what=f"all {len(wanted)} packages, among them torch {packages.installed('torch')}")


def _differs(name: str, wanted: str) -> bool:
    """Whether a package is there in another version; how it was built (``+cpu``, ``+cu130``) makes no other version."""
    found = packages.installed(name)
    return found is not None and found.partition("+")[0] != wanted


def _device() -> Finding:
    cores = f"CPU, {os.cpu_count()} cores"
    if not packages.importable("torch"):
        return Finding(topic="device", what=f"{cores} (no torch, which parallax does not need)")
    try:
        found = torch_device.ask()
    except torch_device.TorchUnusable as error:
        cure = packages.cure(full=True)
        return Finding(topic="device", what=f"{cores}; torch cannot be used: {error}", standing="note", cure=cure)
    if found.device == "mps":  # shares the computer's memory, of which the next line tells
        what = f"{found.name}, up to {found.total / 1e9:.1f} GB of the computer's memory; {cores}"
        return Finding(topic="device", what=what)
    if found.device != "cpu":
        what = f"{found.name}, {found.free / 1e9:.1f} of {found.total / 1e9:.1f} GB free; {cores}"
        return Finding(topic="device", what=what)
    if not devices.nvidia_cards():
        return Finding(topic="device", what=f"{cores} (torch {found.torch} finds no GPU)")
    what = f"{cores}: torch {found.torch} finds no GPU although an NVIDIA driver is there"
    cure = "Bring the NVIDIA driver up to date." if devices.torch_has_cuda() else devices.cuda_cure()
    return Finding(topic="device", what=what, standing="note", cure=cure)


def _memory() -> Finding:
    if not packages.importable("psutil"):
        return Finding(topic="memory", what="unknown without psutil", standing="note")
    import psutil

    memory = psutil.virtual_memory()
    what = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    if memory.available < _LITTLE_MEMORY:
        return Finding(
            topic="memory", what=what, standing="note", cure="Close other programs, or work at a smaller --size."
        )
    return Finding(topic="memory", what=what)


def _disk(folder: Path) -> Finding:
    there = _there(folder)
    free = shutil.disk_usage(there).free
    what = f"{free / 1e9:.1f} GB free for {folder}"
    if free < _LITTLE_DISK:
        cure = "Make room: a frame at working size takes about 1 MB, at 1920x1080 about 8 MB."
        return Finding(topic="disk", what=what, standing="note", cure=cure)
    return Finding(topic="disk", what=what)


def _there(folder: Path) -> Path:
    """The folder, or the next one above it that is there; a name that none can have is not."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110 -- which says no where Path raises


def _data_folder() -> Finding:
    folder = environment.data_folder()
    there = _there(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        cure = "Set the environment variable FATHOM_HOME to a folder that can be written."
        return Finding(topic="data folder", what=f"{folder} cannot be written ({error})", standing="note", cure=cure)
    return Finding(topic="data folder", what=f"{folder}{'' if folder.exists() else ' (not there yet)'}")


def _estimators() -> Iterator[Finding]:
    ready = []
    for name in registry.in_order():
        try:
            info = registry.info(name)
            lacks = registry.lacks(info)
            less = [asked_for(each) for each in info.variants if lacks and not registry.lacks(info.used(each))]
        except Exception as error:
            yield Finding(topic=name, what=f"cannot be loaded: {error}", standing="lack", cure="Install Fathom again.")
            continue
        if lacks:
            what, cure = registry.told(lacks)
            can = f"can run with {' or '.join(less)} alone" if less else "cannot run"
            yield Finding(topic=name, what=f"{can}: {what}", standing="note", cure=cure)
        else:
            ready.append(name)
    if ready:
        yield Finding(topic="estimators", what=f"{', '.join(ready)} can run")
    else:
        yield Finding(topic="estimators", what="none can run", standing="lack", cure="See the lacks above.")
