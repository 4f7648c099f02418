"""What a run with given parameters needs and gives. Standard library only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ... import depth_sequence
from ...depth_sequence import DepthSequence
from ..base import EstimatorInfo
from .settings import Settings


def facts_for(info: EstimatorInfo, parameters: dict[str, Any]) -> EstimatorInfo:
    """The facts of a run.

    Parameters
    ----------
    info : EstimatorInfo
        Those of a run of both stages, and its variants.
    parameters : dict
        Every declared one.

    Raises
    ------
    Failure
        USAGE: the parameters contradict each other.
    DepthSequenceError
        There is no depth sequence where they name one.
    """
    settings = Settings(**parameters)
    settings.check()
    facts = info.chosen(parameters)
    return _refining(facts, depth_sequence.load(settings.stage1_from)) if settings.stage1_from else facts


def _refining(info: EstimatorInfo, given: DepthSequence) -> EstimatorInfo:
    """What comes of another depth sequence: its camera, confidence and quantity, where it has them."""
    meaning = f"taken over from {given.estimator}: {given.confidence}" if given.confidence else None
    return replace(
        info,
        quantity=given.quantity,
        gives_camera=all(shot.camera is not None and shot.camera.poses for shot in given.done_shots),
        gives_confidence=given.confidence is not None,
        confidence_meaning=meaning,
    )
