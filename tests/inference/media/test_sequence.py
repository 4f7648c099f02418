import os
import struct
import zlib

import cv2
import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.common.failures import ClipError
from inference.contract import exr_windows
from inference.contract.job import Source
from inference.contract.numbering import frame_number, frame_numbers
from inference.media import color
from inference.media.clip import open_clip
from inference.media.exr import read_map, write_map
from inference.media.source import describe
from tests.footage_maker import cropped_exrs, number_in, numbered, stills


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
    assert frame_numbers([name, f"{head}{number + 1:0{padding}d}{tail}.exr"]) == (number, number + 1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "exr"])
def test_a_sequence_keeps_its_numbers(suffix, tmp_path):
    files = stills(tmp_path, range(1001, 1005), suffix=suffix)
    for path in (tmp_path, files[2]):
        images = read(path)
        assert list(images) == [1001, 1002, 1003, 1004]
        assert [number_in(image) for image in images.values()] == [0, 1, 2, 3]


def test_a_part_of_a_sequence_needs_only_its_own_files(tmp_path):
    files = stills(tmp_path, range(1, 6))
    with open_clip(describe(tmp_path)) as clip:
        files[0].unlink()
        assert [number for number, _ in clip.read(2, 5)] == [2, 3, 4, 5]
        with pytest.raises(ClipError, match=r"Frame 1 is missing: there is no file .*plate\.0001\.png"):
            next(clip.read(1, 5))


def test_one_image_is_a_clip_of_one_frame(tmp_path):
    stills(tmp_path, [7])[0].rename(tmp_path / "photo.png")
    assert list(read(tmp_path / "photo.png")) == [1]


def test_other_files_in_the_folder_do_not_disturb(tmp_path):
    stills(tmp_path, [1, 2])
    for name in ("notes.txt", ".plate.0003.png", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    assert list(read(tmp_path)) == [1, 2]


def write(path, image):
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(suffix, tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    write(tmp_path / f"f1.{suffix}", np.repeat(np.repeat(ramp[None, :, None], 48, 0), 3, 2))
    np.testing.assert_allclose(read(tmp_path)[1][0, :, 0], ramp / 65535, atol=1e-6)


def test_alpha_is_left_out_and_gray_repeated(tmp_path):
    image = numbered(5)
    alpha = np.dstack([image[..., ::-1], np.zeros((48, 64), np.uint8)])
    (tmp_path / "a").mkdir()
    (tmp_path / "g").mkdir()
    assert cv2.imwrite(str(tmp_path / "a" / "f1.png"), alpha)
    assert cv2.imwrite(str(tmp_path / "g" / "f1.png"), image[..., 0])
    np.testing.assert_allclose(read(tmp_path / "a")[1] * 255, image, atol=1e-3)
    np.testing.assert_allclose(read(tmp_path / "g")[1] * 255, image[..., :1].repeat(3, 2), atol=1e-3)


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
def test_the_image_is_found_among_the_channels(names, tmp_path):
    names = names.split()
    order = sorted(range(len(names)), key=lambda i: "Aux" in names[i])  # the image's values first
    channels = {names[i]: PLANES[place % 3] * (1 if place < 3 else 0.5) for place, i in enumerate(order)}
    write_exr(tmp_path / "f1.exr", channels)
    expected = [float(color.encode_srgb(plane)[0, 0]) for plane in PLANES]
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
    expected = [float(color.encode_srgb(plane)[0, 0]) for plane in PLANES]
    np.testing.assert_allclose(read(tmp_path / "h")[1][0, 0], expected, atol=1e-3)
    np.testing.assert_allclose(read(tmp_path / "p")[1][0, 0], expected, atol=1e-5)
    np.testing.assert_allclose(read(tmp_path / "y")[1][0, 0], [expected[1]] * 3, atol=1e-5)


def test_an_exr_without_a_image_names_its_channels(tmp_path):
    write_exr(tmp_path / "f1.exr", {"Z": PLANES[0], "mask": PLANES[1]})
    with pytest.raises(ClipError, match="has no image but only the channels Z, mask"):
        read(tmp_path)


def test_values_outside_display_and_no_numbers_at_all(tmp_path):
    plane = np.array([[-1, 0, 0.5, 1, 7, np.nan, np.inf, -np.inf]], np.float32)
    write_exr(tmp_path / "f1.exr", dict.fromkeys("RGB", plane))
    half = float(color.encode_srgb(np.float32(0.5)))
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
    stills(tmp_path, range(3), images=[numbered(0), numbered(1), numbered(2, (80, 48))])
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


def test_an_animated_png_is_no_image(tmp_path):
    (file,) = stills(tmp_path, [1])
    data = file.read_bytes()
    for count in (3, 1):
        control = b"acTL" + struct.pack(">II", count, 0)
        made = data[:33] + struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control)) + data[33:]
        file.write_bytes(made)
        if count == 1:
            assert list(read(tmp_path)) == [1]
            continue
        with pytest.raises(ClipError, match=r"0001\.png is an animation of 3 images, .*; convert it to a movie or to"):
            read(tmp_path)


