"""Depth from the camera's own motion: no weights, no GPU. See ``docs/parallax.md`` for the method and its limits."""

from __future__ import annotations

from ..base import EstimatorInfo, Shot, ShotResult

SOLVE_FILES = (
    *("task.json", "tracks.npz", "views.npz", "reason.txt", "log.txt"),
    *(f"tracks.db{ending}" for ending in ("", "-journal", "-shm", "-wal")),
    *(f"#/{name}.bin" for name in ("cameras", "frames", "images", "points3D", "rigs")),
)
"""The files in the folder of the camera solve, COLMAP's models included."""
INFO = EstimatorInfo(
    name="parallax",
    label="Parallax",
    summary="Multi-view stereo from the camera's own motion, steady over time; needs a camera that moves.",
    licence="GPL-3.0-or-later",
    quantity="inverse_depth",
    default_size=640,
    depth_size=320,
    minimum_frames=12,
    place=1,
    scratch_files=(
        *("light.npz", "tracks.npz", "views.npz", "unrest.npz", "match/######.npy", "complete/######.npy"),
        *(f"solve/{name}" for name in SOLVE_FILES),
    ),
    has_camera=True,
    has_confidence=True,
    confidence_meaning=(
        "1 where neighbouring frames agree on the depth, 0 where it was completed from its surroundings"
    ),
)


def estimate(shot: Shot) -> ShotResult:
    """Estimate a shot; see `inference.estimators.base`."""
    from .pipeline import estimate as run

    return run(shot)
