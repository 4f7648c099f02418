"""Stage 1 of a shot: the pair network matches all pairs, and their points are aligned in one space.

Results are saved in the shot's scratch folder after every batch of pairs, and after the alignment. A later run resumes
from there: to the same bits if as many pairs fit into memory, and within rounding if not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ....common.failures import is_out_of_memory
from ....common.files import save_json
from ....video_diffusion import device
from ...base import ReportProgress, Shot
from ..settings import Settings
from . import alignment, batches, joining
from .alignment import Alignment
from .joining import Findings
from .matching import image_size
from .pair_store import PairPart, PairStore, gather
from .pairs import pairs
from .result import MatchedPrior

_FOLDER, _PAIRS, _ALIGNMENT, _FINDINGS = "stage1", "pairs", "alignment.npz", "frames.json"

ENCODING, DECODING = 0.52, 0.81
"""Work for a frame and for a pair, in TFLOP at 512x384 (counted by `video_diffusion.dry_run.flops`)."""
ALIGNING = 0.4
"""Likewise for a frame, by its time relative to the others."""
_RELEASED_PIXELS = 512 * 384
_MATCHING = "Matching frames"


def work_of(count: int, settings: Settings, size: tuple[int, int]) -> float:
    """Work of stage 1 on `count` frames with images of `size`, in TFLOP: the unit of `match_shot`'s progress."""
    share = size[0] * size[1] / _RELEASED_PIXELS
    return share * ((ENCODING + ALIGNING) * count + DECODING * len(pairs(count, settings.reach)))


def aligning_of(count: int, size: tuple[int, int]) -> float:
    """The part of `work_of` that comes after all pairs."""
    return ALIGNING * count * size[0] * size[1] / _RELEASED_PIXELS


def files_of(shot: Shot) -> list[Path]:
    """The files of the alignment, where it is done."""
    return [path for name in (_ALIGNMENT, _FINDINGS) if (path := shot.scratch / _FOLDER / name).exists()]


def match_shot(shot: Shot, settings: Settings, torch_device: torch.device, *, progress: ReportProgress) -> MatchedPrior:
    """Depth, confidence and camera of a shot by stereo matching, at the network's size.

    Once all maps are written, `MatchedPrior.clear` frees the disk; then, or where all frames are finished already, only
    its camera is usable. Progress is in the unit of `work_of`.

    Raises
    ------
    UnsupportedShot
        There is no depth in the shot, or no match connects its frames.
    Failure
        Weights are damaged, or there is too little memory.
    """
    size, numbers = image_size(shot.frames.width, shot.frames.height), shot.frames.numbers
    folder = shot.scratch / _FOLDER
    (folder / _PAIRS).mkdir(parents=True, exist_ok=True)
    gather(folder / _PAIRS, count=len(numbers), reach=settings.reach)
    pair_store = PairStore(folder / _PAIRS, settings.reach)
    work = _Work(shot, settings, size, progress)
    prior = _load_prior(folder, pair_store, size, numbers)
    if prior is None or not (len(shot.finished) == len(numbers) or prior.views <= pair_store.saved):
        if not pair_store.done.issuperset(pairs(len(numbers), settings.reach)):
            work.begin("load", "Loading the pair network")
            network = batches.load(settings)
            shot.check()
            work.begin("plan", "Planning memory")
            batches.run(
                network,
                shot,
                settings,
                torch_device,
                pair_store=pair_store,
                progress=work.matched,
            )
        aligned, findings = _join(shot, settings, torch_device, pair_store, work)
        aligned.save(folder / _ALIGNMENT)
        save_json(folder / _FINDINGS, findings)  # last: it marks the stage as complete
        prior = MatchedPrior(pair_store, aligned, findings, size=size, numbers=numbers)
        pair_store.keep(prior.views)
    for warning in joining.warnings(prior.findings, numbers):
        shot.warn(warning)
    return prior


def match_frames(
    shot: Shot,
    settings: Settings,
    torch_device: torch.device,
    frames: range,
    *,
    progress: Callable[[str, str, float], None],
) -> list[Path]:
    """Match the pairs of some frames, for a process that does no others; returns what marks them as done.

    `progress` takes the stage, its label and the share that is done. `match_shot` goes on from there once all are.

    Raises
    ------
    Failure
        As for `match_shot`.
    """
    count = len(shot.frames)
    part = PairPart(shot.scratch / _FOLDER / _PAIRS, count=count, reach=settings.reach, frames=frames)
    everything = pairs(count, settings.reach)
    before = sum(max(pair) < frames.start for pair in everything)
    own = sum(max(pair) in frames for pair in everything)
    if not part.done.issuperset(everything):
        progress("load", "Loading the pair network", 0.0)
        network = batches.load(settings)
        shot.check()
        batches.run(
            network,
            shot,
            settings,
            torch_device,
            pair_store=part,
            progress=lambda done, total: progress("match", _MATCHING, min(max(done - before, 0) / max(own, 1), 1.0)),
        )
    return [path for path in map(part.note, frames) if path.exists()]


class _Work:
    """Reports the progress of both halves of the stage."""

    def __init__(self, shot: Shot, settings: Settings, size: tuple[int, int], progress: ReportProgress) -> None:
        self._progress, self._check = progress, shot.check
        self._total = work_of(len(shot.frames), settings, size)
        self._aligning = aligning_of(len(shot.frames), size)

    def begin(self, stage: str, label: str) -> None:
        self._progress(stage, label, 0, self._total)

    def matched(self, done: int, total: int) -> None:
        self._progress("match", _MATCHING, (self._total - self._aligning) * done / total, self._total)

    def aligned(self, done: int, total: int) -> None:
        self._check()
        before = self._total - self._aligning
        self._progress("align", "Aligning frames", before + self._aligning * done / total, self._total)


def _load_prior(
    folder: Path, pair_store: PairStore, size: tuple[int, int], numbers: Sequence[int]
) -> MatchedPrior | None:
    """The result of an earlier run, whose views may be deleted by now."""
    findings = joining.load(folder / _FINDINGS)
    if findings is None:
        return None
    return MatchedPrior(pair_store, alignment.load(folder / _ALIGNMENT), findings, size=size, numbers=numbers)


def _join(
    shot: Shot, settings: Settings, torch_device: torch.device, pair_store: PairStore, work: _Work
) -> tuple[Alignment, Findings]:
    def on(where: torch.device) -> tuple[Alignment, Findings]:
        return joining.join(
            len(shot.frames),
            pair_store.scores,
            pair_store.read,
            robust=settings.robust,
            device=where,
            numbers=shot.frames.numbers,
            progress=work.aligned,
        )

    try:
        return on(torch_device)
    except Exception as error:
        if torch_device.type == "cpu" or not is_out_of_memory(error):
            raise
    finally:
        device.release(torch_device)
    shot.warn("The GPU's memory was too small for aligning the frames, so the CPU does it, which is slower.")
    return on(torch.device("cpu"))
