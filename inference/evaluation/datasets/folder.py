"""The layout ``folder``: Fathom's own, which all clips rendered by the project have.

A folder with ``depth/%05d.png`` (16 bits, planar Z in millimeters, 0 where there is no measurement),
``camera.json`` (``width``, ``height``, ``fx``, ``fy``, ``cx``, ``cy`` with pixel centers at integers, and ``frames``,
each with ``c2w_opencv``, the camera-to-world matrix in meters with OpenCV's axes, or null) and, optionally,
``rgb/%05d.jpg`` or ``.png``, ``dynamic/%05d.png`` (white: dynamic object, of any size; without the folder
there is none) and ``flow/%05d.exr`` (see `flow_file`), for every frame but the last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...contract.numbering import frame_number
from ...media.mattes import matte
from .flow_file import read_flow
from .ground_truth import GroundTruth, GroundTruthError, content, depth_png, images, numbered

_CAMERA = "write fx, fy, cx, cy and, for every frame, c2w_opencv, as described in docs/parallax.md"
_SINGULAR = 1e-9  # determinant below which a matrix is not camera-to-world


def open_clips(root: Path) -> list[GroundTruth]:
    """The clip in a folder, or the clips in its subfolders, by name; hidden ones are unfinished and skipped."""
    if (root / "depth").is_dir() or (root / "camera.json").exists() or not root.is_dir():
        return [open_clip(root)]
    folders = sorted(path for path in root.iterdir() if (path / "depth").is_dir() and not path.name.startswith("."))
    return [open_clip(folder) for folder in folders] or [open_clip(root)]


def open_clip(folder: Path) -> GroundTruth:
    """Open one clip."""
    depth = tuple(numbered((folder / "depth").glob("*.png")))
    if not depth:
        raise GroundTruthError(f"{folder} has no depth/*.png; choose a folder with 16-bit depth images in millimeters.")
    dynamic, rgb = tuple(numbered((folder / "dynamic").glob("*.png"))), tuple(images(folder / "rgb"))
    _match(folder, depth, dynamic, "dynamic masks")
    _match(folder, depth, rgb, "images in rgb")
    matrix, poses, size = _camera(folder, len(depth))

    def read_depth(index: int) -> NDArray[np.float32]:
        values = depth_png(depth[index], 1000)
        return values if size is None else _of_size(values, size, depth[index])

    def size_of(index: int) -> tuple[int, int]:
        """Width and height, by the camera or, without one there, by the depth."""
        if size is not None:
            return size
        height, width = read_depth(index).shape
        return width, height

    def moving(index: int) -> NDArray[np.bool_]:
        return matte(dynamic[index], size_of(index)) if dynamic else np.zeros(size_of(index)[::-1], bool)

    def flow(index: int) -> NDArray[np.float32] | None:
        file = folder / "flow" / f"{depth[index].stem}.exr"
        if index + 1 >= len(depth):
            return None
        return _of_size(read_flow(file), size_of(index), file)

    return GroundTruth(
        name=folder.resolve().name,
        frame_numbers=tuple(range(len(depth))),
        read_depth=read_depth,
        read_moving=moving,
        read_flow=flow if (folder / "flow").is_dir() else None,
        matrix=matrix,
        poses=poses,
        rgb_files=rgb,
        depth_files=depth,
    )


def _match(folder: Path, depth: Sequence[Path], others: Sequence[Path], what: str) -> None:
    if not others:
        return
    if len(others) != len(depth):
        raise GroundTruthError(f"{folder} has {len(depth)} depth images and {len(others)} {what}; make them match.")
    apart = frame_number(others[0].name) - frame_number(depth[0].name)
    for one, other in zip(depth, others, strict=True):
        if frame_number(other.name) - frame_number(one.name) != apart:
            raise GroundTruthError(
                f"{folder} has {other.parent.name}/{other.name} for {one.parent.name}/{one.name}; give the files "
                "of one frame the same number."
            )


def _of_size(values: NDArray[np.float32], size: tuple[int, int], path: Path) -> NDArray[np.float32]:
    height, width = values.shape[:2]
    if (width, height) != size:
        raise GroundTruthError(
            f"{path} is {width} x {height} pixels and the clip's depth {size[0]} x {size[1]}; resize one of them."
        )
    return values


Poses = tuple[NDArray[np.float64] | None, ...]


def _camera(folder: Path, count: int) -> tuple[NDArray[np.float64], Poses, tuple[int, int] | None]:
    """Calibration, camera-to-world of each frame, and (width, height) of the depth if the file has it."""
    file = folder / "camera.json"
    text = content(file, again=_CAMERA)
    try:
        data: dict[str, Any] = json.loads(text.decode("utf-8"))
        if len(data["frames"]) != count:
            raise GroundTruthError(
                f"{folder} has {count} depth images and {len(data['frames'])} poses; make them match."
            )
        matrix = np.array([[data["fx"], 0, data["cx"]], [0, data["fy"], data["cy"]], [0, 0, 1]], np.float64)
        poses = tuple(
            None if frame["c2w_opencv"] is None else np.array(frame["c2w_opencv"], np.float64).reshape(4, 4)
            for frame in data["frames"]
        )
        size = (int(data["width"]), int(data["height"])) if {"width", "height"} <= data.keys() else None
    except GroundTruthError:
        raise
    except json.JSONDecodeError as error:
        raise GroundTruthError(f"{file} is not JSON ({error}); {_CAMERA}.") from error
    except KeyError as error:
        raise GroundTruthError(f"{file} has no {error}; {_CAMERA}.") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise GroundTruthError(f"{file} is not a camera file ({error}); {_CAMERA}.") from error
    if not (np.isfinite(matrix).all() and matrix[0, 0] and matrix[1, 1]):
        raise GroundTruthError(
            f"{file} has a calibration of 0 or of no finite number; write fx, fy, cx and cy in pixels."
        )
    for index, pose in enumerate(poses):
        if pose is not None and not (np.isfinite(pose).all() and abs(np.linalg.det(pose)) > _SINGULAR):
            raise GroundTruthError(
                f"{file} has no camera-to-world matrix for frame {index}; write null where it is unknown."
            )
    return matrix, poses, size
