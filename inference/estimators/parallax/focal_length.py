"""How far the tracks are believed on an unknown focal length.

On short shots, and where the camera glides sideways, hundreds of focal lengths explain the tracks equally well, and
bundle adjustment ends at whatever the tracks' own drift prefers: a normal lens comes out as a fisheye or a telephoto
lens. So the solve's answer is weighed against what lenses usually are: with a normal distribution of log f around the
usual one, as a prior, the likeliest focal length minimises

    WEIGHT log(misfit(f)) + (log f - log usual)^2 / (2 SPREAD^2)

where the misfit is that of everything else adjusted to f. Errors of tracks go together over many frames, so the weight
is that of a hundred or so independent observations, not of the tens of thousands that there are. A shot that tells its
focal length keeps it: there, a few percent more or less cost more than the prior can gain. Where that is one that no
lens has, it is left to be refused.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pycolmap

from .bundle import misfit, observations, refine

WEIGHT = 100.0
SPREAD = 0.3
_STEPS = (0.25, 0.5, 0.75, 1.0)  # of the way, in log f, from the solve's answer to the usual focal length
_ASIDE = (0.2, 0.4, 0.6, 0.8)  # away from the usual focal length, in log f
_NEAR = 0.12  # of a difference in log f is left alone: the prior has nothing to say about so little


def likely(model: pycolmap.Reconstruction, *, usual: float) -> pycolmap.Reconstruction:
    """The model with the likeliest focal length.

    Parameters
    ----------
    model : Reconstruction
        With a focal length that was found; it stays as it is.
    usual : float
        Pixels.

    Returns
    -------
    Reconstruction
        The model itself where nothing is likelier.
    """
    found = focal_of(model)
    away = float(np.log(usual / found))
    if abs(away) < _NEAR:
        return model
    start = copy.deepcopy(model)
    refine(start, refine_focal=False)  # as all that it is compared with
    best, _ = _followed(start, [found * float(np.exp(step * away)) for step in _STEPS], usual)
    return model if best is start else best


def around(model: pycolmap.Reconstruction, *, usual: float) -> pycolmap.Reconstruction:
    """A model with the likeliest focal length to either side of the usual one, which it was held at.

    Parameters
    ----------
    model : Reconstruction
        It stays as it is.
    usual : float
        Pixels.
    """
    start = copy.deepcopy(model)
    refine(start, refine_focal=False)
    sides = [_followed(start, [usual * float(np.exp(side * far)) for far in _ASIDE], usual) for side in (-1, 1)]
    return min(sides, key=lambda side: side[1])[0]


def likeliest(models: Sequence[pycolmap.Reconstruction], *, usual: float) -> pycolmap.Reconstruction:
    """Of several models of the same tracks the likeliest; what one lacks of another's observations counts as missed."""
    count = max(observations(model) for model in models)
    return min(models, key=lambda model: _unlikely(model, count, usual))


def _followed(
    model: pycolmap.Reconstruction, focals: Sequence[float], usual: float
) -> tuple[pycolmap.Reconstruction, float]:
    """A model adjusted to one focal length after another while that makes it likelier, and how unlikely it is."""
    count = observations(model)
    best, least = model, _unlikely(model, count, usual)
    adjusted = model
    for focal in focals:
        adjusted = with_focal_length(adjusted, focal)
        refine(adjusted, refine_focal=False)
        unlikely = _unlikely(adjusted, count, usual)
        if unlikely > least:
            break  # misfit and prior together grow, and will from here on
        best, least = adjusted, unlikely
    return best, least


def focal_of(model: pycolmap.Reconstruction) -> float:
    """Pixels."""
    return float(next(iter(model.cameras.values())).focal_length)


def with_focal_length(model: pycolmap.Reconstruction, focal: float) -> pycolmap.Reconstruction:
    """A copy of the model with another focal length, in pixels, and nothing adjusted to it."""
    changed = copy.deepcopy(model)
    camera = next(iter(changed.cameras.values()))
    camera.params = np.array([focal, *camera.params[1:]])
    return changed


def _unlikely(model: pycolmap.Reconstruction, count: int, usual: float) -> float:
    prior = np.log(focal_of(model) / usual) ** 2 / (2 * SPREAD**2)
    return float(WEIGHT * np.log(misfit(model, count)) + prior)
