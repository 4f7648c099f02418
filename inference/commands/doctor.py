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
from ..common.failures import unmet
from ..contract import environment, exit_codes, packages
from ..estimators import registry
from . import torch_device
from .estimators import asked_for, look

_OLDEST_PYTHON = (3, 11)
_LITTLE_MEMORY = 2e9
_LITTLE_DISK = 5e9

Standing = Literal["ok", "note", "lack"]
_MARKS = {"ok": " ok ", "note": "note", "lack": "LACK"}


@dataclass(frozen=True)
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
        print(f"[{_MARKS[finding.standing]}] {finding.topic}: {finding.what}")
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
    yield Finding("Fathom", packages.fathom_version())
    yield _python()
    yield from _packages()
    yield _packages_on_top()
    yield _device()
    yield _memory()
    yield _disk(output.absolute())
    yield _data_folder()
    yield from _estimators()


def _python() -> Finding:
    what = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("Python", what, "lack", f"Use Python {'.'.join(map(str, _OLDEST_PYTHON))} or newer.")
    return Finding("Python", what)


def _packages() -> Iterator[Finding]:
    """The packages of the light set."""
    cure = f"Run: {packages.install_command()}"
    wanted = packages.locked()
    differing = [name for name in wanted if _differs(name, wanted[name])]
    for name, version in wanted.items():
        found = packages.installed(name)
        if not packages.importable(packages.module_of(name)):
            yield Finding(name, f"missing ({version} wanted)", "lack", cure)
        elif found is None:
            yield Finding(name, f"installed under another name ({version} wanted)", "note")
        elif name in differing:
            yield Finding(name, f"{found} ({version} was tested)", "note")
        else:
            yield Finding(name, found)
    if differing:
        yield Finding("packages", "some are not in the versions that Fathom was tested with", "note", cure)


def _packages_on_top() -> Finding:
    """What the full set has on top of the light one, together: nothing of it is needed by parallax."""
    wanted = packages.locked_on_top()
    missing = [name for name in wanted if not packages.importable(packages.module_of(name))]
    differing = [
        f"{name} {packages.installed(name)} ({wanted[name]})" for name in wanted if _differs(name, wanted[name])
    ]
    if "torch" in missing:
        what = "the packages of the estimators with a network are not installed; parallax and quick need none of them"
    elif missing:
        what = f"missing: {', '.join(missing)}"
    elif differing:
        what = f"not in the versions that Fathom was tested with: {', '.join(differing)}"
    else:
        return Finding("full set", f"all {len(wanted)} packages, among them torch {packages.installed('torch')}")
    return Finding("full set", what, "note", packages.cure(full=True))


def _differs(name: str, wanted: str) -> bool:
    """Whether a package is there in another version; how it was built (``+cpu``, ``+cu130``) makes no other version."""
    found = packages.installed(name)
    return found is not None and found.partition("+")[0] != wanted


def _device() -> Finding:
    cores = f"CPU, {os.cpu_count()} cores"
    if not packages.importable("torch"):
        return Finding("device", f"{cores} (no torch, which parallax does not need)")
    try:
        found = torch_device.ask()
    except torch_device.TorchUnusable as error:
        return Finding("device", f"{cores}; torch cannot be used: {error}", "note", packages.cure(full=True))
    if found.device == "mps":  # shares the host memory, which is the next line
        return Finding("device", f"{found.name}, up to {found.total / 1e9:.1f} GB of the host memory; {cores}")
    if found.device != "cpu":
        return Finding("device", f"{found.name}, {_free(found.free, found.total)}; {cores}")
    if not devices.nvidia_cards():
        return Finding("device", f"{cores} (torch {found.torch} finds no GPU)")
    what = f"{cores}: torch {found.torch} finds no GPU although an NVIDIA driver is there"
    cure = "Bring the NVIDIA driver up to date." if devices.torch_has_cuda() else devices.cuda_cure()
    return Finding("device", what, "note", cure)


def _memory() -> Finding:
    if not packages.importable("psutil"):
        return Finding("memory", "unknown without psutil", "note")
    import psutil

    memory = psutil.virtual_memory()
    what = _free(memory.available, memory.total)
    if memory.available < _LITTLE_MEMORY:
        return Finding("memory", what, "note", "Close other programs, or work at a smaller --size.")
    return Finding("memory", what)


def _free(free: float, total: float) -> str:
    return f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_there(folder)).free
    what = f"{free / 1e9:.1f} GB free for {folder}"
    if free < _LITTLE_DISK:
        cure = "Make room: a frame at working size takes about 1 MB, at 1920x1080 about 8 MB."
        return Finding("disk", what, "note", cure)
    return Finding("disk", what)


def _there(folder: Path) -> Path:
    """The folder, or the next one above it that is there; a name that none can have is not."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110 -- which says no where Path raises


def _data_folder() -> Finding:
    folder = environment.data_folder()
    try:
        with tempfile.TemporaryFile(dir=_there(folder)):
            pass
    except OSError as error:
        cure = "Set the environment variable FATHOM_HOME to a folder that can be written."
        return Finding("data folder", f"{folder} cannot be written ({error})", "note", cure)
    return Finding("data folder", f"{folder}{'' if folder.exists() else ' (not there yet)'}")


def _estimators() -> Iterator[Finding]:
    ready = []
    for found in map(look, registry.in_order()):
        if found.facts is None:
            yield Finding(found.name, found.lacks[0].what, "lack", found.lacks[0].cure)
        elif found.lacks:
            lacking = unmet(found.lacks)
            less = [asked_for(each) for each, lacks in zip(found.facts.variants, found.variants) if not lacks]
            can = f"can run with {' or '.join(less)} alone" if less else "cannot run"
            yield Finding(found.name, f"{can}: {lacking.what}", "note", lacking.cure)
        else:
            ready.append(found.name)
    if ready:
        yield Finding("estimators", f"{', '.join(ready)} can run")
    else:
        yield Finding("estimators", "none can run", "lack", "See the lacks above.")
