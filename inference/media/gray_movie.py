"""Gray images written as a movie that every program plays: H.264 in an MP4."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ..common.failures import first_line

_QUALITY = "10"
"""H.264's constant rate factor: steps between neighboring grays stay below what can be seen."""
_BT709 = 1
_LIMITED = 1
"""FFmpeg's codes: the primaries, curve and matrix of HD video, and its range of values."""
_BLACK, _WHITE, _NO_COLOR = 16, 235, 128


@contextlib.contextmanager
def written(path: Path, size: tuple[int, int], fps: float) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """Write a movie, in place; yields a function that appends an image [H, W] of values from 0, black, to 1, white.

    Images are coded in the limited range of video, which all players agree on, and tagged as BT.709.

    Parameters
    ----------
    path : Path
        Ends in ``.mp4``.
    size : (width, height)
        Even numbers.
    fps : float
        Frames a second.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    width, height = size
    if width % 2 or height % 2:
        raise ValueError(f"a movie has even sides, not {width}x{height}")
    try:
        with av.open(str(path.absolute()), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            rate = Fraction(fps).limit_denominator(100_000)
            stream = container.add_stream("libx264", rate=rate, options={"crf": _QUALITY, "preset": "medium"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            codec = stream.codec_context
            codec.color_range, codec.colorspace = _LIMITED, _BT709
            codec.color_primaries, codec.color_trc = _BT709, _BT709
            planes = np.full((height * 3 // 2, width), _NO_COLOR, np.uint8)

            def append(image: NDArray[np.float32]) -> None:
                planes[:height] = np.round(_BLACK + (_WHITE - _BLACK) * np.clip(image, 0, 1)).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                frame.color_range, frame.colorspace = _LIMITED, _BT709
                for packet in stream.encode(frame):
                    container.mux(packet)

            yield append
            for packet in stream.encode():
                container.mux(packet)
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, first_line(error), str(path)) from error
        raise OSError(5, first_line(error), str(path)) from error
