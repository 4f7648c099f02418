"""The worker reads exactly the images that the running Blender shows at the same frame numbers."""

from dataclasses import replace
from fractions import Fraction

import bpy
import compositor
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import nodes, source, versions
from bl_ext.dev.fathom.scene.compositing import compositor_nodes

from tests.blender_images import fresh_sequencer, rendered, trim, worker_reads
from tests.footage_maker import movie, number_in, numbered, stills, streams, woven
from tests.marks import rest_slow

B_FRAMES = {"preset": "medium", "bf": "3", "x264-params": "b-adapt=0:keyint=8"}
VARIABLE = [0, 1, 2, 4, 5, 7, 10, 11, 12, 13, 16, 18, 19, 21, 22, 25, 26, 29, 31, 33]


def both(plate, scene, python, folder):
    """(Blender's, the worker's) images of all frames of a plate, after checking that each was read once."""
    read = worker_reads(plate, python, folder)
    assert len(read) == plate.last_frame - plate.first_frame + 1
    size = (read.shape[2], read.shape[1])
    shown = np.stack([rendered(scene, plate.scene_start + i, size, folder) for i in range(len(read))])
    return shown, read


def check_same(plate, scene, python, folder, *, levels=3.5):
    """Equal to a few of 255 levels; converting Y'CbCr differs by that much between FFmpeg's own code paths."""
    shown, read = both(plate, scene, python, folder)
    assert [number_in(p) for p in read] == [number_in(p) for p in shown]
    assert np.abs(shown - read).max() * 255 <= levels
    return [number_in(p) for p in read]


def make_vfr(folder):
    return movie(folder / "vfr.mp4", VARIABLE)


def make_vfr_milliseconds(folder):
    times = [0, 33, 67, 140, 180, 300, 310, 350, 400, 500, 533, 600]
    return movie(folder / "vfr.mkv", times, rate=30, time_base=Fraction(1, 1000))


def make_b_frames_late_start(folder):
    return movie(folder / "late.mp4", range(30, 54), options=B_FRAMES, container_options={"use_editlist": "0"})


def make_transport_stream(folder):
    return movie(folder / "late.ts", range(30, 54), options=B_FRAMES)


def make_edit_list(folder):
    return movie(folder / "edits.mp4", range(5, 29), options=B_FRAMES, container_options={"use_editlist": "1"})


def make_ntsc(folder):
    return movie(folder / "ntsc.mp4", range(12), rate=Fraction(30000, 1001))


def make_avi(folder):
    return movie(folder / "b.avi", range(12), codec="mpeg4", options={"qscale": "2", "bf": "2"})


def make_wide_pixels(folder):
    return movie(folder / "wide.mp4", range(3), pixel_aspect=Fraction(4, 3))


def make_one_frame(folder):
    return movie(folder / "one.mp4", range(1))


def make_odd_portrait(folder):
    return movie(folder / "odd.mkv", range(3), size=(51, 77), codec="ffv1", pixel_format="yuv444p")


@pytest.mark.parametrize(
    "make",
    rest_slow(
        [
            make_vfr,
            make_vfr_milliseconds,
            make_b_frames_late_start,
            make_transport_stream,
            make_edit_list,
            make_ntsc,
            make_avi,
            make_wide_pixels,
            make_one_frame,
            make_odd_portrait,
        ],
        3,
    ),
)
def test_a_movie_is_read_as_blender_shows_it(make, empty_file, inference_python, tmp_path):
    path = make(tmp_path)
    strip = fresh_sequencer(empty_file).new_movie("clip", str(path), 1, 11)
    plate = source.from_strip(strip, empty_file)
    assert (plate.first_frame, plate.scene_start) == (1, 11)
    check_same(plate, empty_file, inference_python, tmp_path)


