"""Mattes of people, by a network that is installed apart: see ``docs/mattes.md``. Standard library only."""

from __future__ import annotations

from ..common.failures import unmet_requirements
from ..contract import environment, packages
from ..contract.catalogue import MissingRequirement
from ..models import missing_requirements as missing_weights
from .weights import MODEL

PACKAGE = "onnxruntime"
"""What runs the network; see ``requirements/mattes.in``."""


def missing() -> list[MissingRequirement]:
    """What is missing on this computer for mattes; empty where they can be made."""
    found = missing_weights([MODEL])
    if not packages.importable(PACKAGE):
        what = f"Mattes need packages that are not installed: {', '.join(packages.pins(environment.MATTES))}."
        hint = f"Run: {packages.install_mattes_command()}"
        found.insert(0, MissingRequirement(what=what, hint=hint, kind="packages"))
    return found


def require() -> None:
    """Raise a `Failure` (MISSING) with all that is missing, and how to provide it."""
    found = missing()
    if found:
        raise unmet_requirements(found)
