"""The maps of one shot: those in a folder, and learned ones, which complete an estimator or take its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.failures import unwritable
from ..common.percentiles import Percentiles
from ..contract import events, own_files
from ..contract.camera import Camera
from ..contract.depth_sequence import Quantity, confidence_name, disparity_name
from ..depth_maps.sequence_maps import SequenceMaps
from ..estimators.base import Frames, Writer
from ..media.exr import read_map, write_map
from .output import Output, are_there, map_names, sound_maps


class ShotMaps:
    """The maps of one shot in a folder, including those of an earlier run unless they are damaged.

    Parameters
    ----------
    out : Output
        Counts each final map.
    confidence : bool
        Whether there are confidence maps.
    folder : Path
        `Output.maps`, or a folder for maps that are yet to be upsampled.
    numbers : sequence of int
        The shot's frames.
    size : (width, height)
    check : callable
        Called between two frames that are read; raises to cancel.
    whole : bool
        Whether the shot is completed here, so that written maps are read: damaged ones are made again, and the others
        count. Otherwise those that are there are left to who does.

    Attributes
    ----------
    numbers : sequence of int
    there : set of int
        The frames whose maps are all written.
    value_range : Percentiles
        Percentiles of the written disparity maps.
    """

    def __init__(
        self,
        out: Output,
        folder: Path,
        numbers: Sequence[int],
        size: tuple[int, int],
        *,
        confidence: bool,
        check: Callable[[], None],
        whole: bool = True,
    ) -> None:
        self._out, self._folder, self.numbers, self._size = out, folder, numbers, size
        self._confidence = confidence
        self._final = folder == out.maps
        self.value_range, self.there = Percentiles(), set[int]()
        folder.mkdir(exist_ok=True)
        if not whole:
            there = {each.name for each in os.scandir(folder) if each.is_file(follow_symlinks=False)}
            self.there = {number for number in numbers if there.issuperset(self._names(number))}
            return
        for number in numbers:
            if not are_there(folder, number, confidence=confidence):
                continue
            check()
            maps = sound_maps(folder, number, size=size, confidence=confidence)
            if maps is None:
                (folder / disparity_name(number)).unlink()
            else:
                self._count(number, maps[0])

    def read(self, number: int) -> tuple[NDArray[np.float32], ...]:
        """A frame's disparity [H, W] and, if there is one, its confidence.

        Raises
        ------
        ClipError
            One of them is damaged or has another size.
        """
        return tuple(read_map(self._folder / name, size=self._size) for name in self._names(number))

    def confidence(self, number: int) -> NDArray[np.float32]:
        """A frame's confidence alone."""
        return read_map(self._folder / confidence_name(number), size=self._size)

    def write(self, number: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None) -> None:
        """Write a frame's maps [H, W], the disparity last, unless they are written already."""
        if number in self.there:
            return
        size = 0
        for name, values in ((confidence_name(number), confidence), (disparity_name(number), disparity)):
            if values is None:
                continue
            path = self._folder / name
            try:
                with own_files.atomic(path, via=self._out.scratch) as temporary:
                    write_map(temporary, values)
                    size += temporary.stat().st_size
            except OSError as error:
                raise unwritable(error, path, needed_bytes=self._out.needed_bytes()) from error
        self._count(number, disparity)
        if self._final:
            self._out.wrote(size)
            self._out.emit(events.Frame(number=number, path=str(self._folder / disparity_name(number))))

    def files(self, numbers: Sequence[int]) -> list[Path]:
        """The files of the maps that some frames have."""
        return [self._folder / name for number in numbers if number in self.there for name in self._names(number)]

    def missing(self) -> list[int]:
        """The frames without maps."""
        return [number for number in self.numbers if number not in self.there]

    def drop(self) -> None:
        """Remove all maps."""
        for number in sorted(self.there):
            for name in self._names(number):
                (self._folder / name).unlink(missing_ok=True)
        if self._final:
            self._out.meter.frames_done(-len(self.there))
        self.there.clear()

    def _count(self, number: int, disparity: NDArray[np.float32]) -> None:
        self.value_range.add(disparity)
        self.there.add(number)
        if self._final:
            self._out.meter.frames_done(1)

    def _names(self, number: int) -> list[str]:
        return map_names(number, confidence=self._confidence)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Maps of a network, or of another depth sequence; an `estimators.base.LearnedDepth`.

    Attributes
    ----------
    maps : callable
        Index of a frame to its map [h, w].
    estimators : tuple of str
        Their names, for ``depth.json``.
    label : str
        Name for the artist.
    quantity : Quantity
    camera : Camera or None
        With a pose for every frame.
    """

    maps: Callable[[int], NDArray[np.float32]]
    estimators: tuple[str, ...]
    label: str
    quantity: Quantity
    camera: Camera | None = None

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        return self.maps(index)

    def write_all(self, frames: Frames, write: Writer, *, confidence: bool, check: Callable[[], None]) -> None:
        """Write all maps at the size of the frames; confidence, where it is wanted, is 0: nothing was measured."""
        size = (frames.width, frames.height)
        nothing = np.zeros((frames.height, frames.width), np.float32) if confidence else None
        for index in range(len(frames)):
            check()
            values = self.maps(index)
            if values.shape != size[::-1]:
                shrinks = values.shape[0] > frames.height
                values = cv2.resize(values, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            write(index, values, nothing)


def of_sequence(maps: SequenceMaps) -> Learned:
    """The depth of a depth sequence."""
    return Learned(
        maps=maps.disparity,
        estimators=maps.estimators,
        label=f"the depth sequence of {maps.sequence.estimator}",
        quantity=maps.quantity,
        camera=maps.camera,
    )