def test_two_sequences_in_a_folder_are_a_question(tmp_path):
    stills(tmp_path, [1, 2])
    stills(tmp_path, [1, 2], suffix="jpg")
    with pytest.raises(ClipError, match=r"contains more than one sequence .*; choose one frame"):
        describe(tmp_path)
    assert list(read(tmp_path / "plate.0001.jpg")) == [1, 2]


def test_two_files_for_one_frame(tmp_path):
    (file,) = stills(tmp_path, [1])
    (tmp_path / "plate.1.png").write_bytes(file.read_bytes())
    with pytest.raises(ClipError, match=r"two files for frame 1, plate\.0001\.png and plate\.1\.png"):
        describe(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(ClipError, match="contains no images; choose a folder of numbered frames"):
        describe(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a file is always readable for root")
def test_a_file_without_permission(tmp_path):
    file = stills(tmp_path, [1])[0]
    file.chmod(0)
    with pytest.raises(ClipError, match=r"plate\.0001\.png cannot be read .*; check the file and its permissions"):
        read(tmp_path)


def test_a_size_that_changes_and_a_still_that_is_broken_outside_the_frames_asked_for(tmp_path):
    files = stills(tmp_path, range(1001, 1007))
    stills(tmp_path, [1001], images=[numbered(9, (128, 96))])
    files[1].write_bytes(b"")
    with open_clip(describe(tmp_path), 1003, 1006) as clip:
        assert (clip.width, clip.height) == (64, 48)
        assert [number_in(image) for _, image in clip.read(1003, 1006)] == [2, 3, 4, 5]
    with pytest.raises(ClipError, match=r"plate\.1002\.png is empty"), open_clip(describe(tmp_path), 1002, 1006):
        pass


def test_a_gap_outside_the_frames_asked_for(tmp_path):
    stills(tmp_path, [1001, 1002, 1004, 1005])
    source = describe(tmp_path, 1004, 1005)
    with open_clip(source, 1004, 1005) as clip:
        clip.require(1004, 1005)
        assert [number_in(image) for _, image in clip.read(1004, 1005)] == [2, 3]
        with pytest.raises(ClipError, match="Frame 1003 is missing from the sequence"):
            list(clip.read(1002, 1004))
    with pytest.raises(ClipError, match="Frame 1003 is missing"):
        describe(tmp_path, 1002, 1004)


@pytest.mark.parametrize("pattern", ["plate.{:04d}_4k", "plate_{:04d}_v02", "{:05d}-take3"])
def test_digits_behind_the_frame_number(pattern, tmp_path):
    files = stills(tmp_path, range(1001, 1013), pattern=pattern)
    for path in (tmp_path, files[5]):
        images = read(path)
        assert list(images) == list(range(1001, 1013))
        assert [number_in(image) for image in images.values()] == list(range(12))


CROPS = [(4, 0, 63, 47), (-3, -5, 70, 50), (0, 0, 60, 40), (9, 30, 20, 47), (80, 80, 80, 80)]


@pytest.mark.parametrize("origins", [None, [(10, 5)] * 5, [(0, 0), (10, 5), (-7, 0), (0, 3), (1, -1)]])
def test_data_windows_that_differ_are_placed_in_the_display_window(origins, tmp_path):
    files = cropped_exrs(tmp_path, range(5), CROPS, origins)
    images = read(tmp_path)
    for index, (left, top, right, bottom) in enumerate(CROPS):
        image = images[index]
        assert image.shape == (48, 64, 3)
        inside = np.zeros((48, 64), bool)
        inside[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
        assert not image[~inside].any(), "nothing is outside the data"
        expected = color.to_display(color.LINEAR, None)(((numbered(index) / 255.0) ** 2.2).astype(np.float32))
        np.testing.assert_allclose(image[inside], expected[inside], atol=1e-3)
    alone = read(files[2])
    assert alone[2].shape == (48, 64, 3), "one frame chosen stands for its whole sequence"


def test_windows_of_one_size_in_other_places_are_placed_too(tmp_path):
    cropped_exrs(tmp_path, range(2), [(4, 4, 43, 33), (6, 4, 45, 33)])
    first, second = read(tmp_path).values()
    assert first.shape == second.shape == (48, 64, 3)
    assert not first[:, :4].any() and first[10, 4].any() and not second[:, :6].any() and second[10, 6].any()


def test_data_windows_that_are_alike_are_the_image_as_in_blender(tmp_path):
    cropped_exrs(tmp_path, range(3), [(4, 2, 43, 31)] * 3)
    assert {image.shape for image in read(tmp_path).values()} == {(30, 40, 3)}


def test_a_display_window_that_begins_elsewhere_with_the_data_changes_nothing(tmp_path):
    cropped_exrs(tmp_path, range(3), [(4, 2, 43, 31)] * 3, [(0, 0), (9, 9), (-3, 5)])
    assert {image.shape for image in read(tmp_path).values()} == {(30, 40, 3)}


def test_only_the_data_windows_of_the_frames_asked_for_count(tmp_path):
    cropped_exrs(tmp_path, range(4), [(4, 2, 43, 31), (4, 2, 43, 31), (4, 2, 43, 31), (0, 0, 63, 47)])
    with open_clip(describe(tmp_path, 0, 2), 0, 2) as clip:
        assert (clip.width, clip.height) == (40, 30)
    told = Source(**{**vars(describe(tmp_path)), "width": 64, "height": 48})  # as depth of all four frames says
    with open_clip(told, 0, 2) as clip:
        assert next(clip.read(0, 0))[1].shape == (48, 64, 3)


def test_several_parts_and_headers_that_are_none(tmp_path):
    def part(name, left):
        box = (np.array([left, 0], np.int32), np.array([left + 9, 9], np.int32))
        display = (np.zeros(2, np.int32), np.array([63, 47], np.int32))
        pixels = {"R": np.ones((10, 10), np.float32), "G": np.ones((10, 10), np.float32)}
        header = {"name": name, "dataWindow": box, "displayWindow": display, "type": OpenEXR.scanlineimage}
        return OpenEXR.Part(header, {**pixels, "B": np.ones((10, 10), np.float32)}, name)

    for number, left in enumerate((0, 5)):
        OpenEXR.File([part("first", 3), part("second", left)]).write(str(tmp_path / f"a.{number}.exr"))
    windows = exr_windows.of_file(tmp_path / "a.1.exr")
    assert windows.data == ((3, 0, 12, 9), (5, 0, 14, 9)) and windows.display == (0, 0, 63, 47)
    assert exr_windows.shared_display([tmp_path / "a.0.exr", tmp_path / "a.1.exr"]) == (0, 0, 63, 47)
    whole = (tmp_path / "a.0.exr").read_bytes()
    for broken in (b"", whole[:3], whole[:40], b"\x89PNG", whole[:8] + b"x" * 300):
        (tmp_path / "b.exr").write_bytes(broken)
        assert exr_windows.of_file(tmp_path / "b.exr") is None
    assert exr_windows.of_file(tmp_path / "none.exr") is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no names that are no Unicode")
@pytest.mark.parametrize("suffix", ["png", "exr", "dpx"])
def test_a_folder_and_files_whose_names_are_no_utf_8(suffix, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9 %04d")
    folder.mkdir()
    for number, file in enumerate(stills(tmp_path / "plain", range(3), suffix=suffix)):
        file.rename(folder / os.fsdecode(b"pl\xe4te.%d.%s" % (number, suffix.encode())))
    assert [number_in(image) for image in read(folder).values()] == [0, 1, 2]
    write_map(folder / "depth.exr", np.ones((4, 4)))
    assert read_map(folder / "depth.exr").shape == (4, 4)
