"""Colors that a file names; that they become Blender's image is tested against Blender itself in tests/scene."""

import os
import struct
import zlib
from dataclasses import replace

import av
import cv2
import numpy as np
import OpenEXR
import PyOpenColorIO
import pytest

from inference.contract.job import Source
from inference.media.clip import open_clip
from inference.media.source import describe
from tests.footage_maker import movie, numbered

PRIMARIES = {
    "srgb": (0.64, 0.33, 0.3, 0.6, 0.15, 0.06),
    "p3": (0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    "adobe": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06),
    "2020": (0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    "ap1": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044),
    "ap0": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077),
}
D65, ACES_WHITE = (0.3127, 0.329), (0.32168, 0.33767)
D50_XYZ = {  # columns of the matrices of known profiles
    "srgb": ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    "p3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    "adobe": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
}


@pytest.fixture(autouse=True)
def _no_config(monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)


def opened(source):
    with open_clip(source) as clip:
        return clip.colorspace, clip.warnings


def still(path):
    return opened(Source(kind="sequence", path=str(path.parent), files=(path.name,)))


# Movies


@pytest.mark.parametrize(
    ("colors", "space"),
    [
        ((9, 16), "Rec.2100-PQ"),
        ((9, 18), "Rec.2100-HLG"),
        ((9, 1), "Rec.2020"),
        ((9, 8), "Linear Rec.2020"),
        ((12, 13), "Display P3"),
        ((12, 1), "Display P3"),
        ((12, 8), "Linear DCI-P3 D65"),
        ((1, 4), "Gamma 2.2 Encoded Rec.709"),
        ((1, 8), "Linear Rec.709"),
        ((10, 8), "Linear CIE-XYZ D65"),
        ((1, 1), "sRGB"),
        ((1, 13), "sRGB"),
        ((2, 2), "sRGB"),
        ((5, 5), "sRGB"),
        ((6, 6), "sRGB"),
        ((1, 14), "sRGB"),
    ],
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_movie_is_in_the_space_that_its_header_names(colors, space, name, tmp_path):
    assert opened(describe(movie(tmp_path / name, range(1), colors=colors))) == (space, ())


@pytest.mark.parametrize(
    ("colors", "says", "option"),
    [
        ((12, 16), "the transfer function PQ (HDR) and the primaries Display P3", "to Rec.2100-PQ"),
        ((2, 16), "the transfer function PQ (HDR)", "to Rec.2100-PQ"),
        ((2, 18), "the transfer function HLG (HDR)", "to Rec.2100-HLG"),
        ((9, 14), "the primaries BT.2020", "to Rec.2020"),
        ((9, 15), "the primaries BT.2020", "to Rec.2020"),
        ((11, 1), "the primaries DCI-P3", "to Display P3"),
        ((1, 9), "the transfer function logarithmic", "to the space that it is in"),
        ((11, 8), "the transfer function linear and the primaries DCI-P3", "to Linear DCI-P3 D65"),
    ],
)
def test_what_blender_does_not_heed_is_warned_of(colors, says, option, tmp_path):
    path = movie(tmp_path / "clip.mp4", range(1), colors=colors)
    space, (told,) = opened(describe(path))
    assert space == "sRGB"
    assert told == (
        f"{path} says that it has {says} but is read as sRGB; if that looks wrong, set [[colorspace]] {option}."
    )


def test_the_word_of_blender_or_a_person_wins(tmp_path):
    source = describe(movie(tmp_path / "clip.mp4", range(1), colors=(9, 16)))
    assert opened(replace(source, colorspace="ACEScg")) == ("ACEScg", ())
    assert opened(replace(source, colorspace="Rec.2100-PQ")) == ("Rec.2100-PQ", ())
    space, (told,) = opened(replace(source, colorspace="sRGB"))  # as Blender 4.2 and 4.5 take every movie
    assert space == "sRGB"
    assert told.endswith("but is read as sRGB; if that looks wrong, set [[colorspace]] to Rec.2100-PQ.")


def test_a_configuration_without_the_space_is_named(tmp_path, monkeypatch):
    config = tmp_path / "config.ocio"
    config.write_text(PyOpenColorIO.Config.CreateFromBuiltinConfig("cg-config-latest").serialize(), encoding="utf-8")
    source = describe(movie(tmp_path / "clip.mp4", range(1), colors=(9, 18)))
    space, (told,) = opened(replace(source, ocio_config=str(config)))
    assert space == "sRGB"
    assert f"since the OCIO configuration {config} has no such space; " in told
    assert told.endswith("set [[colorspace]] or [[ocio_config]].")
    monkeypatch.setenv("OCIO", str(config))
    assert opened(source)[1] == (told,)
    pq = describe(movie(tmp_path / "pq.mp4", range(1), colors=(9, 16)))
    assert opened(pq) == ("Rec.2100-PQ - Display", ())


def test_hdr_is_not_read_as_it_is_stored(tmp_path):
    path = movie(tmp_path / "clip.mkv", range(1), codec="ffv1", pixel_format="yuv444p10le", colors=(9, 16), matrix=9)
    with open_clip(describe(path)) as clip:
        ((_, image),) = clip.read()
    with open_clip(replace(describe(path), colorspace="sRGB")) as clip:
        ((_, stored),) = clip.read()
    corner = image[0, 0]  # gray, code 20 of 255: by SMPTE ST 2084 0.16 cd/m², sRGB 0.0195
    assert stored[0, 0] == pytest.approx(20 / 255, abs=0.01)
    assert corner == pytest.approx(0.02, abs=0.01)


def test_a_coding_that_is_no_plain_matrix_is_warned_of(tmp_path):
    path = movie(tmp_path / "clip.mp4", range(1), options={"crf": "1", "x264-params": "colormatrix=YCgCo"})
    _, (told,) = opened(describe(path))
    assert told.startswith(f"{path} codes its colors in a way that is read as BT.601")


# PNG


def png(path, *chunks, bits=8):
    image = numbered(5)[..., ::-1]
    data = cv2.imencode(".png", image if bits == 8 else image.astype(np.uint16) * 257)[1].tobytes()
    made = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    path.write_bytes(data[:33] + made + data[33:])
    return path


def gamma(value):
    return b"gAMA", struct.pack(">I", round(value * 1e5))


def primaries(name):
    return b"cHRM", b"".join(struct.pack(">I", round(v * 1e5)) for v in (*D65, *PRIMARIES[name]))


def profile(name, columns, curve, *, version=4):
    """An ICC profile of a matrix and one curve."""

    def fixed(*values):
        return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))

    if version == 4:
        title = b"mluc" + bytes(4) + struct.pack(">IIHHII", 1, 12, 0x656E, 0x5553, 2 * len(name), 28)
        title += name.encode("utf-16-be")
    else:
        title = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)
    tags = {b"desc": title, **{t: b"XYZ " + bytes(4) + fixed(*c) for t, c in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns)}}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"", version << 24, b"mntr", b"RGB ", b"XYZ ")
    return (head + bytes(12) + b"acsp").ljust(128, b"\0") + table + body


