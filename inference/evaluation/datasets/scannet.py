"""ScanNet v2 (Dai et al. 2017), frames exported from its .sens files by the set's own reader.

A folder a scene, ``scene0707_00``, with ``depth/0.png`` (16 bits, millimetres), ``color/0.jpg``, ``pose/0.txt``
(camera-to-world, 4 x 4; not finite where the frame has none) and ``intrinsic/intrinsic_depth.txt``. Poses and
calibration may be missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .ground_truth import Truth, TruthError, by_stem, depth_png, matrix_file, number_of, numbered, pictures


def open_clips(root: Path) -> list[Truth]:
    """Every scene with depth, by name, or the one that `root` is.

    Raises
    ------
    TruthError
    """
    if (root / "depth").is_dir():
        return [_open(root)]
    scenes = sorted(path.parent for path in root.glob("*/depth") if path.is_dir())
    if not scenes:
        raise TruthError(
            f"{root} has no <scene>/depth/*.png; export the scenes' .sens files with the set's reader, depth, colour, "
            "poses and calibration."
        )
    return [_open(scene) for scene in scenes]


def _open(scene: Path) -> Truth:
    depth = numbered((scene / "depth").glob("*.png"))
    if not depth:
        raise TruthError(f"{scene / 'depth'} has no *.png in it; export the scene's depth from its .sens file.")
    rgb = by_stem(pictures(scene / "color"))
    lacking = [path.stem for path in depth if path.stem not in rgb]
    if rgb and lacking:
        raise TruthError(f"{scene / 'color'} lacks the picture of frame {lacking[0]}; export the colours again.")
    calibration = scene / "intrinsic" / "intrinsic_depth.txt"
    matrix = matrix_file(calibration) if calibration.is_file() else None
    return Truth(
        name=scene.resolve().name,
        frame_numbers=_numbers(depth),
        read_depth=lambda index: depth_png(depth[index], 1000),
        matrix=None if matrix is None else matrix[:3, :3],
        poses=tuple(_pose(scene / "pose" / f"{path.stem}.txt") for path in depth),
        rgb_files=tuple(rgb[path.stem] for path in depth) if rgb else (),
    )


def _numbers(depth: list[Path]) -> tuple[int, ...]:
    """Those of the names, or of the places of files whose names are none."""
    return tuple(number_of(path) if path.stem.isdecimal() else index for index, path in enumerate(depth))


def _pose(path: Path) -> NDArray[np.float64] | None:
    return matrix_file(path) if path.is_file() else None
