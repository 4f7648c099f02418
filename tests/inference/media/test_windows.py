from fractions import Fraction

import av
import numpy as np
import pytest

from inference.contract.job import Source
from inference.media.windows import PlateWindows, Windows


@pytest.mark.parametrize(("rotation", "aspect"), [(None, 2.0), (90, 0.5)])
def test_pixels_of_a_squeezed_movie(tmp_path, rotation, aspect):
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(stream.encode())
    windows = PlateWindows(Source(kind="movie", path=str(path), rotation=rotation), (32, 32))
    assert windows.of_frame(1) == Windows(pixel_aspect=aspect)


def test_a_frame_that_is_missing(tmp_path):
    source = Source(kind="sequence", path=str(tmp_path), files=("a.1.exr", "a.2.exr"))
    assert PlateWindows(source, (4, 4)).of_frame(1) is None
    (tmp_path / "a.2.exr").write_bytes(b"no image")
    assert PlateWindows(source, (4, 4)).of_frame(2) is None
