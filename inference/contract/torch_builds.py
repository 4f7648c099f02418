"""Which of PyTorch's builds fits this computer, and where it comes from. Standard library only.

PyTorch publishes a package index for each build. Of version 2.13 there are builds for CUDA 12.6 (compute capability
5.0 to 9.0), CUDA 13.0 (7.5 and newer), ROCm 7.2 and the CPU (its release notes and ``RELEASE.md``). CUDA 13 needs the
driver 580 or newer, CUDA 12 525.60 on Linux and 528.33 on Windows (NVIDIA, *CUDA Compatibility*, table 1, and the
release notes of the CUDA toolkit).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import installer
from .untrusted import find_program, in_a_line, read_text
from .web_address import without_secrets

AUTOMATIC = "auto"
"""Value of ``FATHOM_TORCH_INDEX`` that has the build chosen."""
INDEX = "https://download.pytorch.org/whl/"
"""PyTorch's own package indexes lie below."""
CUDA_13, CUDA_12, ROCM, CPU = "cu130", "cu126", "rocm7.2", "cpu"
_DRIVER_13 = (580,)
_DRIVER_12 = (528, 33) if sys.platform == "win32" else (525, 60)
_OLDEST_OF_13, _OLDEST_OF_12, _NEWEST_OF_12 = 7.5, 5.0, 9.0
"""Compute capabilities that the builds contain."""
_SIZES = {CUDA_13: (3.0, 6.0), CUDA_12: (3.0, 6.0), ROCM: (5.0, 15.0), CPU: (0.5, 2.0)}
_KFD = Path("/sys/class/kfd/kfd/topology/nodes")
_LONGEST = 30.0
"""Seconds that nvidia-smi may take; waking a GPU takes some."""


@dataclass(frozen=True)
class Build:
    """A build of PyTorch.

    Attributes
    ----------
    index : str
        Address of its package index; empty: where pip's settings have all packages come from.
    reason : str
        Why this one, as one sentence for the artist that names it.
    sizes : tuple of float or None
        Gigabytes to download and on disk of all packages with it; None: unknown.
    is_short : bool
        Whether the sentence says what the artist has to do before a GPU of this computer can be used.
    """

    index: str
    reason: str
    sizes: tuple[float, float] | None = None
    is_short: bool = False


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU: name, driver's version such as (580, 65), and compute capability, 0 where it is not known."""

    name: str
    driver: tuple[int, ...]
    capability: float = 0.0


def choose(python: str | Path = sys.executable) -> Build:
    """The build for this computer; it asks pip (`python`'s) for its settings and the driver for GPUs, up to seconds.

    pip's settings come first where they name a source of packages: a studio's mirror, or a folder.
    """
    named = os.environ.get(installer.TORCH_INDEX, "")
    if named and named != AUTOMATIC:
        address = without_secrets(named)
        return Build(named, f"PyTorch comes from {address}, which {installer.TORCH_INDEX} names.")
    try:
        settings = installer.pip_settings(python)
    except (installer.InstallError, OSError):
        settings = {}  # the installation says what is wrong with them
    if installer.names_sources(settings):
        return Build("", f"PyTorch comes from where pip's settings say: {installer.sources(settings)}.")
    if sys.platform == "darwin":
        return Build("", "PyTorch for macOS, which computes on Apple's GPUs.")
    return for_gpus(nvidia_gpus(), has_amd=has_amd_gpu())


def for_gpus(gpus: Sequence[Gpu], *, has_amd: bool = False) -> Build:
    """The build for some NVIDIA GPUs, or an AMD GPU; for the CPU where no build can use one."""
    if not gpus:
        if has_amd:
            return _build(ROCM, "PyTorch for ROCm 7.2, for this computer's AMD GPU.")
        return _build(CPU, "PyTorch for the CPU: no GPU that it could use was found.")
    best = max(gpus, key=lambda gpu: gpu.capability)
    driver = ".".join(map(str, best.driver))
    about = f"for the {best.name}, whose driver is {driver}"
    needs_12 = 0 < min(gpu.capability or best.capability for gpu in gpus) < _OLDEST_OF_13
    if best.driver < _DRIVER_12:
        wanted = ".".join(map(str, _DRIVER_12))
        return _short(f"the driver {driver} of the {best.name} is too old: update it to {wanted} or newer")
    if 0 < best.capability < _OLDEST_OF_12:
        return _build(CPU, f"PyTorch for the CPU: the {best.name} is older than its oldest CUDA build.")
    if best.driver >= _DRIVER_13 and (not needs_12 or best.capability > _NEWEST_OF_12):
        return _build(CUDA_13, f"PyTorch for CUDA 13.0, {about}.")
    if best.capability > _NEWEST_OF_12:
        return _short(f"the {best.name} needs CUDA 13 and its driver is {driver}: update it to 580 or newer")
    return _build(CUDA_12, f"PyTorch for CUDA 12.6, {about}.")


def nvidia_gpus() -> list[Gpu]:
    """The NVIDIA GPUs that ``nvidia-smi``, which comes with the driver, lists; empty without one."""
    program = _nvidia_smi()
    if program is None:
        return []
    for fields in ("driver_version,compute_cap,name", "driver_version,name"):  # an old one knows no capability
        try:
            done = subprocess.run(
                [program, f"--query-gpu={fields}", "--format=csv,noheader"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=_LONGEST,
                check=False,
                creationflags=0x08000000 if os.name == "nt" else 0,  # CREATE_NO_WINDOW
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        if done.returncode == 0:
            return [gpu for line in done.stdout.splitlines() if (gpu := _gpu(line, "compute_cap" in fields))]
    return []


def has_amd_gpu(topology: Path = _KFD) -> bool:
    """Whether Linux's driver for computing on AMD GPUs lists one; other systems have no build for them."""
    for node in sorted(topology.glob("*/properties")) if sys.platform.startswith("linux") else ():
        try:
            found = re.search(r"^gfx_target_version (\d+)$", read_text(node), re.MULTILINE)
        except (OSError, ValueError):
            continue
        if found and int(found[1]):
            return True
    return False


def _build(name: str, reason: str) -> Build:
    index = "" if name == CPU and sys.platform == "win32" else INDEX + name  # the usual one there is for the CPU
    return Build(index, reason, _SIZES[name])


def _short(why: str) -> Build:
    build = _build(CPU, "")
    return Build(build.index, f"PyTorch for the CPU, because {why}, and press Repair.", build.sizes, True)


def _nvidia_smi() -> str | None:
    places = (
        Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32",
        Path(os.environ.get("PROGRAMFILES", r"C:\Program Files")) / "NVIDIA Corporation" / "NVSMI",
    )
    return find_program("nvidia-smi", *(places if os.name == "nt" else ()))


def _gpu(line: str, has_capability: bool) -> Gpu | None:
    """The GPU in a line of nvidia-smi's, or None."""
    parts = [part.strip() for part in line.split(",", 2 if has_capability else 1)]
    if len(parts) < 2 or not re.fullmatch(r"\d+(\.\d+)*", parts[0]):
        return None
    driver = tuple(map(int, parts[0].split(".")))
    capability = 0.0
    if has_capability and re.fullmatch(r"\d+\.\d+", parts[1]):
        capability = float(parts[1])
    return Gpu(in_a_line(parts[-1], most=80), driver, capability)
