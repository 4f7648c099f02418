"""Validation of an estimator's array files before a shot resumes from them.

After a power cut, or if somebody edits the folder, files may be truncated or replaced. Damaged files are deleted and
made again; checking them reads no array into memory.
"""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from ..contract import own_files
from ..contract.own_files import Names

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_KINDS = "biufU"  # truth values, integers, real numbers and text
_PIECE = 1 << 20


def drop_damaged(folder: Path, names: Names, *, check: Callable[[], None]) -> list[Path]:
    """Delete, and return, the damaged array files of ours in a shot's folder, which is in the scratch folder.

    `names` are relative to the scratch folder; `check` is called between files and raises to cancel.
    """
    dropped = []
    for inside, _, files in os.walk(folder):
        for name in sorted(files):
            path = Path(inside) / name
            if path.suffix not in {".npy", ".npz"} or not names.has_file(path.relative_to(folder.parent).parts):
                continue
            if name.startswith(own_files.TEMPORARY):  # a killed run was writing it; nothing reads it
                continue
            check()
            if own_files.is_file(path) and not is_whole(path):
                path.unlink()
                dropped.append(path)
    return dropped


def is_whole(path: Path) -> bool:
    """Whether an ``.npy`` or ``.npz`` file has arrays of real numbers or text, of the size that headers declare."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _is_archive(file, size) if path.suffix == ".npz" else _is_array(file, size)
    except OSError:
        return False


def _is_archive(file: IO[bytes], size: int) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            # ours are uncompressed; a compressed one may expand a thousandfold
            if any(each.compress_type != zipfile.ZIP_STORED or each.file_size > size for each in members):
                return False
            return bool(members) and all(_is_member(archive, each) for each in members)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError):
        return False


def _is_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    with archive.open(member) as file:
        if not _is_array(file, member.file_size):
            return False
        while file.read(_PIECE):  # to the end, where zipfile verifies the checksum
            pass
    return True


def _is_array(file: IO[bytes], size: int) -> bool:
    """See `numpy.lib.format` for the layout."""
    try:
        shape, _, kind = _HEADERS[np.lib.format.read_magic(file)](file)
    except (KeyError, ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    is_ours = kind.kind in _KINDS and kind.isnative
    return is_ours and min(shape, default=0) >= 0 and file.tell() + math.prod(shape) * kind.itemsize == size
