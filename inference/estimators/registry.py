"""Which estimators there are, and whether they can run here."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

from .. import estimators, models
from ..common import devices
from ..common.failures import Failure, unmet
from ..contract import exit_codes, packages
from ..contract.catalogue import Lack
from ..contract.depth_sequence import Weights
from ..contract.leftovers import SHOT
from .base import EstimatorInfo, Shot, ShotResult

Estimate = Callable[[Shot], ShotResult]


def names() -> list[str]:
    """The names of all estimators, which are the folders beside this file."""
    return sorted(module.name for module in pkgutil.iter_modules(estimators.__path__) if module.ispkg)


def in_order() -> list[str]:
    """The names of all estimators in the order of what an artist should try; those that are broken last."""

    def place(name: str) -> tuple[int, str]:
        try:
            return info(name).place, name
        except Exception:  # whoever lists them says what is wrong with it
            return sys.maxsize, name

    return sorted(names(), key=place)


def info(name: str) -> EstimatorInfo:
    """The facts of an estimator.

    Raises
    ------
    Failure
        USAGE: there is no estimator of that name; the sentence lists those that there are.
    """
    return _module(name).INFO


def scratch_files() -> tuple[str, ...]:
    """What the estimators keep in the scratch folder of an output folder; see `EstimatorInfo.scratch_files`."""
    found = []
    for name in names():
        with contextlib.suppress(Exception):  # one that is broken is told of by whoever lists or uses it
            found += [f"{SHOT}{pattern}" for pattern in info(name).scratch_files]
    return tuple(found)


def info_for(name: str, parameters: dict[str, Any]) -> EstimatorInfo:
    """The facts of a run of an estimator with these parameters.

    Parameters
    ----------
    name : str
    parameters : dict
        Every declared one, with its value.

    Raises
    ------
    Failure
        As for `info`; or the parameters cannot go together.
    """
    module = _module(name)
    own = getattr(module, "info_for", None)
    return own(parameters) if own else module.INFO.chosen(parameters)


def function(name: str) -> Estimate:
    """The function that estimates a shot; errors as for `info`."""
    return _module(name).estimate


def _module(name: str) -> Any:
    if name not in names():
        raise Failure(
            exit_codes.USAGE, f"There is no estimator '{name}'.", cure=f"Choose one of these: {', '.join(in_order())}."
        )
    return importlib.import_module(f"{estimators.__name__}.{name}")


def lacks(facts: EstimatorInfo) -> list[Lack]:
    """What an estimator needs and does not find on this computer; empty where it can run."""
    weights, device = models.missing_requirements(facts.models), _device_lacks(facts)
    return [*_package_lacks(facts), *weights, *device]


def _package_lacks(facts: EstimatorInfo) -> list[Lack]:
    missing = packages.missing()
    on_top = packages.missing_of(facts.packages)
    if on_top:  # what installs these installs the light set with them
        what = f"{facts.label} needs packages that are not installed: {', '.join(on_top + missing)}."
        return [Lack(what=what, cure=packages.cure(full=True), kind="packages")]
    if missing:
        what = f"Packages are missing: {', '.join(missing)}."
        return [Lack(what=what, cure=packages.cure(), kind="environment")]
    return []


def _device_lacks(facts: EstimatorInfo) -> list[Lack]:
    if facts.gpu != "needed" or devices.nvidia_cards():
        return []
    what = f"{facts.label} needs an NVIDIA GPU."
    return [Lack(what=what, cure="Use Quick or Parallax, which need none.", kind="device")]


def notes(facts: EstimatorInfo) -> list[Lack]:
    """What an estimator can run without and would be better with on this computer."""
    unused = devices.unused_card() if facts.gpu != "unused" else None
    return [Lack(what=unused[0], cure=unused[1], kind="device")] if unused else []


def require(
    facts: EstimatorInfo,
    *,
    check: Callable[[], None] = lambda: None,
    reading: Callable[[str], None] = lambda label: None,
) -> tuple[Weights, ...]:
    """Check that an estimator can run.

    Parameters
    ----------
    facts : EstimatorInfo
    check, reading : callable
        As for `models.ready`, which reads weights that have changed since they were verified.

    Returns
    -------
    tuple of Weights
        What ``depth.json`` says of the weights.

    Raises
    ------
    Failure
        MISSING: with all requirements that are missing and the hint of each.
    """
    if _package_lacks(facts) or _device_lacks(facts):
        raise unmet(lacks(facts))
    return models.ready(facts.models, check=check, reading=reading)
