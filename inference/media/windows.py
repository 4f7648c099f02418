"""Where a frame's image lies in its file, and the shape of its pixels: what is laid over it has to have the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..contract import exr_windows, numbering
from ..contract.exr_windows import Box
from ..contract.job import Source
from . import containers, exr


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of an image, as OpenEXR has them.

    Attributes
    ----------
    corner : (int, int)
        Column and row of the first pixel.
    display : Box or None
        The display window; None: the image itself.
    pixel_aspect : float
        Width of a pixel over its height.
    """

    corner: tuple[int, int] = (0, 0)
    display: Box | None = None
    pixel_aspect: float = 1.0


class PlateWindows:
    """The windows of a plate's frames.

    Parameters
    ----------
    source : Source
    size : (width, height)
        Of the images that are laid over the plate's. Where the plate has another size, only its pixel aspect is taken.

    Raises
    ------
    ClipError
        The plate is a movie that cannot be read.
    """

    def __init__(self, source: Source, size: tuple[int, int]) -> None:
        self._size, self._folder = size, Path(source.path)
        self._files: Mapping[int, str] = numbering.by_frame(source.files) if source.files else {}
        self._movie = Windows(pixel_aspect=1.0 if source.files else _aspect_of_movie(source))

    def of_frame(self, number: int) -> Windows | None:
        """Those of a frame; None where its file is missing or damaged, so that they are not known."""
        name = self._files.get(number)
        if name is None:
            return None if self._files else self._movie
        if Path(name).suffix.lower() != ".exr":
            return Windows() if (self._folder / name).is_file() else None
        path = self._folder / name
        found = exr_windows.of_file(path)
        if found is None:
            return None
        aspect = float(exr.read_header(path).get("pixelAspectRatio", 1.0))
        if aspect <= 0:
            aspect = 1.0
        data = found.data[0]
        if exr_windows.size(data) == self._size:
            return Windows(corner=data[:2], display=found.display, pixel_aspect=aspect)
        if exr_windows.size(found.display) == self._size:
            return Windows(corner=found.display[:2], display=found.display, pixel_aspect=aspect)
        return Windows(pixel_aspect=aspect)


def _aspect_of_movie(source: Source) -> float:
    """That of the displayed image: a movie that is turned by a quarter has it the other way round."""
    with containers.opened(source.path) as container:
        stream = containers.video_stream(container, source.path, source.stream)
        ratio = float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
        if source.rotation is None:
            frame = next(container.decode(stream), None)
            turned = frame is not None and round(frame.rotation / 90) % 2 == 1
        else:
            turned = source.rotation % 180 == 90
    if ratio <= 0:
        return 1.0
    return 1 / ratio if turned else ratio
