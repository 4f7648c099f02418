"""Images that declare what they are not: sizes beyond memory, tables without end, files that are none."""

import os
import struct
import zlib

import av
import cv2
import numpy as np
import OpenEXR
import pytest

from inference.common.failures import ClipError
from inference.contract import exr_windows
from inference.media import color_tags, declared, exr, icc, stills
from inference.media.clip import open_clip
from inference.media.source import describe
from tests import footage_maker

PICTURE = footage_maker.numbered(5)
SIZE = (64, 48)


def encoded(path, image=PICTURE):
    """Write an image in the format of the file's name."""
    suffix = path.suffix[1:]
    if suffix == "exr":
        with OpenEXR.File({}, {"RGB": (image / 255).astype(np.float32)}) as file:
            file.write(str(path))
    elif suffix in ("dpx", "tga", "sgi"):
        with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream({"tga": "targa"}.get(suffix, suffix), rate=25)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "bgr24" if suffix == "tga" else "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    else:
        values = image.astype(np.float32) / 255 if suffix == "hdr" else image
        options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if suffix == "jp2" else []
        assert cv2.imwrite(str(path), values, options)
    return path


KINDS = ["png", "jpg", "tif", "bmp", "webp", "hdr", "jp2", "dpx", "tga", "sgi", "exr"]


@pytest.fixture
def little_memory(monkeypatch):
    """Have so many bytes free."""

    def has(free):
        monkeypatch.setattr(declared, "free_bytes", lambda: free)

    return has


@pytest.mark.parametrize("kind", KINDS)
def test_a_image_beyond_the_memory_is_refused_by_its_header(tmp_path, kind, little_memory):
    path = encoded(tmp_path / f"plate.0001.{kind}", cv2.resize(PICTURE, (96, 80)) if kind == "jp2" else PICTURE)
    width, height = (96, 80) if kind == "jp2" else SIZE
    assert stills.read(path).shape == (height, width, 3)
    little_memory(width * height * 12)
    with pytest.raises(
        ClipError, match=rf"declares {width} x {height} pixels, which take .* GB of memory to read, and"
    ):
        stills.read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_declares_the_size_that_it_has(tmp_path, kind):
    path = encoded(tmp_path / f"plate.0001.{kind}", cv2.resize(PICTURE, (96, 80)) if kind == "jp2" else PICTURE)
    told = []
    image = stills.read(path, accept=lambda *size: told.append(size))
    assert told == [image.shape[1::-1]]


@pytest.mark.parametrize(
    ("kind", "at", "form"),
    [
        ("png", 16, ">II"),
        ("bmp", 18, "<ii"),
        ("dpx", 772, "<II"),
        ("tga", 12, "<HH"),
        ("sgi", 6, ">HH"),
    ],
)
def test_a_small_file_that_declares_a_huge_image(tmp_path, kind, at, form, little_memory):
    path = encoded(tmp_path / f"plate.0001.{kind}")
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, at, *([60000] * 2))
    path.write_bytes(data)
    little_memory(4 << 30)
    with pytest.raises(ClipError, match=r"declares 60000 x 60000 pixels|is cut short"):
        stills.read(path)


def test_a_jpeg_that_declares_a_huge_image(tmp_path, little_memory):
    path = encoded(tmp_path / "plate.0001.jpg")
    data = bytearray(path.read_bytes())
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 65500, 65500)
    path.write_bytes(data)
    little_memory(4 << 30)
    with pytest.raises(ClipError, match="declares 65500 x 65500 pixels"):
        stills.read(path)


