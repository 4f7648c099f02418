"""MPI Sintel (Butler et al. 2012) with its depth package, as extracted from their archives.

``training/depth/<clip>/frame_0001.dpt``, images in ``training/clean`` or ``training/final`` (``frame_0001.png``),
cameras in ``training/camdata_left/<clip>/frame_0001.cam`` and flow in ``training/flow/<clip>/frame_0001.flo``. The
last two may be missing. All four formats begin with the float 202021.25, little endian.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .ground_truth import GroundTruth, GroundTruthError, by_stem, content, images, numbered

_TAG = np.float32(202021.25)
_SINGULAR = 1e-9  # determinant below which a camera matrix is singular
_LARGEST = 1 << 29
"""Largest file in bytes: a flow of 8192 x 8192 pixels."""


def open_clips(root: Path, *, rendering: str = "clean") -> list[GroundTruth]:
    """Every sequence with depth in the set or its ``training`` folder, or the one in ``training/depth/<clip>``."""
    if any(root.glob("*.dpt")):
        return [_open(root, root.parent.parent, rendering)]
    base = root / "training" if (root / "training").is_dir() else root
    folders = sorted(path for path in (base / "depth").glob("*") if any(path.glob("*.dpt")))
    if not folders:
        raise GroundTruthError(
            f"{root} has no training/depth/<clip>/*.dpt; extract Sintel's depth package beside its images."
        )
    return [_open(folder, base, rendering) for folder in folders]


def _open(folder: Path, base: Path, rendering: str) -> GroundTruth:
    depth = numbered(folder.glob("*.dpt"))
    rgb = by_stem(images(base / rendering / folder.name))
    cameras = by_stem((base / "camdata_left" / folder.name).glob("*.cam"))
    flows = by_stem((base / "flow" / folder.name).glob("*.flo"))
    stems = [path.stem for path in depth]
    missing = [stem for stem in stems if stem not in rgb]
    if rgb and missing:
        raise GroundTruthError(
            f"{base / rendering / folder.name} has no image {missing[0]}; extract the set's images again."
        )
    views = [_camera(cameras[stem]) if stem in cameras else None for stem in stems]
    first = next((view for view in views if view is not None), None)
    # poses of frames with another lens are dropped: one calibration serves all
    views = [
        view if view is not None and first is not None and np.allclose(view[0], first[0]) else None for view in views
    ]

    def flow(index: int) -> NDArray[np.float32] | None:
        return read_flo(flows[stems[index]]) if stems[index] in flows and index + 1 < len(stems) else None

    return GroundTruth(
        name=folder.name,
        frame_numbers=tuple(range(len(depth))),
        read_depth=lambda index: read_dpt(depth[index]),
        read_flow=flow if flows else None,
        matrix=None if first is None else first[0],
        poses=tuple(None if view is None else view[1] for view in views),
        rgb_files=tuple(rgb[stem] for stem in stems) if rgb else (),
    )


def read_dpt(path: Path) -> NDArray[np.float32]:
    """Depth in meters [H, W]: the tag, width and height as int32, then rows of float32."""
    width, height, values = _tagged(path, 1)
    return values.reshape(height, width)


def read_flo(path: Path) -> NDArray[np.float32]:
    """Flow [H, W, 2]: as `read_dpt` with two values a pixel; NaN where the file says 1e9 or more (unknown)."""
    width, height, values = _tagged(path, 2)
    flow = values.reshape(height, width, 2)
    return np.where(np.abs(flow) < 1e9, flow, np.float32(np.nan))


def _tagged(path: Path, channels: int) -> tuple[int, int, NDArray[np.float32]]:
    data = _bytes(path)
    if len(data) >= 12:
        width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, 4))
        if width > 0 and height > 0 and len(data) == 12 + 4 * channels * width * height:
            return width, height, np.frombuffer(data, "<f4", offset=12)
    raise GroundTruthError(f"{path} is truncated or declares a wrong size; extract it again.")


def _camera(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calibration, and camera-to-world: the file has the former and world-to-camera [3, 4], in float64."""
    data = _bytes(path)
    if len(data) != 4 + 8 * (9 + 12):
        raise GroundTruthError(f"{path} is truncated or declares a wrong size; extract it again.")
    matrix = np.frombuffer(data, "<f8", 9, 4).reshape(3, 3).copy()
    world = np.vstack([np.frombuffer(data, "<f8", 12, 4 + 72).reshape(3, 4), [0, 0, 0, 1]])
    turns = np.isfinite(world).all() and np.isfinite(matrix).all() and abs(np.linalg.det(world)) > _SINGULAR
    if not (turns and matrix[0, 0] and matrix[1, 1]):
        raise GroundTruthError(f"{path} has no valid camera; extract it again.")
    return matrix, np.linalg.inv(world)


def _bytes(path: Path) -> bytes:
    data = content(path, again="extract it again", most=_LARGEST)
    if len(data) < 4 or np.frombuffer(data, "<f4", 1)[0] != _TAG:
        raise GroundTruthError(f"{path} does not begin with Sintel's tag 202021.25; extract it again.")
    return data
