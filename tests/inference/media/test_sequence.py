import os

import cv2
import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.job import Source, frame_number, sequence_key
from inference.media import colour
from inference.media.clip import open_clip
from inference.media.errors import ClipError
from inference.media.source import describe
from tests.footage_maker import number_in, numbered, stills


def read(path, **changes):
    source = describe(path)
    with open_clip(Source(**{**vars(source), **changes})) as clip:
        return dict(clip.read())


@settings(max_examples=200, deadline=None)
@given(
    head=st.text("ab_.v0123", max_size=8),
    number=st.integers(0, 10**6),
    padding=st.integers(1, 6),
    tail=st.sampled_from(["", "_left", ".beauty"]),
)
def test_the_frame_number_is_the_last_one_in_the_name(head, number, padding, tail):
    head += "x"
    name = f"{head}{number:0{padding}d}{tail}.exr"
    assert frame_number(name) == number
    assert sequence_key(name) == (head, f"{tail}.exr")


@pytest.mark.parametrize("suffix", ["png", "jpg", "exr"])
def test_a_sequence_keeps_its_numbers(suffix, tmp_path):
    files = stills(tmp_path, range(1001, 1005), suffix=suffix)
    for path in (tmp_path, files[2]):
        pictures = read(path)
        assert list(pictures) == [1001, 1002, 1003, 1004]
        assert [number_in(picture) for picture in pictures.values()] == [0, 1, 2, 3]


def test_a_part_of_a_sequence_needs_only_its_own_files(tmp_path):
    files = stills(tmp_path, range(1, 6))
    with open_clip(describe(tmp_path)) as clip:
        files[0].unlink()
        assert [number for number, _ in clip.read(2, 5)] == [2, 3, 4, 5]
        with pytest.raises(ClipError, match=r"Frame 1 is missing: there is no file .*plate\.0001\.png"):
            next(clip.read(1, 5))


def test_one_picture_is_a_clip_of_one_frame(tmp_path):
    stills(tmp_path, [7])[0].rename(tmp_path / "photo.png")
    assert list(read(tmp_path / "photo.png")) == [1]


