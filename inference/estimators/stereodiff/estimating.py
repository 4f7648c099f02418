"""StereoDiff as an estimator: both stages of a shot in turn, each with the whole device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from ...depth_maps.sequence_maps import SequenceMaps
from ...video_diffusion import device, loading, resolution
from ..base import Phase, ReportProgress, Shot, ShotResult
from .prior import Prior, write_maps
from .settings import Settings
from .stage1 import batches
from .stage1 import run as stage1
from .stage1.matching import image_size
from .stage1.result import MatchedPrior
from .stage2 import stream as stage2
from .stage2.stream import Refinement

_SECOND = "StereoDiff's second stage"
_IN_PHASES = 0.98
"""Share of the work that is done in phases; what is left joins windows and writes maps."""


def estimate_shot(shot: Shot) -> ShotResult:
    """Estimate a shot with the downloaded networks; see `estimators.base`.

    Raises
    ------
    Failure
        The parameters contradict each other; the device has too little memory; weights are damaged; values overflowed.
    UnsupportedShot
        There is no depth in the shot, or the depth sequence to refine has none for it.
    """
    settings = Settings(**shot.parameters)
    settings.check()
    torch_device = _device(settings)
    first, second = _work_of_stages(shot, settings)
    matched: MatchedPrior | None = None
    prior: Prior
    if settings.matches:
        if _has_one_memory(torch_device):  # an earlier shot has left the diffusion networks
            loading.forget()
        prior = matched = stage1.match_shot(
            shot, settings, torch_device, progress=_part(shot, 0, first, first + second)
        )
    else:
        prior = _sequence_prior(shot, settings)
    if len(shot.finished) < len(shot.frames):
        if settings.refines and stage2.write_saved(shot, settings, prior):
            pass
        elif settings.refines:
            if _has_one_memory(torch_device):
                batches.forget()
            _refine(replace(shot, progress=_part(shot, first, second, first + second)), settings, prior)
        else:
            _write_all(shot, prior, first)
    if matched is not None:
        matched.clear()
    camera = prior.camera
    return ShotResult(
        camera=camera.scaled(shot.frames.width, shot.frames.height) if camera else None,
        quantity=prior.quantity if isinstance(prior, SequenceMaps) else None,
    )


def phases(shot: Shot) -> tuple[Phase, ...]:
    """The parts of `estimate_shot` that processes of their own can do: pairs, their alignment, windows.

    Where windows share latents, each needs the one before, so the second stage is done as a whole.
    """
    settings = Settings(**shot.parameters)
    settings.check()
    count, (first, second) = len(shot.frames), _work_of_stages(shot, settings)
    whole = first + second
    aligning = stage1.aligning_of(count, image_size(shot.frames.width, shot.frames.height)) if first else 0.0

    def prior(progress: ReportProgress) -> Prior:
        if not settings.matches:
            return _sequence_prior(shot, settings)
        return stage1.match_shot(shot, settings, _device(settings), progress=progress)

    def match(units: range) -> list[Path]:
        def report(stage: str, label: str, share: float) -> None:
            shot.progress(stage, label, (first - aligning) * share, whole)

        return stage1.match_frames(shot, settings, _device(settings), units, progress=report)

    def align(units: range) -> list[Path]:
        prior(_part(shot, 0, first, whole))
        return stage1.files_of(shot)

    def refine(units: range) -> list[Path]:
        found = prior(lambda stage, label, done, total: shot.progress(stage, label, first, whole))
        working = replace(shot, progress=_part(shot, first, second, whole))
        missing = [index for index in units if not stage2.window_file(shot, index).exists()]
        if missing:
            if _has_one_memory(_device(settings)):
                batches.forget()
            placement = loading.placement(working, settings, estimator="stereodiff", who=_SECOND)
            stage2.save_windows(Refinement(working, settings, found, placement), working, missing)
        return [path for path in (stage2.window_file(shot, index) for index in units) if path.exists()]

    parts: list[tuple[str, str, Literal["shot", "window", "frame"], int, float, Callable[[range], list[Path]]]] = []
    if settings.matches:
        parts.append(("match", "Matching frames", "frame", count, first - aligning, match))
        parts.append(("align", "Aligning frames", "shot", 1, aligning, align))
    if settings.refines and not settings.latent_sharing:
        parts.append(("refine", "Refining windows", "window", len(stage2.windows_of(shot, settings)), second, refine))
    return tuple(
        Phase(name=name, label=label, kind=kind, units=units, work=work / whole * _IN_PHASES, run=run)
        for name, label, kind, units, work, run in parts
    )


def _device(settings: Settings) -> torch.device:
    found, _ = device.choose(settings.device, settings.precision)
    return found


def _work_of_stages(shot: Shot, settings: Settings) -> tuple[float, float]:
    """Work of both stages, in TFLOP; 0 for a stage that is not run."""
    count, working = len(shot.frames), (shot.frames.width, shot.frames.height)
    matching = stage1.work_of(count, settings, image_size(*working)) if settings.matches else 0.0
    refining = stage2.work_of(count, settings, resolution.network_size(*working)) if settings.refines else 0.0
    return matching, refining


def _part(shot: Shot, before: float, own: float, whole: float) -> ReportProgress:
    """Progress of one stage, reported as a part of the whole work."""

    def report(stage: str, label: str, done: float, total: float) -> None:
        shot.progress(stage, label, before + own * (done / total if total > 0 else 0.0), whole)

    return report


def _has_one_memory(torch_device: torch.device) -> bool:
    """Whether device and host share one memory, so that networks in either take it from the other stage."""
    return torch_device.type != "cuda"


def _sequence_prior(shot: Shot, settings: Settings) -> SequenceMaps:
    prior = SequenceMaps(Path(settings.stage1_from), shot.frames.numbers, named_by="stage1_from")
    prior.check_aspect(shot.frames.width, shot.frames.height)
    return prior


def _refine(shot: Shot, settings: Settings, prior: Prior) -> None:
    placement = loading.placement(shot, settings, estimator="stereodiff", who=_SECOND)
    Refinement(shot, settings, prior, placement).run()
    if settings.matches and placement.device.type != "cpu":  # the next shot starts with the pair network
        placement.leave()


def _write_all(shot: Shot, prior: Prior, work: float) -> None:
    """Write stage 1's own maps."""
    for frame in sorted(set(range(len(shot.frames))) - shot.finished):
        shot.progress("write", "Writing frames", work, work)
        write_maps(shot, prior, frame, prior.disparity(frame))
