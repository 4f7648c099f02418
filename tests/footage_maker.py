"""Small clips made on the spot, for tests on both sides: only NumPy, PyAV and OpenEXR are needed.

Every image carries its own number as a row of black and white bars, so that a test can tell which image is
shown, however it came there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenEXR
from av.stream import Disposition
from av.video.reformatter import ColorRange

BITS = 8
SIZE = (64, 48)


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """An image [H, W, 3] uint8: the number in bars at the top (lowest bit left), a color ramp below."""
    width, height = size
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(40, 220, width, dtype=np.uint8)[None]
    image[..., 1] = np.linspace(220, 40, height, dtype=np.uint8)[:, None]
    image[..., 2] = 90
    bar = width // BITS
    for bit in range(BITS):
        image[: height // 2, bit * bar : (bit + 1) * bar] = 235 if number >> bit & 1 else 20
    return image


def number_in(image: np.ndarray) -> int:
    """The number that an image of `numbered` carries, at any size; values 0 to 1 or 0 to 255."""
    height, width = image.shape[:2]
    gray = image[height // 8 : height * 3 // 8, :, :3].astype(np.float64).mean(axis=(0, 2))
    bar = width // BITS
    middle = 0.5 if image.dtype.kind == "f" else 127.5
    return int(sum((gray[b * bar + bar // 4 : (b + 1) * bar - bar // 4].mean() > middle) << b for b in range(BITS)))


def movie(
    path: Path,
    times: Iterable[int],
    *,
    rate: Fraction | int = 25,
    time_base: Fraction | None = None,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    pixel_aspect: Fraction | None = None,
    images: Sequence[np.ndarray] | None = None,
    matrix: int | None = None,
    colors: tuple[int, int] | None = None,
    full_range: bool = False,
    container_format: str | None = None,
    piped: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a movie whose i-th image has the time stamp ``times[i]`` and, by default, carries the number i.

    Parameters
    ----------
    times : ints
        In units of `time_base`, by default 1 / rate.
    rotation : int
        Degrees clockwise by which players turn the image.
    pixel_aspect : Fraction or None
        Width of a pixel over its height.
    matrix : int or None
        Code of the matrix to Y'CbCr (1 is BT.709, 5 BT.601, 9 BT.2020), used and written into the file.
    colors : (primaries, transfer) or None
        Codes (ITU-T H.273) that are written into the file; the values stay as they are.
    full_range : bool
        Whether Y'CbCr uses all 256 values.
    piped : bool
        Whether the file is written from front to end as to a pipe, so that its header cannot say how long it is.
    metadata : dict or None
        Names and values for the file's header; in QuickTime's keys with ``movflags`` ``use_metadata_tags``.
    """
    times = list(times)
    target = _Pipe(path) if piped else str(path)
    if container_format is None and piped:
        container_format = {"mkv": "matroska"}.get(path.suffix[1:], path.suffix[1:])
    with av.open(target, "w", format=container_format, options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base or 1 / Fraction(rate)
        stream.time_base = time_base or 1 / Fraction(rate)
        default = {"crf": "1", "preset": "ultrafast"} if codec == "libx264" else {}
        stream.options = {**default, **(options or {})}
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if colors is not None:
            stream.codec_context.color_primaries, stream.codec_context.color_trc = colors
        if full_range:
            stream.codec_context.color_range = ColorRange.JPEG
        if rotation:
            stream.set_display_rotation(-rotation)
        for index, time in enumerate(times):
            image = numbered(index, size) if images is None else images[index]
            frame = av.VideoFrame.from_ndarray(image, format="rgb48le" if image.dtype == np.uint16 else "rgb24")
            frame = frame.reformat(
                format=pixel_format,
                dst_colorspace=matrix,
                dst_color_range=(ColorRange.JPEG if full_range else ColorRange.MPEG) if "yuv" in pixel_format else None,
            )
            if matrix is not None:
                frame.colorspace = matrix
            if colors is not None:
                frame.color_primaries, frame.color_trc = colors
            frame.pts, frame.time_base = time, time_base or 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class _Pipe:
    """A file that cannot be gone back in."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> int:
        return self._file.write(data)


def streams(
    path: Path,
    images: Sequence[Sequence[np.ndarray]],
    *,
    rates: Sequence[int] | None = None,
    cover: int | None = None,
) -> Path:
    """Write a movie with several video streams, each of its own images and size.

    Parameters
    ----------
    rates : ints or None
        Frames per second of each; None: 25.
    cover : int or None
        Which of them is cover art.
    """
    with av.open(str(path), "w") as container:
        made = []
        for index, each in enumerate(images):
            art = index == cover
            stream = container.add_stream("mjpeg" if art else "libx264", rate=rates[index] if rates else 25)
            stream.height, stream.width = each[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if art else "yuv420p"
            stream.options = {} if art else {"crf": "1", "preset": "ultrafast"}
            if art:
                stream.disposition = Disposition.attached_pic
            made.append(stream)
        for time in range(max(map(len, images))):
            for stream, each in zip(made, images):
                if time < len(each):
                    frame = av.VideoFrame.from_ndarray(each[time], format="rgb24").reformat(format=stream.pix_fmt)
                    frame.pts, frame.time_base = time, 1 / Fraction(stream.codec_context.framerate)
                    container.mux(stream.encode(frame))
        for stream in made:
            container.mux(stream.encode(None))
    return path


def woven(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Images of two moments each, line by line, the upper line first."""
    made = [image.copy() for image in images[::2]]
    for image, later in zip(made, images[1::2]):
        image[1::2] = later[1::2]
    return made


def stills(
    folder: Path,
    numbers: Iterable[int],
    *,
    suffix: str = "png",
    images: Sequence[np.ndarray] | None = None,
    pattern: str = "plate.{:04d}",
    header: dict | None = None,
) -> list[Path]:
    """Write images, by default ``plate.####.suffix`` that carry 0, 1, 2, …

    An ``exr`` takes float images as they are, has `numbered` images made linear, and has `header`'s attributes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, number in enumerate(numbers):
        image = numbered(index) if images is None else images[index]
        file = folder / f"{pattern.format(number)}.{suffix}"
        if suffix == "exr":
            linear = (image / 255.0) ** 2.2 if image.dtype == np.uint8 else image
            with OpenEXR.File(header or {}, {"RGB": np.ascontiguousarray(linear, np.float32)}) as exr:
                exr.write(str(file))
        else:
            _write_still(file, image)
        files.append(file)
    return files


def cropped_exrs(
    folder: Path,
    numbers: Iterable[int],
    crops: Sequence[tuple[int, int, int, int]],
    origins: Sequence[tuple[int, int]] | None = None,
) -> list[Path]:
    """Write EXR files ``plate.####.exr`` that carry 0, 1, 2, … and have data only in their crops.

    A crop is the first column and row and the last column and row; what it has beyond the image is white. The
    display windows, as large as the image, begin at `origins` (column, row), and the crops with them; None: 0, 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, (number, (left, top, right, bottom)) in enumerate(zip(numbers, crops)):
        image = (numbered(index) / 255.0) ** 2.2
        around = max(0, -left, -top, right - SIZE[0] + 1, bottom - SIZE[1] + 1)
        padded = np.pad(image, ((around, around), (around, around), (0, 0)), constant_values=1.0)
        part = padded[top + around : bottom + around + 1, left + around : right + around + 1]
        origin = np.array(origins[index] if origins else (0, 0), np.int32)
        last = np.array([SIZE[0] - 1, SIZE[1] - 1], np.int32)
        header = {
            "dataWindow": (origin + np.array([left, top], np.int32), origin + np.array([right, bottom], np.int32)),
            "displayWindow": (origin, origin + last),
        }
        file = folder / f"plate.{number:04d}.exr"
        with OpenEXR.File(header, {"RGB": np.ascontiguousarray(part, np.float32)}) as exr:
            exr.write(str(file))
        files.append(file)
    return files


def _write_still(file: Path, image: np.ndarray) -> None:
    codec = {"png": "png", "jpg": "mjpeg", "dpx": "dpx"}[file.suffix[1:]]
    pixel_format = "yuvj444p" if codec == "mjpeg" else "rgb24"
    with av.open(str(file), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = pixel_format
        stream.options = {"qscale": "1"} if codec == "mjpeg" else {}
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
