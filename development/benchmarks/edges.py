"""Edges of depth before and after *Refine Depth*, on rendered clips with true depth.

    python3 dev.py render-benchmark --scene courtyard
    python3 dev.py benchmark edges build/benchmark/courtyard --frames 8 --picture build/edges.png

For true depth at half size, for the same blurred as networks blur it, and with --estimator for an estimator's:

F1          boundary F1 of the maps at the plate's size, bilinearly as the compositor brings them there, against true
            depth; exact, and within one pixel (see `inference.evaluation.accuracy.boundaries`)
between     share of pixels whose distance lies between those of the two sides of a true edge, off both by 10 %
shards      share of the image from 5 degrees aside, about the middle of what is seen, that faces of a plain mesh cover
            which are drawn out there where the scene's surface is not (see `_shards`): skin from a near thing to what
            is behind
slits       share of the image through the taking camera that the mesh leaves open, because its edges are cut (by more
            than 10 % of the distance between neighbors, the depth mesh's own start)

The row `truth` is the mesh of true depth at the plate's size: its slits are the least that cutting between neighbors
takes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development.benchmarks import _shards
from inference.contract import depth_sequence
from inference.contract.depth_sequence import DepthSequence, Range, Shot, disparity_name
from inference.contract.job import Job
from inference.contract.refinement import Refinement
from inference.evaluation.accuracy.boundaries import boundary_f1, edge_counts
from inference.media.exr import read_channels, read_map, write_map
from inference.media.source import describe
from inference.run.refine import refine
from inference.run.runner import estimate

CUT = 0.1
"""Relative jump between neighbors from which on the mesh is cut."""
ASIDE = 5.0
"""Degrees."""
FARTHEST = 200.0
"""Meters that a sky is at."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", metavar="CLIP", type=Path, nargs="+", help="folder of a rendered clip")
    parser.add_argument("--frames", metavar="N", type=int, default=8, help="from the clip's middle (default: 8)")
    parser.add_argument("--estimator", metavar="NAME", action="append", default=[], help="repeatable")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="a picture of the last clip's middle frame")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep estimates there, for the next run")
    for name in ("fringe", "smooth"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Refinement, name))
    parser.add_argument("--edge", type=float, default=0.0)
    options = parser.parse_args()
    chosen = {"fringe": options.fringe, "smooth": options.smooth, "edge": options.edge}
    print(f"{'clip':10} {'depth':22} {'F1':>6} {'F1 +-1':>6} {'between':>8} {'shards':>8} {'slits':>8}  {'s/frame':>8}")
    for clip in options.clips:
        with tempfile.TemporaryDirectory() as scratch:
            _measure(Clip(clip, options.frames), options, chosen, Path(scratch))


class Clip:
    """A rendered clip and some frames of it, with their true depth."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        camera = json.loads((folder / "camera.json").read_text())
        self.focal, self.size = camera["fx"], (camera["width"], camera["height"])
        total = len(camera["frames"])
        first = 1 + max(0, (total - count) // 2)
        self.numbers = range(first, min(first + count, total + 1))
        read = {n: read_channels(folder / "depth_exact" / f"{n:05d}.exr")["Z"] for n in self.numbers}
        self.depth = {n: np.minimum(z, FARTHEST).astype(np.float32) for n, z in read.items()}


def _measure(clip: Clip, options: argparse.Namespace, chosen: dict[str, float], scratch: Path) -> None:
    panels = []
    _report(clip, "truth", {n: 1 / z for n, z in clip.depth.items()}, 0.0)
    width, height = clip.size
    half = (width // 2, height // 2)
    for name, maps in (
        ("half size", {n: cv2.resize(1 / z, half, interpolation=cv2.INTER_NEAREST) for n, z in clip.depth.items()}),
        ("half size, blurred", {n: _blurred(1 / z, half) for n, z in clip.depth.items()}),
    ):
        folder = scratch / name.replace(" ", "-")
        _write(folder, clip, maps)
        panels = _before_and_after(clip, name, folder, chosen, scratch)
    for name in options.estimator:
        folder = (options.keep or scratch) / f"{clip.folder.name}-{name}"
        if not (folder / depth_sequence.SIDECAR).exists():
            estimate(
                Job(source=describe(clip.folder / "rgb"), output=str(folder), estimator=name), emit=lambda event: None
            )
        panels = _before_and_after(clip, name, folder, chosen, scratch)
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(options.picture), np.vstack([np.hstack(row) for row in panels]))


def _blurred(inverse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As a network's: averaged over each small pixel, and blurred over its neighbors."""
    return cv2.GaussianBlur(cv2.resize(inverse, size, interpolation=cv2.INTER_AREA), (0, 0), 0.8)


def _write(folder: Path, clip: Clip, maps: dict[int, np.ndarray]) -> None:
    folder.mkdir()
    for number, values in maps.items():
        write_map(folder / disparity_name(number), values)
    every = np.stack(list(maps.values()))
    p1, p99 = (float(np.percentile(every, q)) for q in (1, 99))
    spread = Range(minimum=float(every.min()), maximum=float(every.max()), p1=p1, p99=p99)
    height, width = every.shape[1:]
    shot = Shot(first_frame=clip.numbers[0], last_frame=clip.numbers[-1], status="done", range=spread)
    sequence = DepthSequence(
        source=describe(clip.folder / "rgb"), first_frame=shot.first_frame, last_frame=shot.last_frame, width=width,
        height=height, quantity="inverse_depth", shots=(shot,), estimator="truth", fingerprint="truth",
    )  # fmt: skip
    depth_sequence.save(sequence, folder)


