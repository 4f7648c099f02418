"""Contact sheets, and temporal profiles: one row of a clip over time as an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import images

_COLUMNS, _WIDTH, _GAP, _TEXT, _TITLE = 3, 480, 12, 30, 52
_BACKGROUND = 24


@dataclass(frozen=True)
class Cell:
    """An image uint8 [H, W, 3] and its caption."""

    image: NDArray[np.uint8]
    text: str


def write(path: Path, cells: list[Cell], *, title: str) -> None:
    """Write a sheet of cells, three to a row, each with its text below."""
    fitted = [images.resize(cell.image, _WIDTH) for cell in cells]
    rows = [fitted[i : i + _COLUMNS] for i in range(0, len(fitted), _COLUMNS)]
    heights = [max(image.shape[0] for image in row) for row in rows]
    width = _COLUMNS * (_WIDTH + _GAP) + _GAP
    canvas = np.full((_TITLE + sum(heights) + len(rows) * _TEXT + _GAP, width, 3), _BACKGROUND, np.uint8)
    texts = [(_GAP, 34, 22, title)]
    top = _TITLE
    for row, height, first in zip(rows, heights, range(0, len(cells), _COLUMNS), strict=True):
        for column, image in enumerate(row):
            left = _GAP + column * (_WIDTH + _GAP)
            canvas[top : top + image.shape[0], left : left + _WIDTH] = image
            texts.append((left, top + height + 20, 15, cells[first + column].text))
        top += height + _TEXT
    images.write_png(path, canvas)
    images.label(path, texts)


def over_time(rows: list[NDArray[np.uint8]], *, height: int) -> NDArray[np.uint8]:
    """The same row of frame after frame, from the first at the top to the last.

    A static surface under a moving camera makes a smooth, slanted stripe; flickering depth makes steps.

    Parameters
    ----------
    rows : list of uint8 [W, 3]
    height : int
        Of the result, in pixels.

    Returns
    -------
    uint8 [height, W, 3]
    """
    return np.stack(rows)[np.arange(height) * len(rows) // height]
