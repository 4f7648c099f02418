"""Image sequences: numbered images in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..common.failures import ClipError
from ..contract import exr_windows, numbering
from ..contract.job import Source
from ..contract.numbering import NumberingError
from . import aspect, color_tags, exr, lens_tags, stills

FPS = 24.0
"""Frame rate of a sequence unless the job sets one."""


class Sequence:
    """An open image sequence; files outside of what is read may be missing, unreadable or of another size.

    The size of the frames `first` to `last` is the sequence's. Where their EXR files differ in data windows, each is
    placed in the display window, black outside.
    """

    def __init__(self, source: Source, first: int | None = None, last: int | None = None) -> None:
        folder = Path(source.path)
        self.path = source.path
        try:
            self._files = {number: folder / name for number, name in numbering.by_frame(source.files).items()}
        except NumberingError as error:
            raise ClipError(error.what, error.hint) from error
        self.first_frame, self.last_frame = min(self._files), max(self._files)
        wanted = within(self._files, first, last)
        found = next((file for file in (*wanted.values(), *self._files.values()) if file.is_file()), None)
        if found is None:
            raise ClipError(
                f"None of the {len(self._files)} files of the sequence is in {folder}",
                "copy them there, or make the folder reachable from this machine",
            )
        self._display = exr_windows.shared_display(wanted.values()) or _display_told(found, source)
        image = stills.read(found, display=self._display)
        self._turns = (source.rotation or 0) // 90
        self._stored = image.shape
        self.linear = found.suffix.lower() in stills.LINEAR
        self.color_tag = color_tags.of_still(found)
        self.lens_tag = lens_tags.of_stills(list(wanted.values()))
        header = exr.read_header(found) if found.suffix.lower() == ".exr" else {}
        squeezed = aspect.warning(self.path, header.get("pixelAspectRatio"))
        self.warnings: tuple[str, ...] = () if squeezed is None else (squeezed,)
        self.deep_still = image.dtype != np.uint8
        self._floating = image.dtype == np.float32
        self.height, self.width = image.shape[:2] if self._turns % 2 == 0 else image.shape[1::-1]
        self.fps = source.fps or FPS

    def read(self, first: int, last: int) -> Iterator[tuple[int, NDArray]]:
        """Yield the frames `first` to `last` as [H, W, 3] uint8, uint16 or float32 in the files' own encoding.

        Raises
        ------
        ClipError
            A frame is missing, unreadable, or of another size or kind than the first.
        """
        self.require(first, last)  # before the first is handed out: the run would stop at the missing one anyway
        for number in range(first, last + 1):
            file = self._files[number]
            check = partial(self._check_size, number)
            image = stills.read(file, display=self._display, accept=check)
            check(image.shape[1], image.shape[0])
            if (image.dtype == np.float32) != self._floating:
                raise ClipError(
                    f"Frame {number} ({file}) mixes float and integer images in one sequence",
                    "render all frames in one format",
                )
            yield number, np.rot90(image, -self._turns)

    def _check_size(self, number: int, width: int, height: int) -> None:
        if (height, width) != self._stored[:2]:
            raise ClipError(
                f"Frame {number} ({self._files[number]}) is {width} x {height} pixels and the sequence is "
                f"{self._stored[1]} x {self._stored[0]}",
                "render all frames at one size",
            )

    def require(self, first: int, last: int) -> None:
        """Reject (ClipError) a range with a missing file; the sentence names the frame and the file."""
        for number in range(first, last + 1):
            if number not in self._files:
                raise ClipError(
                    f"Frame {number} is missing from the sequence in {self.path}", "render or copy it again"
                )
            if not self._files[number].is_file():
                raise ClipError(
                    f"Frame {number} is missing: there is no file {self._files[number]}", "render or copy it again"
                )


def _display_told(file: Path, source: Source) -> exr_windows.Box | None:
    """The display window of a file, if the source has its size; some frames may have equal data windows."""
    windows = exr_windows.of_file(file) if file.suffix.lower() == ".exr" else None
    told = (source.width, source.height)
    if windows is None or exr_windows.size(windows.display) != told:
        return None
    return windows.display if all(exr_windows.size(box) != told for box in windows.data) else None


def within(files: dict[int, Path], first: int | None, last: int | None) -> dict[int, Path]:
    """The files of the frames `first` to `last`, both included; None: the ends."""
    return {n: f for n, f in files.items() if (first is None or n >= first) and (last is None or n <= last)}


def describe(path: Path, first: int | None = None, last: int | None = None) -> Source:
    """The source for a folder of frames, or for one frame in it; see `source.describe`."""
    folder = path if path.is_dir() else path.parent
    names = images(folder)
    try:
        files = numbering.of_folder(names, folder) if path.is_dir() else numbering.around(path.name, names)
        numbering.check(files, folder, first, last)
    except NumberingError as error:
        raise ClipError(error.what, error.hint) from error
    return Source(kind="sequence", path=str(folder), files=tuple(files))


def images(folder: Path) -> list[str]:
    """Names of the image files in a folder, sorted; hidden files and other files are ignored."""
    try:
        entries = [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError as error:
        raise ClipError(
            f"{folder} cannot be read ({error.strerror})", "check the folder and its permissions"
        ) from error
    return sorted(n for n in entries if Path(n).suffix.lower() in stills.EXTENSIONS and not n.startswith("."))
