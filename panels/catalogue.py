"""The estimators to choose from, as far as this session knows them.

The worker is asked once per interpreter, without waiting for it: a timer looks for the answer. Until then, and where
there is no environment, only the default that comes with Fathom is listed. While an estimator has a missing requirement
(weights, another torch), which the artist may be getting just then, the worker is asked again from time to time.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..inference.contract import catalogue, exit_codes
from ..inference.contract.catalogue import EstimatorFacts
from ..inference.contract.client import Question
from ..inference.contract.records import RecordError
from ..scene import current_run, preferences, settings
from ..scene.redraw import redraw
from . import parameters

_LOOK = 0.2
_AGAIN = 10.0
"""Seconds between two questions while a requirement is missing; an answer takes the worker a fraction of one."""


@dataclass
class _Session:
    known: tuple[EstimatorFacts, ...] = (catalogue.AUTOMATIC,)
    wanted: Path | None = None
    """The interpreter whose worker is to be asked."""
    asked: Path | None = None
    asked_at: float = 0.0
    ended: int = 0
    """How many runs had ended by then."""
    question: Question | None = None


_session = _Session()


def estimators() -> tuple[EstimatorFacts, ...]:
    """What is known so far; never empty."""
    return _session.known


def has_answered() -> bool:
    """Whether the worker has listed its estimators."""
    return len(_session.known) > 1


def facts(name: str) -> EstimatorFacts | None:
    """What is known of one estimator."""
    return next((f for f in _session.known if f.name == name), None)


def label(name: str) -> str:
    """An estimator's name for the artist."""
    found = facts(name)
    return found.label if found is not None and found.label else name.replace("_", " ").capitalize()


def facts_in(scene: bpy.types.Scene) -> EstimatorFacts | None:
    """What is known of the estimator that a scene has chosen, as the scene's parameters make it."""
    name = scene.fathom.estimator
    found = facts(name)
    return found.chosen(settings.parameters(scene, name)) if found else None


def best_network() -> EstimatorFacts | None:
    """The learned network that Automatic takes, as far as is known; None where none can run."""
    found = (facts(each.estimator) for each in catalogue.LEARNED)
    return next((each for each in found if each is not None and not each.missing_requirements), None)


def learn(found: tuple[EstimatorFacts, ...]) -> None:
    """Take in the worker's list."""
    _session.known = found
    parameters.register_for(found)
    run = current_run.last()
    if run is not None and run.code == exit_codes.MISSING and any(facts.missing_requirements for facts in found):
        current_run.forget_last()  # what is missing stands in the panel now, until it is there


def ask(python: Path) -> None:
    """Have the worker of an interpreter asked for its estimators, unless its answer holds; a timer asks."""
    if not bpy.app.background and _is_due(python, time.monotonic()):
        _session.wanted = python
        if not bpy.app.timers.is_registered(_look):
            bpy.app.timers.register(_look, persistent=True)


def _is_due(python: Path, now: float) -> bool:
    """Whether to ask: an interpreter that was not asked, or one whose answer may not hold any more."""
    if python != _session.asked:
        return True
    run = current_run.last()
    if run is not None and run.code == exit_codes.MISSING and _session.ended != current_run.count_ended():
        return True  # a run missed what the answer did not know of
    is_incomplete = any(facts.missing_requirements or facts.notes for facts in _session.known)
    has_changed = _session.ended != current_run.count_ended()  # weights may have come
    return is_incomplete and _session.question is None and (has_changed or now - _session.asked_at > _AGAIN)


def forget() -> None:
    """Know nothing but the default, and end a question that is under way."""
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)
    _end_question()
    _session.known, _session.asked, _session.wanted = (catalogue.AUTOMATIC,), None, None
    parameters.unregister_all()


def _end_question() -> None:
    if _session.question is not None:
        _session.question.end()
        _session.question = None


def _look() -> float | None:
    """Ask, and see whether the answer has come; called by a timer, so on the main thread."""
    try:
        if _session.wanted is not None:
            _end_question()
            python, _session.asked_at, _session.ended = _session.wanted, time.monotonic(), current_run.count_ended()
            _session.asked, _session.wanted = python, None
            _session.question = catalogue.ask(python, preferences.data_folder())
        if _session.question is None:
            return None
        if not _session.question.is_answered():
            return _LOOK
        found = catalogue.answer(_session.question)
        if found != _session.known:
            learn(found)
            redraw()
    except (OSError, RecordError) as error:
        print(f"Fathom: the estimators cannot be listed: {error}")
    _session.question = None
    return None
