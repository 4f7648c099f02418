"""A clip: its frames in order, as display-referred images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.failures import ClipError
from ..contract.job import Source
from . import color, color_tags, interlacing, pixels
from .movie import Movie
from .sequence import Sequence


class Clip:
    """An open clip; use it in a ``with`` statement.

    Attributes
    ----------
    source : Source
    first_frame, last_frame : int
        In Blender's numbering, both included.
    width, height : int
        Displayed size in pixels, after rotation.
    fps : float
    colorspace : str
        Name of the plate's color space.
    lens_tag : LensTag or None
        The focal length that its files name.
    warnings : tuple of str
        One sentence each on problems of the clip that do not prevent its use.
    """

    def __init__(self, source: Source, first: int | None = None, last: int | None = None) -> None:
        movie = source.kind == "movie"
        self._frames: Movie | Sequence = Movie(source) if movie else Sequence(source, first, last)
        self.source = source
        self.first_frame, self.last_frame = self._frames.first_frame, self._frames.last_frame
        self.width, self.height = self._frames.width, self._frames.height
        self.fps, self.lens_tag = self._frames.fps, self._frames.lens_tag
        for name, told, found in (("width", source.width, self.width), ("height", source.height, self.height)):
            if told is not None and told != found:
                raise ClipError(
                    f"{source.path} has a {name} of {found} pixels but Blender shows {told}",
                    "reload the clip in Blender, then estimate again",
                )
        self.colorspace, warning = color_tags.space_of(
            source, self._frames.color_tag, default=color.LINEAR if self._frames.linear else color.SRGB
        )
        self.warnings = (*self._frames.warnings, *([] if warning is None else [warning]))
        self._weave, self._woven_to = interlacing.Weave(), self.first_frame - 1
        self._to_display: Callable[[NDArray[np.float32]], NDArray[np.float32]] = color.to_display(
            self.colorspace, source.ocio_config, deep_still=self._frames.deep_still
        )

    def read(
        self, first: int | None = None, last: int | None = None, *, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield ``(number, image)`` from frame `first` to `last`, both included; None: the clip's ends.

        Images are float32 [H, W, 3], RGB, sRGB-encoded, in [0, 1], scaled to `size` (width, height; area average, in
        the plate's own encoding) unless that is None.

        Raises
        ------
        ClipError
            The range is not in the clip, or a frame cannot be read; frames before it have been yielded.
        """
        first = self.first_frame if first is None else first
        last = self.last_frame if last is None else last
        self._check_range(first, last)
        return self._images(first, last, size)

    def require(self, first: int, last: int) -> None:
        """Check that the clip has the frames `first` to `last`, as far as possible without reading them."""
        self._check_range(first, last)
        if isinstance(self._frames, Sequence):
            self._frames.require(first, last)

    def found(self) -> tuple[str, ...]:
        """Further warnings, from the frames that have been read so far."""
        marked = interlacing.marked(self.source.path) in self.warnings
        warning = None if marked else self._weave.warning(self.source.path)
        return () if warning is None else (warning,)

    def _check_range(self, first: int, last: int) -> None:
        if first < self.first_frame or last > self.last_frame or last < first:
            raise ClipError(
                f"Frames {first}-{last} are not all in {self.source.path}, "
                f"which has {self.first_frame}-{self.last_frame}",
                "choose a range within the clip",
            )

    def _images(self, first: int, last: int, size: tuple[int, int] | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for number, stored in self._frames.read(first, last):
            if number > self._woven_to:  # a frame that is read again was checked before
                self._weave.feed(stored)
                self._woven_to = number
            image = pixels.as_float(stored)
            if size is not None:
                image = _scaled(image, size)
            yield number, self._to_display(image)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Does nothing, since no file stays open between reads."""


def open_clip(source: Source, first: int | None = None, last: int | None = None) -> Clip:
    """Open a source for reading the frames `first` to `last`; others in a sequence are ignored. None: the clip's ends.

    Raises
    ------
    ClipError
        One sentence: the file is missing, empty or not a movie, the sequence has no files, the size differs from
        Blender's, or the color space is unknown.
    """
    return Clip(source, first, last)


def _scaled(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    image = color.finite(image)  # one bad pixel must not spread
    smaller = size[0] <= width and size[1] <= height
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return scaled.astype(np.float32, copy=False)