def test_a_movie_of_variable_rate_has_blenders_frame_count(empty_file, inference_python, tmp_path):
    strip = fresh_sequencer(empty_file).new_movie("clip", str(make_vfr(tmp_path)), 1, 1)
    plate = source.from_strip(strip, empty_file)
    assert plate.last_frame == 34
    numbers = check_same(plate, empty_file, inference_python, tmp_path)
    assert numbers == [sum(time <= frame for time in VARIABLE) - 1 for frame in range(34)]


@pytest.mark.parametrize("rotation", rest_slow([90, 180, 270]))
def test_a_rotated_movie_is_turned_as_this_blender_turns_it(rotation, empty_file, inference_python, tmp_path):
    path = movie(tmp_path / "turned.mp4", range(2), rotation=rotation)
    strip = fresh_sequencer(empty_file).new_movie("clip", str(path), 1, 1)
    plate = source.from_strip(strip, empty_file)
    shown, read = both(plate, empty_file, inference_python, tmp_path)
    assert np.abs(shown - read).max() * 255 <= 3.5
    upright = np.rot90(numbered(0), -rotation // 90) if versions.APPLIES_ROTATION else numbered(0)
    assert (plate.source.width, plate.source.height) == (upright.shape[1], upright.shape[0])
    assert np.abs(read[0] * 255 - upright).mean() < 10


@pytest.mark.parametrize("colors", rest_slow([(9, 16), (9, 18), (9, 1), (12, 13), (1, 1), (12, 16), (1, 8)]), ids=str)
def test_colors_that_a_movie_names(colors, empty_file, inference_python, tmp_path):
    path = movie(tmp_path / "named.mkv", range(2), codec="ffv1", pixel_format="yuv444p10le", colors=colors, matrix=9)
    strip = fresh_sequencer(empty_file).new_movie("clip", str(path), 1, 1)
    plate = source.from_strip(strip, empty_file)
    shown, read = both(plate, empty_file, inference_python, tmp_path)
    assert np.abs(shown - read).max() * 255 <= 3.5
    if bpy.app.version >= (5, 2, 0):  # without Blender's word the worker takes it for the same
        alone = replace(plate, source=replace(plate.source, colorspace=None, ocio_config=None))
        assert np.abs(worker_reads(alone, inference_python, tmp_path) - read).max() * 255 <= 1


FIELDS = {"flags": "+ildct+ilme", "top": "1"}


def make_interlaced(folder):
    options = {**FIELDS, "qscale": "2", "bf": "2"}
    return movie(folder / "fields.m2ts", range(6), codec="mpeg2video", options=options, container_format="mpegts")


def make_woven(folder):
    moving = [np.roll(numbered(5), 3 * step, axis=1) for step in range(8)]
    return movie(folder / "woven.mp4", range(4), images=woven(moving), options={"crf": "1", **FIELDS})


def make_woven_ten_bits(folder):
    moving = [np.roll(numbered(5), 3 * step, axis=1) for step in range(8)]
    options = {"crf": "1", "x264-params": "chromaloc=2", **FIELDS}
    return movie(folder / "woven.mkv", range(4), images=woven(moving), options=options, pixel_format="yuv420p10le")


def make_color_at_the_top(folder):
    lines = np.random.default_rng(1).integers(16, 240, (48, 8, 3), np.uint8).repeat(8, axis=1)
    options = {"crf": "1", "x264-params": "chromaloc=2"}
    return movie(folder / "top.mp4", range(2), images=[lines] * 2, options=options)


def make_dv(folder):
    options = {"flags": "+ildct"}
    return movie(
        folder / "dv.avi", range(3), size=(720, 576), codec="dvvideo", options=options,
        images=[numbered(index, (720, 576)) for index in range(3)],
    )  # fmt: skip


@pytest.mark.parametrize(
    "make", rest_slow([make_interlaced, make_woven, make_woven_ten_bits, make_color_at_the_top, make_dv])
)
def test_colors_of_lines_are_blenders(make, empty_file, inference_python, tmp_path):
    if make is make_woven_ten_bits and bpy.app.version < (4, 5, 0):
        pytest.skip("Blender 4.2 smooths the colors of movies of 10 bits, woven or not")
    strip = fresh_sequencer(empty_file).new_movie("clip", str(make(tmp_path)), 1, 1)
    plate = source.from_strip(strip, empty_file)
    shown, read = both(plate, empty_file, inference_python, tmp_path)
    assert np.abs(shown - read).max() * 255 <= 3.5


@pytest.mark.parametrize("name", ["streams.mkv", "streams.mov"])
@pytest.mark.parametrize("rates", rest_slow([(25, 25), (25, 50)]))
def test_the_stream_that_a_strip_shows_is_read(name, rates, empty_file, inference_python, tmp_path):
    images = [[numbered(n) for n in range(6)], [numbered(100 + n) for n in range(9)]]
    path = streams(tmp_path / name, images, rates=rates)
    strip = fresh_sequencer(empty_file).new_movie("clip", str(path), 1, 1)
    length = strip.frame_final_duration
    for index, first in ((1, 100), (0, 0)):
        strip.stream_index = index
        plate = source.from_strip(strip, empty_file)
        assert (plate.source.stream, plate.source.fps) == (index, rates[index])
        numbers = check_same(plate, empty_file, inference_python, tmp_path)
        assert numbers[:6] == [first + n for n in range(6)]
        assert len(numbers) == length


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix"),
    rest_slow(
        [("prores_ks", "yuv422p10le", "mov"), ("libx264", "yuv444p10le", "mp4"), ("png", "rgb24", "mov")], rows=True
    ),
)
def test_deep_and_lossless_codecs(codec, pixel_format, suffix, empty_file, inference_python, tmp_path):
    path = movie(tmp_path / f"deep.{suffix}", range(2), codec=codec, pixel_format=pixel_format)
    strip = fresh_sequencer(empty_file).new_movie("clip", str(path), 1, 1)
    check_same(source.from_strip(strip, empty_file), empty_file, inference_python, tmp_path)


