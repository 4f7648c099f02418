"""Movie files opened by FFmpeg: only formats that contain their images themselves, within free memory."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import psutil
from av.stream import Disposition

from ..common.failures import ClipError
from ..contract.hints import setting
from . import declared
from .declared import Declared

_MOVIES = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,ivf,asf,asf_o,ogg,flv,live_flv,mxf,gxf,dv,gif,apng,"
    "nut,rm,r3d,flic,yuv4mpegpipe,vc1,cavsvideo,dirac,wtv,mjpeg,swf,nsv,amv,ser,cine,mlv"
)
_SOUNDS = "wav,mp3,flac,aac,aiff"
_PICTURES = (
    "bmp_pipe,dds_pipe,dpx_pipe,exr_pipe,hdr_pipe,ico,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_anim,jpegxl_pipe,pam_pipe,"
    "pbm_pipe,pcx_pipe,pfm_pipe,pgm_pipe,pgx_pipe,phm_pipe,photocd_pipe,pictor_pipe,png_pipe,ppm_pipe,psd_pipe,"
    "qdraw_pipe,qoi_pipe,sgi_pipe,sunrast_pipe,tiff_pipe,webp,webp_pipe,xbm_pipe,xpm_pipe,xwd_pipe"
)
_OPTIONS = {"format_whitelist": f"{_MOVIES},{_SOUNDS},{_PICTURES}", "protocol_whitelist": "file"}
"""FFmpeg's names of the formats that are opened, sounds and images for a sentence of their own. Playlists (HLS, DASH,
concat, SDP), whose entries name other files and addresses, scripts and texts are none."""
_AHEAD = 4
"""Images that a decoder keeps besides those that its threads are at."""
_MOST_THREADS = 16
"""As many as FFmpeg starts by itself."""
_MOST_STREAMS = 64
_CONVERTED = 24
"""Bytes of a pixel besides: its RGB of 16 bits, and an image of floats with masks."""
_BYTES_AT_MOST = 8.0
"""Bytes of a pixel as decoders keep it; most take a quarter of that."""
_TABLES = 4 << 30
"""Bytes of memory that opening a movie may take beyond its file's own size: tables, and an image or a few."""
_LEAST_ROOM = 1 << 29
"""Bytes that it may take in any case: where memory is short, images are refused by their size, in a better sentence."""
_MOST_PIXELS = _MOST_AT_ONCE = 2**31 - 1
"""FFmpeg's own bounds, of pixels and of bytes that are taken at once."""


def opened(path: str) -> av.container.InputContainer:
    """Open a movie; use it in a ``with`` statement.

    Raises
    ------
    ClipError
        It is missing, empty, not a movie, or of an unsupported kind.
    """
    declared.require_file(Path(path), again="copy or render the file again", what="movie")
    # Absolute, or a name with a colon would be the address of something else.
    name = str(Path(path).absolute())
    try:
        with open(name, "rb"):
            pass
        with _bounded(Path(name).stat().st_size):
            return _opened(name)
    except av.ArgumentError as error:  # what is not on the list
        raise ClipError(
            f"{path} is no movie of a kind that is read: lists of other files are not, nor addresses",
            "choose the movie itself, or convert it to an MP4",
        ) from error
    except av.InvalidDataError as error:
        raise ClipError(
            f"{path} is no movie, or is cut short ({reason(error)})", "choose a movie, or copy or render it again"
        ) from error
    except (av.FFmpegError, OSError) as error:
        pass_on_memory(error)
        raise ClipError(f"{path} cannot be opened ({reason(error)})", "check the file and its permissions") from error


def _opened(name: str) -> av.container.InputContainer:
    """The container; decoders that FFmpeg tries for its header have bounded memory as well."""
    bounds = [{"max_pixels": str(_most_pixels(_BYTES_AT_MOST))}] * _MOST_STREAMS
    try:
        return av.open(name, metadata_errors="ignore", options=_OPTIONS, stream_options=bounds)  # type: ignore[arg-type]
    except ValueError as error:
        if isinstance(error, av.FFmpegError):
            raise
    return av.open(name, metadata_errors="ignore", options=_OPTIONS)  # MPEG streams, whose header names no streams


@contextlib.contextmanager
def _bounded(size: int) -> Iterator[None]:
    """Let this process have only so much more memory: a header of kilobytes may list hundreds of millions of frames.

    FFmpeg takes what it is not given for the end of its tables. Only Linux can limit a process that way.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    with _ONE_AT_A_TIME:
        before, most = resource.getrlimit(resource.RLIMIT_AS)
        room = max(min(declared.free_bytes(), _TABLES + size), _LEAST_ROOM)
        limits = [psutil.Process().memory_info().vms + room, before, most]
        soft = min(limit for limit in limits if limit != resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_AS, (soft, most))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (before, most))


_ONE_AT_A_TIME = threading.Lock()
"""The limit is the process's, and each thread gives back what it found."""


def bound_memory(stream: av.VideoStream, path: str) -> None:
    """Reject a stream whose images do not fit into memory, and make its decoder reject any later one.

    The decoder has as many threads as fit into memory: each has an image of its own.
    """
    codec = stream.codec_context
    width, height = codec.width or 0, codec.height or 0
    sample = (codec.format.padded_bits_per_pixel / 8 if codec.format is not None else 0) or _BYTES_AT_MOST
    declared.require_memory(path, Declared(width, height, (1 + _AHEAD) * sample), finished=_CONVERTED)
    fitting = declared.free_bytes() / max(width * height, 1) - _CONVERTED
    threads = min(int(fitting / sample) - _AHEAD, os.cpu_count() or 1, _MOST_THREADS)
    if threads < min(os.cpu_count() or 1, _MOST_THREADS):
        codec.thread_count = max(1, threads)
    most = max(width * height, _most_pixels(sample))
    codec.options = {**codec.options, "max_pixels": str(most)}


def _most_pixels(sample: float) -> int:
    """Pixels of the largest image that fits into memory, with so many bytes for each while it is decoded."""
    return min(int(declared.free_bytes() / ((1 + _AHEAD) * sample + _CONVERTED)), _MOST_PIXELS)


def video_stream(container: av.container.InputContainer, path: str, index: int) -> av.VideoStream:
    """The video stream with an index, attached images not counted; a ClipError if there is none."""
    streams = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    if not streams:
        raise ClipError(f"{path} has no image in it", "choose a movie with a video stream")
    if index >= len(streams):
        count = "one video stream" if len(streams) == 1 else f"{len(streams)} video streams"
        last = {1: "0", 2: "0 or 1"}.get(len(streams), f"one of 0 to {len(streams) - 1}")
        raise ClipError(f"{path} has {count} and none with the index {index}", f"set {setting('stream')} to {last}")
    if streams[index].codec_context is None:
        raise ClipError(f"{path} is coded in a way that is not known", "convert it to an MP4 or an image sequence")
    return streams[index]


def is_still(container: av.container.InputContainer) -> bool:
    """Whether FFmpeg opens a file as one image, which would look like a movie of one frame."""
    name = container.format.name
    one = name.endswith("_pipe") or name in ("image2", "ico")
    return one or container.metadata.get("major_brand") in ("avif", "heic", "heix", "mif1")


def pass_on_memory(error: Exception) -> None:
    """Raise a MemoryError again, unless the file is the reason: FFmpeg raises one for sizes beyond its limit, too."""
    if isinstance(error, MemoryError) and declared.free_bytes() < _MOST_AT_ONCE:
        raise error


def reason(error: Exception) -> str:
    """The message of FFmpeg or the system, without a full stop."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