def test_a_radiance_image_that_names_two_sizes_has_the_larger_one(tmp_path, little_memory):
    """OpenCV takes the line behind the first that is empty, or behind one of 127 characters."""
    path = encoded(tmp_path / "plate.0001.hdr")
    data = path.read_bytes()
    said = f"-Y {SIZE[1]} +X {SIZE[0]}\n".encode()
    assert data.count(said) == 1
    head, pixels = data.split(said)
    little_memory(4 << 30)
    for lie in (
        head.replace(b"\n", b"\n-Y 10 +X 10 \n", 1) + b"-Y 60000 +X 60000\n" + pixels,
        head[:-1] + b"x" * 127 + b"\n-Y60000 +X\t60000\n\n" + said + pixels,
        head + b"+X 60000 -Y 60000\n" + said + pixels,
    ):
        path.write_bytes(lie)
        with pytest.raises(ClipError, match="declares 60000 x 60000 pixels"):
            stills.read(path)


@pytest.mark.parametrize("kind", [6, 8, 9, 17])
def test_a_tiff_whose_numbers_have_signs_declares_the_same(kind):
    """Libraries take such numbers too."""
    form = {6: "b", 8: "h", 9: "i", 17: "q"}[kind]
    tags = {256: 90, 257: 80, 258: 64, 277: 3, 322: 96, 323: 96}
    values = {tag: struct.pack(f"<{form}", value).ljust(8, b"\0") for tag, value in tags.items()}
    entries = b"".join(struct.pack("<HHQ", tag, kind, 1) + value for tag, value in values.items())
    head = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(tags))
    found = declared.of_image(head + entries + bytes(8))
    assert (found.width, found.height) == (90, 80)
    assert found.depth == pytest.approx(2 * 3 * 8 * 96 * 96 / (90 * 80))


def test_a_targa_file_that_begins_as_another_kind_costs_what_that_declares(tmp_path, monkeypatch):
    """FFmpeg would take the other size, which is refused before it takes any memory."""
    side = 9000
    head = bytearray(b"BM\x0a" + bytes(15 + 0x42))  # a text of 0x42 bytes, in which a bitmap has its own size
    struct.pack_into("<HHB", head, 12, side, side, 24)
    struct.pack_into("<ii", head, 18, 10, 10)
    path = tmp_path / "plate.0001.tga"
    path.write_bytes(bytes(head) + b"\xff\1\2\3" * (side * side // 128 + 1))
    assert declared.of_image(path.read_bytes(), plain=True).width == 10
    monkeypatch.setattr(stills.pixels, "rgb", lambda frame: pytest.fail("it was decoded"))
    with pytest.raises(ClipError, match="is no image that can be read"):
        stills.read(path)


def huge_exr(path, side, compression=OpenEXR.PIZ_COMPRESSION):
    """A file of a kilobyte whose header has a data window of side x side."""
    with OpenEXR.File({"compression": compression}, {"Y": np.zeros((48, 64), np.float32)}) as file:
        file.write(str(path))
    data = bytearray(path.read_bytes())
    for name in (b"dataWindow\0box2i\0", b"displayWindow\0box2i\0"):
        struct.pack_into("<4i", data, data.index(name) + len(name) + 4, 0, 0, side - 1, side - 1)
    path.write_bytes(data)
    return path


def test_an_exr_that_declares_a_huge_image(tmp_path, little_memory):
    path = huge_exr(tmp_path / "plate.0001.exr", 30000)
    little_memory(3 << 30)
    with pytest.raises(ClipError, match=r"declares 30000 x 30000 pixels, which take 28\.8 GB .* and 3\.2 GB are free"):
        stills.read(path)
    with pytest.raises(ClipError, match="declares 30000 x 30000 pixels"):
        exr.read_map(path)


@pytest.mark.parametrize("compression", [OpenEXR.ZIP_COMPRESSION, OpenEXR.NO_COMPRESSION, OpenEXR.RLE_COMPRESSION])
def test_an_exr_too_small_for_what_it_declares_is_cut_short(tmp_path, compression):
    with pytest.raises(ClipError, match="its pixels are incomplete"):
        exr.read_map(huge_exr(tmp_path / "plate.0001.exr", 3000, compression))


def test_a_map_of_another_size_is_refused_by_its_header(tmp_path, little_memory):
    path = huge_exr(tmp_path / "disparity.0001.exr", 30000)
    with pytest.raises(ClipError, match="is 30000x30000 pixels and not 64x48 as its sequence says"):
        exr.read_map(path, size=SIZE)
    exr.write_map(path, np.ones((48, 64), np.float32))
    assert exr.read_map(path, size=SIZE).shape == (48, 64)


def test_memory_that_runs_out_is_not_taken_for_a_broken_file(tmp_path, monkeypatch):
    path = tmp_path / "disparity.0001.exr"
    exr.write_map(path, np.ones((48, 64), np.float32))

    def opened(*_given, **_more):
        raise MemoryError

    monkeypatch.setattr(OpenEXR, "File", opened)
    with pytest.raises(MemoryError):
        exr.read_map(path)


def test_tiles_that_are_larger_than_the_image_cost_nothing(tmp_path):
    path = tmp_path / "plate.0001.exr"
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    with OpenEXR.File(
        {"type": OpenEXR.tiledimage, "tiles": tiles}, {"RGB": (PICTURE / 255).astype(np.float32)}
    ) as file:
        file.write(str(path))
    assert stills.read(path).shape == (48, 64, 3)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"tiles\0tiledesc\0") + 19, 0xFFFFFF)
    path.write_bytes(data)
    with pytest.raises(ClipError, match="it has tiles of 16777215 x 16 pixels"):
        stills.read(path)


