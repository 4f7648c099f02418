"""Movies; that their frames are Blender's is tested against Blender itself in tests/scene."""

import struct
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from inference.common.failures import ClipError
from inference.media.clip import open_clip
from inference.media.source import describe
from tests.footage_maker import movie, number_in, numbered, stills, streams

B_FRAMES = {"preset": "medium", "bf": "3", "x264-params": "b-adapt=0:keyint=12"}


def numbers(path, first=None, last=None):
    with open_clip(describe(path)) as clip:
        return [(number, number_in(image)) for number, image in clip.read(first, last)]


def test_a_movie_counts_from_one(tmp_path):
    path = movie(tmp_path / "clip.mp4", range(10))
    with open_clip(describe(path)) as clip:
        assert (clip.first_frame, clip.last_frame, clip.width, clip.height) == (1, 10, 64, 48)
        assert (clip.fps, clip.colorspace) == (25.0, "sRGB")
        for number, image in clip.read():
            assert image.dtype == np.float32
            assert image.shape == (48, 64, 3)
            assert 0 <= image.min() <= image.max() <= 1
            assert np.abs(image * 255 - numbered(number - 1)).mean() < 8


def test_a_range_is_the_same_as_that_part_of_the_whole(tmp_path):
    path = movie(tmp_path / "clip.mp4", range(100), options=B_FRAMES)  # longer than the margin before a seek
    for first, last in ((1, 3), (60, 64), (88, 100), (100, 100)):
        assert numbers(path, first, last) == [(n, n - 1) for n in range(first, last + 1)]


@pytest.mark.parametrize("start", [0, 7, 30])
def test_where_time_starts_does_not_matter(start, tmp_path):
    path = movie(
        tmp_path / "clip.mp4", range(start, start + 24), options=B_FRAMES, container_options={"use_editlist": "0"}
    )
    assert numbers(path) == [(n, n - 1) for n in range(1, 25)]


def test_variable_rate_is_held_on_a_constant_timeline(tmp_path):
    times = [0, 1, 4, 5, 9]
    path = movie(tmp_path / "clip.mp4", times)
    shown = [image for _, image in numbers(path)]
    assert shown[:9] == [sum(t <= frame for t in times) - 1 for frame in range(9)]


