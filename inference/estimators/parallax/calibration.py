"""Calibrated confidence: of the pixels that have the confidence c, the share c has right depth.

Right is within `RIGHT` of the true depth, up to the one scale and shift of a shot. Two measurements tell it. The first
is the support that a pixel's depth has in other frames (`fusion`), as far as parallax resolves it. The second is
whether the finished depth agrees with that of the frames around, at the pixel and in its surroundings: what is right is
right in every frame, what is guessed is guessed anew in each. Next to guesses even what has support is often wrong,
such as what is seen through a fence.

Their product is the evidence, and the table below has the shares of right depth that were counted for it in clips with
ground truth, each clip with the same weight, and sky counted as 80 m away: ``dev.py benchmark confidence``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

RIGHT = 0.1
"""Relative error of depth up to which it is right."""
CONFIRMED = 0.7
"""Confidence from which on other frames confirm a pixel's depth."""
_AGREES = 0.06  # relative difference of inverse depth up to which frames agree
_AROUND = 0.19  # of the image's width: the surroundings of a pixel
_POWER = 2.0  # of the agreement, at a pixel and around it
EVIDENCE = (0.0, 0.0025, 0.0125, 0.035, 0.075, 0.125, 0.175, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 1.0)
SHARES = (0.25, 0.26, 0.41, 0.52, 0.60, 0.67, 0.73, 0.79, 0.86, 0.92, 0.95, 0.97, 0.98, 1.0)
"""Share of right depth at each of `EVIDENCE`, with straight lines between."""


def agreement(
    values: NDArray[np.float32], weights: NDArray[np.float32], steady: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Share of the other frames that agree with a frame's final inverse depth [H, W], 0..1; 1 where there is none.

    Parameters
    ----------
    values, weights : float32 [N, H, W]
        Inverse depth of other frames as this one sees it, and how much each counts.
    steady : float32 [H, W]
    """
    total = weights.sum(axis=0)
    agreeing = np.sum(weights * (np.abs(values - steady) <= _AGREES * steady), axis=0)
    return np.where(total > 0, agreeing / np.maximum(total, np.float32(1e-6)), 1).astype(np.float32)


def evidence(support: NDArray[np.float32], agreeing: NDArray[np.float32]) -> NDArray[np.float32]:
    """The product of a frame's support [H, W] and what `agreement` says, at each pixel and around it; 0..1."""
    side = 2 * round(_AROUND * support.shape[1] / 2) + 1
    around = cv2.blur(agreeing, (side, side))
    return np.asarray(support * (agreeing * around) ** _POWER, np.float32)


def confidence(support: NDArray[np.float32], agreeing: NDArray[np.float32]) -> NDArray[np.float32]:
    """The share of pixels like each of a frame's that have right depth [H, W]; 0 where nothing was measured.

    Parameters
    ----------
    support, agreeing : float32 [H, W]
        As in `evidence`. Dynamic objects have no support.
    """
    share = np.interp(evidence(support, agreeing), EVIDENCE, SHARES)
    return np.where(support > 0, share, 0).astype(np.float32)


@dataclass(frozen=True)
class Judged:
    """How good the depth of a shot is.

    Attributes
    ----------
    contradicted : float
        Share of the static pixels on which a frame and the next contradict each other.
    confirmed : float
        Share of all pixels that have a confidence of at least `CONFIRMED`.
    confident : float
        Mean confidence of all pixels.
    """

    contradicted: float
    confirmed: float
    confident: float


def judged(contradicted: Sequence[float], sure: Sequence[NDArray[np.float32]]) -> Judged:
    """The mean over frames, of their contradicted shares and of their confidence [H, W]."""
    return Judged(
        contradicted=float(np.mean(contradicted)) if contradicted else 0.0,
        confirmed=float(np.mean([np.mean(each >= CONFIRMED) for each in sure])) if sure else 0.0,
        confident=float(np.mean([np.mean(each) for each in sure])) if sure else 0.0,
    )