@pytest.mark.parametrize("matrix", rest_slow([1, 5, 9]))
@pytest.mark.parametrize("full_range", rest_slow([False, True]))
def test_matrix_and_range_are_the_files(matrix, full_range, empty_file, inference_python, tmp_path):
    path = movie(tmp_path / "matrix.mp4", range(2), pixel_format="yuv444p", matrix=matrix, full_range=full_range)
    strip = fresh_sequencer(empty_file).new_movie("clip", str(path), 1, 1)
    check_same(source.from_strip(strip, empty_file), empty_file, inference_python, tmp_path)


def test_a_trimmed_strip_gives_exactly_what_it_shows(empty_file, inference_python, tmp_path):
    path = movie(tmp_path / "long.mp4", range(24), options=B_FRAMES)
    strip = fresh_sequencer(empty_file).new_movie("clip", str(path), 1, 10)
    trim(strip, start=3, end=4)
    strip_is_shown = source.from_strip(strip, empty_file)
    assert (strip_is_shown.first_frame, strip_is_shown.last_frame, strip_is_shown.scene_start) == (4, 20, 13)
    assert check_same(strip_is_shown, empty_file, inference_python, tmp_path) == list(range(3, 20))


@pytest.mark.parametrize("suffix", ["png", "jpg", "exr"])
def test_a_sequence_keeps_the_numbers_of_its_files(suffix, empty_file, inference_python, tmp_path):
    files = stills(tmp_path / "plate", range(1001, 1005), suffix=suffix)
    strip = fresh_sequencer(empty_file).new_image("plate", str(files[0]), 1, 50)
    for file in files[1:]:
        strip.elements.append(file.name)
    plate = source.from_strip(strip, empty_file)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (1001, 1004, 50)
    check_same(plate, empty_file, inference_python, tmp_path, levels=1.0)