def test_blenders_word_on_rate_and_count_wins(tmp_path):
    source = replace(describe(movie(tmp_path / "clip.mp4", range(10))), fps=12.5, frame_count=6)
    with open_clip(source) as clip:
        assert [number_in(image) for _, image in clip.read()] == [0, 2, 4, 6, 8, 9]  # the last one is held


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_the_files_unless_it_is_given(rotation, tmp_path):
    path = movie(tmp_path / "clip.mp4", range(1), rotation=rotation)
    for source, turned in ((describe(path), rotation), (replace(describe(path), rotation=0), 0)):
        with open_clip(source) as clip:
            ((_, image),) = clip.read()
        upright = np.rot90(numbered(0), -turned // 90)
        assert (clip.width, clip.height) == upright.shape[1::-1]
        assert np.abs(image * 255 - upright).mean() < 8


def test_ten_bits_are_kept(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    image = np.repeat(np.repeat(ramp[None, :, None], 48, 0), 3, 2)
    path = movie(tmp_path / "deep.mkv", range(1), codec="ffv1", pixel_format="yuv444p10le", images=[image])
    with open_clip(describe(path)) as clip:
        ((_, read),) = clip.read()
    assert np.abs(read[0, :, 0] - ramp / 65535).max() < 1.5 / 1023  # 8 bits would be off by twice that


def test_odd_sizes_and_one_frame(tmp_path):
    path = movie(tmp_path / "odd.mkv", range(1), size=(51, 77), codec="ffv1", pixel_format="yuv444p")
    with open_clip(describe(path)) as clip:
        assert [(n, p.shape) for n, p in clip.read()] == [(1, (77, 51, 3))]


@pytest.mark.parametrize("name", ["clip.webm", "clip.mkv", "clip.mp4", "clip.flv", "clip.ts"])
def test_frames_are_counted_where_no_header_says_how_many(name, tmp_path):
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    options = {"crf": "4"} if codec == "libx264" else {"crf": "10", "cpu-used": "8"}
    container = {"live": "1"} if name.endswith(("webm", "mkv")) else {}
    if name.endswith("mp4"):
        container = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = tmp_path / name
    kind = {"ts": "mpegts"}.get(path.suffix[1:])
    movie(path, range(40), codec=codec, options=options, container_options=container, container_format=kind,
          piped=not name.endswith("flv"))  # fmt: skip
    assert numbers(path) == [(n, n - 1) for n in range(1, 41)]
    assert numbers(path, 30, 33) == [(n, n - 1) for n in range(30, 34)]
    with open_clip(describe(path)) as clip:
        assert clip.warnings == ()


def test_a_recording_of_variable_rate_without_a_header_is_held_on_its_timeline(tmp_path):
    times = [0, 33, 67, 100, 267, 300, 333]
    path = movie(tmp_path / "clip.webm", times, rate=30, time_base=Fraction(1, 1000), codec="libvpx-vp9", piped=True,
                 options={"crf": "10", "cpu-used": "8"}, container_options={"live": "1"})  # fmt: skip
    assert [image for _, image in numbers(path)] == [0, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6]


def with_duration(path, milliseconds, *, tags):
    """The movie with another duration in its Matroska header, and without tags that tell each track's."""
    data = bytearray(path.read_bytes())
    at = data.find(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", milliseconds)
    path.write_bytes(data if tags else data.replace(b"DURATION", b"XURATION"))
    return path


@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("milliseconds", [0, 40, 120])
def test_frames_are_counted_where_the_header_is_plainly_wrong(milliseconds, tags, tmp_path):
    path = with_duration(movie(tmp_path / "clip.mkv", range(20)), milliseconds, tags=tags)
    assert numbers(path) == [(n, n - 1) for n in range(1, 21)]
    with open_clip(describe(path)) as clip:
        told = [f"{path} has 20 frames although its header says {milliseconds // 40}, which Blender will show;"]
        assert [warning[: len(told[0])] for warning in clip.warnings] == (told if milliseconds else [])
    with open_clip(replace(describe(path), frame_count=3)) as clip:  # Blender's word
        assert clip.last_frame == 3
        (told,) = clip.warnings
    assert told.startswith(f"{path} has 20 frames, of which only the first 3 are shown and estimated")


def test_a_header_that_promises_far_more_is_not_believed(tmp_path):
    path = with_duration(movie(tmp_path / "told.mkv", range(20)), 80000, tags=True)
    assert len(numbers(path)) == 20  # the track's own tag says when it ends
    path = with_duration(movie(tmp_path / "short.mkv", range(20)), 80000, tags=False)
    with pytest.raises(ClipError, match=r"short\.mkv ends before frame 20 although it should have 2000 frames"):
        numbers(path)
    assert len(numbers(path, 1, 19)) == 19


def test_an_mpeg_whose_length_is_only_estimated_is_counted_without_a_word(tmp_path):
    noise = list(np.random.default_rng(2).integers(0, 256, (8, 120, 160, 3), np.uint8))  # FFmpeg takes it for shorter
    path = movie(tmp_path / "clip.mpg", range(8), size=(160, 120), codec="mpeg2video", options={"qscale": "2"},
                 images=noise)  # fmt: skip
    with open_clip(describe(path)) as clip:
        assert clip.last_frame == len(list(clip.read())) in range(7, 10)
        assert clip.warnings == ()


@pytest.mark.parametrize("keeps_index", [True, False])
def test_an_avi_whose_recording_was_broken_off(keeps_index, tmp_path):
    path = movie(tmp_path / "clip.avi", range(20), codec="mjpeg", pixel_format="yuvj420p", options={"qscale": "2"})
    data = bytearray(path.read_bytes())
    for chunk, field in ((b"avih", 24), (b"strh", 40)):
        at = data.find(chunk) + field
        data[at : at + 4] = bytes(4)
    path.write_bytes(data if keeps_index else data[: data.find(b"idx1")])
    assert numbers(path) == [(n, n - 1) for n in range(1, 21)]


def test_a_movie_of_which_blender_shows_one_frame_says_what_to_convert(tmp_path):
    path = movie(tmp_path / "clip.mpg", range(20), codec="mpeg2video", options={"qscale": "2"})
    with pytest.raises(ClipError, match=r"has 20 frames, of which only the first is shown .*; convert it, to an MP4"):
        open_clip(replace(describe(path), frame_count=1))
    still = movie(tmp_path / "one.mp4", range(1))
    with open_clip(replace(describe(still), frame_count=1)) as clip:
        assert clip.last_frame == 1


def test_an_avi_that_was_written_to_a_pipe(tmp_path):
    path = movie(tmp_path / "clip.avi", range(20), codec="mpeg4", options={"qscale": "2"}, piped=True)
    assert numbers(path) == [(n, n - 1) for n in range(1, 21)]
    with open_clip(describe(path)) as clip:
        (told,) = clip.warnings
    assert told.startswith(f"{path} has 20 frames although its header says ")
    blenders = replace(describe(path), frame_count=300)
    with open_clip(blenders) as clip, pytest.raises(ClipError, match="although it should have 300"):
        list(clip.read())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_frames_are_counted_too(count, tmp_path):
    assert len(numbers(movie(tmp_path / "clip.mkv", range(count), piped=True))) == count


def test_a_stream_without_time_stamps_says_what_to_convert(tmp_path):
    path = movie(tmp_path / "raw.h264", range(10), container_format="h264")
    with pytest.raises(
        ClipError, match=r"raw\.h264 does not say when its frames are shown; convert the movie, to an MP4"
    ):
        describe(path)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mov"])
def test_one_of_several_video_streams(name, tmp_path):
    other = [numbered(100 + i, (96, 64)) for i in range(9)]
    path = streams(tmp_path / name, [[numbered(i) for i in range(6)], other], rates=[25, 50])
    for index, size, rate, first in ((0, (64, 48), 25, 0), (1, (96, 64), 50, 100)):
        with open_clip(describe(path, stream=index)) as clip:
            assert ((clip.width, clip.height), clip.fps) == (size, rate)
            assert [number_in(p) for _, p in clip.read(2, 5)] == [first + n for n in (1, 2, 3, 4)]
    with pytest.raises(ClipError, match=r"has 2 video streams and none with the index 2; set \[\[stream\]\] to 0 or 1"):
        describe(path, stream=2)


@pytest.mark.parametrize("cover", [0, 1])
def test_cover_art_is_no_stream(cover, tmp_path):
    images = [[numbered(i) for i in range(6)]]
    path = streams(tmp_path / "clip.mp4", [*images, [numbered(77)]][:: -1 if cover == 0 else 1], cover=cover)
    assert [image for _, image in numbers(path)] == list(range(6))
    with pytest.raises(ClipError, match=r"has one video stream and none with the index 1; set \[\[stream\]\] to 0"):
        describe(path, stream=1)


def test_only_movies_have_streams(tmp_path):
    stills(tmp_path / "plate", [1, 2])
    with pytest.raises(ClipError, match=r"plate is no movie and has no stream with the index 1"):
        describe(tmp_path / "plate", stream=1)


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        (Fraction(2), "2"),
        (Fraction(64, 45), "1.42"),
        (Fraction(1, 2), "0.5"),
        (Fraction(16, 15), None),
        (Fraction(8, 9), None),
    ],
)
@pytest.mark.parametrize("name", ["clip.mov", "clip.mkv"])
def test_pixels_that_are_not_square_are_told_and_kept(ratio, told, name, tmp_path):
    path = movie(tmp_path / name, range(2), pixel_aspect=ratio)
    with open_clip(describe(path)) as clip:
        assert (clip.width, clip.height) == (64, 48)
        wanted = [f"The pixels of {path} are {told} times as wide as high. "] if told else []
        assert [warning[: len(wanted[0])] for warning in clip.warnings] == wanted


def cut(path, fraction):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])


