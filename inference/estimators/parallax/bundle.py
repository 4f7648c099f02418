"""A solved model refined as a whole, and how well it explains where points were seen: what solves are compared by."""

from __future__ import annotations

import numpy as np
import pycolmap
from numpy.typing import NDArray

_TRUNCATED = 1.0  # pixels at 640: what misses by more counts as this much


def refine(model: pycolmap.Reconstruction, *, refine_focal: bool, rounds: int | None = None) -> None:
    """Bundle adjustment on one thread, bearing with outliers; until it converges, or for so many rounds."""
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
