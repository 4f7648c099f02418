"""How far the tracks are believed on an unknown focal length.

On short shots, and where the camera glides sideways, hundreds of focal lengths explain the tracks equally well, and
bundle adjustment ends at whatever the tracks' own drift prefers: a normal lens comes out as a fisheye or a telephoto
lens. So the solve's answer is weighed against what lenses usually are: with a normal distribution of log f around the
usual one, as a prior, the likeliest focal length minimises

    WEIGHT log(misfit(f)) + (log f - log usual)^2 / (2 SPREAD^2)

where the misfit is that of everything else adjusted to f. Errors of tracks go together over many frames, so the weight
is that of a hundred or so independent observations, not of the tens of thousands that there are. A shot that tells its
focal length keeps it: there, a few percent more or less cost more than the prior can gain. An answer that no lens has
is left to be refused: it comes from a camera that only turns, or from subjects that were taken for the scene.
"""

from __future__ import annotations

import copy

import numpy as np
import pycolmap

from .bundle import misfit, observations, refine
from .refusal import FOCAL_RANGE

WEIGHT = 100.0
SPREAD = 0.3
_STEPS = (0.25, 0.5, 0.75, 1.0)  # of the way, in log f, from the solve's answer to the usual focal length
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
    camera = next(iter(model.cameras.values()))
    found = float(camera.focal_length)
    if not FOCAL_RANGE[0] < found / max(camera.width, camera.height) < FOCAL_RANGE[1]:
        return model
    away = float(np.log(usual / found))
    if abs(away) < _NEAR:
        return model
    count = observations(model)
    adjusted = copy.deepcopy(model)
    refine(adjusted, refine_focal=False)  # as all that it is compared with
    best, least = model, _unlikely(adjusted, count, usual)
    for step in _STEPS:
        adjusted = with_focal_length(adjusted, found * float(np.exp(step * away)))
        refine(adjusted, refine_focal=False)
        unlikely = _unlikely(adjusted, count, usual)
        if unlikely > least:
            break  # the misfit grows faster than the prior falls, and will from here on
        best, least = adjusted, unlikely
    return best


def with_focal_length(model: pycolmap.Reconstruction, focal: float) -> pycolmap.Reconstruction:
    """A copy of the model with another focal length, in pixels, and nothing adjusted to it."""
    changed = copy.deepcopy(model)
    camera = next(iter(changed.cameras.values()))
    camera.params = np.array([focal, *camera.params[1:]])
    return changed


def _unlikely(model: pycolmap.Reconstruction, count: int, usual: float) -> float:
    focal = float(next(iter(model.cameras.values())).focal_length)
    return float(WEIGHT * np.log(misfit(model, count)) + np.log(focal / usual) ** 2 / (2 * SPREAD**2))
