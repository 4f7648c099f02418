"""What an estimator needs to run on this computer, and what of it is missing: packages, weights, a GPU."""

from __future__ import annotations

from collections.abc import Callable

from .. import models
from ..common import devices
from ..common.failures import unmet_requirements
from ..contract import packages
from ..contract.catalogue import MissingRequirement
from ..contract.depth_sequence import Weights
from .base import EstimatorInfo


def missing_requirements(facts: EstimatorInfo) -> list[MissingRequirement]:
    """The missing requirements of an estimator on this computer; empty where it can run."""
    weights, device = models.missing_requirements(facts.models), _missing_device(facts)
    return [*_missing_packages(facts), *weights, *device]


def _missing_packages(facts: EstimatorInfo) -> list[MissingRequirement]:
    missing = packages.missing()
    on_top = packages.missing_of(facts.packages)
    if on_top:  # installing these includes the light set
        what = f"{facts.label} needs packages that are not installed: {', '.join(on_top + missing)}."
        return [MissingRequirement(what=what, hint=packages.hint(full=True), kind="packages")]
    if missing:
        what = f"Packages are missing: {', '.join(missing)}."
        return [MissingRequirement(what=what, hint=packages.hint(), kind="environment")]
    return []


def _missing_device(facts: EstimatorInfo) -> list[MissingRequirement]:
    if facts.gpu != "needed" or devices.nvidia_gpus():
        return []
    what = f"{facts.label} needs an NVIDIA GPU."
    hint = "Use Video Depth Anything, Quick or Parallax, which need no GPU."
    return [MissingRequirement(what=what, hint=hint, kind="device")]


def notes(facts: EstimatorInfo) -> list[MissingRequirement]:
    """Recommendations for an estimator that can run without them on this computer."""
    unused = devices.unused_gpu() if facts.gpu != "unused" else None
    return [MissingRequirement(what=unused[0], hint=unused[1], kind="device")] if unused else []


def require(
    facts: EstimatorInfo,
    *,
    check: Callable[[], None] = lambda: None,
    reading: Callable[[str], None] = lambda label: None,
) -> tuple[Weights, ...]:
    """Check that an estimator can run: `models.ready` for its weights, which are returned, packages and device.

    Raises
    ------
    Failure
        MISSING: with all missing requirements and the hint of each.
    """
    if _missing_packages(facts) or _missing_device(facts):
        raise unmet_requirements(missing_requirements(facts))
    return models.ready(facts.models, check=check, reading=reading)
