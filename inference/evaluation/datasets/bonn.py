"""The Bonn RGB-D Dynamic Dataset (Palazzolo et al. 2019), in the format of TUM's RGB-D benchmark.

A folder a clip, ``rgbd_bonn_balloon2``, with ``rgb.txt`` and ``depth.txt``, each line a time in seconds and a file
(``1548266469.93 rgb/1548266469.93.png``), depth as images of 16 bits, 5000 a meter, in the color camera's view.

Each image is paired with the depth closest in time, at most 20 ms away, as that benchmark's own tool does it; images
without one have no ground truth. Poses are not read: the set's ``groundtruth.txt`` is the path of the markers on the
sensor, not of its camera.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .ground_truth import GroundTruth, GroundTruthError, depth_png, inside, lines_of

_MATRIX = np.array([[542.822841, 0, 315.593520], [0, 542.576870, 237.756098], [0, 0, 1]])
"""Calibration of the color camera, from the set's page."""
APART = 0.02
"""Largest difference in time of an image and its depth, in seconds."""
_CLOSE, _MOST = 8, 50_000
"""Most images within that time, and in a clip; the set has at most one, and 1200."""


def open_clips(root: Path) -> list[GroundTruth]:
    """Every clip, by name, or the one that `root` is."""
    if (root / "depth.txt").is_file():
        return [_open(root)]
    folders = sorted(path.parent for path in root.glob("*/depth.txt"))
    if not folders:
        raise GroundTruthError(
            f"{root} has no <clip>/depth.txt; choose the folder that the set's archives were extracted to."
        )
    return [_open(folder) for folder in folders]


def _open(folder: Path) -> GroundTruth:
    rgb, depth = _listed(folder / "rgb.txt"), _listed(folder / "depth.txt")
    times, others = ([time for time, _ in listed] for listed in (rgb, depth))
    if max(len(rgb), len(depth)) > _MOST or _crowded(times) or _crowded(others):
        raise GroundTruthError(f"The times of {folder} are closer than a camera's frames; extract the clip again.")
    pairs = pair(times, others)
    if not pairs:
        raise GroundTruthError(
            f"No image of {folder} has depth less than {APART * 1000:.0f} ms away; check rgb.txt and depth.txt."
        )
    files = [depth[second][1] for _, second in pairs]
    return GroundTruth(
        name=folder.resolve().name,
        frame_numbers=tuple(first for first, _ in pairs),
        read_depth=lambda index: depth_png(files[index], 5000),
        matrix=_MATRIX,
        rgb_files=tuple(rgb[first][1] for first, _ in pairs),
    )


def _crowded(times: list[float]) -> bool:
    """Whether more than `_CLOSE` of some rising times lie within `APART`."""
    return any(last - first < APART for first, last in zip(times, times[_CLOSE:]))


def pair(first: list[float], second: list[float]) -> list[tuple[int, int]]:
    """Which entry of one list of times belongs to which of another: the closest pairs first, each entry once."""
    times = np.asarray(second)
    close = [
        (abs(time - times[there]), here, int(there))
        for here, time in enumerate(first)
        for there in np.flatnonzero(np.abs(times - time) < APART)
    ]
    free_here, free_there, pairs = set(range(len(first))), set(range(len(second))), []
    for _, here, there in sorted(close):
        if here in free_here and there in free_there:
            free_here.remove(here)
            free_there.remove(there)
            pairs.append((here, there))
    return sorted(pairs)


def _listed(path: Path) -> list[tuple[float, Path]]:
    found = []
    for number, line in enumerate(lines_of(path, again="extract the clip again"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            time, name = float(words[0]), words[1]
            if not math.isfinite(time):
                raise ValueError("no time")
        except (ValueError, IndexError) as error:
            raise GroundTruthError(
                f"Line {number} of {path} is not a time and a file ({line}); extract the clip again."
            ) from error
        found.append((time, inside(path.parent, name, where=path)))
    return sorted(found)