def _before_and_after(clip: Clip, name: str, folder: Path, chosen: dict, scratch: Path) -> list[list[np.ndarray]]:
    refined = scratch / f"{folder.name}-refined"
    shutil.rmtree(refined, ignore_errors=True)
    begun = time.perf_counter()
    result = refine(Refinement(depth=str(folder), output=str(refined), **chosen), emit=lambda event: None)
    count = sum(shot.last_frame - shot.first_frame + 1 for shot in result.done_shots)
    seconds = (time.perf_counter() - begun) / count
    rows = []
    for label, place, spent in ((name, folder, 0.0), ("  refined", refined, seconds)):
        found = {n: read_map(place / disparity_name(n)) for n in clip.numbers}
        rows.append(_report(clip, label, _in_meters(clip, found), spent))
    return rows


def _in_meters(clip: Clip, maps: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Inverse depth in the scene's own unit, by one factor for the clip."""
    ratios = [cv2.resize(v, clip.size) * clip.depth[n] for n, v in maps.items()]
    scale = float(np.median(np.stack(ratios)[np.stack([clip.depth[n] < FARTHEST for n in maps])]))
    return {n: np.maximum(v / scale, 1 / FARTHEST) for n, v in maps.items()}


def _report(clip: Clip, label: str, maps: dict[int, np.ndarray], seconds: float) -> list[np.ndarray]:
    """Print a row; returns pictures of the middle frame: depth, from aside, through the taking camera."""
    counts, between, shards, slits = [], [], [], []
    pictures: list[np.ndarray] = []
    for number, inverse in maps.items():
        true = clip.depth[number]
        full = cv2.resize(inverse, clip.size, interpolation=cv2.INTER_LINEAR)
        counts.append(edge_counts(1 / full, true))
        between.append(_between(full, 1 / true))
        own = _drawn(clip, inverse, number, 0.0)
        turned = _drawn(clip, inverse, number, ASIDE)
        shards.append(np.mean(turned == 2))
        slits.append(np.mean(own == 0))
        if number == clip.numbers[len(clip.numbers) // 2]:
            shown = cv2.applyColorMap(
                np.uint8(255 * np.clip(full / np.percentile(full, 99.5), 0, 1)), cv2.COLORMAP_TURBO
            )
            colors = np.array([(0, 0, 0), (150, 150, 150), (60, 60, 255)], np.uint8)
            pictures = [shown, colors[turned], colors[own]]
    f1 = [boundary_f1(counts, exact=exact) or 0.0 for exact in (True, False)]
    shares = "".join(f"{np.mean(each):8.2%} " for each in (between, shards, slits))
    print(f"{clip.folder.name:10} {label:22} {f1[0]:6.3f} {f1[1]:6.3f} {shares} {seconds:8.2f}", flush=True)
    return pictures


def _between(inverse: np.ndarray, true: np.ndarray) -> float:
    """Share of pixels between the sides of a true edge, in a window of 7x7 pixels, and far from both."""
    kernel = np.ones((7, 7), np.uint8)
    near, far = cv2.dilate(true, kernel), cv2.erode(true, kernel)
    is_edge = near > 1.25 * far
    return float(np.mean(is_edge & (inverse < near / 1.1) & (inverse > far * 1.1) & (np.abs(inverse / true - 1) > 0.1)))


def _drawn(clip: Clip, inverse: np.ndarray, number: int, degrees: float) -> np.ndarray:
    """The mesh of a map, cut where it jumps, from a camera turned about a point ahead: 1 a face, 2 a shard."""
    height, width = inverse.shape
    z = 1 / np.pad(inverse.astype(np.float64), 1, mode="edge")  # the mesh has a border, so that it covers the image
    focal = clip.focal * width / clip.size[0]
    x = (np.arange(-1, width + 1) - (width - 1) / 2) / focal * z
    y = (np.arange(-1, height + 1)[:, None] - (height - 1) / 2) / focal * z
    point = np.arange(z.size).reshape(z.shape)
    corners = np.stack([point[:-1, :-1], point[:-1, 1:], point[1:, 1:], point[1:, :-1]], axis=-1).reshape(-1, 4)
    around = z.ravel()[corners]
    beside = np.roll(around, 1, axis=1)
    whole = corners[(1 - np.minimum(around, beside) / np.maximum(around, beside)).max(axis=1) <= CUT]
    triangles = np.concatenate([whole[:, [0, 1, 2]], whole[:, [0, 2, 3]]])
    true = clip.depth[number]
    lens = np.diag([clip.focal, clip.focal, 1.0])
    lens[:2, 2] = (np.array(clip.size) - 1) / 2
    there = _shards.turned(degrees, float(np.median(true)))
    seen, _, _, normal = _shards.seen(np.stack([x, y, z], axis=-1).reshape(-1, 3), triangles, lens, clip.size, there)
    found = np.isfinite(seen).astype(np.uint8)
    found[_shards.shards(seen, normal, 1 / true, lens, there)] = 2
    return found


if __name__ == "__main__":
    main()
