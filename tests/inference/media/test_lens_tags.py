"""The focal length in a clip's metadata."""

import math
import struct

import cv2
import numpy as np
import OpenEXR
import pytest

from inference.media import lens_tags
from inference.media.clip import open_clip
from inference.media.source import describe
from tests import footage_maker

FILM = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
AS_KEYS = {"movflags": "use_metadata_tags"}


def box(kind, content):
    return struct.pack(">I", len(content) + 8) + kind + content


def with_key_of_the_track(movie, name, value):
    """Write a key of QuickTime's into the first track of a movie whose header is at its end, as telephones do."""
    data = movie.read_bytes()
    handler = box(b"hdlr", bytes(8) + b"mdta" + bytes(13))
    named = box(b"mdta", name.encode())
    keys = box(b"keys", struct.pack(">II", 0, 1) + named)
    item = struct.pack(">I", 1)
    values = box(b"ilst", box(item, box(b"data", struct.pack(">II", 1, 0) + value.encode())))
    extra = box(b"meta", handler + keys + values)
    start = data.index(b"moov") - 4
    track = data.index(b"trak", start) - 4
    assert data.index(b"mdat") < start, "offsets of the images would be wrong"
    size = struct.unpack_from(">I", data, track)[0]
    end = track + size
    whole = bytearray(data[:end] + extra + data[end:])
    for at in (start, track):
        struct.pack_into(">I", whole, at, struct.unpack_from(">I", whole, at)[0] + len(extra))
    movie.write_bytes(bytes(whole))


def tag_of(path, *frames):
    with open_clip(describe(path), *frames) as clip:
        return clip.lens_tag


def test_a_telephones_movie_names_its_lens_for_35_mm_film(tmp_path):
    movie = footage_maker.movie(
        tmp_path / "a.mov", range(3), metadata={FILM: "26"}, container_options=AS_KEYS, container_format="mov"
    )
    tag = tag_of(movie)
    assert tag.widths == pytest.approx(26 / 36) and tag.deviation == pytest.approx(0.08)
    assert tag_of(footage_maker.movie(tmp_path / "b.mov", range(3))) is None


def test_so_does_the_key_of_a_track(tmp_path):
    movie = footage_maker.movie(tmp_path / "a.mov", range(3))
    with_key_of_the_track(movie, FILM, "77.00mm")
    assert tag_of(movie).widths == pytest.approx(77 / 36)


@pytest.mark.parametrize("value", ["-13", "0", "", "wide", "nan", "1e400", "9" * 400, "1.2.3", "4", "4000"])
def test_a_value_that_no_lens_has_says_nothing(value):
    assert lens_tags.of_movie("missing.mov", {FILM: value}) is None


def test_a_focal_length_without_a_sensor_is_less_sure():
    tag = lens_tags.of_movie("missing.mov", {"title": "35", "com.example.camera.LensFocalLength": "50 mm"}, {})
    assert 50 / 36 < tag.widths < 50 / 25 and tag.deviation > 0.15


def test_that_for_film_comes_before_the_one_on_the_lens():
    assert lens_tags.of_movie("missing.mov", {"focal_length": "6.8", FILM: "24"}).widths == pytest.approx(24 / 36)


def exr(path, **attributes):
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **attributes}
    with OpenEXR.File(header, {"RGB": np.zeros((9, 16, 3), np.float32)}) as file:
        file.write(str(path))


SENSORS = {
    "its size": {"sensorOverallDimensions": np.array([24.9, 14.0], np.float32)},
    "the pixels read": {
        "sensorAcquisitionRectangle": (np.array([100, 0], np.int32), np.array([4199, 2159], np.int32)),
        "sensorPhotositePitch": 24.9 / 4100 * 1000,
    },
}


@pytest.mark.parametrize("sensor", SENSORS)
def test_openexrs_attributes_name_lens_and_sensor(tmp_path, sensor):
    for frame in (1, 2, 3):
        exr(tmp_path / f"{frame:04d}.exr", pinholeFocalLength=32.0, nominalFocalLength=35.0, **SENSORS[sensor])
    tag = tag_of(tmp_path)
    assert tag.widths == pytest.approx(32 / 24.9, rel=1e-3) and tag.deviation == pytest.approx(0.08)


def test_a_sequence_that_zooms_has_no_tag_but_its_steady_part_has(tmp_path):
    for frame in range(1, 7):
        exr(tmp_path / f"{frame:04d}.exr", effectiveFocalLength=40.0 if frame < 4 else 60.0)
    assert tag_of(tmp_path) is None
    assert tag_of(tmp_path, 1, 3).widths == pytest.approx(40 / 30)


def test_frames_of_which_some_have_no_tag_have_none(tmp_path):
    exr(tmp_path / "0001.exr", effectiveFocalLength=40.0)
    exr(tmp_path / "0002.exr")
    assert tag_of(tmp_path) is None


def exif(**fields):
    """A JPEG's Exif data, with fields of numbers named t<tag>; a pair is a fraction."""
    first, room = 26, 26 + 2 + 12 * len(fields) + 4
    entries, behind = b"", b""
    for name, value in sorted(fields.items()):
        if isinstance(value, tuple):
            entries += struct.pack("<HHII", int(name[1:]), 5, 1, room + len(behind))
            behind += struct.pack("<II", *value)
        else:
            entries += struct.pack("<HHIHH", int(name[1:]), 3, 1, value, 0)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHII", 1, 34665, 4, 1, first) + bytes(4)
    return b"Exif\0\0" + head + struct.pack("<H", len(fields)) + entries + bytes(4) + behind


def photograph(path, content):
    data = cv2.imencode(".jpg", np.zeros((9, 16, 3), np.uint8))[1].tobytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:])


PHOTOGRAPHS = {
    "for film": ({"t41989": 50, "t37386": (35, 1)}, 50 / 36, 0.08),
    "in inches": ({"t37386": (35, 1), "t40962": 6000, "t41486": (6000 * 254, 235), "t41488": 2}, 35 / 23.5, 0.08),
    "in centimeters": ({"t37386": (35, 1), "t40962": 6000, "t41486": (60000, 23), "t41488": 3}, 35 / 23, 0.08),
    "in what nobody knows": ({"t37386": (35, 1), "t40962": 6000, "t41486": (60000, 23), "t41488": 9}, 35 / 30, 0.2),
    "alone": ({"t37386": (35, 1)}, 35 / 30, 0.2),
    "divided by nothing": ({"t37386": (35, 0)}, None, None),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_of_a_time_lapse(tmp_path, name):
    fields, widths, deviation = PHOTOGRAPHS[name]
    photograph(tmp_path / "0001.jpg", exif(**fields))
    tag = lens_tags.of_stills([tmp_path / "0001.jpg"])
    if widths is None:
        assert tag is None
    else:
        assert tag.widths == pytest.approx(widths, rel=0.02) and tag.deviation == pytest.approx(deviation)


def test_a_broken_header_says_nothing(tmp_path):
    whole = exif(t41989=50)
    for end in range(6, len(whole), 3):
        photograph(tmp_path / "0001.jpg", whole[:end])
        tag = lens_tags.of_stills([tmp_path / "0001.jpg"])
        assert tag is None or math.isclose(tag.widths, 50 / 36)
    (tmp_path / "0001.exr").write_bytes(b"\x76\x2f\x31\x01 and nothing else")
    assert lens_tags.of_stills([tmp_path / "0001.exr", tmp_path / "missing.exr"]) is None
    assert lens_tags.of_stills([]) is None
