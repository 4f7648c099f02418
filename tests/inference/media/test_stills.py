"""Pictures of kinds that need a look of their own."""

import av
import numpy as np
import pytest

from inference.common.failures import ClipError
from inference.media import stills
from tests.footage_maker import numbered


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("name", ["plate.0001.jp2", "plate.0001.j2c"])
def test_a_jpeg_2000_picture_has_its_full_range_whatever_its_bits(bits, name, tmp_path):
    grey = numbered(5)[..., 0].astype(np.float64) / 255
    pixel_format = "gray" if bits == 8 else f"gray{bits}le"
    options = {"format": name[-3:].replace("j2c", "j2k"), "pred": "dwt53"}
    with av.open(str(tmp_path / name), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("jpeg2000", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, pixel_format, options
        frame = av.VideoFrame(64, 48, pixel_format)
        values = np.round(grey * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
        rows = np.zeros((48, frame.planes[0].line_size // values.itemsize), values.dtype)
        rows[:, :64] = values
        frame.planes[0].update(rows.tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    picture = stills.read(tmp_path / name)
    assert picture.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(picture[..., 1] / np.iinfo(picture.dtype).max - grey).max() < 3 / 255


def test_a_cineon_file_says_what_to_convert(tmp_path):
    (tmp_path / "plate.0001.cin").write_bytes(b"\x80\x2a\x5f\xd7" + bytes(4000))
    with pytest.raises(ClipError, match=r"is a Cineon file, which is not read; convert it to PNG, JPEG or OpenEXR"):
        stills.read(tmp_path / "plate.0001.cin")
