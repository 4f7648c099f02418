"""The accuracy of a model in training on clips that it is not trained on, by `evaluate` and the estimator itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..common.failures import Failure
from ..contract import events, exit_codes
from ..evaluation.accuracy.metrics import MetricsError
from ..evaluation.datasets.ground_truth import GroundTruthError
from ..evaluation.suites import run
from ..evaluation.suites.suite import FLAT, Contender, DataSet, Suite, SuiteError
from ..video_diffusion import loading
from .data import Set
from .output import ESTIMATES, MODEL

MEASURES = ("absolute_relative", "delta1")
_TRAINED = "trained"
_OF_ESTIMATE = {"depthcrafter": "steps"}
"""The parameter of an estimator that is the number of its denoising steps; StereoDiff takes one."""


def measured(
    network: str,
    work: Path,
    sets: Sequence[Set],
    *,
    steps: int,
    size: int,
    device: str,
    emit: Callable[[events.Event], None],
    check: Callable[[], None],
) -> dict[str, float]:
    """The mean of each measure over the clips of some sets, and those of the best constant depth, ``flat_…``.

    Estimates are of the model in `work`/model, with a long side of `size` pixels, and are written below `work`.

    Raises
    ------
    Failure
        USAGE: a set cannot be read; FAILED: a clip cannot be estimated or measured.
    """
    own: dict[str, Any] = {"weights": str(work / MODEL), "device": device}
    if network in _OF_ESTIMATE:
        own[_OF_ESTIMATE[network]] = steps
    suite = Suite(
        sets=tuple(DataSet(name=each.name, layout=each.layout, truth=each.folder, only=each.only) for each in sets),
        estimators=(Contender(name=_TRAINED, estimator=network, parameters=own, size=size),),
        metrics=MEASURES,
        flat=True,
        work=ESTIMATES,
        file=str(work / "held.yaml"),
    )
    try:
        outcomes = run.run(suite, emit=_quietly(emit), cancelled=_asking(check))
    except (SuiteError, GroundTruthError, MetricsError) as error:
        raise Failure(exit_codes.USAGE, f"The held clips cannot be measured: {error}") from error
    finally:
        loading.forget()
    failed = next((each for each in outcomes if each.failure), None)
    if failed is not None:
        raise Failure(exit_codes.FAILED, f"The held clip {failed.clip} cannot be measured: {failed.failure}")
    figures = {}
    for prefix, name in (("", _TRAINED), ("flat_", FLAT)):
        chosen = [each for each in outcomes if each.estimator == name]
        for measure in MEASURES:
            values = [each.values["all"][measure] for each in chosen if each.values is not None]
            figures[f"{prefix}{measure}"] = float(np.mean([value for value in values if value is not None]))
    return figures


def _quietly(emit: Callable[[events.Event], None]) -> Callable[[events.Event], None]:
    """Warnings of the estimates, without their progress."""
    return lambda event: emit(event) if isinstance(event, events.Warning) else None


def _asking(check: Callable[[], None]) -> Callable[[], bool]:
    def asked() -> bool:
        check()  # raises `Cancelled`, which ends the training as well
        return False

    return asked
