"""Matte images: white on dynamic objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.failures import ClipError
from ..contract import exr_windows, numbering
from . import pixels, sequence, stills


@dataclass(frozen=True, kw_only=True)
class Mattes:
    """Mattes by random access; ``mattes[i]`` is that of frame ``numbers[i]``."""

    files: tuple[Path, ...]
    numbers: range
    width: int
    height: int
    display: exr_windows.Box | None = None
    """Where the data of EXR files lies, where their data windows differ."""

    def __len__(self) -> int:
        return len(self.files)

    def by_frame(self) -> Iterator[tuple[int, Path]]:
        """Each frame's number and file."""
        return zip(self.numbers, self.files, strict=True)

    def __getitem__(self, index: int) -> NDArray[np.bool_]:
        """Bool [H, W], True where at least half of the pixel is white."""
        return matte(self.files[index], (self.width, self.height), self.display)

    def opacity(self, index: int) -> NDArray[np.float32]:
        """Float32 [H, W], 0 to 1: how white each pixel is."""
        return opacity(self.files[index], (self.width, self.height), self.display)


def matte(path: str | Path, size: tuple[int, int], display: exr_windows.Box | None = None) -> NDArray[np.bool_]:
    """One matte at a size (width, height): bool [H, W], True where at least half of the pixel is white.

    Transparent pixels are black.
    """
    return np.asarray(opacity(path, size, display) >= 0.5, bool)


def opacity(path: str | Path, size: tuple[int, int], display: exr_windows.Box | None = None) -> NDArray[np.float32]:
    """One matte at a size (width, height): float32 [H, W], 0 to 1. Transparent pixels are black."""
    image = pixels.as_float(stills.read(path, over_black=True, display=display)).mean(axis=2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32).clip(0, 1)


def mattes(folder: str | Path, first: int, last: int, size: tuple[int, int]) -> Mattes:
    """The mattes of the frames `first` to `last`, scaled to `size`.

    The folder has one numbered sequence of images with the source's frame numbers, which may be longer than the range.

    Raises
    ------
    ClipError
        A frame has no matte, or the folder has none at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ClipError(f"There is no folder of mattes {folder}", "choose one with an image for every frame")
    names = sequence.images(folder)
    try:
        files = {number: folder / name for number, name in numbering.by_frame(names).items()} if names else {}
    except numbering.NumberingError as error:
        raise ClipError(error.what, error.hint) from error
    for number in range(first, last + 1):
        if number not in files:
            raise ClipError(
                f"Frame {number} has no matte in {folder}", "render mattes with the clip's own frame numbers"
            )
    wanted = tuple(files[number] for number in range(first, last + 1))
    return Mattes(
        files=wanted,
        numbers=range(first, last + 1),
        width=size[0],
        height=size[1],
        display=exr_windows.shared_display(wanted),
    )
