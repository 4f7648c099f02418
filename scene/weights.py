"""The weights of networks: which there are, and getting, checking and removing them, for panels, operators and scripts.

Panels draw what is known; a timer asks any Python that is there for the list, the one in Blender where nothing is
installed yet. It is asked again when a run has ended or the folders have changed.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..inference.contract import client, environment, environment_setup
from ..inference.contract import weights as contract
from ..inference.contract.client import Question, Steps
from ..inference.contract.environment import MissingEnvironment
from ..inference.contract.environment_setup import SetupError
from ..inference.contract.records import RecordError
from ..inference.contract.weights import WeightsError, WeightsFacts
from . import current_run, disk_status, places, preferences
from .problems import Problem
from .redraw import redraw

_LOOK = 0.2


class MissingWeights(Problem):
    """Weights are asked for that there are not; the message is one sentence."""


@dataclass
class _Session:
    known: tuple[WeightsFacts, ...] | None = None
    problem: str | None = None
    """Why there is no list, from the last question."""
    answered: Hashable = None
    """What the answer depends on, as it was asked."""
    asked: Hashable = None
    question: Question | None = None
    changes: int = 0


_session = _Session()


def known() -> tuple[WeightsFacts, ...] | None:
    """The weights, as far as is known; None where nothing is yet. Nothing is looked at here: panels ask."""
    if not bpy.app.background and _circumstances() != _session.answered and not bpy.app.timers.is_registered(_look):
        bpy.app.timers.register(_look, persistent=True)
    return _session.known


def problem() -> str | None:
    """Why they cannot be listed, such as a studio's folder that is not there; None as long as nothing is wrong."""
    return _session.problem


def look() -> tuple[WeightsFacts, ...]:
    """Ask for the weights and wait, half a second. WeightsError where there is no list."""
    circumstances = _circumstances()
    found = contract.answer(_ask())
    _session.known, _session.problem, _session.answered = found, None, circumstances
    return found


def facts_of(names: Sequence[str]) -> list[WeightsFacts]:
    """The facts of weights by name, asked for if they are not known. MissingWeights where there are none."""
    there = {each.name: each for each in _session.known or look()}
    unknown = [name for name in names if name not in there]
    if unknown or not names:
        raise MissingWeights(f"There are no weights '{', '.join(unknown)}': choose from {', '.join(there)}.")
    return [there[name] for name in names]


def download(
    names: Sequence[str],
    *,
    licences: Sequence[str] = (),
    revisions: Mapping[str, str] | None = None,
    source: Path | None = None,
) -> Steps:
    """Download weights, or their missing and damaged files, under licenses that the artist accepts; see
    `client.download`. Copied from `source` they need no network.

    MissingEnvironment where no worker can run, MissingWeights where nothing may be downloaded.
    """
    offline = preferences.offline_reason() if source is None else None
    if offline is not None:
        raise MissingWeights(f"The weights are not downloaded. {offline}")
    if source is not None:
        places.ask(source)
    return client.download(
        names,
        licences=licences,
        revisions=revisions,
        source=source,
        python=preferences.worker_python(),
        home=preferences.data_folder(),
    )


def verify(names: Sequence[str]) -> Steps:
    """Read every byte of weights and compare them with their checksums."""
    return client.verify(names, python=preferences.worker_python(), home=preferences.data_folder())


def remove(name: str) -> str:
    """Remove downloaded weights; what was done, in one sentence. WeightsError where that fails."""
    done = contract.remove(name, python=_python(), home=preferences.data_folder())
    changed()
    return done


def folder() -> Path | None:
    """The studio's folder of weights; None where none is chosen. It opens the note of it."""
    try:
        return environment.weights_folder(preferences.data_folder())
    except (OSError, RecordError) as error:
        raise MissingWeights(f"The name of the weights' folder cannot be read ({error}): choose it again.") from error


def choose_folder(chosen: Path | None) -> None:
    """Read weights from a studio's folder, or from there no more."""
    try:
        environment.choose_weights_folder(preferences.data_folder(), chosen)
    except OSError as error:
        raise MissingWeights(
            f"The folder of weights cannot be noted in {preferences.data_folder()} ({error.strerror or error})."
        ) from error
    changed()


def changed() -> None:
    """What is on the disk has changed: ask again."""
    _session.changes += 1
    disk_status.outdate()
    redraw()


def forget() -> None:
    """Know nothing, and end a question that is under way."""
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)
    if _session.question is not None:
        _session.question.end()
    _session.known = _session.problem = _session.answered = _session.question = None


def _circumstances() -> Hashable:
    """What the list depends on; no file is looked at."""
    state = preferences.known()
    chosen = (str(preferences.data_folder()), os.environ.get(environment.WEIGHTS))
    return (state.python if state else None, *chosen, current_run.count_ended(), _session.changes)


def _python() -> Path:
    """A Python that can list and remove weights: the worker's, else the one in Blender."""
    try:
        return preferences.worker_python()
    except MissingEnvironment:
        return environment_setup.base_python()


def _ask() -> Question:
    try:
        return contract.ask(_python(), preferences.data_folder())
    except (OSError, SetupError) as error:
        raise WeightsError(f"The weights cannot be listed: {error}") from error


def _look() -> float | None:
    """Ask, and see whether the answer has come; called by a timer, so on the main thread."""
    try:
        if _session.question is None:
            _session.asked = _circumstances()
            if _session.asked == _session.answered:
                return None
            _session.question = _ask()
        if not _session.question.is_answered():
            return _LOOK
        _session.known, _session.problem = contract.answer(_session.question), None
    except WeightsError as error:
        _session.problem = str(error)
    _session.question, _session.answered = None, _session.asked
    redraw()
    return _LOOK
