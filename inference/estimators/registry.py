"""Which estimators there are, and whether they can run here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from .. import estimators, exit_codes, packages
from ..faults import Failure
from ..models import inspection
from .base import EstimatorInfo, Shot, ShotResult

Estimate = Callable[[Shot], ShotResult]


def names() -> list[str]:
    """The names of all estimators, which are the folders beside this file."""
    return sorted(module.name for module in pkgutil.iter_modules(estimators.__path__) if module.ispkg)


def info(name: str) -> EstimatorInfo:
    """The facts of an estimator.

    Raises
    ------
    Failure
        USAGE: there is no estimator of that name; the sentence lists those that there are.
    """
    return _module(name)[0]


def function(name: str) -> Estimate:
    """The function that estimates a shot; errors as for `info`."""
    return _module(name)[1]


def _module(name: str) -> tuple[EstimatorInfo, Estimate]:
    if name not in names():
        raise Failure(
            exit_codes.USAGE, f"There is no estimator '{name}'.", cure=f"Choose one of these: {', '.join(names())}."
        )
    module = importlib.import_module(f"{estimators.__name__}.{name}")
    return module.INFO, module.estimate


def lacks(facts: EstimatorInfo) -> list[tuple[str, str]]:
    """What an estimator needs and does not find on this computer.

    Returns
    -------
    list of (str, str)
        What is missing and what to do about it, one sentence each; empty where the estimator can run.
    """
    found = []
    absent = packages.missing()
    if absent:
        found.append((f"Packages are missing: {', '.join(absent)}.", f"Run: {packages.install_command()}"))
    absent = [packages.package_of(module) for module in facts.packages if not packages.importable(module)]
    if absent:
        install = f"{packages.sys.executable} -m pip install {' '.join(absent)}"
        found.append((f"{facts.label} needs the packages {', '.join(absent)}.", f"Run: {install}"))
    found += inspection.lacks(facts.models)
    if facts.gpu == "needed" and not _has_gpu():
        found.append((f"{facts.label} needs an NVIDIA GPU.", "Use the estimator parallax, which needs none."))
    return found


def require(facts: EstimatorInfo) -> None:
    """Check that an estimator can run.

    Raises
    ------
    Failure
        MISSING: with everything that it lacks and the cure of each.
    """
    found = lacks(facts)
    if found:
        raise Failure(exit_codes.MISSING, " ".join(what for what, _ in found), cure=" ".join(cure for _, cure in found))


def _has_gpu() -> bool:
    if not packages.importable("torch"):
        return False
    import torch  # type: ignore[import-not-found, unused-ignore]

    return bool(torch.cuda.is_available())
