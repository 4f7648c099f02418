"""The camera solve's mirror image, and which of the two is right.

Where a shot has little perspective, a scene that turns one way looks almost like its mirror image in depth turning the
other way (the Necker reversal; Hartley and Zisserman, "Multiple View Geometry", 2004, section 14.6). Bundle adjustment
cannot get from one to the other, so a mapper that started on the wrong side ends there, with everything near taken for
far. Perspective tells: refined from the mirrored start, a right solution falls back to itself or fits worse, a wrong
one fits better.
"""

from __future__ import annotations

import copy

import numpy as np
import pycolmap
from numpy.typing import NDArray

_TRUNCATED = 1.0  # pixels at 640: what misses by more counts as this much
_FLIP = np.diag([1.0, 1.0, -1.0])


def right_way_round(model: pycolmap.Reconstruction, *, refine_focal: bool) -> pycolmap.Reconstruction:
    """The model, or its refined mirror image where that explains the tracked points better.

    Parameters
    ----------
    model : Reconstruction
        As the mapper left it; it stays as it is.
    refine_focal : bool
        Whether the focal length was found by the mapper rather than given.

    Returns
    -------
    Reconstruction
    """
    # Both are refined in the same way, or the one that was refined last would be at an advantage.
    straight, turned = copy.deepcopy(model), _mirrored(model)
    for candidate in (straight, turned):
        refine(candidate, refine_focal=refine_focal)
    # Refining drops what has come to lie behind a camera; had a model only to explain what it kept, dropping would pay.
    count = observations(model)
    return turned if misfit(turned, count) < misfit(straight, count) else model


def _mirrored(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model mirrored in depth about its middle, as the middle picture's camera sees it.

    With S the mirror and the middle of the points as origin, a parallel projection sees ``S X`` under the rotation
    ``S R S`` just where it saw X under R, since S leaves x and y alone; the shifts stay.
    """
    mirror = copy.deepcopy(model)
    seeing = sorted((image for image in mirror.images.values() if image.has_pose), key=lambda image: image.name)
    reference = seeing[len(seeing) // 2].cam_from_world().matrix()
    turn, shift = reference[:, :3], reference[:, 3]
    points = list(mirror.points3D.values())
    places = np.array([point.xyz for point in points]) @ turn.T + shift
    middle = np.median(places, axis=0)
    for point, place in zip(points, places):
        point.xyz = _FLIP @ (place - middle)
    for frame in mirror.frames.values():
        if frame.has_pose:
            pose = frame.rig_from_world.matrix()
            rotation = pose[:, :3] @ turn.T
            position = pose[:, 3] - rotation @ shift + rotation @ middle
            frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(_FLIP @ rotation @ _FLIP), position)
    return mirror


def refine(model: pycolmap.Reconstruction, *, refine_focal: bool) -> None:
    """Bundle adjustment on one thread, bearing with outliers."""
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_focal_length = refine_focal
    options.refine_principal_point = False
    options.refine_extra_params = False
    options.ceres.use_gpu = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    options.ceres.solver_options.num_threads = 1
    pycolmap.bundle_adjustment(model, options)


def observations(model: pycolmap.Reconstruction) -> int:
    """How many times the model's points are seen in its pictures."""
    return sum(image.num_points3D for image in model.images.values() if image.has_pose)


def misfit(model: pycolmap.Reconstruction, count: int) -> float:
    """Mean squared distance, truncated, between where points are seen and where the model puts them.

    Parameters
    ----------
    model : Reconstruction
    count : int
        How many observations there are to explain; those that the model no longer has count as missed.
    """
    camera = next(iter(model.cameras.values()))
    limit = _TRUNCATED * max(camera.width, camera.height) / 640
    missed: list[NDArray[np.float64]] = []
    for image in model.images.values():
        if not image.has_pose:
            continue
        seen = [point for point in image.points2D if point.has_point3D()]
        if not seen:
            continue
        pose = image.cam_from_world().matrix()
        at = np.array([model.points3D[point.point3D_id].xyz for point in seen]) @ pose[:, :3].T + pose[:, 3]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            there = camera.focal_length * at[:, :2] / at[:, 2:] + [camera.principal_point_x, camera.principal_point_y]
            distance = np.linalg.norm(there - np.array([point.xy for point in seen]), axis=1)
        missed.append(np.where((at[:, 2] > 0) & (distance < limit), distance, limit))
    lost = count - sum(len(distance) for distance in missed)
    return float((sum(np.sum(distance**2) for distance in missed) + lost * limit**2) / count)