def test_deep_data_is_told(tmp_path):
    path = tmp_path / "plate.0001.exr"
    samples = np.empty((4, 4), object)
    for index in np.ndindex(4, 4):
        samples[index] = np.array([1.0, 2.0], np.float32)
    with OpenEXR.File({"type": OpenEXR.deepscanline, "compression": OpenEXR.ZIPS_COMPRESSION}, {"Z": samples}) as file:
        file.write(str(path))
    with pytest.raises(ClipError, match="holds deep data; render it without, or flatten it"):
        stills.read(path)


def test_a_display_window_beyond_the_memory(tmp_path, little_memory):
    path = encoded(tmp_path / "plate.0001.exr")
    window = (0, 0, 10**9, 10**9)
    data = bytearray(path.read_bytes())
    name = b"displayWindow\0box2i\0"
    struct.pack_into("<4i", data, data.index(name) + len(name) + 4, *window)
    path.write_bytes(data)
    assert stills.read(path).shape == (48, 64, 3), "the data alone is the image"
    with pytest.raises(ClipError, match="declares 1000000001 x 1000000001 pixels"):
        stills.read(path, display=window)


@pytest.mark.parametrize("kind", ["png", "exr", "jpg", "tif"])
def test_a_giant_frame_in_the_midst_of_a_sequence_is_named_before_it_is_decoded(tmp_path, kind, monkeypatch):
    for number in range(1, 4):
        encoded(tmp_path / f"plate.{number:04d}.{kind}", cv2.resize(PICTURE, (200, 150)) if number == 2 else PICTURE)
    with open_clip(describe(tmp_path)) as clip:
        frames = clip.read()
        next(frames)
        monkeypatch.setattr(cv2, "imdecode", None)
        monkeypatch.setattr(exr, "require_memory", None)
        with pytest.raises(ClipError, match=r"Frame 2 .* is 200 x 150 pixels and the sequence is 64 x 48"):
            next(frames)


def test_a_file_beyond_the_memory_is_not_read(tmp_path, little_memory):
    path = tmp_path / "plate.0001.png"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    little_memory(4 << 30)
    with pytest.raises(ClipError, match=r"has 3\.2 GB, which take 6\.4 GB of memory to read, and 4\.3 GB are free"):
        stills.read(path)


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize("name", ["a.png", "a.exr", "a.dpx", "a.mp4"])
def test_a_pipe_is_no_file_and_nothing_waits_for_it(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ClipError, match="is no file"):
        stills.read(tmp_path / name) if name != "a.mp4" else describe(tmp_path / name)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunk(path, made, *, at=33):
    data = encoded(path).read_bytes()
    path.write_bytes(data[:at] + made + data[at:])
    return path


