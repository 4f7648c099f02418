"""The list of estimators."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import estimators
from ..common.failures import Failure
from ..contract import exit_codes
from ..contract.leftovers import SHOT
from .base import EstimatorInfo, Phase, Shot, ShotResult

Estimate = Callable[[Shot], ShotResult]


def names() -> list[str]:
    """The names of all estimators: the folders beside this file."""
    return sorted(module.name for module in pkgutil.iter_modules(estimators.__path__) if module.ispkg)


def in_order() -> list[str]:
    """The names of all estimators in the order of `EstimatorInfo.place`; those that cannot be loaded last."""

    def place(name: str) -> tuple[int, str]:
        try:
            return info(name).place, name
        except Exception:  # reported by the commands that list or use it
            return sys.maxsize, name

    return sorted(names(), key=place)


def info(name: str) -> EstimatorInfo:
    """The facts of an estimator.

    Raises
    ------
    Failure
        USAGE: there is no estimator of that name; the sentence lists all names.
    """
    return _module(name).INFO


def sinks(name: str) -> bool:
    """Whether small subjects sink into what is behind them in an estimator's depth; False of unknown ones."""
    with contextlib.suppress(Exception):  # the commands that list or use it describe what is wrong
        return name in names() and info(name).sinks
    return False


def scratch_files() -> tuple[str, ...]:
    """Patterns of all estimators' files in an output folder's scratch folder; see `EstimatorInfo.scratch_files`."""
    found = []
    for name in names():
        with contextlib.suppress(Exception):  # reported by the commands that list or use it
            found += [f"{SHOT}{pattern}" for pattern in info(name).scratch_files]
    return tuple(found)


def info_for(name: str, parameters: dict[str, Any], *, has_mattes: bool = False) -> EstimatorInfo:
    """The facts of a run of an estimator with these parameters.

    Parameters
    ----------
    name : str
    parameters : dict
        Every declared one, with its value.
    has_mattes : bool
        Whether the job has mattes of its own.

    Raises
    ------
    Failure
        As for `info`; or the parameters exclude each other, or the mattes.
    """
    module = _module(name)
    own = getattr(module, "info_for", None)
    return own(parameters, has_mattes=has_mattes) if own else module.INFO.chosen(parameters)


def function(name: str) -> Estimate:
    """The function that estimates a shot; errors as for `info`."""
    return _module(name).estimate


def phases(name: str, shot: Shot) -> Sequence[Phase]:
    """The phases of an estimator's work on a shot, in order; none where it is done as a whole. Errors as for `info`."""
    own = getattr(_module(name), "phases", None)
    return own(shot) if own else ()


def _module(name: str) -> Any:
    if name not in names():
        raise Failure(
            exit_codes.USAGE, f"There is no estimator '{name}'.", hint=f"Choose one of these: {', '.join(in_order())}."
        )
    return importlib.import_module(f"{estimators.__name__}.{name}")
