"""Whether files that Blender has written are whole: on a disk that is full, several of its writers report nothing."""

from __future__ import annotations

import errno
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_PNGS_END = b"\0\0\0\0IEND\xaeB`\x82"
_USD, _USDS_TABLE, _USDS_SECTION = b"PXR-USDC", 16, 32
_OGAWA, _FROZEN = b"Ogawa", b"\xff"
_VDB, _VDBS_FACTS = b" BDV\0\0\0\0", 57
_PLY, _LONGEST_HEADER = b"ply\n", 1 << 16
_BYTES = {"char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4, "double": 8}


def require(path: Path) -> None:
    """Make sure that a file which Blender has written is whole: a PNG, or one of USD, Alembic, PLY or OpenVDB.

    Raises
    ------
    OSError
        It is not, as where the disk is full.
    """
    try:
        with open(path, "rb") as file:
            is_whole = _KINDS[path.suffix](file, path.stat().st_size)
    except (struct.error, ValueError, KeyError, IndexError):
        is_whole = False
    if not is_whole:
        raise OSError(errno.ENOSPC, "a file is not whole; the disk may be full", str(path))


def _png(file: BinaryIO, size: int) -> bool:
    """W3C, PNG (third edition), 11.2.5: the last chunk."""
    file.seek(max(size - len(_PNGS_END), 0))
    return file.read() == _PNGS_END


def _usd(file: BinaryIO, size: int) -> bool:
    """The table of contents, which is written last, and its sections lie in the file."""
    if file.read(len(_USD)) != _USD:
        return False
    file.seek(_USDS_TABLE)
    (table,) = struct.unpack("<q", file.read(8))
    file.seek(table)
    (count,) = struct.unpack("<q", file.read(8))
    if not 0 < count * _USDS_SECTION <= size - table - 8:
        return False
    sections = struct.iter_unpack("<16sqq", file.read(count * _USDS_SECTION))
    return all(start > 0 and start + length <= size for _, start, length in sections)


def _alembic(file: BinaryIO, size: int) -> bool:
    """An Ogawa file is marked as frozen when it is closed, and its first group lies in it."""
    head = file.read(16)
    (group,) = struct.unpack("<Q", head[8:16])
    return head[:5] == _OGAWA and head[5:6] == _FROZEN and 0 < group < size


def _ply(file: BinaryIO, size: int) -> bool:
    """As many vertices and faces as its header says, and nothing else."""
    head = file.read(_LONGEST_HEADER)
    lines = head[: head.index(b"end_header\n")].decode("ascii").split("\n")
    at, elements = head.index(b"end_header\n") + len(b"end_header\n"), []
    if not head.startswith(_PLY) or "format binary_little_endian 1.0" not in lines:
        return False
    for words in map(str.split, lines):
        if words[:1] == ["element"]:
            elements.append((int(words[2]), []))
        elif words[:1] == ["property"]:
            elements[-1][1].append(words[1:-1])
    for count, properties in elements:
        lists = [words for words in properties if words[0] == "list"]
        if not lists:
            at += count * sum(_BYTES[words[0]] for words in properties)
            continue
        if len(properties) > 1 or _BYTES[lists[0][1]] != 1:
            return False
        file.seek(at)
        data, inside, item = file.read(), 0, _BYTES[lists[0][2]]
        for _ in range(count):
            inside += 1 + item * data[inside]
        at += inside
    return at == size


def _vdb(file: BinaryIO, size: int) -> bool:
    """Each grid lies in the file, and the last ends with it: where they lie is written when all are."""
    if file.read(8) != _VDB:
        return False

    def text() -> bytes:
        return file.read(struct.unpack("<I", file.read(4))[0])

    file.seek(_VDBS_FACTS)
    for _ in range(3 * struct.unpack("<I", file.read(4))[0]):  # name, type and value of each fact of the file
        text()
    ends = []
    for _ in range(struct.unpack("<I", file.read(4))[0]):
        for _ in range(3):  # its name, its type, and the grid that it has its tree of
            text()
        begin, blocks, end = struct.unpack("<3q", file.read(24))
        if not 0 < begin <= blocks <= end <= size:
            return False
        ends.append(end)
        file.seek(end)
    return bool(ends) and ends[-1] == size


_KINDS: dict[str, Callable[[BinaryIO, int], bool]] = {
    ".png": _png,
    ".usdc": _usd,
    ".abc": _alembic,
    ".ply": _ply,
    ".vdb": _vdb,
}


def require_room(folder: Path, needed: float) -> None:
    """Raise an OSError where a disk has not as many bytes free as are needed at most; some cannot tell."""
    found = shutil.disk_usage(folder)
    free = found.free
    if found.total and free < needed:
        what = f"up to {needed / 1e6:.0f} MB are needed, and {free / 1e6:.0f} MB are free"
        raise OSError(errno.ENOSPC, what, str(folder))