def test_a_png_whose_chunk_says_that_it_is_longer_than_the_file(tmp_path):
    path = with_chunk(tmp_path / "plate.0001.png", struct.pack(">I4s", 1 << 30, b"tEXt") + bytes(8))
    with pytest.raises(ClipError, match="is cut short"):
        stills.read(path)


def test_a_profile_that_unpacks_without_end_is_let_be(tmp_path):
    bomb = zlib.compress(bytes(256 << 20), 9)
    path = with_chunk(tmp_path / "plate.0001.png", chunk(b"iCCP", b"bomb\0\0" + bomb))
    taken = []
    real = zlib.decompressobj

    class Counted:
        def decompress(self, data, limit=0):
            taken.append(len(made := real().decompress(data, limit)))
            return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(color_tags.zlib, "decompressobj", Counted)
        assert color_tags.of_still(path) == color_tags.NOTHING
    assert taken and max(taken) <= 1 << 24


def profile(tags, *, count=None, body=b""):
    """An ICC profile with a table of (name, offset, size)."""
    head = bytearray(132)
    head[16:20], head[36:40] = b"RGB ", b"acsp"
    struct.pack_into(">I", head, 128, len(tags) if count is None else count)
    return bytes(head) + b"".join(struct.pack(">4sII", *tag) for tag in tags) + body


def test_a_profile_whose_tags_share_one_long_piece_is_not_copied_for_each():
    tags = [(f"{number:04d}".encode(), 0, 1 << 24) for number in range(900)]
    found = icc.read(profile(tags, count=2**32 - 1, body=bytes(1 << 24)))
    assert found is not None and found.to_xyz is None


def test_a_profile_with_a_name_that_is_a_novel_or_speaks_to_terminals():
    text = b"\x1b[2J" + b"x" * 5000
    body = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text
    found = icc.read(profile([(b"desc", 144, len(body))], body=body))
    assert found is not None and found.name.isprintable() and len(found.name) <= 80


def test_a_profile_whose_curve_divides_by_nothing_is_let_be(tmp_path):
    curve = b"para" + bytes(4) + struct.pack(">HH", 1, 0) + struct.pack(">3i", 65536, 0, 65536)
    column = b"XYZ " + bytes(4) + struct.pack(">3i", 65536, 65536, 65536)
    at = 132 + 12 * 6
    tags = [(name, at, len(curve)) for name in (b"rTRC", b"gTRC", b"bTRC")]
    tags += [(name, at + len(curve), len(column)) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    packed = zlib.compress(profile(tags, body=curve + column))
    path = with_chunk(tmp_path / "plate.0001.png", chunk(b"iCCP", b"odd\0\0" + packed))
    assert color_tags.of_still(path) == color_tags.NOTHING
    assert stills.read(path).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "values",
    [(0.0,) * 8, (float("nan"),) * 8, (1e38, -1e38) * 4, (float("inf"), 0.3) * 4],
    ids=["nothing", "nan", "huge", "infinite"],
)
def test_absurd_primaries_are_let_be(tmp_path, values):
    path = tmp_path / "plate.0001.exr"
    with OpenEXR.File({"chromaticities": values}, {"RGB": (PICTURE / 255).astype(np.float32)}) as file:
        file.write(str(path))
    assert color_tags.of_still(path).space is None
    with open_clip(describe(path)) as clip:
        assert clip.colorspace == "Linear Rec.709"