def test_other_files_in_the_folder_do_not_disturb(tmp_path):
    stills(tmp_path, [1, 2])
    for name in ("notes.txt", ".plate.0003.png", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    assert list(read(tmp_path)) == [1, 2]


def write(path, picture):
    assert cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 and picture.shape[2] == 3 else picture)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(suffix, tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    write(tmp_path / f"f1.{suffix}", np.repeat(np.repeat(ramp[None, :, None], 48, 0), 3, 2))
    np.testing.assert_allclose(read(tmp_path)[1][0, :, 0], ramp / 65535, atol=1e-6)


def test_alpha_is_left_out_and_grey_repeated(tmp_path):
    picture = numbered(5)
    alpha = np.dstack([picture[..., ::-1], np.zeros((48, 64), np.uint8)])
    (tmp_path / "a").mkdir()
    (tmp_path / "g").mkdir()
    assert cv2.imwrite(str(tmp_path / "a" / "f1.png"), alpha)
    assert cv2.imwrite(str(tmp_path / "g" / "f1.png"), picture[..., 0])
    np.testing.assert_allclose(read(tmp_path / "a")[1] * 255, picture, atol=1e-3)
    np.testing.assert_allclose(read(tmp_path / "g")[1] * 255, picture[..., :1].repeat(3, 2), atol=1e-3)


def write_exr(path, channels):
    with OpenEXR.File({}, channels) as file:
        file.write(str(path))


PLANES = [np.full((6, 8), value, np.float32) for value in (0.1, 0.4, 0.9)]


@pytest.mark.parametrize(
    "names",
    [
        "R G B",
        "R G B A",
        "ViewLayer.Combined.R ViewLayer.Combined.G ViewLayer.Combined.B ViewLayer.Depth.Z",
        "Aux.R Aux.G Aux.B rgba.R rgba.G rgba.B",
    ],
)
def test_the_picture_is_found_among_the_channels(names, tmp_path):
    names = names.split()
    order = sorted(range(len(names)), key=lambda i: "Aux" in names[i])  # the picture's values first
    channels = {names[i]: PLANES[place % 3] * (1 if place < 3 else 0.5) for place, i in enumerate(order)}
    write_exr(tmp_path / "f1.exr", channels)
    expected = [float(colour.encode_srgb(plane)[0, 0]) for plane in PLANES]
    np.testing.assert_allclose(read(tmp_path)[1][0, 0], expected, atol=1e-5)


def test_half_floats_a_lone_y_and_parts(tmp_path):
    for folder in "hyp":
        (tmp_path / folder).mkdir()
    write_exr(tmp_path / "h" / "f1.exr", dict(zip("RGB", [plane.astype(np.float16) for plane in PLANES])))
    write_exr(tmp_path / "y" / "f1.exr", {"Y": PLANES[1]})
    parts = [
        OpenEXR.Part({"name": "depth"}, {"Z": PLANES[0]}),
        OpenEXR.Part({"name": "rgba"}, dict(zip("RGB", PLANES))),
    ]
    with OpenEXR.File(parts) as file:
        file.write(str(tmp_path / "p" / "f1.exr"))
    expected = [float(colour.encode_srgb(plane)[0, 0]) for plane in PLANES]
    np.testing.assert_allclose(read(tmp_path / "h")[1][0, 0], expected, atol=1e-3)
    np.testing.assert_allclose(read(tmp_path / "p")[1][0, 0], expected, atol=1e-5)
    np.testing.assert_allclose(read(tmp_path / "y")[1][0, 0], [expected[1]] * 3, atol=1e-5)


def test_an_exr_without_a_picture_names_its_channels(tmp_path):
    write_exr(tmp_path / "f1.exr", {"Z": PLANES[0], "mask": PLANES[1]})
    with pytest.raises(ClipError, match="has no picture but only the channels Z, mask"):
        read(tmp_path)


def test_values_outside_display_and_no_numbers_at_all(tmp_path):
    plane = np.array([[-1, 0, 0.5, 1, 7, np.nan, np.inf, -np.inf]], np.float32)
    write_exr(tmp_path / "f1.exr", dict.fromkeys("RGB", plane))
    half = float(colour.encode_srgb(np.float32(0.5)))
    for changes in ({}, {"colorspace": "sRGB"}):
        shown = read(tmp_path, **changes)[1][0, :, 0]
        np.testing.assert_allclose(shown, [0, 0, half if not changes else 0.5, 1, 1, 0, 1, 0], atol=1e-6)


# What is refused


def test_a_missing_frame_is_named(tmp_path):
    files = stills(tmp_path, range(1001, 1006))
    files[2].unlink()
    with pytest.raises(ClipError, match=r"Frame 1003 is missing .* after plate\.1002\.png comes plate\.1004\.png"):
        describe(tmp_path)


def test_frames_of_different_sizes_are_named(tmp_path):
    stills(tmp_path, range(3), pictures=[numbered(0), numbered(1), numbered(2, (80, 48))])
    with pytest.raises(ClipError, match=r"Frame 2 \(.*0002\.png\) is 80 x 48 pixels and the sequence is 64 x 48"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "exr"])
@pytest.mark.parametrize("keep", [0, 20, 0.6, 0.95])
def test_a_file_that_is_cut_short_is_named(suffix, keep, tmp_path):
    file = stills(tmp_path, range(1, 4), suffix=suffix)[1]
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ClipError, match=rf"plate\.0002\.{suffix}"):
        read(tmp_path)


def test_two_sequences_in_a_folder_are_a_question(tmp_path):
    stills(tmp_path, [1, 2])
    stills(tmp_path, [1, 2], suffix="jpg")
    with pytest.raises(ClipError, match=r"holds more than one sequence .*; choose one frame"):
        describe(tmp_path)
    assert list(read(tmp_path / "plate.0001.jpg")) == [1, 2]


def test_two_files_for_one_frame(tmp_path):
    (file,) = stills(tmp_path, [1])
    (tmp_path / "plate.1.png").write_bytes(file.read_bytes())
    with pytest.raises(ClipError, match=r"two files for frame 1, plate\.0001\.png and plate\.1\.png"):
        describe(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(ClipError, match="has no pictures in it; choose a folder of numbered frames"):
        describe(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a file is always readable for root")
def test_a_file_without_permission(tmp_path):
    file = stills(tmp_path, [1])[0]
    file.chmod(0)
    with pytest.raises(ClipError, match=r"plate\.0001\.png cannot be read .*; check the file and its permissions"):
        read(tmp_path)
