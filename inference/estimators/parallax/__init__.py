"""Depth from the camera's own motion: no weights, no GPU. See ``docs/parallax.md`` for the method and its limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ... import mattes
from ...common.failures import Failure
from ...contract import exit_codes
from ...contract.catalogue import Parameter, Preset, presets
from ...contract.hints import setting
from ..base import COMPLETION, Cost, EstimatorInfo, Phase, Shot, ShotResult

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
    depth_size=416,
    minimum_frames=12,
    cost=Cost(frame_seconds=0.8, start_seconds=2.0, memory=1.0),
    place=1,
    presets=presets(draft=Preset(size=384), fine=Preset(size=960, full_size=True)),
    scratch_files=(
        *(
            "light.npz",
            "tracks.npz",
            "views.npz",
            "unrest.npz",
            "neighbors.npz",
            "surroundings.npz",
            "match/######.npy",
            "flow/######.npy",
            "complete/######.npy",
            "outlines/######.npy",
            "objects/######.npy",
            "steady/######.npy",
        ),
        *("matte/######.npy", "matte-forwards/######.npy", "matte-state.npz"),
        *("fit.npz", "footings.npz", "ground.npy", "learned/######.npy", "blend/######.npy"),
        *(f"solve.######/{name}" for name in SOLVE_FILES),
    ),
    has_camera=True,
    has_confidence=True,
    uses_poses=True,
    completes=True,
    confidence_meaning=(
        "the share of pixels with this confidence whose depth is within 10 percent of right, up to one scale and shift "
        "a shot; 0 on dynamic objects, and where other frames confirm nothing"
    ),
    parameters=(
        *COMPLETION,
        Parameter(
            name="mattes",
            default="auto",
            choices=("auto", "own", "off"),
            description="Mattes of moving objects: yours, or else those of people by the matte network where it is "
            "installed (auto); yours alone (own); none at all (off).",
        ),
    ),
)


def info_for(parameters: dict[str, Any], *, has_mattes: bool = False) -> EstimatorInfo:
    """The facts of a run with these parameters; see `inference.estimators.base`."""
    choice = parameters["mattes"]
    if choice == "own" and not has_mattes:
        raise Failure(
            exit_codes.USAGE, "The job has no mattes of your own.", hint=f"Provide {setting('mattes')}, or choose auto."
        )
    if choice == "off" and has_mattes:
        raise Failure(
            exit_codes.USAGE, "The job has mattes, and none are to be used.", hint="Leave them out, or choose auto."
        )
    if not makes_mattes(parameters, has_mattes=has_mattes):
        return INFO
    return replace(INFO, models=(mattes.MODEL,), packages=(mattes.PACKAGE,))


def makes_mattes(parameters: dict[str, Any], *, has_mattes: bool) -> bool:
    """Whether a run makes mattes by the network; your own always take their place."""
    return parameters["mattes"] == "auto" and not has_mattes and not mattes.missing()


def estimate(shot: Shot) -> ShotResult:
    """Estimate a shot; see `inference.estimators.base`."""
    from .pipeline import estimate as run

    return run(shot)


def phases(shot: Shot) -> tuple[Phase, ...]:
    """The camera, and then frames: matched, completed, settled; see `inference.estimators.base`."""
    from .pipeline import phases as found

    return found(shot)
