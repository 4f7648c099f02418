#!/usr/bin/env python3
"""Accuracy of parallax alone, and completed by learned depth, on clips with ground truth.

    python3 dev.py benchmark completion build/benchmark/courtyard build/benchmark/villa
    python3 dev.py benchmark completion CLIP --seeds 0 1 2 --network quick --work build/completion

A clip is a folder as ``docs/parallax.md`` describes it, with its images in ``rgb``. The learned depth is that of a
stand-in for a good network (`stand_in`), once for each seed, and that of each ``--network``, whose weights must be on
this computer. Prints a table: AbsRel of all, static and moving pixels, flicker and boundary F1, each after one scale
and shift for the whole clip.

With ``--work`` the measured depth and the networks' are kept there, so that another run repeats the completion alone,
in seconds. Delete the folder after changing what measures.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from inference.common.failures import Failure, UnsupportedShot, unmet_requirements
from inference.common.files import save_array
from inference.contract.camera import Camera
from inference.contract.catalogue import LEARNED
from inference.estimators import registry, requirements
from inference.estimators.base import Frames, LearnedDepth, Shot, ShotResult
from inference.evaluation.accuracy.boundaries import boundary_f1
from inference.evaluation.accuracy.metrics import frame_scores, summary
from inference.evaluation.datasets import folder as layout
from inference.evaluation.datasets.ground_truth import GroundTruth, GroundTruthError
from inference.evaluation.datasets.protocols import PLAIN, fitted
from inference.evaluation.stability.consistency import flicker
from inference.evaluation.table import Column, Table
from inference.media import processing_size
from inference.media.clip import open_clip
from inference.media.source import describe

_WIDTH = 320  # of the stand-in's maps
_SCALE, _SHIFT, _NOISE, _BLUR = 0.3, 0.15, 0.02, 1.0
_POINTS, _PERIOD = 3, 48  # control points along each side of a field, and the frames between two sets of them
_COLUMNS = (
    Column(name="clip"),
    Column(name="depth"),
    Column(name="AbsRel", better="lower"),
    Column(name="static", better="lower"),
    Column(name="moving", better="lower"),
    Column(name="flicker", better="lower"),
    Column(name="F1", better="higher", digits=3),
    Column(name="F1 within 1 px", better="higher", digits=3),
)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip with ground truth at the estimators' processing resolution, and the folder of what is kept of it."""

    truth: GroundTruth
    frames: Frames
    shown: tuple[int, ...]
    work: Path


def stand_in(inverse_depth: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """What a good network would make of true inverse depth.

    D becomes D (1 + .3 f) + .15 m g + noise, blurred by a pixel: m is the median of D where it is known, the noise has
    a standard deviation of 2 % of m, and f and g are smooth random fields in -1..1, with 3x3 control points that
    change over 48 frames.

    Parameters
    ----------
    inverse_depth : float [N, H, W]
        0 where it is unknown or infinitely far.
    seed : int
    """
    random = np.random.default_rng(seed)
    count, height, width = inverse_depth.shape
    middle = float(np.median(inverse_depth[inverse_depth > 0]))
    points = random.uniform(-1, 1, (2 + (count - 1) // _PERIOD, 2, _POINTS, _POINTS)).astype(np.float32)
    made = np.empty(inverse_depth.shape, np.float32)
    for frame, true in enumerate(inverse_depth):
        before, share = divmod(frame, _PERIOD)
        now = points[before] + np.float32(share / _PERIOD) * (points[before + 1] - points[before])
        f, g = (np.clip(cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC), -1, 1) for each in now)
        noise = random.normal(0, _NOISE * middle, true.shape)
        seen = true * (1 + _SCALE * f) + _SHIFT * middle * g + noise
        made[frame] = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), _BLUR)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the clips of the command line; the exit status is 0 on success."""
    names = [each.estimator for each in LEARNED]
    parser = argparse.ArgumentParser(
        prog="python3 dev.py benchmark completion", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="folder with rgb, depth and camera.json")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], metavar="N", help="of the stand-in (default: 0)")
    parser.add_argument("--network", nargs="*", choices=names, default=[], help="learned networks")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for what another run can use again")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args(arguments)
    rows = []
    try:
        for name in options.network:
            if missing := requirements.missing_requirements(registry.info(name)):
                raise unmet_requirements(missing)
        for folder in options.clips:
            kept: AbstractContextManager[str] = (
                nullcontext(str(options.work)) if options.work else tempfile.TemporaryDirectory(prefix="fathom-")
            )
            with kept as work:
                rows += _rows(opened(folder, Path(work) / folder.resolve().name), options.seeds, options.network)
    except (Failure, GroundTruthError, UnsupportedShot) as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
    table = Table(columns=_COLUMNS, rows=tuple(rows), labels=2, groups=tuple(str(row[0]) for row in rows))
    print(table.markdown() if options.markdown else table.text())
    return 0


def opened(folder: Path, work: Path) -> Clip:
    """The clip of a folder of ground truth; its frames are kept in the folder `work`."""
    truth = layout.open_clip(folder)
    if not truth.rgb_files:
        raise GroundTruthError(f"{folder} has no images in rgb; add the clip's frames.")
    work.mkdir(parents=True, exist_ok=True)
    with open_clip(describe(truth.rgb_files[0])) as clip:
        size = processing_size.working_size(clip.width, clip.height, registry.info("parallax").default_size, 1)
        first, last = clip.first_frame, clip.last_frame
        prepared = processing_size.prepare(clip, first, last, size, work / "clip", cuts=())
    return Clip(truth=truth, frames=prepared.frames(first, last), shown=prepared.shown(first, last), work=work)


def _rows(clip: Clip, seeds: Sequence[int], networks: Sequence[str]) -> list[tuple[Any, ...]]:
    """A clip's rows of the table."""
    alone = _kept(clip, "alone", lambda: estimate(clip, "parallax", clip.work / "measured")[0])
    rows = [_row(clip, "alone", alone)]
    for name in networks:
        learned = _kept(clip, name, lambda name=name: estimate(clip, name, clip.work / f"made by {name}")[0])
        rows += _with(clip, registry.info(name).label, learned, sinks=registry.sinks(name))
    inverse_depth = true_inverse_depth(clip.truth) if seeds else None
    of_seeds = []
    for seed in seeds:
        own = _with(clip, f"stand-in {seed}", stand_in(inverse_depth, seed))
        of_seeds.append(own)
        rows += own
    if len(seeds) > 1:
        for each in zip(*of_seeds, strict=True):
            label = each[0][1].replace(f"stand-in {seeds[0]}", f"mean of {len(seeds)} stand-ins")
            rows.append((each[0][0], label, *np.mean([row[2:] for row in each], axis=0).tolist()))
    return rows


