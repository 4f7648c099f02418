"""Whether the lens zooms while the camera moves, for which a solve with one focal length finds a wrong path."""

from __future__ import annotations

import numpy as np
import pycolmap

from .focal_length import misfit, observations, refine
from .lens import SolveError

_SUSPECT = 0.15  # mean squared error of a solve in pixels at 640, above which a zoom is tested
_FREED = 0.6  # of this error, which remains at most with a focal length per image if the lens zooms
_ZOOMS = 1.05
_ROUNDS = 15  # of adjustment, enough to show a zoom


def require_constant_zoom(model: pycolmap.Reconstruction) -> None:
    """Raise `SolveError` where a model explains the shot badly and one whose lens zooms explains it well."""
    count = observations(model)
    before = misfit(model, count)
    size = next(iter(model.cameras.values()))
    if before < _SUSPECT * (max(size.width, size.height) / 640) ** 2:
        return
    freed = with_own_lenses(model)
    refine(freed, refine_focal=True, rounds=_ROUNDS)
    focal = [image.camera.focal_length for image in freed.images.values()]
    zoom = float(np.percentile(focal, 95) / np.percentile(focal, 5))  # the focal length of some images is uncertain
    if zoom > _ZOOMS and misfit(freed, count) < _FREED * before:
        raise SolveError(
            f"The lens zooms while the camera moves, by a factor of about {zoom:.1f}, and parallax needs a constant "
            "focal length."
        )


def with_own_lenses(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """A copy of a model in which each image has its own camera, and so its own focal length."""
    result = pycolmap.Reconstruction()
    numbers = {}
    for image_id, image in sorted(model.images.items()):
        if not image.has_pose:
            continue
        camera = pycolmap.Camera(image.camera.todict())
        camera.camera_id = image_id
        result.add_camera_with_trivial_rig(camera)
        copied = pycolmap.Image(
            name=image.name,
            keypoints=np.array([point.xy for point in image.points2D]).reshape(-1, 2),
            camera_id=image_id,
            image_id=image_id,
        )
        result.add_image_with_trivial_frame(copied, image.cam_from_world())
        numbers[image_id] = image_id
    for point in model.points3D.values():
        track = pycolmap.Track()
        for element in point.track.elements:
            if element.image_id in numbers:
                track.add_element(element.image_id, element.point2D_idx)
        result.add_point3D(point.xyz, track, point.color)
    return result
