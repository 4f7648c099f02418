"""Which estimators there are, and whether they can run here."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import estimators
from ..common import devices
from ..common.failures import Failure
from ..contract import exit_codes, packages
from ..contract.catalogue import Lack
from ..contract.leftovers import SHOT
from ..models import inspection
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
    found = []
    missing = packages.missing()
    on_top = packages.missing_of(facts.packages)
    if on_top:  # what installs these installs the light set with them
        what = f"{facts.label} needs packages that are not installed: {', '.join(on_top + missing)}."
        found.append(Lack(what=what, cure=packages.cure(full=True), kind="packages"))
    elif missing:
        what = f"Packages are missing: {', '.join(missing)}."
        found.append(Lack(what=what, cure=packages.cure(), kind="environment"))
    found += [Lack(what=what, cure=cure, kind="weights") for what, cure in inspection.lacks(facts.models)]
    if facts.gpu == "needed" and not devices.nvidia_cards():
        what = f"{facts.label} needs an NVIDIA GPU."
        found.append(Lack(what=what, cure="Use Quick or Parallax, which need none.", kind="device"))
    return found


def told(lacks: Sequence[Lack]) -> tuple[str, str]:
    """Several lacks for people: what they are, and each cure once, in the order in which to follow them."""
    first, *others = dict.fromkeys(lack.cure for lack in lacks)
    cures = [first, *(cure[:1].lower() + cure[1:] for cure in others)]
    return " ".join(lack.what for lack in lacks), "; then ".join(
        [*(cure.rstrip(".") for cure in cures[:-1]), cures[-1]]
    )


def notes(facts: EstimatorInfo) -> list[Lack]:
    """What an estimator can run without and would be better with on this computer."""
    unused = devices.unused_card() if facts.gpu != "unused" else None
    return [Lack(what=unused[0], cure=unused[1], kind="device")] if unused else []


def require(facts: EstimatorInfo) -> None:
    """Check that an estimator can run.

    Raises
    ------
    Failure
        MISSING: with everything that it lacks and the cure of each.
    """
    found = lacks(facts)
    if found:
        what, cure = told(found)
        raise Failure(exit_codes.MISSING, what, cure=cure)
