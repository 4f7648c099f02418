"""Relative depth of any clip from a tiny network, stabilized over time: see ``docs/quick.md`` for uses and limits."""

from __future__ import annotations

from ...contract.catalogue import Preset, presets
from ..base import Cost, EstimatorInfo, Phase, Shot, ShotResult
from .weights import MODEL

INFO = EstimatorInfo(
    name="quick",
    label="Quick",
    summary="Soft relative depth of any clip in seconds, on any computer, for any use: drafts, fog, locked shots.",
    licence="GPL-3.0-or-later; weights: MIT license",
    quantity="relative_disparity",
    default_size=640,
    models=(MODEL,),
    place=3,
    presets=presets(draft=Preset(size=384), fine=Preset(size=960, full_size=True)),
    cost=Cost(frame_seconds=0.2, start_seconds=2.0, memory=0.5),
    preview_frames=8,
    sinks=True,
    scratch_files=("levels.npy", "look/######.npz"),
)


def estimate(shot: Shot) -> ShotResult:
    """Estimate a shot; see `inference.estimators.base`."""
    from .pipeline import estimate as run

    return run(shot)


def phases(shot: Shot) -> tuple[Phase, ...]:
    """The network on each frame, then all frames' levels, then each frame's map; see `inference.estimators.base`."""
    from .pipeline import phases as found

    return found(shot)
