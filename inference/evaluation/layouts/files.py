"""Files that several layouts have in common."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...numbering import frame_number
from ..truth import TruthError, read_image

PICTURES = (".jpg", ".jpeg", ".png")


def depth_png(path: Path, per_metre: float) -> NDArray[np.float32]:
    """Depth in metres of a picture of 16 bits, 0 where it is 0.

    Raises
    ------
    TruthError
        It is missing, broken or of another kind.
    """
    values = read_image(path)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise TruthError(
            f"{path} is no grey picture of 16 bits ({values.dtype}, {' x '.join(map(str, values.shape))}); "
            "export the depth again."
        )
    return values.astype(np.float32) / np.float32(per_metre)


def pictures(folder: Path) -> list[Path]:
    """Picture files of a folder, sorted by their number."""
    return numbered(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)


def numbered(paths: Iterable[Path]) -> list[Path]:
    """Files sorted by the number in their name (2 before 10)."""
    return sorted(paths, key=lambda path: (frame_number(path.name), path.name))


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without its ending."""
    return {path.stem: path for path in paths}


def matrix_file(path: Path) -> NDArray[np.float64] | None:
    """A 4 x 4 matrix of numbers in a text file; None where it is not finite, as of frames without a pose.

    Raises
    ------
    TruthError
    """
    try:
        matrix = np.loadtxt(path, dtype=np.float64)
    except (OSError, ValueError) as error:
        raise TruthError(f"{path} cannot be read as a matrix ({error}); export it again.") from error
    if matrix.shape != (4, 4):
        raise TruthError(f"{path} holds no 4 x 4 matrix but {list(matrix.shape)}; export it again.")
    return matrix if np.isfinite(matrix).all() else None
