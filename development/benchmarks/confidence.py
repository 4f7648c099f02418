#!/usr/bin/env python3
"""How well parallax's confidence tells its error, on clips with ground truth, as they are and degraded.

    python3 dev.py benchmark confidence build/benchmark/courtyard build/benchmark/villa --degrade blur noise
    python3 dev.py benchmark confidence CLIP CLIP --held-out CLIP CLIP --work build/confidence --picture confidence.png

A clip is a folder as ``docs/parallax.md`` describes it, with its images in ``rgb``. Prints, for each clip, its mean
confidence, the share of its pixels whose depth is right, which the mean confidence should be, and AbsRel of those with
true depth; all after the scale and shift of the shot that leave confident pixels the least error. Then the shares of
right depth for each value of the evidence, over all clips but those held out, each with the same weight: the table of
``inference/estimators/parallax/calibration.py``.

Pixels without true depth are sky, 80 m away, but in clips named by ``--with-holes`` they were not measured. With
``--work`` maps are kept there; delete the folder after changing parallax.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development.benchmarks import completion
from inference.common.failures import Failure, UnsupportedShot
from inference.common.files import load_arrays, save_arrays
from inference.contract.camera import Camera
from inference.estimators.base import Frames
from inference.estimators.parallax import calibration
from inference.evaluation.datasets.ground_truth import GroundTruthError
from inference.evaluation.datasets.protocols import fitted
from inference.evaluation.table import Column, Table

SKY = 80.0
"""Meters."""
_EVERY = 3  # rows and columns of the ground truth that are measured
_SHIFTS = np.linspace(-0.5, 0.5, 41)  # of the median disparity, that are tried
_TRIED = 40_000  # pixels they are tried on
_LENS = 1.5  # image widths, of the wrong lens
_FEW = 14
_COLUMNS = (
    Column(name="clip"),
    Column(name="input"),
    Column(name="mean confidence", digits=3),
    Column(name="share right", digits=3),
    Column(name="AbsRel", better="lower", digits=3),
)
_EDGES = (0.0, 0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)  # of the evidence


@dataclass(frozen=True, kw_only=True)
class Degraded:
    """Frames that are changed one by one when they are read."""

    frames: Frames
    change: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.frames.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.frames.height

    @property
    def numbers(self) -> Sequence[int]:
        """As in `Frames`."""
        return self.frames.numbers

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return self.change(self.frames[index], index)


@dataclass(frozen=True, kw_only=True)
class First:
    """The first frames of others."""

    frames: Frames
    count: int

    def __getattr__(self, name: str) -> int:
        return int(getattr(self.frames, name))

    @property
    def numbers(self) -> Sequence[int]:
        """As in `Frames`."""
        return self.frames.numbers[: self.count]

    def __len__(self) -> int:
        return min(self.count, len(self.frames))

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return self.frames[index]


def blur(image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """By 1.5 pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)


def noise(image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """With a deviation of 12 of 255."""
    return np.clip(image + np.random.default_rng(index).normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def compression(image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """As a JPEG of quality 15."""
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 15])[1], 1), np.uint8)


