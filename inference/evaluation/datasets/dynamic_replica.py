"""Dynamic Replica (Karaev et al. 2023), as its own script extracts it: rooms with people and animals that move.

A folder a view of a sequence, ``<sequence>_source_left`` and ``…_right``, with ``images/<view>-0000.png`` and
``depths/<view>_0000.geometric.png``: 16 bits whose bits are those of a half float, as PyTorch3D's Implicitron keeps
depth. Values that are 0 or not finite are unknown. The set does not say in which unit depth is; only ratios are used of
it in training. Cameras, in ``frame_annotations_*.jgz``, are not read. The subset ``real`` has estimated depth, so it is
no ground truth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...contract.numbering import frame_number
from .ground_truth import GroundTruth, GroundTruthError, images, numbered, read_image

_DEPTH = "*.geometric.png"


def open_clips(root: Path) -> list[GroundTruth]:
    """Every view of every sequence, by name: of the set, of one of its splits, or the single one at `root`."""
    if (root / "depths").is_dir():
        return [_open(root)]
    views = sorted(path.parent for depth in ("*/depths", "*/*/depths") for path in root.glob(depth) if path.is_dir())
    if not views:
        raise GroundTruthError(
            f"{root} has no <sequence>/depths/{_DEPTH}; choose the folder that the set's script extracted a split to."
        )
    return [_open(view) for view in views]


def _open(view: Path) -> GroundTruth:
    depth, rgb = numbered((view / "depths").glob(_DEPTH)), images(view / "images")
    if not depth:
        raise GroundTruthError(f"{view / 'depths'} has no {_DEPTH} in it; extract the sequence again.")
    numbers, others = ([_number(path) for path in paths] for paths in (depth, rgb))
    if numbers != others:
        raise GroundTruthError(
            f"{view} has {len(depth)} depth images and {len(rgb)} images, whose numbers differ; extract the sequence "
            "again."
        )
    return GroundTruth(
        name=view.resolve().name,
        frame_numbers=tuple(range(len(depth))),
        read_depth=lambda index: _half_floats(depth[index]),
        rgb_files=tuple(rgb),
        depth_files=tuple(depth),
    )


def _number(path: Path) -> int:
    return frame_number(path.name.removesuffix(".geometric.png") if path.parent.name == "depths" else path.name)


def _half_floats(path: Path) -> NDArray[np.float32]:
    bits = read_image(path)
    if bits.dtype != np.uint16 or bits.ndim != 2:
        raise GroundTruthError(
            f"{path} is not a 16-bit grayscale image ({bits.dtype}, {' x '.join(map(str, bits.shape))}); extract the "
            "sequence again."
        )
    depth = np.ascontiguousarray(bits).view(np.float16).astype(np.float32)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))
