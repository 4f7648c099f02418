import io
import os
import struct

import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference.common.failures import ClipError
from inference.contract import exr_windows
from inference.evaluation.datasets.flow_file import read_flow
from inference.media import exr, stills


@settings(max_examples=40, deadline=None)
@given(
    values=arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(width=32)),
    metadata=st.dictionaries(st.sampled_from(["fathom:a", "b"]), st.text("abc", min_size=1) | st.integers(0, 99)),
)
def test_a_map_comes_back_to_the_bit(values, metadata, tmp_path_factory):
    path = tmp_path_factory.mktemp("exr") / "map.exr"
    exr.write_map(path, values, metadata)
    np.testing.assert_array_equal(exr.read_map(path), values)
    with OpenEXR.File(str(path)) as file:
        header = file.header()
        assert [channel.name for channel in header["channels"]] == ["Y"]
        assert header["compression"] == OpenEXR.ZIP_COMPRESSION
        assert {name: header[name] for name in metadata} == metadata


def test_other_numbers_are_kept_as_float32(tmp_path):
    exr.write_map(tmp_path / "map.exr", [[1, 2], [3, 4]])
    assert exr.read_map(tmp_path / "map.exr").dtype == np.float32


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3), (0, 4)])
def test_what_is_no_map_is_refused(shape, tmp_path):
    with pytest.raises(ValueError, match="two dimensions"):
        exr.write_map(tmp_path / "map.exr", np.zeros(shape))


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        exr.write_map(tmp_path / "nowhere" / "map.exr", np.zeros((2, 2)))


def test_a_disk_that_is_full_is_an_os_error():
    with pytest.raises(OSError, match="the disk may be full"):
        exr.write_map("/dev/full", np.zeros((64, 64)))