CHANGES = {"blur": blur, "noise": noise, "compression": compression}
KINDS = (*CHANGES, "few", "lens")
"""Ways to degrade a clip: its images, its number of frames, and a wrong focal length."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Some pixels of a clip.

    Attributes
    ----------
    clip, kind : str
    held_out : bool
    confidence, error : float32 [K]
        Relative error of depth, at most 1.
    known : bool [K]
        Whether the pixel has true depth, and is no sky.
    """

    clip: str
    kind: str
    held_out: bool
    confidence: NDArray[np.float32]
    error: NDArray[np.float32]
    known: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where depth is right [K]."""
        return self.error < calibration.RIGHT


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the clips of the command line; the exit status is 0 on success."""
    parser = argparse.ArgumentParser(
        prog="python3 dev.py benchmark confidence", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP", help="folder with rgb, depth and camera.json")
    parser.add_argument("--held-out", nargs="*", type=Path, default=[], metavar="CLIP", help="shown, not counted")
    parser.add_argument("--degrade", nargs="*", choices=KINDS, default=[], help="degrade each clip, too")
    parser.add_argument("--with-holes", nargs="*", default=[], metavar="NAME", help="clips in which 0 is no sky")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for what another run can use again")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write a plot, a PNG")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    options = parser.parse_args(arguments)
    measured: list[Measured] = []
    try:
        for folder in (*options.clips, *options.held_out):
            kept: AbstractContextManager[str] = (
                nullcontext(str(options.work)) if options.work else tempfile.TemporaryDirectory(prefix="fathom-")
            )
            with kept as work:
                clip = completion.opened(folder, Path(work) / folder.resolve().name)
                for kind in ("as it is", *options.degrade):
                    found = _measured(clip, kind, holes=clip.truth.name in options.with_holes)
                    if found is not None:
                        measured.append(replace(found, held_out=folder in options.held_out))
    except (Failure, GroundTruthError) as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
    if not measured:
        print("dev.py: there is nothing to show; name a clip that parallax supports.", file=sys.stderr)
        return 1
    rows = tuple(
        (each.clip, each.kind, *map(float, (each.confidence.mean(), each.right.mean(), each.error[each.known].mean())))
        for each in measured
    )
    counted = Table(
        columns=(Column(name="evidence"), Column(name="share right", digits=3), Column(name="of pixels", digits=3)),
        rows=tuple((f"{a:.3f} to {b:.3f}", *found) for a, b, *found in shares(measured)),
        labels=1,
    )
    for table in (Table(columns=_COLUMNS, rows=rows, labels=2), counted):
        print(table.markdown() if options.markdown else table.text(), end="\n\n")
    if options.picture:
        options.picture.write_bytes(picture(measured))
    return 0


def _measured(clip: completion.Clip, kind: str, *, holes: bool) -> Measured | None:
    """A clip's pixels; None where parallax does not support it."""
    kept = clip.work / f"confidence {kind}.npz"
    if not kept.exists():
        scratch = clip.work / f"scratch {kind}"
        try:
            disparity, sure = completion.estimate(_degraded(clip, kind), "parallax", scratch, camera=_lens(clip, kind))
        except UnsupportedShot as refused:
            print(f"{clip.truth.name}, {kind}: {refused}", file=sys.stderr)
            return None
        save_arrays(kept, disparity=disparity, confidence=np.asarray(sure))
    maps = load_arrays(kept)
    found = []
    for frame, (disparity, sure) in enumerate(zip(maps["disparity"], maps["confidence"], strict=True)):
        depth = clip.truth.depth(frame)
        known = (depth > 0) & (depth < SKY)
        pixels = [fitted(each.astype(np.float32), depth.shape) for each in (disparity, sure)]
        taken = np.stack([np.where(known, depth, SKY), known, *pixels])[:, ::_EVERY, ::_EVERY].reshape(4, -1)
        found.append(taken[:, taken[1] > 0] if holes else taken)
    depth, known, disparity, sure = np.concatenate(found, axis=1)
    error = np.minimum(np.abs(aligned(disparity, depth, sure * known) / depth - 1), 1)
    return Measured(
        clip=clip.truth.name,
        kind=kind,
        held_out=False,
        confidence=sure.astype(np.float32),
        error=error.astype(np.float32),
        known=known > 0,
    )


def _degraded(clip: completion.Clip, kind: str) -> completion.Clip:
    if kind in CHANGES:
        return replace(clip, frames=Degraded(frames=clip.frames, change=CHANGES[kind]))
    if kind == "few":
        return replace(clip, frames=First(frames=clip.frames, count=_FEW), shown=clip.shown[:_FEW])
    return clip


def _lens(clip: completion.Clip, kind: str) -> Camera | None:
    if kind != "lens":
        return None
    width, height = clip.frames.width, clip.frames.height
    return Camera(
        width=width,
        height=height,
        focal_length=_LENS * max(width, height),
        principal_point=((width - 1) / 2, (height - 1) / 2),
    )