def power(value):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


LINEAR_CURVE = b"curv" + bytes(8)
SRGB_CURVE = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(v * 65536) for v in
              (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))  # fmt: skip
SRGB_TABLE = b"curv" + bytes(4) + struct.pack(">I256H", 256, *(
    round(65535 * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)) for v in np.linspace(0, 1, 256)
))  # fmt: skip
PROFILES = {
    "srgb": profile("sRGB IEC61966-2.1", D50_XYZ["srgb"], SRGB_CURVE),
    "srgb table": profile("a camera", D50_XYZ["srgb"], SRGB_TABLE, version=2),
    "p3": profile("Display P3", D50_XYZ["p3"], SRGB_CURVE),
    "adobe": profile("Adobe RGB (1998)", D50_XYZ["adobe"], power(2.2), version=2),
    "linear": profile("Linear sRGB", D50_XYZ["srgb"], LINEAR_CURVE),
    "1.8": profile("Old screen", D50_XYZ["srgb"], power(1.8)),
}


def in_png(data):
    return b"iCCP", b"x\0\0" + zlib.compress(data)


@pytest.mark.parametrize(
    ("chunks", "space"),
    [
        ([], "sRGB"),
        ([(b"sRGB", b"\0"), gamma(0.45455)], "sRGB"),
        ([gamma(0.45455), primaries("srgb")], "sRGB"),
        ([in_png(PROFILES["srgb"])], "sRGB"),
        ([in_png(PROFILES["srgb table"])], "sRGB"),
        ([(b"cICP", bytes((9, 16, 0, 1)))], "Rec.2100-PQ"),
        ([(b"cICP", bytes((9, 18, 0, 1)))], "Rec.2100-HLG"),
        ([(b"cICP", bytes((12, 13, 0, 1))), in_png(PROFILES["adobe"])], "Display P3"),
        ([(b"cICP", bytes((1, 1, 0, 1)))], "Rec.1886"),
        ([(b"cICP", bytes((1, 13, 0, 1)))], "sRGB"),
    ],
    ids=str,
)
def test_a_png_is_in_the_space_that_it_names(chunks, space, tmp_path):
    assert still(png(tmp_path / "plate.0001.png", *chunks)) == (space, ())


