"""What of a clip's true camera an estimator is told: nothing, the lens, or its whole path, as an artist may know it."""

from __future__ import annotations

import numpy as np

from ..camera import Camera, Pose
from .metrics import MetricsError
from .truth import Truth

KINDS = ("unknown", "lens", "path")


def known_camera(truth: Truth, kind: str, *, first_frame: int) -> Camera | None:
    """The true camera, as far as it is told; None for 'unknown'.

    Parameters
    ----------
    truth : Truth
        With the protocol's frames and crop already (see `protocols.applied`).
    kind : str
        One of `KINDS`: 'lens' is focal length and principal point, 'path' also a pose for every frame.
    first_frame : int
        Source frame of the truth's first one; the others follow without gaps.

    Raises
    ------
    MetricsError
        The truth does not have it.
    """
    if kind == "unknown":
        return None
    picture = truth.picture(0)
    if truth.matrix is None or picture is None:
        raise MetricsError(f"The truth of {truth.name} has no calibration to tell; ask for the camera unknown.")
    height, width = truth.depth(0).shape
    poses: tuple[Pose, ...] = ()
    if kind == "path":
        missing = [number for number, pose in enumerate(truth.poses) if pose is None or not np.isfinite(pose).all()]
        if missing:
            raise MetricsError(
                f"The truth of {truth.name} has no pose at {len(missing)} of its frames; ask for the lens alone."
            )
        poses = tuple(
            Pose(frame=first_frame + number, camera_to_world=tuple(tuple(map(float, row)) for row in pose))  # type: ignore[arg-type]
            for number, pose in enumerate(truth.poses)
            if pose is not None
        )
    return Camera(
        width=width,
        height=height,
        focal_length=float(truth.matrix[0, 0]),
        principal_point=(float(truth.matrix[0, 2]), float(truth.matrix[1, 2])),
        poses=poses,
    ).scaled(picture.shape[1], picture.shape[0])
