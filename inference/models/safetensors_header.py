"""The header of a safetensors file, validated against the file's size. Standard library only.

The format: eight bytes with the length of a JSON object (little-endian), that object with each tensor's dtype, shape
and first and last byte, then the tensors' bytes without gaps. The object is untrusted, so its length, the number of
tensors, every shape and every offset are bounded by the size of the file before they are used.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST = 8 << 20
"""Bytes of the longest header that is read; a network of ten thousand tensors has a header of one MiB."""
_MOST_DIMENSIONS = 8
_LARGEST = 1 << 48
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64"), 64),
}


class HeaderError(ValueError):
    """An invalid safetensors file; the message ends a sentence that names the file."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file: `dtype` as the format calls it."""

    dtype: str
    shape: tuple[int, ...]


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names; only its header is read.

    Raises
    ------
    HeaderError
        The header is longer than the file, not JSON, lists a tensor twice, or does not match the file's size.
    OSError
        The file cannot be read.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise HeaderError("it is truncated, or not a safetensors file")
        if length > LONGEST:
            raise HeaderError(f"its header of {length} bytes is too long")
        head = _object(file.read(length))
    metadata = head.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise HeaderError("its metadata is not text")
    places = []
    found = {}
    for name, facts in head.items():
        found[name], place = _tensor(name, facts)
        places.append(place)
    _need_no_gaps(places, size - 8 - length)
    return found


def _object(text: bytes) -> dict[str, Any]:
    try:
        head = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except HeaderError:
        raise
    except (ValueError, RecursionError) as error:
        raise HeaderError("its header is not JSON") from error
    if not isinstance(head, dict):
        raise HeaderError("its header is not a JSON object")
    return head


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise HeaderError("its header contains a name twice")
    return found


def _tensor(name: str, facts: Any) -> tuple[Tensor, tuple[int, int]]:
    """A tensor, and its byte range (end excluded)."""
    shown = ascii(name[:100])
    if not isinstance(facts, dict) or set(facts) != {"dtype", "shape", "data_offsets"}:
        raise HeaderError(f"its header describes the tensor {shown} incorrectly")
    dtype, shape, place = facts["dtype"], facts["shape"], facts["data_offsets"]
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise HeaderError(f"its tensor {shown} has an unknown dtype")
    if not (_are_counts(shape) and len(shape) <= _MOST_DIMENSIONS):
        raise HeaderError(f"its tensor {shown} has an invalid shape")
    if not (_are_counts(place) and len(place) == 2 and place[1] - place[0] == math.prod(shape) * bits // 8):
        raise HeaderError(f"its tensor {shown} has a size that does not match its shape")
    return Tensor(dtype, tuple(shape)), (place[0], place[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST for value in values
    )


def _need_no_gaps(places: list[tuple[int, int]], size: int) -> None:
    """Raise for tensors that overlap, leave gaps, or exceed the file's end."""
    end = 0
    for first, last in sorted(places):
        if first != end:
            raise HeaderError("its tensors overlap or leave gaps")
        end = last
    if end != size:
        raise HeaderError(f"its tensors take {end} bytes and it has {size}: it is truncated, or data was appended")
