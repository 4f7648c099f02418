"""From Y'CbCr to RGB; that it is as in Blender is tested against Blender itself in tests/scene."""

import av
import numpy as np
import pytest

from inference.media import pixels
from tests.footage_maker import movie

RNG = np.random.default_rng(3)
BLOCKS = RNG.integers(16, 240, (48, 8, 3), np.uint8).repeat(8, axis=1)  # every line another
BT601 = {"red": 1.402, "green": (-0.344136, -0.714136), "blue": 1.772}


def plainly(frame):
    """The image by the equations of BT.601, every two lines and columns sharing the color that is stored."""
    luma, first, second = (
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width].astype(float)
        for plane in frame.planes
    )
    luma = (luma - 16) * 255 / 219
    across, down = luma.shape[1] // first.shape[1], luma.shape[0] // first.shape[0]
    blue, red = ((c.repeat(down, 0).repeat(across, 1) - 128) * 255 / 224 for c in (first, second))
    green = BT601["green"][0] * blue + BT601["green"][1] * red
    return np.clip(np.stack([luma + BT601["red"] * red, luma + green, luma + BT601["blue"] * blue], -1), 0, 255)


def first_frame(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


FIELDS = {"flags": "+ildct+ilme", "top": "1"}


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [
        ("libx264", "mp4", {}),
        ("mpeg2video", "mpg", {**FIELDS, "qscale": "2"}),
        ("libx264", "mp4", {"crf": "1", "x264-params": "tff=1", **FIELDS}),
        *[("libx264", "mp4", {"crf": "1", "x264-params": f"chromaloc={place}"}) for place in range(6)],
        ("libx264", "mp4", {"crf": "1", "x264-params": "tff=1:chromaloc=2", **FIELDS}),
    ],
    ids=str,
)
def test_two_lines_share_their_color_whatever_the_file_says(codec, suffix, options, tmp_path):
    path = movie(tmp_path / f"clip.{suffix}", range(1), codec=codec, options=options, images=[BLOCKS])
    frame = first_frame(path)
    assert frame.interlaced_frame == ("flags" in options)
    assert np.abs(pixels.rgb(frame) / 257 - plainly(frame)).max() <= 1.5


@pytest.mark.parametrize("matrix", [8, 12, 14])  # YCgCo, chromaticity-derived, ICtCp
def test_codings_that_are_no_plain_matrix_count_as_bt601(matrix, tmp_path):
    params = {"crf": "1", "x264-params": f"colormatrix={ {8: 'YCgCo', 12: 'chroma-derived-nc', 14: 'ICtCp'}[matrix] }"}
    frame = first_frame(movie(tmp_path / "clip.mp4", range(1), options=params, images=[BLOCKS]))
    assert int(frame.colorspace) == matrix
    assert not pixels.matrix_is_known(matrix)
    assert np.abs(pixels.rgb(frame) / 257 - plainly(frame)).max() <= 1.5
