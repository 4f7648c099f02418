"""The size that an image file declares, and whether it fits into memory; both before anything is decoded.

A file of a few megabytes may declare billions of pixels, for which a library allocates memory as soon as it is called.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..common.failures import ClipError
from . import jpeg_2000, tiff

_IN_COLOR = 16
"""Bytes of a pixel while it is on its way to an image of floats: three of four bytes, and what masks take."""
DEFLATE = 1032
"""Bytes that one byte of a ZIP stream stands for at most."""
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Declared:
    """The declared size of an image in pixels.

    Attributes
    ----------
    depth : float
        Bytes for each pixel that a library needs to decode it.
    least : float
        Smallest number of bytes of a file with such an image.
    """

    width: int
    height: int
    depth: float
    least: float = 0


def require_memory(path: str | Path, declared: Declared, *, finished: float = _IN_COLOR) -> None:
    """Reject (ClipError) an image whose decoding takes more memory than is free.

    `finished` is how many bytes of a pixel are needed besides, after it is decoded.
    """
    needed = declared.width * declared.height * (declared.depth + finished)
    free = free_bytes()
    if needed > free:
        raise ClipError(
            f"{path} declares {declared.width} x {declared.height} pixels, which take {needed / 1e9:.1f} GB of memory "
            f"to read, and {free / 1e9:.1f} GB are free",
            "make it smaller, or close other programs if that is really its size",
        )


def free_bytes() -> int:
    """Bytes of memory that this process can still use, within the limits of its container and its own."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # not on Linux; no limit
        limit, used = (int((_CGROUP / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        free = min(free, limit - used)
    with suppress(ImportError, OSError):  # not on Windows
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free = min(free, limit - psutil.Process().memory_info().vms)
    return max(free, 0)


def contents(path: Path, *, again: str) -> bytes:
    """The content of a regular file, not empty, that fits into memory; `again` is the hint for an empty one."""
    require_file(path, again=again)
    try:
        size, free = path.stat().st_size, free_bytes()
        if 2 * size > free:
            raise ClipError(
                f"{path} has {size / 1e9:.1f} GB, which take {2 * size / 1e9:.1f} GB of memory to read, and "
                f"{free / 1e9:.1f} GB are free",
                "make it smaller, or close other programs",
            )
        return path.read_bytes()
    except OSError as error:
        raise ClipError(f"{path} cannot be read ({error.strerror})", "check the file and its permissions") from error


def require_file(path: Path, *, again: str, what: str = "file") -> None:
    """Reject (ClipError) a missing or empty file, a folder, a pipe or a device."""
    try:
        if not path.exists():
            raise ClipError(
                f"There is no {what} {path}", "check the path, or make the file reachable from this machine"
            )
        if not path.is_file():
            raise ClipError(f"{path} is no file", "choose the file itself")
        if path.stat().st_size == 0:
            raise ClipError(f"{path} is empty (0 bytes)", again)
    except OSError as error:
        raise ClipError(f"{path} cannot be read ({error.strerror})", "check the file and its permissions") from error


def of_image(data: bytes, *, plain: bool = False) -> Declared | None:
    """The size that an image's header declares; None for an unknown format or a broken header.

    `plain`: whether the file may be a Targa, which has no signature.
    """
    read = next((each for marks, each in _KINDS if data.startswith(marks)), _targa if plain else None)
    if read is None:
        return None
    try:
        found = read(data)
    except (struct.error, IndexError, ValueError, KeyError):
        return None
    return found if found is not None and found.width > 0 and found.height > 0 else None


def _png(data: bytes) -> Declared:
    """W3C, PNG (third edition), 11.2.1."""
    width, height, bits, color = struct.unpack_from(">IIBB", data, 16)
    channels = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}[color]
    row = width * bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color] / 8
    return Declared(width, height, 2 * channels * (2 if bits == 16 else 1), least=row * height / DEFLATE)


def _jpeg(data: bytes) -> Declared | None:
    """ITU-T T.81, B.2.2: the frame's header; a progressive one keeps all coefficients, of two bytes."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        kind = data[at + 1]
        if kind in (0x00, 0x01, 0xFF) or 0xD0 <= kind <= 0xD8:  # none of those has a length
            at += 1 if kind == 0xFF else 2
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width, count = struct.unpack_from(">HHB", data, at + 5)
            return Declared(width, height, count * (2 if kind in (0xC0, 0xC1) else 4))
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _bmp(data: bytes) -> Declared:
    size = struct.unpack_from("<I", data, 14)[0]
    width, height = struct.unpack_from("<hh" if size == 12 else "<ii", data, 18)
    return Declared(width, abs(height), 8)


def _webp(data: bytes) -> Declared | None:
    """RFC 9649, 2.5 to 2.7."""
    if data[8:15] != b"WEBPVP8":
        return None
    if data[15:16] == b"X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif data[15:16] == b"L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    return Declared(width, height, 12)


def _tiff(data: bytes) -> Declared:
    """TIFF 6.0, section 8; a tile that is larger than the image is taken whole."""
    width, height = (tiff.value(data, tag) or 0 for tag in (tiff.WIDTH, tiff.HEIGHT))
    bits, samples = tiff.value(data, tiff.BITS) or 1, tiff.value(data, tiff.SAMPLES) or 1
    tile = [tiff.value(data, tag) or 0 for tag in (tiff.TILE_WIDTH, tiff.TILE_HEIGHT)]
    share = max(1.0, tile[0] * tile[1] / max(width * height, 1))
    return Declared(width, height, 2 * share * max(samples, 3) * max(bits / 8, 1))


def _radiance(data: bytes) -> Declared | None:
    """The largest size that it names: of where its header ends, libraries have other ideas."""
    sizes = [
        (int(other), int(one)) if axis == b"Y" else (int(one), int(other))
        for axis, one, other in re.findall(rb"[-+]([XY])\s*\+?(\d{1,10})\s*[-+][XY]\s*\+?(\d{1,10})", data)
    ]
    return Declared(*max(sizes, key=math.prod), 16) if sizes else None


def _jpeg_2000(data: bytes) -> Declared | None:
    """Each channel of a pixel is a number of four bytes, and so is its transform; OpenCV takes up to four channels."""
    found = jpeg_2000.read(data)
    if found is None or found.is_shredded or found.channels > 4:
        return None
    return Declared(found.width, found.height, 10 * found.channels)


def _fixed(layout: str, at: int) -> Callable[[bytes], Declared]:
    """The reader of a header that has width and height at one place."""

    def read(data: bytes) -> Declared:
        width, height = struct.unpack_from(layout, data, at)
        return Declared(width, height, 24)

    return read


_targa = _fixed("<HH", 12)
_KINDS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], Declared | None]], ...] = (
    ((b"\x89PNG\r\n\x1a\n",), _png),
    ((b"\xff\xd8",), _jpeg),
    ((b"BM",), _bmp),
    ((b"RIFF",), _webp),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    ((b"#?RADIANCE", b"#?RGBE"), _radiance),
    (jpeg_2000.MARKS, _jpeg_2000),
    ((b"SDPX",), _fixed(">II", 772)),  # SMPTE ST 268, the image's header
    ((b"XPDS",), _fixed("<II", 772)),
    ((b"\x01\xda",), _fixed(">HH", 6)),  # SGI
)
"""How files of a kind begin, and what reads their size."""
