"""Images of kinds that need a look of their own."""

import av
import numpy as np
import pytest

from inference.common.failures import ClipError
from inference.media import stills
from tests.footage_maker import numbered


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("name", ["plate.0001.jp2", "plate.0001.j2c"])
def test_a_jpeg_2000_image_has_its_full_range_whatever_its_bits(bits, name, tmp_path):
    gray = numbered(5)[..., 0].astype(np.float64) / 255
    pixel_format = "gray" if bits == 8 else f"gray{bits}le"
    options = {"format": name[-3:].replace("j2c", "j2k"), "pred": "dwt53"}
    with av.open(str(tmp_path / name), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("jpeg2000", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, pixel_format, options
        frame = av.VideoFrame(64, 48, pixel_format)
        values = np.round(gray * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
        rows = np.zeros((48, frame.planes[0].line_size // values.itemsize), values.dtype)
        rows[:, :64] = values
        frame.planes[0].update(rows.tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    image = stills.read(tmp_path / name)
    assert image.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(image[..., 1] / np.iinfo(image.dtype).max - gray).max() < 3 / 255


def test_a_cineon_file_says_what_to_convert(tmp_path):
    (tmp_path / "plate.0001.cin").write_bytes(b"\x80\x2a\x5f\xd7" + bytes(4000))
    with pytest.raises(ClipError, match=r"is a Cineon file, which is not read; convert it to PNG, JPEG or OpenEXR"):
        stills.read(tmp_path / "plate.0001.cin")


def progressive(passes):
    """A gray JPEG of 64x64 pixels whose image is coded in many passes (ITU-T T.81, G), most of which say nothing."""

    def segment(mark, *values):
        data = b"".join(value if isinstance(value, bytes) else bytes([value]) for value in values)
        return bytes([0xFF, mark]) + (len(data) + 2).to_bytes(2, "big") + data

    one_code = bytes([1] + [0] * 15)
    head = segment(0xDB, 0, bytes([1] * 64)) + segment(0xC2, 8, b"\0\x40\0\x40", 1, 1, 0x11, 0)
    head += segment(0xC4, 0x00, one_code, 0x00) + segment(0xC4, 0x10, one_code, 0x60)  # 64 blocks of nothing
    first = segment(0xDA, 1, 1, 0, 0, 0, 0) + bytes(8)
    return b"\xff\xd8" + head + first + (segment(0xDA, 1, 1, 0, 1, 63, 0) + b"\x01") * (passes - 1) + b"\xff\xd9"


def test_a_jpeg_of_passes_without_end_is_refused_before_it_takes_its_time(tmp_path):
    for passes in (10, 101):
        (tmp_path / f"{passes}.jpg").write_bytes(progressive(passes))
    assert stills.read(tmp_path / "10.jpg").shape == (64, 64, 3)
    with pytest.raises(ClipError, match=r"101\.jpg is coded in 101 passes, .*; convert it"):
        stills.read(tmp_path / "101.jpg")
