"""The first directory of a TIFF file, and the file as its pixels are stored."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its kind (TIFF 6.0, section 2; BigTIFF from 16 on)."""
_SHORT, _FRACTION = 3, 5
WIDTH, HEIGHT, BITS, SAMPLES, TILE_WIDTH, TILE_HEIGHT = 256, 257, 258, 277, 322, 323
_ORIENTATION, _PLANES, _EXTRA_SAMPLES = 274, 284, 338
_MOST_FIELDS, _MOST_SAMPLES = 4096, 64
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}
"""Kinds of whole numbers; libraries take the signed ones too, where the others belong."""
_ASSOCIATED, _UNASSOCIATED = 1, 2
_SEPARATE = 2


@dataclass(frozen=True)
class Field:
    """The position of a field's values in the file: kind, number, first byte."""

    kind: int
    count: int
    at: int

    @property
    def end(self) -> int:
        """The byte behind its values."""
        return self.at + self.count * _SIZES.get(self.kind, 1)


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as a TIFF or BigTIFF."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def fields(data: bytes, directory: int | None = None) -> dict[int, Field]:
    """The fields of a directory by their tags, of two alike the first; struct.error where it is broken.

    `directory` is its first byte; None: that of the first one.
    """
    order, big = _order(data), b"+" in data[:4]
    if directory is None:
        directory = struct.unpack_from(f"{order}Q", data, 8)[0] if big else struct.unpack_from(f"{order}I", data, 4)[0]
    directory = min(directory, len(data))  # struct counts to 2**63, files to 2**64
    count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, directory)[0]
    if count > _MOST_FIELDS:
        raise struct.error(f"a directory of {count} fields")
    first, length, room = (directory + 8, 20, 8) if big else (directory + 2, 12, 4)
    found: dict[int, Field] = {}
    for at in range(first, first + length * count, length):
        tag, kind, values = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", data, at)
        here = at + length - room
        if _SIZES.get(kind, 1) * values > room:
            here = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, here)[0]
        found.setdefault(tag, Field(kind, values, min(here, len(data))))
    return found


def value(data: bytes, tag: int) -> int | None:
    """The first value of a field of whole numbers; None if there is none, struct.error if it is broken."""
    field = fields(data).get(tag)
    if field is None or field.kind not in _WHOLE or field.count < 1:
        return None
    return int(struct.unpack_from(_order(data) + _WHOLE[field.kind], data, field.at)[0])


def number(data: bytes, tag: int, *, directory: int | None = None) -> float | None:
    """The first value of a field of whole numbers or fractions in a directory; None if there is none.

    Raises struct.error if it is broken.
    """
    field = fields(data, directory).get(tag)
    if field is None or field.count < 1:
        return None
    if field.kind == _FRACTION:
        above, below = struct.unpack_from(f"{_order(data)}II", data, field.at)
        return above / below if below else None
    return (
        float(struct.unpack_from(_order(data) + _WHOLE[field.kind], data, field.at)[0])
        if field.kind in _WHOLE
        else None
    )


def as_stored(data: bytes) -> bytes:
    """The same TIFF without the tags by which a library changes its pixels, and which Blender ignores.

    Those are the orientation, and that colors are not multiplied by alpha yet. A file that cannot be parsed is
    returned unchanged.
    """
    changed = bytearray(data)
    try:
        order = _order(data)
        found = fields(data)
        for tag in (_ORIENTATION, _EXTRA_SAMPLES):
            field = found.get(tag)
            if field is None or field.kind != _SHORT or field.count > _MOST_SAMPLES:
                continue
            for at in range(field.at, field.end, 2):
                if tag == _ORIENTATION:
                    struct.pack_into(f"{order}H", changed, at, 1)
                elif struct.unpack_from(f"{order}H", data, at)[0] == _UNASSOCIATED:
                    struct.pack_into(f"{order}H", changed, at, _ASSOCIATED)
    except struct.error:
        return data
    return bytes(changed)


def bits_of_planes(data: bytes) -> int:
    """Bits of a color if a TIFF stores each color in its own plane; 0 if it does not, or is broken."""
    try:
        several = BITS in (found := fields(data)) and found[BITS].count > 1
        return (value(data, BITS) or 0) if several and value(data, _PLANES) == _SEPARATE else 0
    except struct.error:
        return 0


def _order(data: bytes) -> str:
    return "<" if data.startswith(b"II") else ">"
