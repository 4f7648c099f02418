"""What a run with given parameters needs and gives. Standard library only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ... import depth_sequence, exit_codes
from ...depth_sequence import DepthSequence, DepthSequenceError
from ...faults import Failure
from ..base import EstimatorInfo
from ..depthcrafter.weights import DEPTHCRAFTER, SVD
from .settings import Settings
from .weights import MONST3R

_STAGE1_SIZE = 512
"""Long side that the pair network works at: nothing is gained by larger maps of it."""


def facts_for(info: EstimatorInfo, parameters: dict[str, Any]) -> EstimatorInfo:
    """The facts of a run.

    Parameters
    ----------
    info : EstimatorInfo
        Those of a run of both stages.
    parameters : dict
        Every declared one.

    Raises
    ------
    Failure
        USAGE: the parameters contradict each other, or there is no depth sequence where they name one.
    """
    settings = Settings(**parameters)
    settings.check()
    if settings.stage1_from:
        return _refining(info, _given(settings.stage1_from))
    if not settings.refines:
        return replace(info, models=(MONST3R,), default_size=_STAGE1_SIZE)
    return info


def _given(folder: str) -> DepthSequence:
    try:
        return depth_sequence.load(folder)
    except DepthSequenceError as error:
        raise Failure(exit_codes.USAGE, f"stage1_from names no depth sequence to refine: {error}") from error


def _refining(info: EstimatorInfo, given: DepthSequence) -> EstimatorInfo:
    """What comes of another depth sequence: its camera, confidence and quantity, where it has them."""
    meaning = f"taken over from {given.estimator}: {given.confidence}" if given.confidence else None
    return replace(
        info,
        models=(DEPTHCRAFTER, SVD),
        quantity=given.quantity,
        gives_camera=all(shot.camera is not None and shot.camera.poses for shot in given.done_shots),
        gives_confidence=given.confidence is not None,
        confidence_meaning=meaning,
    )
