"""All weights that estimators declare."""

from __future__ import annotations

from collections.abc import Sequence

from .. import exit_codes
from ..estimators import registry
from ..faults import Failure
from .facts import Model


def every() -> dict[str, tuple[Model, list[str]]]:
    """Every model by its name, with the names of the estimators that need it."""
    found: dict[str, tuple[Model, list[str]]] = {}
    for estimator in registry.names():
        for model in registry.info(estimator).models:
            known, users = found.setdefault(model.name, (model, []))
            if known != model:
                raise ValueError(f"{estimator} and {users[0]} declare different models '{model.name}'")
            users.append(estimator)
    return found


def named(names: Sequence[str]) -> list[Model]:
    """The models of these names; all of them for none.

    Raises
    ------
    Failure
        USAGE: there is no model of a name; the sentence lists those that there are.
    """
    there = every()
    for name in names:
        if name not in there:
            known = f"there are {', '.join(there)}" if there else "no estimator needs any"
            raise Failure(exit_codes.USAGE, f"There are no weights '{name}'; {known}.")
    return [there[name][0] for name in dict.fromkeys(names or there)]