UNHEEDED = [
    ([gamma(1.0)], "the gamma 1", "to Linear Rec.709"),
    ([gamma(1 / 1.8)], "the gamma 0.556", "to the space that it is in"),
    ([gamma(0.45455), primaries("p3")], "other primaries than sRGB", "to the space that it is in"),
    ([gamma(1.0), primaries("2020")], "the gamma 1 and other primaries than sRGB", "to the space that it is in"),
    ([in_png(PROFILES["adobe"])], "the ICC profile Adobe RGB (1998)", "to Gamma 2.2 Encoded AdobeRGB"),
    ([in_png(PROFILES["p3"])], "the ICC profile Display P3", "to Display P3"),
    ([in_png(PROFILES["linear"])], "the ICC profile Linear sRGB", "to Linear Rec.709"),
    ([in_png(PROFILES["1.8"])], "the ICC profile Old screen", "to the space that it is in"),
    ([(b"cICP", bytes((9, 14, 0, 1)))], "the primaries BT.2020", "to Rec.2020"),
]


@pytest.mark.parametrize(("chunks", "says", "option"), UNHEEDED, ids=[says for _, says, _ in UNHEEDED])
@pytest.mark.parametrize("bits", [8, 16])
def test_what_blender_does_not_heed_of_a_png_is_warned_of(chunks, says, option, bits, tmp_path):
    path = png(tmp_path / "plate.0001.png", *chunks, bits=bits)
    space, told = still(path)
    assert space == "sRGB"
    assert told == (
        f"{path} says that it has {says} but is read as sRGB; if that looks wrong, set [[colorspace]] {option}.",
    )


# Profiles in other files


def jpeg(path, segments):
    data = cv2.imencode(".jpg", numbered(5)[..., ::-1])[1].tobytes()
    made = b"".join(b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + body for kind, body in segments)
    path.write_bytes(data[:2] + made + data[2:])
    return path


def test_profiles_and_the_adobe_mark_in_jpegs(tmp_path):
    data = PROFILES["adobe"]
    halves = [(0xE2, b"ICC_PROFILE\0" + bytes((n, 2)) + part) for n, part in ((1, data[:200]), (2, data[200:]))]
    _, (told,) = still(jpeg(tmp_path / "a.1.jpg", [(0xE0, b"JFIF\0"), *halves]))
    assert "the ICC profile Adobe RGB (1998) but" in told
    _, (told,) = still(jpeg(tmp_path / "b.1.jpg", [(0xE1, b"Exif\0\0II*\0" + bytes(40) + b"R03\0")]))
    assert "the colors of Adobe RGB but" in told
    assert still(jpeg(tmp_path / "c.1.jpg", [(0xE1, b"Exif\0\0II*\0" + bytes(40) + b"R98\0")])) == ("sRGB", ())


def test_profiles_in_webp_and_tiff(tmp_path):
    data = PROFILES["p3"]
    plain = cv2.imencode(".webp", numbered(5)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    extended = b"VP8X" + struct.pack("<II", 10, 0x20) + (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    body = b"WEBP" + extended + b"ICCP" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) + plain[12:]
    (tmp_path / "a.1.webp").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    _, (told,) = still(tmp_path / "a.1.webp")
    assert "the ICC profile Display P3 but" in told

    tiff = bytearray(cv2.imencode(".tif", numbered(5)[..., ::-1])[1].tobytes())
    at = struct.unpack_from("<I", tiff, 4)[0]
    count = struct.unpack_from("<H", tiff, at)[0]
    directory = tiff[at + 2 : at + 2 + 12 * count]
    place = len(tiff) + len(data)
    struct.pack_into("<I", tiff, 4, place)
    entry = struct.pack("<HHII", 34675, 7, len(data), place - len(data))
    (tmp_path / "a.1.tif").write_bytes(tiff + data + struct.pack("<H", count + 1) + directory + entry + bytes(4))
    _, (told,) = still(tmp_path / "a.1.tif")
    assert "the ICC profile Display P3 but" in told


def test_a_profile_that_is_none_is_passed_over(tmp_path):
    for number, data in enumerate((b"", b"no profile" * 40, PROFILES["p3"][:140], PROFILES["p3"][:-60])):
        assert still(png(tmp_path / f"{number}.1.png", in_png(data))) == ("sRGB", ())


# EXR and DPX

XYZ = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)


def exr(path, **header):
    with OpenEXR.File(header, {"RGB": np.full((48, 64, 3), 0.18, np.float32)}) as file:
        file.write(str(path))
    return path


