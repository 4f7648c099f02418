"""``doctor``: what is installed, what would be used, and how to fix each missing requirement."""

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
from ..common.failures import unmet_requirements
from ..contract import environment, exit_codes, packages
from ..run import automatic
from . import torch_device
from .estimators import status_of, variant_text

_OLDEST_PYTHON = (3, 11)
_LITTLE_MEMORY = 2e9
_LITTLE_DISK = 5e9

Severity = Literal["ok", "note", "missing"]
_MARKS = {"ok": " ok ", "note": "note", "missing": "MISSING"}


@dataclass(frozen=True)
class Finding:
    """The result of one check: what was found for a topic, and the hint where something is missing."""

    topic: str
    what: str
    severity: Severity = "ok"
    hint: str = ""


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("doctor", help="list what is installed and what is missing", description=__doc__)
    verb.add_argument("--output", metavar="DIR", help="check the disk of this folder (default: the current one)")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; the exit code is MISSING where estimates cannot run."""
    missing_requirements = 0
    for finding in findings(Path(options.output or ".")):
        print(f"[{_MARKS[finding.severity]}] {finding.topic}: {finding.what}")
        if finding.hint:
            print(f"       -> {finding.hint}")
        missing_requirements += finding.severity == "missing"
    print(
        "Everything that an estimate needs is installed."
        if not missing_requirements
        else f"{missing_requirements} requirements are missing."
    )
    return exit_codes.MISSING if missing_requirements else exit_codes.OK


def findings(output: Path) -> Iterator[Finding]:
    """Check everything that an estimate needs; the disk is that of the output folder, which need not exist."""
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
        return Finding("Python", what, "missing", f"Use Python {'.'.join(map(str, _OLDEST_PYTHON))} or newer.")
    return Finding("Python", what)


def _packages() -> Iterator[Finding]:
    """The packages of the light set."""
    hint = f"Run: {packages.install_command()}"
    wanted = packages.locked()
    differing = [name for name in wanted if _differs(name, wanted[name])]
    for name, version in wanted.items():
        found = packages.installed(name)
        if not packages.importable(packages.module_of(name)):
            yield Finding(name, f"missing ({version} required)", "missing", hint)
        elif found is None:
            yield Finding(name, f"installed under another name ({version} required)", "note")
        elif name in differing:
            yield Finding(name, f"{found} ({version} was tested)", "note")
        else:
            yield Finding(name, found)
    if differing:
        yield Finding("packages", "some versions differ from those that Fathom was tested with", "note", hint)


def _packages_on_top() -> Finding:
    """The packages that the full set adds to the light one, in one finding; parallax needs none of them."""
    wanted = packages.locked_on_top()
    missing = [name for name in wanted if not packages.importable(packages.module_of(name))]
    differing = [
        f"{name} {packages.installed(name)} ({wanted[name]})" for name in wanted if _differs(name, wanted[name])
    ]
    if "torch" in missing:
        what = "not installed; parallax and quick do not need it, the other estimators do"
    elif missing:
        what = f"missing: {', '.join(missing)}"
    elif differing:
        what = f"versions differ from those that Fathom was tested with: {', '.join(differing)}"
    else:
        return Finding("full set", f"all {len(wanted)} packages, among them torch {packages.installed('torch')}")
    return Finding("full set", what, "note", packages.hint(full=True))


def _differs(name: str, wanted: str) -> bool:
    """Whether a package is installed in another version; a build tag (``+cpu``, ``+cu130``) is ignored."""
    found = packages.installed(name)
    return found is not None and found.partition("+")[0] != wanted


def _device() -> Finding:
    cores = f"CPU, {os.cpu_count()} cores"
    if not packages.importable("torch"):
        return Finding("device", f"{cores} (no torch, which parallax does not need)")
    try:
        found = torch_device.ask()
    except torch_device.TorchUnusable as error:
        return Finding("device", f"{cores}; torch cannot be used: {error}", "note", packages.hint(full=True))
    if found.device == "mps":  # its memory is the host memory, which is the next finding
        return Finding("device", f"{found.name}, up to {found.total / 1e9:.1f} GB of the host memory; {cores}")
    if found.device != "cpu":
        return Finding("device", f"{found.name}, {_free(found.free, found.total)}; {cores}")
    if not devices.nvidia_gpus():
        return Finding("device", f"{cores} (torch {found.torch} finds no GPU)")
    what = f"{cores}: torch {found.torch} finds no GPU although an NVIDIA driver is installed"
    hint = "Update the NVIDIA driver." if devices.torch_has_cuda() else devices.cuda_hint()
    return Finding("device", what, "note", hint)


def _memory() -> Finding:
    if not packages.importable("psutil"):
        return Finding("memory", "unknown without psutil", "note")
    import psutil

    memory = psutil.virtual_memory()
    what = _free(memory.available, memory.total)
    if memory.available < _LITTLE_MEMORY:
        return Finding("memory", what, "note", "Close other programs, or choose a smaller --size.")
    return Finding("memory", what)


def _free(free: float, total: float) -> str:
    return f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_there(folder)).free
    what = f"{free / 1e9:.1f} GB free for {folder}"
    if free < _LITTLE_DISK:
        hint = "Free disk space: a frame takes about 1 MB at the default size, about 8 MB at 1920x1080."
        return Finding("disk", what, "note", hint)
    return Finding("disk", what)


def _there(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110 -- Path.exists raises for invalid names


def _data_folder() -> Finding:
    folder = environment.data_folder()
    try:
        with tempfile.TemporaryFile(dir=_there(folder)):
            pass
    except OSError as error:
        hint = "Set the environment variable FATHOM_HOME to a writable folder."
        return Finding("data folder", f"{folder} cannot be written ({error})", "note", hint)
    return Finding("data folder", f"{folder}{'' if folder.exists() else ' (not created yet)'}")


def _estimators() -> Iterator[Finding]:
    ready = []
    for found in map(status_of, automatic.in_order()):
        if found.facts is None:
            yield Finding(found.name, found.missing_requirements[0].what, "missing", found.missing_requirements[0].hint)
        elif found.missing_requirements:
            unmet = unmet_requirements(found.missing_requirements)
            less = [
                variant_text(each)
                for each, missing_requirements in zip(found.facts.variants, found.variants)
                if not missing_requirements
            ]
            can = f"can run with {' or '.join(less)} alone" if less else "cannot run"
            yield Finding(found.name, f"{can}: {unmet.what}", "note", unmet.hint)
        else:
            ready.append(found.name)
    if ready:
        yield Finding("estimators", f"{', '.join(ready)} can run")
    else:
        yield Finding("estimators", "none can run", "missing", "See the missing requirements above.")
