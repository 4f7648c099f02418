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

from .bundle import misfit, observations, refine

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
