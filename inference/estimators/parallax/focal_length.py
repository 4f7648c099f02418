"""A prior on an unknown focal length, and how well a refined solve explains the tracks.

On short shots, and where the camera moves sideways, hundreds of focal lengths explain the tracks equally well, and
bundle adjustment ends wherever the drift of the tracks leads: a normal lens becomes a fisheye or a telephoto lens. So
the solve is weighed against usual lenses: with a normal distribution of log f around the usual one as a prior, the most
likely focal length minimizes

    WEIGHT log(misfit(f)) + (log f - log usual)^2 / (2 SPREAD^2)

where the misfit is that of everything else adjusted to f. Errors of a track are correlated over many frames, so the
weight is that of about a hundred independent observations, not of tens of thousands. A shot that determines its focal
length keeps it: there, a change of a few percent costs more than the prior can gain. Where the clip's files name a
focal length, that is the usual one, and SPREAD how far it may be off (`lens_tags`). An impossible focal length stays,
for the shot to be reported as unsupported.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pycolmap
from numpy.typing import NDArray

WEIGHT = 100.0
SPREAD = 0.3
_STEPS = (0.25, 0.5, 0.75, 1.0)  # of the way, in log f, from the solve's answer to the usual focal length
_ASIDE = (0.2, 0.4, 0.6, 0.8)  # away from the usual focal length, in log f
_NEAR = 0.12  # differences in log f below this are ignored
_TRUNCATED = 1.0  # pixels at 640: larger errors count as this much


def likely(model: pycolmap.Reconstruction, *, usual: float, spread: float = SPREAD) -> pycolmap.Reconstruction:
    """The model with the likeliest focal length.

    Parameters
    ----------
    model : Reconstruction
        With a solved focal length; not modified.
    usual : float
        Pixels.
    spread : float
        Deviation of its logarithm.

    Returns
    -------
    Reconstruction
        The model itself where no other is likelier.
    """
    found = focal_of(model)
    away = float(np.log(usual / found))
    if abs(away) < _NEAR:
        return model
    start = copy.deepcopy(model)
    refine(start, refine_focal=False)  # like all models that it is compared with
    best, _ = _followed(start, [found * float(np.exp(step * away)) for step in _STEPS], usual, spread)
    return model if best is start else best


def around(model: pycolmap.Reconstruction, *, usual: float, spread: float = SPREAD) -> pycolmap.Reconstruction:
    """The likeliest of models with focal lengths around the usual one.

    Parameters
    ----------
    model : Reconstruction
        Solved with the usual focal length fixed; not modified.
    usual, spread : float
        As in `likely`.
    """
    start = copy.deepcopy(model)
    refine(start, refine_focal=False)
    sides = [_followed(start, [usual * float(np.exp(side * far)) for far in _ASIDE], usual, spread) for side in (-1, 1)]
    return min(sides, key=lambda side: side[1])[0]


def likeliest(
    models: Sequence[pycolmap.Reconstruction], *, usual: float, spread: float = SPREAD
) -> pycolmap.Reconstruction:
    """The likeliest of several models of the same tracks; missing observations count as errors."""
    count = max(observations(model) for model in models)
    return min(models, key=lambda model: _unlikely(model, count, usual, spread))


def _followed(
    model: pycolmap.Reconstruction, focals: Sequence[float], usual: float, spread: float
) -> tuple[pycolmap.Reconstruction, float]:
    """A model adjusted to one focal length after another while that makes it likelier, with its cost."""
    count = observations(model)
    best, least = model, _unlikely(model, count, usual, spread)
    adjusted = model
    for focal in focals:
        adjusted = with_focal_length(adjusted, focal)
        refine(adjusted, refine_focal=False)
        unlikely = _unlikely(adjusted, count, usual, spread)
        if unlikely > least:
            break  # the cost only grows from here on
        best, least = adjusted, unlikely
    return best, least


def focal_of(model: pycolmap.Reconstruction) -> float:
    """Pixels."""
    return float(next(iter(model.cameras.values())).focal_length)


def with_focal_length(model: pycolmap.Reconstruction, focal: float) -> pycolmap.Reconstruction:
    """A copy of the model with another focal length, in pixels; nothing else is adjusted."""
    changed = copy.deepcopy(model)
    camera = next(iter(changed.cameras.values()))
    camera.params = np.array([focal, *camera.params[1:]])
    return changed


def _unlikely(model: pycolmap.Reconstruction, count: int, usual: float, spread: float) -> float:
    prior = np.log(focal_of(model) / usual) ** 2 / (2 * spread**2)
    return float(WEIGHT * np.log(misfit(model, count)) + prior)


def refine(model: pycolmap.Reconstruction, *, refine_focal: bool, rounds: int | None = None) -> None:
    """Robust bundle adjustment on one thread, until it converges or for a number of rounds."""
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_focal_length = refine_focal
    options.refine_principal_point = False
    options.refine_extra_params = False
    options.ceres.use_gpu = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    options.ceres.solver_options.num_threads = 1
    if rounds is not None:
        options.ceres.solver_options.max_num_iterations = rounds
    pycolmap.bundle_adjustment(model, options)


def observations(model: pycolmap.Reconstruction) -> int:
    """The number of observations of the model's points in its images."""
    return sum(image.num_points3D for image in model.images.values() if image.has_pose)


def misfit(model: pycolmap.Reconstruction, count: int) -> float:
    """Mean squared reprojection error, truncated.

    Parameters
    ----------
    model : Reconstruction
    count : int
        The number of observations to explain; those that the model no longer has count as errors.
    """
    size = next(iter(model.cameras.values()))
    limit = _TRUNCATED * max(size.width, size.height) / 640
    missed: list[NDArray[np.float64]] = []
    for image in model.images.values():
        if not image.has_pose:
            continue
        seen = [point for point in image.points2D if point.has_point3D()]
        if not seen:
            continue
        camera, pose = image.camera, image.cam_from_world().matrix()
        at = np.array([model.points3D[point.point3D_id].xyz for point in seen]) @ pose[:, :3].T + pose[:, 3]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            there = camera.focal_length * at[:, :2] / at[:, 2:] + [camera.principal_point_x, camera.principal_point_y]
            distance = np.linalg.norm(there - np.array([point.xy for point in seen]), axis=1)
        missed.append(np.where((at[:, 2] > 0) & (distance < limit), distance, limit))
    lost = count - sum(len(distance) for distance in missed)
    return float((sum(np.sum(distance**2) for distance in missed) + lost * limit**2) / count)