def test_a_clip_strip_shows_its_clip_with_frame_offset_and_trim(empty_file, inference_python, tmp_path):
    path = movie(tmp_path / "clip.mp4", range(12))
    clip = bpy.data.movieclips.load(str(path))
    clip.frame_offset = 2
    strip = fresh_sequencer(empty_file).new_clip(clip.name, clip, 1, 20)
    trim(strip, start=1, end=0)
    plate = source.from_strip(strip, empty_file)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (4, 12, 21)
    assert check_same(plate, empty_file, inference_python, tmp_path) == list(range(3, 12))


@pytest.mark.parametrize("space", rest_slow(["ACEScg", "Filmic Log", "Linear Rec.709", "ARRI LogC3 (EI800)", "sRGB"]))
def test_color_comes_to_display_as_in_blender(space, empty_file, inference_python, tmp_path):
    values = np.linspace(-0.1, 1.4, 24 * 32, dtype=np.float32).reshape(24, 32)
    image = np.stack([values, values[::-1] * 0.5, values[:, ::-1] * 0.8], axis=-1)
    (file,) = stills(tmp_path / "plate", [1001], suffix="exr", images=[image])
    strip = fresh_sequencer(empty_file).new_image("plate", str(file), 1, 1)
    try:
        strip.colorspace_settings.name = space
    except TypeError:
        pytest.skip(f"this Blender has no {space}")
    plate = source.from_strip(strip, empty_file)
    assert plate.source.colorspace == space
    shown, read = both(plate, empty_file, inference_python, tmp_path)
    assert np.abs(shown - read).max() * 255 <= 0.5


ACES = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
XYZ = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)


@pytest.mark.parametrize(
    "header",
    rest_slow(
        [
            {"acesImageContainerFlag": 1},
            {"chromaticities": ACES, "colorInteropID": "lin_rec2020_scene"},
            {"chromaticities": (*ACES[:6], 0.3217, 0.3377)},
            {"chromaticities": XYZ},
        ],
        2,
    ),
    ids=["flag", "primaries and another name", "nearly", "xyz"],
)
def test_what_an_exr_says_counts_for_as_much_as_in_blender(header, empty_file, inference_python, tmp_path):
    (file,) = stills(tmp_path, [1], suffix="exr", header=header)
    plate = source.from_file(file)
    strip = fresh_sequencer(empty_file).new_image("exr", str(file), 1, 1)
    assert strip.colorspace_settings.name == plate.source.colorspace
    alone = replace(plate, source=replace(plate.source, colorspace=None, ocio_config=None))
    for asked in (plate, alone) if bpy.app.version >= (4, 5) else (plate,):  # 4.2 heeds nothing
        shown, read = both(asked, empty_file, inference_python, tmp_path)
        assert np.abs(shown - read).max() * 255 <= 0.5


@pytest.mark.parametrize("kind", ["movie", "sequence"])
@pytest.mark.parametrize(("start", "offset"), [(1, 0), (7, 2), (3, -2)])
def test_a_clip_of_the_clip_editor_lies_where_its_frames_are_shown(kind, start, offset, empty_file, tmp_path):
    if kind == "movie":
        path = movie(tmp_path / "clip.mp4", range(6))
    else:
        path = stills(tmp_path / "plate", range(1001, 1007))[0]
    clip = bpy.data.movieclips.load(str(path))
    clip.frame_start, clip.frame_offset = start, offset
    plate = source.from_clip(clip)
    compositor.prepare(empty_file, tuple(clip.size))
    node = nodes.new(compositor_nodes.scene_tree(empty_file), "CompositorNodeMovieClip")
    node.clip = clip
    compositor.show(empty_file, nodes.output_of(node, "Image"))
    first = 1 if kind == "movie" else 1001
    for frame in (plate.first_frame, plate.last_frame):
        shown = compositor.render(empty_file, tmp_path, frame + plate.frame_offset)[..., :3]
        assert number_in(shown) == frame - first
