"""TIFF files: their pixels as Blender takes them, whatever their fields ask a library to do with them."""

import struct

import numpy as np
import pytest

from inference.common.failures import ClipError
from inference.media import stills, tiff
from tests.footage_maker import numbered

ORIENTATION, EXTRA_SAMPLES, PROFILE = 274, 338, 34675


def write(path, image, *, order="<", big=False, planar=False, **values):
    """An uncompressed TIFF of an image [H, W, channels] with further SHORT fields, named t<tag>."""
    height, width, channels = image.shape
    stored = image.astype(image.dtype.newbyteorder(order))
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(stored, 2, 0)] if planar else [stored]
    pixels = b"".join(plane.tobytes() for plane in planes)
    short = {256: [width], 257: [height], 258: [8 * image.itemsize] * channels, 259: [1], 262: [2], 277: [channels]}
    short |= {278: [height], 284: [1 + planar], 339: [3 if image.dtype.kind == "f" else 1] * channels} | {
        int(name[1:]): [value] for name, value in values.items()
    }
    word, room = ("Q", 8) if big else ("I", 4)
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HI", 42, 8)
    head = (b"II" if order == "<" else b"MM") + head
    tags = sorted([*short, 273, 279])
    behind = len(head) + (8 if big else 2) + len(tags) * (20 if big else 12) + room
    entries, data = b"", b""
    for tag in tags:
        kind = 3 if tag in short else 16 if big else 4
        size = len(pixels) // len(planes)
        held = short.get(tag) or [behind + 128 + size * at if tag == 273 else size for at in range(len(planes))]
        value = struct.pack(f"{order}{len(held)}{'H' if tag in short else word}", *held)
        if len(value) > room:
            data, value = data + value, struct.pack(f"{order}{word}", behind + len(data))
        entries += struct.pack(f"{order}HH{word}", tag, kind, len(held)) + value.ljust(room, b"\0")
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags)) + entries + bytes(room)
    path.write_bytes(head + directory + data.ljust(128, b"\0") + pixels)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_image_is_as_it_is_stored_however_it_asks_to_be_turned(turn, big, order, tmp_path):
    for dtype, factor in ((np.uint8, 1), (np.uint16, 257)):
        image = numbered(5).astype(dtype) * factor
        path = write(tmp_path / "plate.0001.tif", image, order=order, big=big, t274=turn)
        assert np.array_equal(stills.read(path), image)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_alpha_is_left_out_of_the_colors(kind, tmp_path):
    image = numbered(5)
    veiled = np.dstack([image, np.full(image.shape[:2], 90, np.uint8)])
    path = write(tmp_path / "plate.0001.tif", veiled, t338=kind)
    assert np.array_equal(stills.read(path), image)
    over_black = stills.read(path, over_black=True).astype(int)
    assert np.abs(over_black - image * (90 / 255)).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_each_color(order, tmp_path):
    for dtype, factor in ((np.uint8, 1), (np.uint16, 257)):
        image = numbered(5).astype(dtype) * factor
        path = write(tmp_path / f"{factor}.0001.tif", image, order=order, planar=True)
        assert np.array_equal(stills.read(path), image)
    floats = write(tmp_path / "float.0001.tif", numbered(5).astype(np.float32) / 255, order=order, planar=True)
    with pytest.raises(ClipError, match=r"keeps its colors in planes .* at 32 bits; write it with its channels"):
        stills.read(floats)


def test_fields_are_found_and_what_is_broken_comes_back(tmp_path):
    data = write(tmp_path / "a.tif", numbered(5), t274=6).read_bytes()
    found = tiff.fields(data)
    assert struct.unpack_from("<H", data, found[ORIENTATION].at) == (6,)
    assert data[found[258].at : found[258].end] == struct.pack("<3H", 8, 8, 8)
    assert tiff.as_stored(data[:60]) == data[:60]
    assert not tiff.is_tiff(b"\x89PNG")
