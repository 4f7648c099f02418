"""ScanNet v2 (Dai et al. 2017), frames exported from its .sens files by the set's own reader.

A folder a scene, ``scene0707_00``, with ``depth/0.png`` (16 bits, millimeters), ``color/0.jpg``, ``pose/0.txt``
(camera-to-world, 4 x 4; not finite where the frame has none) and ``intrinsic/intrinsic_depth.txt``. Poses and
calibration may be missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .ground_truth import GroundTruth, GroundTruthError, by_stem, depth_png, images, matrix_file, number_of, numbered


def open_clips(root: Path) -> list[GroundTruth]:
    """Every scene with depth, by name, or the single one at `root`."""
    if (root / "depth").is_dir():
        return [_open(root)]
    scenes = sorted(path.parent for path in root.glob("*/depth") if path.is_dir())
    if not scenes:
        raise GroundTruthError(
            f"{root} has no <scene>/depth/*.png; export the scenes' .sens files with the set's reader, depth, color, "
            "poses and calibration."
        )
    return [_open(scene) for scene in scenes]


def _open(scene: Path) -> GroundTruth:
    depth = numbered((scene / "depth").glob("*.png"))
    if not depth:
        raise GroundTruthError(f"{scene / 'depth'} has no *.png in it; export the scene's depth from its .sens file.")
    rgb = by_stem(images(scene / "color"))
    missing = [path.stem for path in depth if path.stem not in rgb]
    if rgb and missing:
        raise GroundTruthError(f"{scene / 'color'} has no image of frame {missing[0]}; export the colors again.")
    calibration = scene / "intrinsic" / "intrinsic_depth.txt"
    matrix = matrix_file(calibration) if calibration.is_file() else None
    return GroundTruth(
        name=scene.resolve().name,
        frame_numbers=_numbers(depth),
        read_depth=lambda index: depth_png(depth[index], 1000),
        matrix=None if matrix is None else matrix[:3, :3],
        poses=tuple(_pose(scene / "pose" / f"{path.stem}.txt") for path in depth),
        rgb_files=tuple(rgb[path.stem] for path in depth) if rgb else (),
    )


def _numbers(depth: list[Path]) -> tuple[int, ...]:
    """The numbers in the names, or the indices of files whose names have none."""
    return tuple(number_of(path) if path.stem.isdecimal() else index for index, path in enumerate(depth))


def _pose(path: Path) -> NDArray[np.float64] | None:
    return matrix_file(path) if path.is_file() else None