def aligned(
    disparity: NDArray[np.floating], depth: NDArray[np.floating], weight: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Depth [K] with the one scale and shift that leave the least relative error, at most 1 at a pixel, by weight.

    Least squares, as benchmarks have them, are for where all pixels are to be good; here confident ones are to be.
    """
    taken = np.flatnonzero(weight > 0)
    if len(taken) > _TRIED:
        taken = np.random.default_rng(0).choice(taken, _TRIED, replace=False)
    x, z, sure = (each[taken].astype(np.float64) for each in (disparity, depth, weight))
    best = (np.inf, 1.0, 0.0)
    for shift in _SHIFTS * np.median(x):
        moved = np.maximum(x + shift, 1e-6)
        ratio = 1 / (z * moved)
        order = np.argsort(ratio)
        total = np.cumsum(sure[order])
        scale = ratio[order][np.searchsorted(total, total[-1] / 2)]
        cost = float(np.sum(sure * np.minimum(np.abs(1 / (scale * moved * z) - 1), 1)))
        best = min(best, (cost, float(scale), float(shift)))
    _, scale, shift = best
    return np.clip(1 / np.maximum(scale * (disparity.astype(np.float64) + shift), 1 / SKY), 1e-3, SKY)


def shares(measured: Sequence[Measured]) -> list[tuple[float, float, float, float]]:
    """For ranges of the evidence (first, last): the share of right depth, and the share of pixels, of the mean clip.

    Pixels without support, which have no confidence, are left out, and so are held-out clips.
    """
    counted = [each for each in measured if not each.held_out]
    right, pixels = np.zeros(len(_EDGES) - 1), np.zeros(len(_EDGES) - 1)
    for each in counted:
        some = each.confidence > 0
        found = np.interp(each.confidence[some], calibration.SHARES, calibration.EVIDENCE)
        place = np.clip(np.searchsorted(_EDGES, found, side="right") - 1, 0, len(pixels) - 1)
        pixels += np.bincount(place, minlength=len(pixels)) / len(some)
        right += np.bincount(place, each.right[some], minlength=len(pixels)) / len(some)
    with np.errstate(invalid="ignore"):
        share = right / pixels
    count = max(len(counted), 1)
    return [(*_EDGES[i : i + 2], float(share[i]), float(pixels[i] / count)) for i in range(len(pixels)) if pixels[i]]


def picture(measured: Sequence[Measured]) -> bytes:
    """A plot, a PNG: right depth by confidence, and the mean confidence of shots beside their error."""
    from inference.evaluation.report.figures import style

    deciles = np.linspace(0, 1, 11)
    with style.styled():
        figure = style.new_figure(4.6, width=11)
        by_pixel, by_shot = figure.subplots(1, 2)
        by_pixel.plot([0, 1], [0, 1], color=style.TRUTH, linewidth=1, linestyle=":", label="calibrated")
        for index, each in enumerate(measured):
            color, dash = style.LINES[index % len(style.LINES)], "--" if each.held_out else "-"
            place = np.clip(np.digitize(each.confidence, deciles) - 1, 0, 9)
            count = np.bincount(place, minlength=10)
            enough = count > 0.005 * len(place)
            sums = [
                np.bincount(place, of, minlength=10)[enough] / count[enough] for of in (each.confidence, each.right)
            ]
            label = f"{each.clip}{'' if each.kind == 'as it is' else ', ' + each.kind}{' (held out)' * each.held_out}"
            by_pixel.plot(*sums, dash, color=color, marker=".", linewidth=1, label=style.short(label))
            at = float(each.confidence.mean()), float(each.error[each.known].mean())
            by_shot.plot(*at, "o", color=color, fillstyle="none" if each.held_out else "full")
            by_shot.annotate(style.short(label), at, fontsize=7, xytext=(4, 3), textcoords="offset points")
        by_pixel.set(xlabel="confidence", ylabel=f"share of pixels within {calibration.RIGHT:.0%} of true depth")
        by_pixel.legend(fontsize=7, loc="lower right")
        by_shot.set(xlabel="mean confidence of a shot", ylabel="AbsRel", ylim=(0, None))
        return style.png(figure)


if __name__ == "__main__":
    sys.exit(main())
