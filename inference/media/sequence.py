"""Image sequences: numbered pictures in a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..job import Source, frame_number, sequence_key
from . import stills
from .errors import ClipError

FPS = 24.0
"""What a sequence plays at where nobody says."""


class Sequence:
    """An open image sequence; files outside what is read may be missing.

    Parameters
    ----------
    source : Source
        Of kind 'sequence'.

    Raises
    ------
    ClipError
        No file is there, or the first that is there is no picture.
    """

    def __init__(self, source: Source) -> None:
        folder = Path(source.path)
        self.path = source.path
        self._files = {frame_number(name): folder / name for name in source.files}
        self.first_frame, self.last_frame = min(self._files), max(self._files)
        found = next((file for file in self._files.values() if file.is_file()), None)
        if found is None:
            raise ClipError(
                f"None of the {len(self._files)} files of the sequence is in {folder}",
                "copy them there, or make the folder reachable from this machine",
            )
        first = stills.read(found)
        self._turns = (source.rotation or 0) // 90
        self._stored = first.shape
        self.linear = found.suffix.lower() in stills.LINEAR
        self._floating = first.dtype == np.float32
        self.height, self.width = first.shape[:2] if self._turns % 2 == 0 else first.shape[1::-1]
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
            picture = stills.read(file)
            if picture.shape != self._stored:
                raise ClipError(
                    f"Frame {number} ({file}) is {picture.shape[1]} x {picture.shape[0]} pixels and the sequence is "
                    f"{self._stored[1]} x {self._stored[0]}",
                    "render all frames at one size",
                )
            if (picture.dtype == np.float32) != self._floating:
                raise ClipError(
                    f"Frame {number} ({file}) mixes float and integer pictures in one sequence",
                    "render all frames in one format",
                )
            yield number, np.rot90(picture, -self._turns)

    def require(self, first: int, last: int) -> None:
        """Refuse (ClipError) a range of which a file is missing; the sentence names the frame and the file."""
        for number in range(first, last + 1):
            if not self._files[number].is_file():
                raise ClipError(
                    f"Frame {number} is missing: there is no file {self._files[number]}", "render or copy it again"
                )


def describe(path: Path) -> Source:
    """The source that a folder of frames, or one frame in it, is; see `source.describe`."""
    folder, names = (path, _of_folder(path)) if path.is_dir() else (path.parent, _siblings(path))
    numbers: dict[int, str] = {}
    for name in sorted(names, key=lambda name: (frame_number(name), name)):
        number = frame_number(name)
        if number in numbers:
            raise ClipError(
                f"{folder} has two files for frame {number}, {numbers[number]} and {name}", "move one of them away"
            )
        if numbers and number != max(numbers) + 1:
            raise ClipError(
                f"Frame {max(numbers) + 1} is missing from the sequence in {folder}: "
                f"after {numbers[max(numbers)]} comes {name}",
                "render or copy the missing frames",
            )
        numbers[number] = name
    return Source(kind="sequence", path=str(folder), files=tuple(numbers.values()))


def pictures(folder: Path) -> list[str]:
    """Names of the picture files in a folder, sorted; hidden files and other files are passed over."""
    try:
        entries = [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError as error:
        raise ClipError(
            f"{folder} cannot be read ({error.strerror})", "check the folder and its permissions"
        ) from error
    return sorted(n for n in entries if Path(n).suffix.lower() in stills.EXTENSIONS and not n.startswith("."))


def _of_folder(folder: Path) -> list[str]:
    names = pictures(folder)
    if not names:
        raise ClipError(f"{folder} has no pictures in it", "choose a folder of numbered frames, or a movie file")
    patterns = defaultdict(list)
    for name in names:
        patterns[sequence_key(name)].append(name)
    if len(patterns) > 1:
        shown = [files[0] for files in patterns.values()]
        raise ClipError(
            f"{folder} holds more than one sequence ({', '.join(shown[:4])}{', …' if len(shown) > 4 else ''})",
            "choose one frame of the sequence that you mean",
        )
    return names


def _siblings(file: Path) -> list[str]:
    pattern = sequence_key(file.name)
    return [name for name in pictures(file.parent) if sequence_key(name) == pattern] or [file.name]
