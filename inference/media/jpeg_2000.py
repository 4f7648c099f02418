"""What the header of a JPEG 2000 file (ITU-T T.800) says: size, channels, bits, and into how many pieces it is cut.

OpenJPEG takes up to 12 kB for each tile, and half a kilobyte for each precinct and code block, before it decodes any
pixel, so a file of a hundred bytes could fill any memory.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_START = b"\xff\x4f\xff\x51"
MARKS = (b"\0\0\0\x0cjP  ", _START)
"""How such files begin."""
_LEAST_PIECE, _FEW_PIECES = 40, 4096
"""Pixels of a tile or a code block on average, but for a few of them; programs write far larger ones."""
_LARGEST = 0xFF
"""The sides of a precinct, as binary logarithms of four bits each, where nothing is said."""
_SEGMENTS = {
    12: re.compile(rb"(?=\xff\x52\0([\x0c-\x2d])([\0-\x07]).{3}[\0\x01](.{5}))", re.DOTALL),
    9: re.compile(rb"(?=\xff\x53\0([\x09-\x2a]).(.)(.{5}))", re.DOTALL),
}
"""The segments COD and COC (A.6.1, A.6.2) by their least length: length, whether they list precincts, and how images
are cut. They are looked for everywhere, since tiles have their own, and one may lie within what looks like another."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The fields of the segment SIZ (A.5.1), and whether the image is cut into absurdly many pieces."""

    width: int
    height: int
    channels: int
    bits: int
    is_shredded: bool


def read(data: bytes) -> Header | None:
    """The header of a file; None where it is none, struct.error where it is cut short."""
    at = _codestream(data)
    if at is None:
        return None
    right, down, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">8I", data, at + 8)
    channels, depth = struct.unpack_from(">HB", data, at + 40)
    width, height = right - left, down - top
    if min(width, height, tile_width, tile_height, channels) < 1:
        return None
    tiles = -(-(right - tile_left) // tile_width) * -(-(down - tile_top) // tile_height)
    most = width * height / _LEAST_PIECE + _FEW_PIECES
    is_shredded = tiles > most or any(pieces > most for pieces in _blocks(data, at, width, height))
    return Header(width=width, height=height, channels=channels, bits=(depth & 0x7F) + 1, is_shredded=is_shredded)


def _codestream(data: bytes) -> int | None:
    """Where the code begins: with the file, or in its first box of code (I.5.4)."""
    if data.startswith(_START):
        return 0
    at = 0
    while True:
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1:
            size = struct.unpack_from(">Q", data, at + 8)[0]
            at, size = at + 8, size - 8
        if name == b"jp2c":
            return at + 8 if data.startswith(_START, at + 8) else None
        if size < 8:
            return None
        at += size


def _blocks(data: bytes, at: int, width: int, height: int) -> Iterator[int]:
    """For each way of coding, the number of a channel's code blocks, which end with their precinct (B.6, B.7)."""
    for least, segment in _SEGMENTS.items():
        for found in segment.finditer(data, at):
            length, lists, (levels, across, down, _, transform) = found.groups()
            count = levels + 1 if lists[0] & 1 else 0
            if levels > 32 or transform > 1 or length[0] != least + count:
                continue  # pixels that happen to look like it
            precincts = data[found.end(3) : found.end(3) + count] or bytes([_LARGEST]) * (levels + 1)
            blocks = 0
            for level, sides in enumerate(precincts):
                in_bands = min(level, 1)  # of half the size, but for the first level
                fine = [
                    levels - level + in_bands + min(most + 2, max(side - in_bands, 0))
                    for most, side in ((across, sides & 15), (down, sides >> 4))
                ]
                blocks += -(-width >> fine[0]) * -(-height >> fine[1]) * (3 if level else 1)
            yield blocks
