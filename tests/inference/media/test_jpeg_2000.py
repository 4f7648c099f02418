"""JPEG 2000 files that are cut into millions of pieces, or say their size twice."""

import struct

import pytest

from inference.common.failures import ClipError
from inference.media import declared, jpeg_2000, stills

COD, COC = 0x52, 0x53


def segment(kind, body):
    return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body


def coding(*, levels=0, precincts=(), block=4, channel=None):
    """COD, or COC of a channel."""
    lists = bytes([bool(precincts)])
    head = lists + b"\0\0\1\0" if channel is None else bytes([channel]) + lists
    cut = bytes([levels, block - 2, block - 2, 0, 1])
    return segment(COD if channel is None else COC, head + cut + bytes(precincts))


def code(size=(300, 200), *, tile=None, channels=3, main=None, of_tile=b"", note=b"", bits=8):
    """A codestream of an image of one color."""
    fields = struct.pack(">H8IH", 0, *size, 0, 0, *(tile or size), 0, 0, channels)
    marks = segment(0x51, fields + bytes([bits - 1, 1, 1]) * channels) + note + (main or coding())
    marks += segment(0x5C, b"\x40\x40") + struct.pack(">BBHHIBB", 0xFF, 0x90, 10, 0, 0, 0, 1) + of_tile
    return b"\xff\x4f" + marks + b"\xff\x93" + bytes(16) + b"\xff\xd9"


def box(name, data, *, size=None):
    return struct.pack(">I", len(data) + 8 if size is None else size) + name + data


def boxed(codestream, *, before=b"", size=None, shape=(300, 200)):
    head = box(b"ihdr", struct.pack(">IIHBBBB", *shape[::-1], 3, 7, 7, 0, 0))
    head += box(b"colr", b"\1\0\0" + struct.pack(">I", 16))
    marks = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + before + box(b"jp2h", head)
    return marks + box(b"jp2c", codestream, size=size)


def shape_of(tmp_path, data, suffix="jp2"):
    path = tmp_path / f"plate.0001.{suffix}"
    path.write_bytes(data)
    return stills.read(path).shape


@pytest.mark.parametrize(
    "codestream",
    [
        code(),
        code(tile=(128, 128)),
        code(main=coding(precincts=[0x44], block=4)),
        code(main=coding(levels=2, precincts=[0x00 + 0x55, 0x66, 0x77]) + coding(channel=1, levels=2)),
        code(tile=(30, 20)),
        code(channels=1),
    ],
)
def test_what_programs_write_is_read(tmp_path, codestream):
    assert shape_of(tmp_path, codestream, "j2c") == (200, 300, 3)
    assert shape_of(tmp_path, boxed(codestream)) == (200, 300, 3)


SHREDDED = {
    "tiles": code((255, 257), tile=(1, 1)),
    "precincts": code((2000, 2000), main=coding(precincts=[0x00])),
    "precincts of a level": code((2000, 2000), main=coding(levels=2, precincts=[0x77, 0x11, 0x77])),
    "precincts of a channel": code((2000, 2000), main=coding() + coding(precincts=[0x00], channel=2)),
    "precincts of a tile": code((2000, 2000), of_tile=coding(precincts=[0x00])),
    "thin precincts": code((2000, 2000), main=coding(precincts=[0xF0])),
    "code blocks": code((2000, 2000), main=coding(block=2)),
    "behind what looks like a segment": code(
        (2000, 2000), note=segment(0x64, b"\0\1aaa\xff\x53\0\x09a"), main=coding(precincts=[0x00])
    ),
    "channels": code((300, 200), channels=300),
}


@pytest.mark.parametrize("name", SHREDDED)
def test_an_image_in_millions_of_pieces_costs_neither_memory_nor_time(tmp_path, name, monkeypatch):
    monkeypatch.setattr(stills, "_decoded", lambda data: pytest.fail("it was decoded"))
    for suffix, data in (("j2c", SHREDDED[name]), ("jp2", boxed(SHREDDED[name]))):
        with pytest.raises(ClipError, match="is no image that can be read"):
            shape_of(tmp_path, data, suffix)


def test_the_size_is_that_of_the_code_and_not_of_what_lies_before_it():
    small, large = code((8, 8)), code((9000, 9000))
    for data in (
        boxed(large, before=box(b"uuid", bytes(16) + small)),
        boxed(large, before=box(b"uuid", bytes(16) + small), size=0),
        boxed(large, before=struct.pack(">I4sQ", 1, b"uuid", 32 + len(small)) + bytes(16) + small),
    ):
        found = declared.of_image(data)
        assert (found.width, found.height) == (9000, 9000)


@pytest.mark.parametrize(
    "data",
    [
        boxed(b""),
        boxed(b"\xff\x4f"),
        boxed(code(), before=box(b"uuid", b"", size=4)),
        boxed(code())[:60],
        code()[:30],
        code((0, 200), tile=(1, 1)),
        code(tile=(0, 9)),
    ],
)
def test_what_has_no_header_is_no_image(tmp_path, data):
    assert declared.of_image(data) is None
    with pytest.raises(ClipError, match="is no image that can be read"):
        shape_of(tmp_path, data)


def test_pixels_that_look_like_a_segment_are_none():
    like_a_segment = b"\xff\x52\0\x0e\1\0\0\1\0\0\2\2\0\1\0"  # as long as two levels would be, and has one
    assert not jpeg_2000.read(code((2000, 2000)) + like_a_segment).is_shredded