@pytest.mark.parametrize("keep", [0, 10, 300, -40])
def test_a_broken_file_is_named(keep, tmp_path):
    path = tmp_path / "map.exr"
    exr.write_map(path, np.random.default_rng(0).random((40, 40)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ClipError, match=r"map\.exr cannot be read as an EXR file"):
        exr.read_map(path)


def test_a_missing_file_and_a_missing_channel_are_named(tmp_path):
    with pytest.raises(ClipError, match=r"There is no file .*map\.exr"):
        exr.read_map(tmp_path / "map.exr")
    with OpenEXR.File({}, {"Z": np.zeros((2, 2), np.float32)}) as file:
        file.write(str(tmp_path / "map.exr"))
    with pytest.raises(ClipError, match="has no channel Y but Z"):
        exr.read_map(tmp_path / "map.exr")


@pytest.mark.parametrize("attribute", ["owner", "colorInteropID", "anything"])
def test_texts_of_a_header_that_are_no_utf_8(attribute, tmp_path):
    image = np.random.default_rng(0).random((6, 8, 3), np.float32)
    path = tmp_path / "plate.0001.exr"
    with OpenEXR.File({attribute: "Rene"}, {"RGB": image}) as file:
        file.write(str(path))
    path.write_bytes(path.read_bytes().replace(b"Rene", b"Ren\xe9", 1))
    assert np.array_equal(exr.read_channels(path)["G"], image[..., 1])
    assert exr.read_header(path)[attribute] == "Ren?"


def test_a_rate_of_zero_below_the_line(tmp_path):
    path = tmp_path / "plate.0001.exr"
    exr.write_map(path, np.ones((4, 4), np.float32), {"note": "here"})
    rate = b"framesPerSecond\0rational\0" + struct.pack("<iiI", 8, 24, 0)
    path.write_bytes(path.read_bytes()[:8] + rate + path.read_bytes()[8:])
    at = exr_windows.stored(io.BytesIO(path.read_bytes())).chunks
    data = bytearray(path.read_bytes())
    data[at : at + 8] = struct.pack("<Q", struct.unpack_from("<Q", data, at)[0] + len(rate))
    path.write_bytes(data)
    assert exr.read_map(path).min() == 1 and exr.read_header(path)["framesPerSecond"] == 24


def test_the_header_alone_tells_the_channels_of_all_parts(tmp_path):
    def part(name, channels):
        pixels = {channel: np.zeros((2, 3), np.float32) for channel in channels}
        return OpenEXR.Part({"type": OpenEXR.scanlineimage}, pixels, name)

    OpenEXR.File([part("only", ["Y"])]).write(str(tmp_path / "one.exr"))
    OpenEXR.File([part("only", ["Z", "left.Y", "A"])]).write(str(tmp_path / "b.exr"))
    OpenEXR.File([part("first", ["Y"]), part("second", ["R", "Y"])]).write(str(tmp_path / "parts.exr"))
    names = ("one.exr", "b.exr", "parts.exr")
    found = [exr_windows.of_file(tmp_path / name).channels for name in names]
    assert found == [("Y",), ("A", "Z", "left.Y"), ("Y", "R", "Y")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(20)
def test_the_header_of_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "map.exr")
    assert exr_windows.of_file(tmp_path / "map.exr") is None


def subsampled(path, **channels):
    """An uncompressed file of 16 x 8 pixels, float; each channel has every so many columns and rows."""

    def attribute(name, kind, value):
        return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value

    width, height, names = 16, 8, sorted(channels)
    listed = [f"{name}\0".encode() + struct.pack("<i4xii", 2, channels[name], channels[name]) for name in names]
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = struct.pack("<II", 20000630, 2) + attribute("channels", "chlist", b"".join(listed) + b"\0")
    head += attribute("compression", "compression", b"\0") + attribute("lineOrder", "lineOrder", b"\0")
    head += attribute("dataWindow", "box2i", box) + attribute("displayWindow", "box2i", box)
    head += attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8)) + attribute("screenWindowWidth", "float", bytes(4)) + b"\0"
    lines = [sum(4 * width // channels[name] for name in names if row % channels[name] == 0) for row in range(height)]
    starts = np.cumsum([len(head) + 8 * height, *(8 + length for length in lines[:-1])]).astype("<u8")
    rows = [struct.pack("<ii", row, length) + bytes(length) for row, length in enumerate(lines)]
    path.write_bytes(head + starts.tobytes() + b"".join(rows))
    return path


def test_channels_of_fewer_pixels_are_said(tmp_path):
    path = tmp_path / "plate.0001.exr"
    assert stills.read(subsampled(path, R=1, G=1, B=1)).shape == (8, 16, 3)
    for channels in ({"R": 1, "G": 2, "B": 2}, {"R": 2, "G": 2, "B": 2}, {"Y": 2}, {"Y": 1, "RY": 2, "BY": 2}):
        subsampled(path, **channels)
        for read in (stills.read, lambda path: exr.read_map(path, size=(16, 8)), read_flow):
            with pytest.raises(ClipError, match=r"holds its channel \w+ at a part of its resolution"):
                read(path)


@pytest.mark.parametrize("kind", ["string", "stringvector"])
def test_a_header_of_gigabytes_is_declined_before_it_is_read(kind, tmp_path):
    path = tmp_path / "map.exr"
    exr.write_map(path, np.ones((4, 4), np.float32), {"note": "here"})
    data = path.read_bytes()
    at, length = data.index(b"note\0string\0"), 2**31 - 16
    with open(path, "wb") as file:  # of which the disk has a few kilobytes
        file.write(data[:at] + b"big\0" + kind.encode() + b"\0" + struct.pack("<i", length))
        file.seek(length, 1)
        file.write(data[at:])
    with pytest.raises(ClipError, match="it has a header of more than 16 MB"):
        exr.read_map(path)
    with pytest.raises(exr_windows.LargeHeader):
        exr.read_header(path)
    assert exr_windows.of_file(path) is None