FAST_START = {"movflags": "faststart"}


@pytest.mark.parametrize("fraction", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_a_movie_that_is_cut_short_is_never_read_in_part(name, fraction, tmp_path):
    codec = "mjpeg" if name.endswith("avi") else "libx264"
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = FAST_START if name.endswith("mp4") else {}
    path = movie(tmp_path / name, range(100), codec=codec, pixel_format=pixel_format, container_options=options)
    cut(path, fraction)
    with pytest.raises(ClipError, match=rf"{name} (is damaged|ends before frame|is cut short)"):
        numbers(path)


def test_a_movie_without_its_index_is_named(tmp_path):
    path = movie(tmp_path / "clip.mp4", range(20))
    cut(path, 0.5)
    with pytest.raises(ClipError, match=r"clip\.mp4 is no movie, or is cut short .*; choose a movie, or copy"):
        describe(path)


def test_a_damaged_movie_is_refused(tmp_path):
    path = movie(tmp_path / "clip.mp4", range(50), options={"preset": "medium"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(data)
    with pytest.raises(ClipError, match=r"clip\.mp4"):
        numbers(path)


def test_frames_of_another_size_are_named(tmp_path):
    path = tmp_path / "both.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for time, size in enumerate([(64, 48)] * 3 + [(96, 48)] * 3):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuvj420p", Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(numbered(time, size), format="rgb24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            for packet in [*encoder.encode(frame), *encoder.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    with pytest.raises(ClipError, match=r"Frame 4 of .*both\.mov is 96 x 48 pixels and the clip is 64 x 48"):
        numbers(path)


def test_a_range_outside_the_clip_is_refused(tmp_path):
    path = movie(tmp_path / "clip.mp4", range(10))
    with open_clip(describe(path)) as clip:
        for first, last in ((0, 3), (3, 11), (5, 4)):
            with pytest.raises(ClipError, match=rf"Frames {first}-{last} are not all in .* which has 1-10"):
                clip.read(first, last)


@pytest.mark.parametrize(
    ("content", "says"), [(b"", r"clip\.mp4 is empty \(0 bytes\)"), (b"no movie" * 99, r"clip\.mp4 is no movie")]
)
def test_what_is_no_movie_is_named(content, says, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(ClipError, match=says):
        describe(tmp_path / "clip.mp4")


def test_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(ClipError, match=r"There is nothing at .*clip\.mp4; choose a movie"):
        describe(tmp_path / "clip.mp4")


@pytest.mark.parametrize("name", ["plate.0001.pcx", "plate.0001.ppm", "plate.0001.xwd", "plate.0001.jfif"])
def test_a_image_of_another_kind_is_no_movie_of_one_frame(name, tmp_path):
    codec = {"jfif": "mjpeg"}.get(name[11:], name[11:])
    path, pixel_format = tmp_path / name, {"mjpeg": "yuvj444p", "xwd": "bgr24"}.get(codec, "rgb24")
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        frame = av.VideoFrame.from_ndarray(numbered(5), format="rgb24").reformat(format=pixel_format)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ClipError, match=r"0001\.\w+ is an image of a kind that is not read; convert it to PNG, JPEG"):
        describe(path)


def test_sound_alone_is_no_clip(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    with pytest.raises(ClipError, match=r"sound\.wav has no image in it"):
        describe(path)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"fps": 24.0, "frame_count": 24}, "has 25 frames/s, and Blender shows it with 24"),
        ({"fps": 25.0, "frame_count": 40}, "has 25 frames, and Blender shows 40"),
        ({"fps": 25.0, "frame_count": 25}, None),
    ],
)
def test_a_movie_that_blender_has_read_before_it_was_replaced(told, says, tmp_path):
    path = movie(tmp_path / "clip.mp4", range(25))
    with open_clip(replace(describe(path), **told)) as clip:
        warnings = clip.warnings
    assert [each for each in warnings if "reload the clip in Blender" in each] == list(warnings)
    assert len(warnings) == (says is not None) and (says is None or says in warnings[0])