def test_a_color_space_of_a_file_is_no_novel(tmp_path):
    for name in ("x" * 100_000, "\x1b[31mred", "lin_ap0_scene\n"):
        path = tmp_path / "plate.0001.exr"
        with OpenEXR.File({"colorInteropID": name}, {"RGB": (PICTURE / 255).astype(np.float32)}) as file:
            file.write(str(path))
        assert color_tags.of_still(path) == color_tags.NOTHING


def broken(kind):
    """Small files that made a library or the code around it raise what it does not declare."""
    header = b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 1 << 21, 4, 1, 24) + bytes(2000)
    return {
        "a width beyond OpenCV's": ("bmp", header),
        "a webp of twenty bytes": ("webp", b"RIFF\x0c\0\0\0WEBPVP8X\x04\0\0\0"),
        "a webp beyond OpenCV's": (
            "webp",
            b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff\xff\xff" * 2 + bytes(9),
        ),
        "a jpeg 2000 of a mark": ("jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + b"\xff\x4f\xff\x51"),
        "a tiff of nothing": ("tif", b"II*\0\x08\0\0\0\0\0"),
        "a tiff of many fields": ("tif", b"II*\0\x08\0\0\0\xff\xff" + bytes(2000)),
        "a bigtiff without end": ("tif", b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63) + bytes(400)),
        "a bigtiff beyond all": ("tif", b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(400)),
        "a bigtiff of values beyond all": (
            "tif",
            b"II+\0\x08\0\0\0" + struct.pack("<QQHHQQ", 16, 1, 256, 16, 9, 2**64 - 1) + bytes(400),
        ),
        "a jpeg without a frame": ("jpg", b"\xff\xd8" + b"\xff\xe0\0\2" * 500 + b"\xff\xd9"),
        "a jpeg of marks": ("jpg", b"\xff\xd8" + b"\xff" * 5000 + b"\xd9"),
        "an hdr of numbers": ("hdr", b"#?RADIANCE\n\n-Y 99999999999 +X 2\n"),
        "a text": ("png", b"#EXTM3U\nfile:///etc/hostname\n"),
        "a playlist": ("dpx", b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n"),
        "an image of no width": ("tga", bytes(18) + bytes(400)),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "a width beyond OpenCV's", "a webp of twenty bytes", "a webp beyond OpenCV's", "a jpeg 2000 of a mark",
        "a tiff of nothing", "a tiff of many fields", "a bigtiff without end", "a bigtiff beyond all",
        "a bigtiff of values beyond all", "a jpeg without a frame",
        "a jpeg of marks", "an hdr of numbers", "a text", "a playlist", "an image of no width",
    ],
)  # fmt: skip
def test_what_fuzzing_found_is_one_sentence(tmp_path, kind):
    suffix, data = broken(kind)
    path = tmp_path / f"plate.0001.{suffix}"
    path.write_bytes(data)
    with pytest.raises(ClipError):
        stills.read(path)
    assert color_tags.of_still(path) == color_tags.NOTHING


def test_a_header_without_end_is_left(tmp_path):
    path = tmp_path / "plate.0001.exr"
    attribute = b"a%d\0int\0\4\0\0\0\0\0\0\0"
    path.write_bytes(b"\x76\x2f\x31\x01\2\0\0\0" + b"".join(attribute % number for number in range(20_000)))
    assert exr_windows.of_file(path) is None
    empty = b"\x76\x2f\x31\x01\2\x10\0\0" + b"a\0int\0\4\0\0\0\0\0\0\0\0" * 2000
    path.write_bytes(empty)
    assert exr_windows.of_file(path) is None


def test_what_is_free_is_bounded_by_the_container_and_by_the_process(monkeypatch, tmp_path):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(declared, "_CGROUP", tmp_path)
    free = declared.free_bytes()
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert abs(declared.free_bytes() - free) < 4e9
    (tmp_path / "memory.max").write_text("5000\n")
    assert declared.free_bytes() == 4000
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1000, 1000))
    assert declared.free_bytes() == 0
