"""Files that several layouts have in common."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ...numbering import frame_number
from ..truth import LARGEST_TEXT, TruthError, content, read_image

_LARGEST_MATRIX = 1 << 16
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


def number_of(path: Path) -> int:
    """The number that a file's name is.

    Raises
    ------
    TruthError
        It is none.
    """
    if not (path.stem.isascii() and path.stem.isdecimal()):
        raise TruthError(f"{path} has no number for its name; extract the files again as the set has them.")
    return int(path.stem)


def lines_of(path: Path, *, again: str, most: int = LARGEST_TEXT) -> list[str]:
    """The lines of a text file.

    Raises
    ------
    TruthError
    """
    try:
        return content(path, again=again, most=most).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise TruthError(f"{path} is no text; {again}.") from error


def inside(folder: Path, name: str, *, where: Path) -> Path:
    """A file in a folder, by the name that another file has for it.

    Raises
    ------
    TruthError
        The name leads elsewhere.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or any(letter in name for letter in "\\:\0"):
        raise TruthError(f"{where} names a file outside of its folder ({name}); extract the clip again.")
    return folder / parts


def matrix_file(path: Path) -> NDArray[np.float64] | None:
    """A 4 x 4 matrix of numbers in a text file; None where it is not finite, as of frames without a pose.

    Raises
    ------
    TruthError
    """
    lines = lines_of(path, again="export it again", most=_LARGEST_MATRIX)
    try:
        matrix = np.loadtxt(io.StringIO("\n".join(lines or ["0"])), dtype=np.float64, max_rows=5)
    except ValueError as error:
        raise TruthError(f"{path} cannot be read as a matrix ({error}); export it again.") from error
    if matrix.shape != (4, 4):
        raise TruthError(f"{path} holds no 4 x 4 matrix but {list(matrix.shape)}; export it again.")
    return matrix if np.isfinite(matrix).all() else None
