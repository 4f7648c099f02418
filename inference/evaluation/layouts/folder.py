"""The layout ``folder``: our own, and that of every clip rendered by the project.

A folder with ``depth/%05d.png`` (16 bits, planar Z in millimetres, 0 where there is no measurement),
``camera.json`` (``width``, ``height``, ``fx``, ``fy``, ``cx``, ``cy`` with pixel centres at integers, and ``frames``,
each with ``c2w_opencv``, the camera-to-world matrix in metres with OpenCV's axes, or null) and, each where it is
known, ``rgb/%05d.jpg`` or ``.png``, ``dynamic/%05d.png`` (above 127: moving on its own; without the folder nothing
moves) and ``flow/%05d.exr`` (see `flow_file`), for every frame but the last.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..flow_file import read_flow
from ..truth import Truth, TruthError, read_image
from .files import PICTURES, depth_png


def open_clips(root: Path) -> list[Truth]:
    """The clip that a folder is, or the clips in its folders, by name; hidden ones are not finished.

    Raises
    ------
    TruthError
    """
    if (root / "depth").is_dir() or (root / "camera.json").exists() or not root.is_dir():
        return [open_clip(root)]
    folders = sorted(path for path in root.iterdir() if (path / "depth").is_dir() and not path.name.startswith("."))
    return [open_clip(folder) for folder in folders] or [open_clip(root)]


def open_clip(folder: Path) -> Truth:
    """Open one clip.

    Raises
    ------
    TruthError
    """
    depth = tuple(sorted((folder / "depth").glob("*.png")))
    if not depth:
        raise TruthError(f"{folder} has no depth/*.png; give a folder with 16-bit depth pictures in millimetres.")
    dynamic = tuple(sorted((folder / "dynamic").glob("*.png")))
    rgb = tuple(path for path in sorted((folder / "rgb").glob("*")) if path.suffix.lower() in PICTURES)
    _match(folder, len(depth), dynamic=len(dynamic), rgb=len(rgb))
    matrix, poses = _camera(folder, len(depth))

    def moving(index: int) -> NDArray[np.bool_]:
        if not dynamic:
            return np.zeros(depth_png(depth[index], 1000).shape, bool)
        return read_image(dynamic[index], cv2.IMREAD_GRAYSCALE) > 127

    def flow(index: int) -> NDArray[np.float32] | None:
        file = folder / "flow" / f"{depth[index].stem}.exr"
        return read_flow(file) if index + 1 < len(depth) else None

    return Truth(
        name=folder.resolve().name,
        frame_numbers=tuple(range(len(depth))),
        read_depth=lambda index: depth_png(depth[index], 1000),
        read_moving=moving,
        read_flow=flow if (folder / "flow").is_dir() else None,
        matrix=matrix,
        poses=poses,
        rgb_files=rgb,
    )


def _match(folder: Path, depth: int, *, dynamic: int, rgb: int) -> None:
    if dynamic not in {0, depth}:
        raise TruthError(f"{folder} has {depth} depth pictures and {dynamic} dynamic masks; make them match.")
    if rgb not in {0, depth}:
        raise TruthError(f"{folder} has {depth} depth pictures and {rgb} pictures in rgb; make them match.")


def _camera(folder: Path, count: int) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64] | None, ...]]:
    file = folder / "camera.json"
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        matrix = np.array([[data["fx"], 0, data["cx"]], [0, data["fy"], data["cy"]], [0, 0, 1]], np.float64)
        poses = tuple(
            None if frame["c2w_opencv"] is None else np.array(frame["c2w_opencv"], np.float64).reshape(4, 4)
            for frame in data["frames"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TruthError(f"{file} cannot be read ({error!r}); see the layout in docs/parallax.md.") from error
    if len(poses) != count:
        raise TruthError(f"{folder} has {count} depth pictures and {len(poses)} poses; make them match.")
    return matrix, poses
