"""Ground truth on disk: depth, camera path and masks of moving objects.

The layout is a folder with ``depth/%05d.png`` (16 bits, planar Z in millimetres, 0 where there is no measurement),
``camera.json`` (``width``, ``height``, ``fx``, ``fy``, ``cx``, ``cy`` with pixel centres at integers, and ``frames``,
each with ``c2w_opencv``, the camera-to-world matrix in metres with OpenCV's axes, or null) and, where something moves,
``dynamic/%05d.png`` (above 127: moving).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


class TruthError(ValueError):
    """Ground truth that cannot be read; the message is one sentence with the cure."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Ground truth of a clip, read frame by frame.

    Attributes
    ----------
    depth_files : tuple of Path
    dynamic_files : tuple of Path
        As many, or none where nothing moves.
    matrix : float64 [3, 3]
        Calibration in the depth pictures' pixels.
    poses : tuple of float64 [4, 4] or None
        Camera-to-world per frame.
    """

    depth_files: tuple[Path, ...]
    dynamic_files: tuple[Path, ...]
    matrix: NDArray[np.float64]
    poses: tuple[NDArray[np.float64] | None, ...]

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.depth_files)

    def depth(self, index: int) -> NDArray[np.float32]:
        """Z [H, W] in metres, 0 where it is not known."""
        return np.asarray(_picture(self.depth_files[index], cv2.IMREAD_UNCHANGED), np.float32) / np.float32(1000)

    def moving(self, index: int) -> NDArray[np.bool_]:
        """Where an object moves on its own [H, W]."""
        if not self.dynamic_files:
            return np.zeros(self.depth(index).shape, bool)
        return _picture(self.dynamic_files[index], cv2.IMREAD_GRAYSCALE) > 127


def open_truth(folder: str | Path) -> Truth:
    """Open a folder of ground truth.

    Raises
    ------
    TruthError
    """
    folder = Path(folder)
    depth = tuple(sorted((folder / "depth").glob("*.png")))
    if not depth:
        raise TruthError(f"{folder} has no depth/*.png; give a folder with 16-bit depth pictures in millimetres.")
    dynamic = tuple(sorted((folder / "dynamic").glob("*.png")))
    if dynamic and len(dynamic) != len(depth):
        raise TruthError(f"{folder} has {len(depth)} depth pictures and {len(dynamic)} dynamic masks; make them match.")
    file = folder / "camera.json"
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        matrix = np.array([[data["fx"], 0, data["cx"]], [0, data["fy"], data["cy"]], [0, 0, 1]], np.float64)
        poses = tuple(
            None if frame["c2w_opencv"] is None else np.array(frame["c2w_opencv"], np.float64).reshape(4, 4)
            for frame in data["frames"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TruthError(f"{file} cannot be read ({error!r}); see the layout in docs/parallax.md.") from error
    if len(poses) != len(depth):
        raise TruthError(f"{folder} has {len(depth)} depth pictures and {len(poses)} poses; make them match.")
    return Truth(depth_files=depth, dynamic_files=dynamic, matrix=matrix, poses=poses)


def _picture(path: Path, flags: int) -> NDArray[Any]:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise TruthError(f"{path} is no readable picture; restore the file.")
    return picture
