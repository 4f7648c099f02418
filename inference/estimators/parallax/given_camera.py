"""Cameras and lenses that are given with a shot: whether they can be right, and whether they fit its tracks."""

from __future__ import annotations

import numpy as np

from ...common.failures import UnsupportedShot
from ...contract.hints import setting
from .tracks import Tracks
from .triangulate import place
from .view import Views

CHECK_CAMERA = (
    "Check that the camera is this clip's, that it begins with the clip's first frame, and its focal length and "
    f"distortion; or leave it out ({setting('camera')}), so that the camera is solved."
)
# median error that an input camera may have, in pixels at 640 and as a share of the points' ways, whichever is more: a
# true camera of a rendered street has .4 and 1 %, a hand-held one that a depth sensor measured 3.7 and 4 %; reversed,
# of another clip, five frames late, or with a focal length that is off by a quarter it is 7 to 90 %
_CONTRADICTS, _OF_WAY = 1.0, 0.06
_DOUBTFUL, _DOUBTFUL_OF_WAY = 0.8, 0.02  # likewise, above which there is a warning
_GIVEN_RANGE = (0.2, 40.0)  # valid known focal lengths: from the widest rectilinear lens to a telescope
_LASTING = 4  # shortest tracks that count, in frames


def check_known_lens(focal: float, *, long_side: int) -> None:
    """Raise `UnsupportedShot` for an impossible known focal length, in pixels."""
    share = focal / long_side
    if not _GIVEN_RANGE[0] <= share <= _GIVEN_RANGE[1]:
        raise UnsupportedShot(
            f"The known focal length is {share:.2f} image widths, and lenses have {_GIVEN_RANGE[0]:.1f} to "
            f"{_GIVEN_RANGE[1]:.0f}.",
            f"Check the unit of the {setting('focal_length')} (pixels of the plate, or millimeters with the "
            f"{setting('sensor_width')}), or leave it out.",
        )


def misfit(tracks: Tracks, views: Views) -> tuple[float, float]:
    """How far an input camera is from explaining a shot's tracks.

    Parameters
    ----------
    tracks : Tracks
        Undistorted, at the size of the views.
    views : Views

    Returns
    -------
    missed : float
        Median distance, in pixels at 640, of the observations of lasting tracks from where the camera sees the static
        point that fits them best. Points that would be behind a camera are taken for infinitely far: a reversed path
        has the same epipolar lines, and all points behind it.
    moved : float
        Median length of their ways over the image, in the same unit.
    """
    every = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    kept = np.bincount(tracks.ids)[tracks.ids] >= _LASTING
    if not kept.any():
        return 0.0, 0.0
    _, ids = np.unique(tracks.ids[kept], return_inverse=True)
    frames, xy, count = every[kept], tracks.xy[kept].astype(np.float64), int(ids.max()) + 1
    _, missed = place(ids, frames, xy, views)
    behind = np.bincount(ids, np.isinf(missed), minlength=count)[ids] > 0
    rays = np.einsum(
        "nij,nj->ni", views.to_world[frames], np.column_stack([(xy - views.center) / views.focal, np.ones(len(xy))])
    )
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    away = np.stack([np.bincount(ids, rays[:, axis], minlength=count) for axis in range(3)], axis=1)[ids]
    at = np.einsum("nij,nj->ni", views.world_to_camera[frames, :, :3], away)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(at[:, 2] > 0, np.linalg.norm(views.project(at) - xy, axis=1), np.inf)
    order = np.lexsort((frames, ids))
    ends = np.flatnonzero(np.diff(ids[order], append=count))
    starts = np.concatenate([[0], ends[:-1] + 1])
    moved = np.linalg.norm(xy[order][ends] - xy[order][starts], axis=1)
    unit = 640 / max(views.width, views.height)
    return unit * float(np.median(np.where(behind, far, missed))), unit * float(np.median(moved))


def require_fit(tracks: Tracks, views: Views) -> None:
    """Raise `UnsupportedShot` for an input camera that contradicts the plate; as `misfit`."""
    missed, moved = misfit(tracks, views)
    most = max(_CONTRADICTS, _OF_WAY * moved)
    if missed > most:
        raise UnsupportedShot(
            f"The camera does not fit the plate: half of the tracked points are more than {missed:.1f} pixels of "
            f"640 from where it would see a scene that stands still, and at most {most:.1f} are allowed.",
            CHECK_CAMERA,
        )


def fits_badly(tracks: Tracks, views: Views) -> tuple[str, ...]:
    """A warning about an input camera that explains the plate less well than solves do; as `misfit`."""
    missed, moved = misfit(tracks, views)
    if missed <= max(_DOUBTFUL, _DOUBTFUL_OF_WAY * moved):
        return ()
    return (
        f"The camera fits the plate badly: half of the tracked points are more than {missed:.1f} pixels of 640 from "
        "where it would see a scene that stands still. Depth may be wrong; check the camera's lens and frames.",
    )
