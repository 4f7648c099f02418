"""Which estimators a job uses: the one that it names, or *Automatic*, and the learned network that completes it.

Automatic is no estimator of its own. It measures what it can by the first estimator that learned depth completes, and
has the rest from the best learned network on this computer: what the camera's motion does not show, and whole shots
without any.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..common.failures import Failure, UnsupportedShot, unmet_requirements
from ..common.units import size_text
from ..contract import exit_codes
from ..contract.catalogue import AUTOMATIC, COMPLETE, COMPLETE_FROM, LEARNED, MissingRequirement
from ..contract.depth_sequence import Weights
from ..contract.hints import setting
from ..estimators import registry, requirements
from ..estimators.base import EstimatorInfo


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What estimates the shots of a job.

    Attributes
    ----------
    info : EstimatorInfo
        The facts of the result: the estimator's that the job names.
    leading : EstimatorInfo
        The estimator that is tried on every shot.
    parameters : dict
        All that the leading estimator declares.
    learned : EstimatorInfo or None
        The network that completes it, which is run on every shot before it.
    learned_from : Path or None
        The depth sequence that does so instead.
    """

    info: EstimatorInfo
    leading: EstimatorInfo
    parameters: dict[str, Any]
    learned: EstimatorInfo | None = None
    learned_from: Path | None = None

    @property
    def is_automatic(self) -> bool:
        """Whether the job leaves the choice to Fathom."""
        return self.info.name == AUTOMATIC.name

    @property
    def used(self) -> tuple[EstimatorInfo, ...]:
        """The estimators that run."""
        return (self.leading, self.learned) if self.learned else (self.leading,)

    def hint_for(self, refused: UnsupportedShot) -> str:
        """What to do about a shot that the leading estimator does not support, and nothing else has depth of."""
        if not self.is_automatic or self.learned is not None:
            return refused.hint
        networks = " or ".join(f"{each.label} ({_size(each)})" for each in _networks())
        return f"Get the weights of a learned network, which has depth of such shots: {networks}."

    def require(
        self, *, check: Callable[[], None] = lambda: None, reading: Callable[[str], None] = lambda label: None
    ) -> tuple[Weights, ...]:
        """As `requirements.require`, for all that run."""
        return tuple(
            weights for each in self.used for weights in requirements.require(each, check=check, reading=reading)
        )


def info(name: str) -> EstimatorInfo:
    """The facts of an estimator, or of Automatic; errors as for `registry.info`."""
    return _automatic() if name == AUTOMATIC.name else registry.info(name)


def in_order() -> list[str]:
    """The names of all that a job can have, Automatic first; see `registry.in_order`."""
    return [AUTOMATIC.name, *registry.in_order()]


def choose(name: str, given: dict[str, Any], *, has_mattes: bool = False) -> Choice:
    """The estimators of a job.

    Parameters
    ----------
    name : str
        The one that it names.
    given : dict
        Its parameters.
    has_mattes : bool
        Whether the job has mattes of its own.

    Raises
    ------
    Failure
        USAGE: there is no such estimator or parameter, or parameters exclude each other. MISSING: a network is to
        complete the depth, and the weights of none are on this computer.
    """
    from .checks import resolve_parameters  # late: estimators are listed even without numpy

    declared = info(name)
    parameters = resolve_parameters(declared, given)
    if name == AUTOMATIC.name:
        leading = _leading()
        own = resolve_parameters(leading, {})
        leading = registry.info_for(leading.name, own, has_mattes=has_mattes)
        return Choice(info=declared, leading=leading, parameters=own, learned=best_network())
    facts = registry.info_for(name, parameters, has_mattes=has_mattes)
    choice = Choice(info=facts, leading=facts, parameters=parameters)
    if not facts.completes:
        return choice
    folder, wanted = str(parameters[COMPLETE_FROM]), bool(parameters[COMPLETE])
    if folder and wanted:
        raise Failure(
            exit_codes.USAGE,
            f"The depth cannot be completed both from {folder} and by a network.",
            hint=f"Leave out either {setting(COMPLETE_FROM)} or {setting(COMPLETE, True)}.",
        )
    if folder:
        return replace(choice, learned_from=Path(folder))
    if not wanted:
        return choice
    network = best_network()
    if network is None:
        raise unmet_requirements(list(_missing_networks()))
    return replace(choice, learned=network)


def best_network() -> EstimatorInfo | None:
    """The first of `catalogue.LEARNED` that can run on this computer."""
    return next((facts for facts in _networks() if not requirements.missing_requirements(facts)), None)


def notes(facts: EstimatorInfo) -> list[MissingRequirement]:
    """Recommendations for an estimator that can run without them: for Automatic, the networks to get."""
    if facts.name == AUTOMATIC.name:
        return list(_missing_networks()) if best_network() is None else []
    return requirements.notes(facts)


def _missing_networks() -> Iterator[MissingRequirement]:
    for facts in _networks():
        yield from requirements.missing_requirements(facts)


def _networks() -> Iterator[EstimatorInfo]:
    """The facts of the learned networks that this Fathom has, best first."""
    for each in LEARNED:
        with contextlib.suppress(Exception):  # the commands that list or use it describe what is wrong
            if each.estimator in registry.names():
                yield registry.info(each.estimator)


def _leading() -> EstimatorInfo:
    """The estimator that learned depth completes."""
    for name in registry.in_order():
        with contextlib.suppress(Exception):
            if registry.info(name).completes:
                return registry.info(name)
    what = "The estimator that Automatic begins with cannot be loaded."
    raise Failure(exit_codes.FAILED, what, hint="Install Fathom again.")


def _automatic() -> EstimatorInfo:
    """The facts of Automatic: those of the estimator that it begins with, for shots of any length."""
    return replace(
        _leading(),
        name=AUTOMATIC.name,
        label=AUTOMATIC.label,
        summary=f"{AUTOMATIC.summary}.",
        licence="That of the estimators that it chooses: all are for any use, paid work included",
        minimum_frames=1,
        parameters=(),
        scratch_files=(),
        place=0,
    )


def _size(facts: EstimatorInfo) -> str:
    """What a network's weights take, in words."""
    return size_text(sum(model.size for model in facts.models))
