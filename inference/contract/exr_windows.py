"""The headers of OpenEXR files: data and display windows, channels, texts, storage. Standard library only.

Layout of a header: https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .untrusted import open_file

_MAGIC = b"\x76\x2f\x31\x01"
_MULTIPART, _TILED_OR_DEEP = 0x1000, 0x0A00
_LONGEST_NAME = 255
_MOST_PARTS, _MOST_ATTRIBUTES, _MOST_CHANNELS = 1000, 10_000, 10_000
LARGEST_HEADER = 1 << 24
"""Bytes of all headers: manifests of mattes and thumbnails take a few million. The library, and Blender with it, takes
several times as much memory as a header says that it has, whatever the file has.
"""

Box = tuple[int, int, int, int]
"""First column, first row, last column, last row; all inclusive."""
_Attribute = tuple[str, int, int]
"""Kind, and the value's offset in the file and its length in bytes."""


class LargeHeader(ValueError):
    """A file's headers take too much memory; the message says it, without a full stop."""


@dataclass(frozen=True)
class Windows:
    """The windows of one file: the data window of each part, and the display window of the first.

    `channels` are the names of all parts' channels, as in the file; comparisons ignore them.
    """

    data: tuple[Box, ...]
    display: Box
    channels: tuple[str, ...] = field(default=(), compare=False)

    def in_display(self) -> tuple[Box, ...]:
        """The data windows relative to the first column and row of the display window."""
        column, row = self.display[:2]
        return tuple((left - column, top - row, right - column, down - row) for left, top, right, down in self.data)


@dataclass(frozen=True)
class Stored:
    """How a single-part file of scan lines stores its pixels.

    Attributes
    ----------
    window : Box
        The data window.
    channels : tuple of (str, int)
        Name and type of each, in the order of their samples: 0 unsigned integer, 1 half, 2 float.
    compression : int
        0 none, 2 ZIP of single lines, 3 ZIP of 16 lines; others as in the format's description.
    chunks : int
        Offset in the file of the table of chunk offsets.
    """

    window: Box
    channels: tuple[tuple[str, int], ...]
    compression: int
    chunks: int


def stored(file: BinaryIO) -> Stored:
    """How an open file stores its pixels.

    Raises
    ------
    ValueError, KeyError, struct.error
        It is not an OpenEXR file of scan lines in one part, or its header is damaged.
    """
    header = next(_headers(file))
    chunks = file.tell()
    file.seek(4)
    if struct.unpack("<i", file.read(4))[0] & (_MULTIPART | _TILED_OR_DEEP):
        raise ValueError("an OpenEXR file of several parts, tiles or deep pixels")
    file.seek(header["compression"][1])
    (compression,) = file.read(1)
    channels = tuple(_channels(file, header["channels"]))
    return Stored(window=_box(file, header["dataWindow"]), channels=channels, compression=compression, chunks=chunks)


def of_file(path: str | Path) -> Windows | None:
    """The windows of a file; None if it is missing or not an OpenEXR file. Pipes and devices never block."""
    try:
        with open_file(path) as file:
            return _read(file)
    except (OSError, ValueError, KeyError, struct.error):
        return None


def check_headers(path: str | Path) -> None:
    """Make sure that a file's headers take a bounded amount of memory, before a library reads them.

    Raises
    ------
    OSError
        It cannot be read.
    LargeHeader
        They are too large.
    ValueError
        It is not an OpenEXR file, or its headers do not end.
    """
    try:
        with open_file(path) as file:
            for _ in _headers(file):
                pass
    except struct.error as error:
        raise ValueError("a header that does not end") from error


def shared_display(paths: Iterable[str | Path]) -> Box | None:
    """The display window in which a sequence's images are placed; unreadable files and other formats are ignored.

    None if all data windows are equal, so that the data alone is the image, as in Blender, or if the display windows
    differ in size. Their origins may differ: the image is each file's own display window.
    """
    found = {windows for path in paths if Path(path).suffix.lower() == ".exr" and (windows := of_file(path))}
    alike = len({each.data for each in found}) < 2 or len({each.in_display() for each in found}) < 2
    if alike or len({size(each.display) for each in found}) > 1:
        return None
    return min(each.display for each in found)


def size(box: Box) -> tuple[int, int]:
    """Width and height of a window."""
    return box[2] - box[0] + 1, box[3] - box[1] + 1


def with_plain_header(data: bytes) -> bytes:
    """The same file with ``?`` for each byte outside ASCII in its header's texts and channel names, and no fraction
    with a zero below the line.
    """
    changed = bytearray(data)
    for header in _headers(io.BytesIO(data)):
        for kind, at, length in header.values():
            if kind in ("string", "chlist"):
                changed[at : at + length] = (byte if byte < 0x80 else ord("?") for byte in data[at : at + length])
            elif kind == "rational" and data[at + 4 : at + 8] == bytes(4):
                changed[at + 4] = 1
    return bytes(changed)


def _read(file: BinaryIO) -> Windows:
    headers = list(_headers(file))
    data = tuple(_box(file, header["dataWindow"]) for header in headers)
    channels = tuple(name for header in headers for name, _ in _channels(file, header["channels"]))
    return Windows(data=data, display=_box(file, headers[0]["displayWindow"]), channels=channels)


def _channels(file: BinaryIO, attribute: _Attribute) -> Iterator[tuple[str, int]]:
    """Names and types in a list of channels: 16 bytes about the channel follow each name, a zero the last."""
    at, length = attribute[1:]
    file.seek(at)
    found = 0
    while file.tell() < at + length and (name := _text(file)):
        if (found := found + 1) > _MOST_CHANNELS:
            raise ValueError("a part of too many channels")
        yield name, struct.unpack("<i12x", file.read(16))[0]


def _box(file: BinaryIO, attribute: _Attribute) -> Box:
    file.seek(attribute[1])
    return struct.unpack("<4i", file.read(16))


def _headers(file: BinaryIO) -> Iterator[dict[str, _Attribute]]:
    """The attributes of each part's header by their names."""
    if file.read(4) != _MAGIC:
        raise ValueError("not an OpenEXR file")
    (version,) = struct.unpack("<i", file.read(4))
    yield _header(file)
    for _ in range(_MOST_PARTS if version & _MULTIPART else 0):
        if not (following := _header(file)):
            return
        yield following


def _header(file: BinaryIO) -> dict[str, _Attribute]:
    """One header's attributes; empty at the end of all headers."""
    attributes: dict[str, _Attribute] = {}
    while name := _text(file):
        if len(attributes) > _MOST_ATTRIBUTES:
            raise ValueError("a header of too many attributes")
        kind = _text(file)
        (length,) = struct.unpack("<i", file.read(4))
        if length < 0:
            raise ValueError("an attribute of negative length")
        attributes[name] = (kind, file.tell(), length)
        if file.seek(length, 1) > LARGEST_HEADER:
            raise LargeHeader(f"it has a header of more than {LARGEST_HEADER >> 20} MB")
    return attributes


def _text(file: BinaryIO) -> str:
    """Characters up to a zero."""
    read = bytearray()
    while (byte := file.read(1)) != b"\0":
        if not byte or len(read) > _LONGEST_NAME:
            raise ValueError("a header that does not end")
        read += byte
    return read.decode("latin-1")
