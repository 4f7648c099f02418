"""ICC profiles with a matrix and three curves, as far as needed to compare them with sRGB."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

D50 = np.array([0.9642, 1.0, 0.8249])
"""White of the profile connection space, CIE XYZ."""

_MATRIX = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
_WANTED = {b"desc", *_MATRIX}
_MOST_TAGS = 1000
"""Many tags may share one long piece of data, of which each would be a copy."""
_LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile.

    Attributes
    ----------
    name : str
    to_xyz : [3, 3] or None
        From linear RGB to CIE XYZ adapted to D50; None where the profile is made of tables.
    decode : callable
        From values in [0, 1], [..., 3], to linear ones.
    """

    name: str
    to_xyz: NDArray | None
    decode: Callable[[NDArray], NDArray]


def read(data: bytes) -> Profile | None:
    """Read a profile of RGB images; None for other profiles, and for other data.

    The layout is that of ICC.1:2022 (clauses 7, 9 and 10).
    """
    if data[36:40] != b"acsp" or data[16:20] != b"RGB ":
        return None
    tags = {}
    for index in range(min(struct.unpack_from(">I", data, 128)[0], _MOST_TAGS)):
        name, offset, size = struct.unpack_from(">4sII", data, 132 + 12 * index)
        if name in _WANTED:
            tags[name] = data[offset : offset + size]
    name = "".join(each for each in _text(tags.get(b"desc", b"")) if each.isprintable())[:_LONGEST_NAME]
    if not set(_MATRIX) <= set(tags):
        return Profile(name=name, to_xyz=None, decode=lambda values: values)
    columns = [np.array(struct.unpack_from(">3i", tags[key], 8)) / 65536 for key in (b"rXYZ", b"gXYZ", b"bXYZ")]
    curves = [_curve(tags[key]) for key in (b"rTRC", b"gTRC", b"bTRC")]

    def decode(values: NDArray) -> NDArray:
        return np.stack([curve(values[..., channel]) for channel, curve in enumerate(curves)], axis=-1)

    return Profile(name=name, to_xyz=np.stack(columns, axis=1), decode=decode)


def _text(tag: bytes) -> str:
    if tag.startswith(b"desc"):
        size = struct.unpack_from(">I", tag, 8)[0]
        return tag[12 : 12 + size].rstrip(b"\0").decode("ascii", "replace")
    if tag.startswith(b"mluc"):
        size, offset = struct.unpack_from(">II", tag, 20)
        return tag[offset : offset + size].decode("utf-16-be", "replace").rstrip("\0")
    return ""


def _curve(tag: bytes) -> Callable[[NDArray], NDArray]:
    if tag.startswith(b"curv"):
        count = struct.unpack_from(">I", tag, 8)[0]
        if count == 0:
            return lambda values: values
        table = np.array(struct.unpack_from(f">{count}H", tag, 12), float)
        if count == 1:
            return lambda values: values ** (table[0] / 256)
        return lambda values: np.interp(values, np.linspace(0, 1, count), table / 65535)
    kind = struct.unpack_from(">H", tag, 8)[0]
    count = (1, 3, 4, 5, 7)[kind]
    given = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b, c, d, e, f = given + [0.0] * (7 - count)
    if kind == 0:
        return lambda values: values**g
    if kind in (1, 2):  # below -b / a the curve is flat
        d, e, f, c = -b / a, (c if kind == 2 else 0.0), (c if kind == 2 else 0.0), 0.0
    return lambda values: np.where(values >= d, np.maximum(a * values + b, 0) ** g + e, c * values + f)