@pytest.mark.parametrize(
    ("header", "space"),
    [
        ({}, "Linear Rec.709"),
        ({"chromaticities": (*PRIMARIES["srgb"], *D65)}, "Linear Rec.709"),
        ({"chromaticities": (*PRIMARIES["ap0"], *ACES_WHITE)}, "ACES2065-1"),
        ({"chromaticities": (*PRIMARIES["ap0"], *ACES_WHITE), "colorInteropID": "lin_ap1_scene"}, "ACES2065-1"),
        ({"acesImageContainerFlag": 1, "chromaticities": (*PRIMARIES["srgb"], *D65)}, "ACES2065-1"),
        ({"acesImageContainerFlag": 0}, "Linear Rec.709"),
        ({"chromaticities": XYZ}, "Linear CIE-XYZ E"),
        ({"chromaticities": XYZ, "colorInteropID": "lin_ap1_scene"}, "ACEScg"),
        ({"colorInteropID": "lin_ap1_scene"}, "ACEScg"),
        ({"colorInteropID": "lin_rec2020_scene"}, "Linear Rec.2020"),
        ({"colorInteropID": "lin_rec709_scene"}, "Linear Rec.709"),
        ({"colorInteropID": "srgb_rec709_scene"}, "sRGB"),
        ({"colorInteropID": "unknown"}, "Linear Rec.709"),
        ({"colorInteropID": "data"}, "Non-Color"),
    ],
    ids=str,
)
def test_an_exr_is_in_the_space_that_it_says(header, space, tmp_path):
    assert still(exr(tmp_path / "plate.0001.exr", **header)) == (space, ())


@pytest.mark.parametrize(
    ("header", "says", "option"),
    [
        ({"chromaticities": (*PRIMARIES["ap1"], *ACES_WHITE)}, "other primaries than Rec.709", "to ACEScg"),
        ({"chromaticities": (*PRIMARIES["ap0"], 0.3217, 0.3377)}, "other primaries than Rec.709", "to ACES2065-1"),
        ({"chromaticities": (*PRIMARIES["2020"], *D65)}, "other primaries than Rec.709", "to Linear Rec.2020"),
        ({"chromaticities": (*PRIMARIES["adobe"], *D65)}, "other primaries than Rec.709", "to the space that it is in"),
        ({"colorInteropID": "house_space"}, "the color space house_space", "or [[ocio_config]]"),
    ],
    ids=str,
)
def test_what_blender_does_not_heed_of_an_exr_is_warned_of(header, says, option, tmp_path):
    path = exr(tmp_path / "plate.0001.exr", **header)
    space, (told,) = still(path)
    assert space == "Linear Rec.709"
    assert told.startswith(f"{path} says that it has {says} but is read as Linear Rec.709")
    assert told.endswith(f"set [[colorspace]] {option}.")


def test_squeezed_pixels_of_an_exr_are_told(tmp_path):
    assert still(exr(tmp_path / "plain.1.exr", pixelAspectRatio=1.0))[1] == ()
    _, (told,) = still(exr(tmp_path / "squeezed.1.exr", pixelAspectRatio=2.0))
    assert told.startswith(f"The pixels of {tmp_path} are 2 times as wide as high. Depth and camera fit the clip as it")


@pytest.mark.parametrize(
    ("transfer", "says"),
    [(0, None), (2, None), (255, None), (1, "logarithmic values"), (3, "logarithmic values"), (6, "values of video")],
)
def test_a_dpx_is_linear_as_in_blender_and_warned_of_where_it_says_otherwise(transfer, says, tmp_path):
    path = tmp_path / "plate.0001.dpx"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("dpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gbrp10be"
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(numbered(5), format="rgb24").reformat(format="gbrp10be"))
        )
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    data[801] = transfer
    path.write_bytes(data)
    space, told = still(path)
    assert space == "Linear Rec.709"
    assert len(told) == (says is not None)
    assert says is None or f"says that it has {says}" in told[0]


def test_names_that_are_no_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"stra\xdfe")
    folder.mkdir()
    made = exr(tmp_path / "plate.0001.exr", colorInteropID="lin_ap1_scene")
    assert still(made.rename(folder / made.name)) == ("ACEScg", ())
    assert still(png(folder / "plate.0001.png", (b"cICP", bytes((12, 13, 0, 1))))) == ("Display P3", ())
    path = movie(tmp_path / "clip.mp4", range(1), colors=(12, 16)).rename(folder / "clip.mp4")
    assert "the transfer function PQ" in opened(describe(path))[1][0]