def _kept(clip: Clip, name: str, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    path = clip.work / f"{name}.npy"
    if not path.exists():
        save_array(path, make())
    return np.load(path)


def _with(clip: Clip, label: str, learned: NDArray[np.float32], *, sinks: bool = False) -> Iterable[tuple[Any, ...]]:
    """The rows of learned depth alone, and of parallax completed by it."""
    with tempfile.TemporaryDirectory(prefix="fathom-") as folder:
        scratch = Path(folder) / "scratch"
        others = shutil.ignore_patterns(
            "footings.npz", "outlines", "objects", "steady"
        )  # made with learned depth in sight
        shutil.copytree(clip.work / "measured", scratch, ignore=others)
        completed, _ = estimate(clip, "parallax", scratch, learned, sinks=sinks)
    return [_row(clip, f"{label} alone", learned), _row(clip, f"completed by {label}", completed)]


def estimate(
    clip: Clip,
    name: str,
    scratch: Path,
    learned: LearnedDepth | None = None,
    *,
    sinks: bool = False,
    camera: Camera | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """An estimator's disparity and confidence [N, H, W] of a clip; its saved steps stay in the scratch folder."""
    print(f"{clip.truth.name}: {name}{'' if learned is None else ', completed'}", file=sys.stderr, flush=True)
    scratch.mkdir(exist_ok=True)
    info, maps, sure = registry.info(name), {}, {}
    parameters = {parameter.name: parameter.default for parameter in info.parameters}
    if "mattes" in parameters:
        parameters["mattes"] = "off"  # the same figures on every computer

    def write(index: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None) -> None:
        maps[index], sure[index] = disparity, confidence

    result: ShotResult = registry.function(name)(
        Shot(
            frames=clip.frames,
            parameters=parameters,
            seed=0,
            camera=camera,
            mattes=None,
            shown=clip.shown,
            learned=learned,
            learned_sinks=sinks,
            scratch=scratch,
            finished=frozenset(),
            write=write,
            progress=lambda stage, label, done, total: None,
            check=lambda: None,
        )
    )
    for warning in result.warnings:
        print(f"{clip.truth.name}: {warning}", file=sys.stderr)
    every = range(len(clip.frames))
    disparity = np.stack([maps[index] for index in every])
    return disparity, np.stack([sure[index] for index in every]) if info.has_confidence else None


def true_inverse_depth(truth: GroundTruth) -> NDArray[np.float32]:
    """True inverse depth [N, H, W] at the stand-in's size; 0 where there is none."""
    maps = []
    for frame in range(len(truth)):
        depth = truth.depth(frame)
        inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-3), 0).astype(np.float32)
        height = round(depth.shape[0] * _WIDTH / depth.shape[1])
        maps.append(cv2.resize(inverse, (_WIDTH, height), interpolation=cv2.INTER_AREA))
    return np.stack(maps)


def _row(clip: Clip, label: str, maps: NDArray[np.float32]) -> tuple[Any, ...]:
    """A row of the table."""
    scores = frame_scores(lambda frame: maps[frame], clip.truth)
    over = summary([scores])

    def depth(frame: int) -> NDArray[np.float64]:
        return scores.alignment.depth(fitted(maps[frame], clip.truth.depth(frame).shape))

    return (
        clip.truth.name,
        label,
        *(over[region]["absolute_relative"] for region in ("all", "static", "moving")),
        flicker(depth, clip.truth, scores.frames, PLAIN),
        *(boundary_f1(scores.edges, exact=exact) for exact in (True, False)),
    )


if __name__ == "__main__":
    sys.exit(main())
