"""MatrixCity (Li et al. 2023): a rendered city from the air and from the street.

A folder a block, with its extracted archives: ``rgb/0000.png``, ``depth/0000.exr`` (or ``<block>_depth/0000.exr``
beside it), centimeters of planar Z, and ``transforms.json``, whose ``frames`` name the images that are used
(``frame_index``) with their camera-to-world matrices (``rot_mat``). A value of 65504, the largest half float, is
beyond what the file can say, and counts as unknown.

A block is a camera's way over a grid of streets, line after line, so its images are divided into clips where the
camera jumps: between two images its way is longer than `_JUMP` times the median, or it turns by more than `_TURN`.
Clips have at most `LONGEST` frames, the length that DepthCrafter names for its rendered data (Hu et al. 2024, 3.3).
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError
from ...media.exr import read_channels
from .ground_truth import GroundTruth, GroundTruthError, by_stem, content, images

LONGEST = 150
_JUMP, _TURN = 4.0, 20.0
_FARTHEST_HALF = 65504.0
_LARGEST = 1 << 27
"""Bytes of the largest list of poses."""


def open_clips(root: Path) -> list[GroundTruth]:
    """The clips of every block below a folder, by name, or those of the one block that `root` is."""
    if (root / "transforms.json").is_file():
        blocks = [root]
    else:
        blocks = sorted(path.parent for path in root.glob("**/transforms.json") if _has_images(path.parent))
    if not blocks:
        raise GroundTruthError(
            f"{root} has no <block>/transforms.json with rgb/*.png beside it; choose the folder that the set's "
            "archives were extracted to."
        )
    return [clip for block in blocks for clip in _clips(block)]


def _has_images(block: Path) -> bool:
    return (block / "rgb").is_dir()


def _clips(block: Path) -> list[GroundTruth]:
    folder = next((each for each in (block / "depth", block.with_name(f"{block.name}_depth")) if each.is_dir()), None)
    if folder is None:
        raise GroundTruthError(f"{block} has no depth/*.exr; extract the block's archive of depth into it.")
    rgb, depth = by_stem(images(block / "rgb")), by_stem(folder.glob("*.exr"))
    numbers, poses = _poses(block / "transforms.json")
    names = {int(stem): stem for stem in rgb if stem.isascii() and stem.isdecimal()}
    missing = [number for number in numbers if names.get(number) not in depth]
    if missing:
        raise GroundTruthError(
            f"{block} has no image, or no depth, of frame {missing[0]}, which its transforms.json names; extract its "
            "archives again."
        )
    found = []
    for first, last in _runs(numbers, poses):
        stems = [names[number] for number in numbers[first:last]]
        files = [depth[stem] for stem in stems]
        found.append(
            GroundTruth(
                name=f"{block.resolve().name}-{stems[0]}",
                frame_numbers=tuple(range(len(stems))),
                read_depth=lambda index, files=files: _meters(files[index]),  # type: ignore[misc]
                rgb_files=tuple(rgb[stem] for stem in stems),
                depth_files=tuple(files),
            )
        )
    return found


def _runs(numbers: list[int], poses: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Ranges of frames without a jump, as first and last + 1."""
    ways = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    ahead = poses[:, :3, 2] / np.maximum(np.linalg.norm(poses[:, :3, 2], axis=1, keepdims=True), 1e-12)
    turns = np.degrees(np.arccos(np.clip(np.sum(ahead[1:] * ahead[:-1], axis=1), -1, 1)))
    jumps = (turns > _TURN) | (np.diff(numbers) != 1)
    if len(ways):
        jumps |= ways > _JUMP * np.median(ways)
    starts = [0, *(np.flatnonzero(jumps) + 1).tolist(), len(numbers)]
    return [
        (first, min(first + LONGEST, stop))
        for start, stop in itertools.pairwise(starts)
        for first in range(start, stop, LONGEST)
    ]


def _poses(file: Path) -> tuple[list[int], NDArray[np.float64]]:
    """The numbers of the frames, ascending, and their camera-to-world matrices [N, 4, 4]."""
    again = "extract the block's archive again"
    try:
        listed: dict[int, Any] = {
            int(frame["frame_index"]): frame["rot_mat"]
            for frame in json.loads(content(file, again=again, most=_LARGEST))["frames"]
        }
        numbers = sorted(listed)
        matrices = np.array([listed[number] for number in numbers], np.float64).reshape(len(numbers), 4, 4)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise GroundTruthError(f"{file} is not the set's list of poses ({error}); {again}.") from error
    if not numbers or not np.isfinite(matrices).all():
        raise GroundTruthError(f"{file} has no frames, or poses that are no numbers; {again}.")
    return numbers, matrices


def _meters(path: Path) -> NDArray[np.float32]:
    try:
        channels = read_channels(path)
    except ClipError as error:
        raise GroundTruthError(f"{error}.") from error
    # the renderer writes one value to all color channels
    name = next((name for name in ("R", "Y", "Z") if name in channels), next(iter(channels)))
    depth = channels[name].astype(np.float32)
    known = np.isfinite(depth) & (depth > 0) & (depth < _FARTHEST_HALF)
    return np.where(known, depth / np.float32(100), np.float32(0))
