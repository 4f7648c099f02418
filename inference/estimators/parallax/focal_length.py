"""A prior on an unknown focal length, and how well a refined solve explains the tracks.

On short shots, and where the camera moves sideways, hundreds of focal lengths explain the tracks equally well, and
bundle adjustment ends wherever the drift of the tracks leads: a normal lens becomes a fisheye or a telephoto lens. So
the solve is weighed against usual lenses: with a normal distribution of log f around the usual one as a prior, the most
likely focal length minimizes

    WEIGHT log(misfit(f)) + (log f - log usual)^2 / (2 SPREAD^2)

where the misfit is that of everything else adjusted to f. Errors of a track are correlated over many frames, and with
those around it, so the weight is that of a few dozen independent observations, not of tens of thousands: of nine shots
of 16 to 40 frames with a known lens, the mapper's focal lengths were off by factors of 1.01 to 1.76, about as far as
this weight predicts. A shot that determines its focal length keeps it: there, a change of a few percent costs more than
the prior can gain. Where the clip's files name a focal length, that is the usual one, and SPREAD how far it may be off
(`lens_tags`). An impossible focal length stays, for the shot to be reported as unsupported.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pycolmap
from numpy.typing import NDArray

WEIGHT = 35.0
SPREAD = 0.3
_ANOTHER, _CLEARLY = 0.2, 0.5  # differences in log f, and cost: what is determined is by so much worse at another
_STEPS = (0.25, 0.5, 0.75, 1.0)  # of the way, in log f, from the solve's answer to the usual focal length
_ASIDE = (0.2, 0.4, 0.6, 0.8)  # away from the usual focal length, in log f
_NEAR = 0.12  # differences in log f below this are ignored
_PERFECT = 1e-9  # squared pixels
_TRUNCATED = 1.0  # pixels at 640: larger errors count as this much
_TRUNCATED_OF_ALL = 3.0  # the same of tracks that no mapper has sorted: what fits nothing has such errors
_AS_WELL = 1.15  # times the least misfit, up to which a plausible focal length replaces an impossible one


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
    models: Sequence[pycolmap.Reconstruction],
    misfits: Sequence[float],
    *,
    usual: float,
    spread: float = SPREAD,
    plausible: tuple[float, float],
) -> pycolmap.Reconstruction:
    """The likeliest of several models of the same tracks.

    One with an impossible focal length gives way to one with a plausible focal length that explains the tracks nearly
    as well, since it cannot be right.

    Parameters
    ----------
    models : sequence of Reconstruction
        At least one.
    misfits : sequence of float
        How badly each explains all tracks: mean squared errors.
    usual, spread : float
        As in `likely`.
    plausible : (float, float)
        Smallest and largest plausible focal length, in pixels.
    """
    costs = [WEIGHT * np.log(each) + _prior(model, usual, spread) for model, each in zip(models, misfits, strict=True)]
    order = sorted(range(len(models)), key=costs.__getitem__)
    for index in order:
        if plausible[0] < focal_of(models[index]) < plausible[1] and misfits[index] < _AS_WELL * misfits[order[0]]:
            return models[index]
    return models[order[0]]


def is_determined(model: pycolmap.Reconstruction) -> bool:
    """Whether the tracks alone determine the focal length: a fifth shorter or longer, it explains them clearly worse.

    Where they do not, the mapper stays near what it begins with, or goes anywhere.
    """
    start = copy.deepcopy(model)
    refine(start, refine_focal=False)
    count, found = observations(start), focal_of(start)
    least = max(misfit(start, count), _PERFECT)
    for side in (-1, 1):
        other = with_focal_length(start, found * float(np.exp(side * _ANOTHER)))
        refine(other, refine_focal=False)
        if WEIGHT * np.log(max(misfit(other, count), _PERFECT) / least) < _CLEARLY:
            return False
    return True


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
    return float(WEIGHT * np.log(misfit(model, count)) + _prior(model, usual, spread))


def _prior(model: pycolmap.Reconstruction, usual: float, spread: float) -> float:
    return float(np.log(focal_of(model) / usual) ** 2 / (2 * spread**2))


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
    options.ceres.auto_select_solver_type = True
    if rounds is not None:
        options.ceres.solver_options.max_num_iterations = rounds
    pycolmap.bundle_adjustment(model, options)


def observations(model: pycolmap.Reconstruction) -> int:
    """The number of observations of the model's points in its images."""
    return sum(image.num_points3D for image in model.images.values() if image.has_pose)


def misfit_of(missed: NDArray[np.float64], long_side: int) -> float:
    """Mean squared error of observations of any points, the mapper's or not, that are so many pixels off."""
    limit = _TRUNCATED_OF_ALL * long_side / 640
    return float(np.mean(np.minimum(missed, limit) ** 2))


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
