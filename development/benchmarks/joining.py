#!/usr/bin/env python3
"""How well the windows of a long take are joined: by the published chain of fits, and all together.

    python3 dev.py benchmark joining build/benchmark/avenue --seeds 0 1 2 3

A clip is a folder as ``docs/parallax.md`` describes it. Each window of Video Depth Anything is given the depth of a
stand-in for a good network (``completion.stand_in``), drawn anew for every window, and a scale and a shift of its own
besides: factors of e^N(0, .25), shifts of N(0, .15) medians. Prints a table of means over the seeds: AbsRel after one
scale and shift for the whole take; drift, the standard deviation of the level, in depth, of parts of 22 frames; and
step, the largest change of the level from one such part to the next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development.benchmarks.completion import stand_in, true_inverse_depth
from inference.estimators.video_depth_anything import joining, windows
from inference.evaluation.datasets import folder as layout
from inference.evaluation.datasets.ground_truth import GroundTruthError
from inference.evaluation.table import Column, Table

_SCALE, _SHIFT = 0.25, 0.15  # standard deviations: of the logarithm, and in medians of the inverse depth
_COLUMNS = (
    Column(name="clip"),
    Column(name="joined"),
    *(Column(name=name, better="lower") for name in ("AbsRel", "drift", "step")),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the clips of the command line; the exit status is 0 on success."""
    parser = argparse.ArgumentParser(
        prog="python3 dev.py benchmark joining", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="folder with depth and camera.json")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3], metavar="N", help="(default: 0 1 2 3)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args(arguments)
    rows: list[tuple[Any, ...]] = []
    try:
        for folder in options.clips:
            truth = layout.open_clip(folder)
            rows += _rows(truth.name, true_inverse_depth(truth), options.seeds)
    except GroundTruthError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
    table = Table(columns=_COLUMNS, rows=tuple(rows), labels=2, groups=tuple(str(row[0]) for row in rows))
    print(table.markdown() if options.markdown else table.text())
    return 0


def _rows(name: str, true: NDArray[np.float32], seeds: Sequence[int]) -> list[tuple[Any, ...]]:
    """A clip's rows of the table."""
    measured: dict[str, list[tuple[float, float, float]]] = {"published": [], "whole clip": []}
    for seed in seeds:
        maps = windows_of(true, seed)
        for way, found in joined(maps, len(true)).items():
            measured[way].append(_figures(found, true))
    return [(name, way, *np.mean(figures, axis=0).tolist()) for way, figures in measured.items()]


def windows_of(true: NDArray[np.float32], seed: int) -> list[NDArray[np.float32]]:
    """What the stand-in makes of each window of a clip, the anchor last where there is one, from 0."""
    frames = len(true)
    fed = [windows.window_frames(index, frames) for index in range(windows.window_count(frames))]
    fed += [anchor] if (anchor := joining.anchor_frames(frames)) else []
    random = np.random.default_rng(seed)
    middle = float(np.median(true[true > 0]))
    made = []
    for index, each in enumerate(fed):
        scale, shift = np.exp(random.normal(0, _SCALE)), random.normal(0, _SHIFT) * middle
        seen = stand_in(true[each], 1000 * seed + index)
        made.append(np.maximum(scale * seen + shift, 0).astype(np.float32))
    return made


def joined(maps: Sequence[NDArray[np.float32]], frames: int) -> dict[str, NDArray[np.float32]]:
    """The clip's maps [N, H, W], joined in either way."""

    def at(window: int, place: int) -> NDArray[np.float32]:
        return maps[window][place]

    found = joining.levels_of(at, frames)
    return {
        "published": np.stack(list(joining.joined_in_turn(at, frames))),
        "whole clip": np.stack(list(joining.joined_together(at, frames, found))),
    }


def _figures(found: NDArray[np.float32], true: NDArray[np.float32]) -> tuple[float, float, float]:
    """AbsRel, drift and step of maps, all of them relative to depth."""
    known = true > 0
    scale, shift = joining.fitted(found[known], true[known])
    level = np.maximum(scale * found + shift, 1e-3)
    errors = np.where(known, true / np.where(known, level, 1) - 1, np.nan)
    levels = np.nanmean(errors, axis=(1, 2))
    parts = levels[: len(levels) // windows.STEP * windows.STEP].reshape(-1, windows.STEP).mean(axis=1)
    return float(np.nanmean(np.abs(errors))), float(parts.std()), float(np.abs(np.diff(parts)).max())


if __name__ == "__main__":
    sys.exit(main())
