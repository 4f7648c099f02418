"""Strips, clips and files become sources with the frame numbers that Blender shows, or are unsupported with a cure."""

from dataclasses import replace
from types import SimpleNamespace

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract.job import Job, validate
from bl_ext.dev.fathom.scene import source, source_files, versions
from bl_ext.dev.fathom.scene.source import Plate, SourceError, shown_frames
from bl_ext.dev.fathom.scene.versions import StripTimes
from bl_ext.dev.fathom.scene.viewing import shown as viewing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blender_images import fresh_sequencer, in_sequencer, run_reader, trim
from tests.footage_maker import movie, numbered, stills, streams


@pytest.fixture
def clip_file(tmp_path):
    return movie(tmp_path / "clip.mp4", range(12))


@pytest.fixture
def strips(empty_file):
    return fresh_sequencer(empty_file)


def image_strip(strips, files, start=1):
    strip = strips.new_image("plate", str(files[0]), 1, start)
    for file in files[1:]:
        strip.elements.append(file.name)
    return strip


# What the frames of a strip are


@settings(max_examples=300, deadline=None)
@given(
    start=st.integers(-50, 50),
    count=st.integers(1, 40),
    trims=st.tuples(st.integers(0, 10), st.integers(0, 10)),
    handles=st.tuples(st.integers(-60, 60), st.integers(1, 60)),
    first=st.integers(0, 1100),
    offset=st.integers(-15, 15),
)
def test_shown_frames_is_what_holding_and_clamping_give(start, count, trims, handles, first, offset):
    length = count - sum(trims)
    if length < 1:
        return
    left, right = handles[0], handles[0] + handles[1]
    times = StripTimes(
        left=left,
        right=right,
        content_start=start,
        content_end=start + length,
        trim_start=trims[0],
        trim_end=trims[1],
    )
    # What Blender does frame by frame: the content is held at its ends, and what is outside the file is not there.
    seen = {}
    for frame in range(left, right):
        index = min(max(frame - start, 0), length - 1)
        number = first + trims[0] + index + offset
        if first <= number < first + count:
            seen.setdefault(number, start + index)
    shown = shown_frames(times, first=first, count=count, offset=offset)
    if not seen:
        assert shown is None
    else:
        assert shown == (min(seen), max(seen), seen[min(seen)])


def test_a_strip_gives_the_whole_movie(strips, empty_file, clip_file):
    plate = source.from_strip(strips.new_movie("shot", str(clip_file), 2, 101), empty_file)
    assert isinstance(plate, Plate)
    assert (plate.first_frame, plate.last_frame, plate.scene_start, plate.frame_offset) == (1, 12, 101, 100)
    assert plate.name == "clip", "the file's own name, whatever the strip is called"
    assert (plate.source.kind, plate.source.path) == ("movie", str(clip_file))
    assert (plate.source.width, plate.source.height) == (64, 48)
    assert (plate.source.fps, plate.source.frame_count) == (25.0, 12)
    assert plate.source.colorspace == "sRGB"
    assert plate.source.ocio_config.endswith("config.ocio")
    assert len(bpy.data.movieclips) == 0  # looking leaves nothing behind
    validate(Job(source=plate.source, output="out", first_frame=plate.first_frame, last_frame=plate.last_frame))


def test_held_ends_count_once(strips, empty_file, clip_file):
    strip = strips.new_movie("shot", str(clip_file), 1, 10)
    trim(strip, start=-4, end=-6)
    plate = source.from_strip(strip, empty_file)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (1, 12, 10)


def test_hold_offsets_cut_the_file(strips, empty_file, clip_file):
    strip = strips.new_movie("shot", str(clip_file), 1, 10)
    if hasattr(strip, "content_trim_start"):
        strip.content_trim_start, strip.content_trim_end = 2, 1
    else:
        strip.animation_offset_start, strip.animation_offset_end = 2, 1
    plate = source.from_strip(strip, empty_file)
    assert (plate.first_frame, plate.last_frame) == (3, 11)
    assert plate.scene_start == versions.times_of(strip).left


def test_a_trimmed_sequence(strips, empty_file, tmp_path):
    strip = image_strip(strips, stills(tmp_path / "plate", range(1001, 1011)), start=1)
    trim(strip, start=2, end=3)
    plate = source.from_strip(strip, empty_file)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (1003, 1007, 3)
    assert len(plate.source.files) == 10


def test_a_still_that_is_stretched_is_one_frame(strips, empty_file, tmp_path):
    strip = image_strip(strips, stills(tmp_path / "plate", [7]), start=5)
    trim(strip, start=0, end=-24)
    plate = source.from_strip(strip, empty_file)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (7, 7, 5)


def test_relative_paths_are_found(strips, empty_file, clip_file, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    strip = strips.new_movie("shot", "//clip.mp4", 1, 1)
    assert source.from_strip(strip, empty_file).source.path == str(clip_file)


def two_streams(folder):
    images = [[numbered(n) for n in range(6)], [numbered(100 + n, (96, 64)) for n in range(9)]]
    return streams(folder / "cameras.mov", images, rates=[25, 50])


def test_a_strip_shows_the_stream_of_its_index(strips, empty_file, tmp_path):
    strip = strips.new_movie("camera", str(two_streams(tmp_path)), 1, 10)
    assert source.from_strip(strip, empty_file).source.stream == 0
    strip.stream_index = 1  # the strip stays as long as the first stream
    plate = source.from_strip(strip, empty_file)
    assert (plate.source.stream, plate.source.fps, plate.source.frame_count) == (1, 50.0, 9)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (1, 6, 10)
    assert len(bpy.data.scenes) == 1  # looking leaves nothing behind
    validate(Job(source=plate.source, output="out", first_frame=plate.first_frame, last_frame=plate.last_frame))
    strip.filepath = strip.filepath  # read again, it can be as long as the stream that it shows
    trim(strip, start=0, end=0)
    assert source.from_strip(strip, empty_file).last_frame == 9


def test_a_stream_of_a_file(empty_file, tmp_path):
    plate = source.from_file(two_streams(tmp_path), stream=1)
    assert (plate.source.stream, plate.first_frame, plate.last_frame) == (1, 1, 9)


@pytest.mark.parametrize("index", [2, 7])
def test_a_stream_that_the_movie_has_not_is_named(index, strips, empty_file, tmp_path):
    strip = strips.new_movie("camera", str(two_streams(tmp_path)), 1, 10)
    strip.stream_index = index
    with pytest.raises(SourceError, match=rf"cameras\.mov has no video stream with the index {index}; choose a lower"):
        source.from_strip(strip, empty_file)
    assert len(bpy.data.scenes) == 1


def test_a_movie_that_does_not_tell_how_long_it_is_says_what_to_do(empty_file, tmp_path):
    options = {"crf": "10", "cpu-used": "8"}
    path = movie(
        tmp_path / "clip.webm",
        range(8),
        codec="libvpx-vp9",
        options=options,
        container_options={"live": "1"},
        piped=True,
    )
    with pytest.raises(SourceError, match=r"clip\.webm, or cannot tell how long it is; .* convert it, to an MP4 or"):
        source.from_file(path)


# Clips and files


def test_a_clip_with_start_frame_and_offset(empty_file, clip_file):
    clip = bpy.data.movieclips.load(str(clip_file))
    clip.frame_start, clip.frame_offset = 50, 3
    plate = source.from_clip(clip)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (4, 12, 50)
    clip.frame_offset = -3
    plate = source.from_clip(clip)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (1, 12, 53)


def test_a_clip_that_is_a_sequence(empty_file, tmp_path):
    files = stills(tmp_path / "plate", range(1001, 1006))
    plate = source.from_clip(bpy.data.movieclips.load(str(files[0])))
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (1001, 1005, 1)
    assert plate.source.files == tuple(file.name for file in files)
    assert (plate.source.width, plate.source.height) == (64, 48)


def test_a_clip_whose_sequence_has_a_gap_is_refused(empty_file, tmp_path):
    files = stills(tmp_path / "plate", range(1001, 1008))
    files[3].unlink()
    with pytest.raises(SourceError, match=r"Frame 1004 is missing .* plate\.1005\.png; restore it and reload the clip"):
        source.from_clip(bpy.data.movieclips.load(str(files[0])))


def test_files_movie_folder_and_one_frame(empty_file, clip_file, tmp_path):
    plate = source.from_file(clip_file)
    assert (plate.source.kind, plate.first_frame, plate.last_frame, plate.name) == ("movie", 1, 12, "clip")
    files = stills(tmp_path / "plate_v02", range(1001, 1004))
    for path in (files[0].parent, files[1]):
        plate = source.from_file(path)
        assert (plate.first_frame, plate.last_frame) == (1001, 1003)
        assert plate.source.colorspace == "sRGB"
    assert len(bpy.data.movieclips) == 0


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda folder: folder / "nothing.mp4", "There is nothing at"),
        (lambda folder: folder, "contains no images"),
        (lambda folder: stills(folder, [1, 2])[0].rename(folder / "other.0001.png").parent, "more than one sequence"),
        (lambda folder: stills(folder, [1, 2, 4])[0], "Frame 3 is missing"),
    ],
)
def test_files_that_are_no_clip(prepare, says, empty_file, tmp_path):
    with pytest.raises(SourceError, match=says):
        source.from_file(prepare(tmp_path))


@pytest.mark.parametrize("content", [b"", b"this is no movie" * 100])
def test_a_file_that_is_no_movie(content, empty_file, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(SourceError, match=r"cannot (read|open) .*clip\.mp4"):
        source.from_file(tmp_path / "clip.mp4")


# What is refused


def speed_effect(strips, strip):
    parameters = strips.bl_rna.functions["new_effect"].parameters
    length = {"length": 12} if "length" in parameters else {"frame_end": 12}
    strips.new_effect(
        "faster", "SPEED", 5, frame_start=1, **length, **{"input1" if "input1" in parameters else "seq1": strip}
    )


def retime(strips, strip):
    scene = strip.id_data
    scene.sequence_editor.active_strip = strip
    strip.select = True
    with in_sequencer(scene):
        bpy.ops.sequencer.retiming_segment_speed_set(speed=200.0)


def set_on(name, value):
    return lambda strips, strip: setattr(strip, name, value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_on("use_reverse_frames", True), "is reversed; turn off Reverse Frames"),
        (set_on("strobe", 2.0), "strobes; set its Strobe to 1"),
        (set_on("use_deinterlace", True), "is deinterlaced"),
        (speed_effect, "changed in speed by faster; remove"),
        (retime, "is retimed; reset its retiming"),
    ],
)
def test_changed_strips_are_refused_with_a_cure(change, says, strips, empty_file, clip_file):
    strip = strips.new_movie("shot", str(clip_file), 1, 1)
    source.from_strip(strip, empty_file)
    change(strips, strip)
    with pytest.raises(SourceError, match=f"shot.*{says}"):
        source.from_strip(strip, empty_file)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_on("use_reverse_frames", True), "outer is reversed"),
        (set_on("strobe", 2.0), "outer strobes"),
        (speed_effect, "outer is changed in speed by faster"),
    ],
)
def test_a_strip_in_a_meta_strip_that_is_changed_is_declined(change, says, strips, empty_file, tmp_path):
    files = stills(tmp_path / "plate", range(1, 6))
    outer = strips.new_meta("outer", 1, 1)
    strip = image_strip(versions.strips_of(versions.strips_of(outer).new_meta("inner", 1, 1)), files)
    source.from_strip(strip, empty_file)
    assert viewing.offset_on(strip, source.from_file(files[0]).source, empty_file) is not None
    change(strips, outer)
    with pytest.raises(SourceError, match=says):
        source.from_strip(strip, empty_file)
    assert viewing.offset_on(strip, source.from_file(files[0]).source, empty_file) is None


@pytest.mark.parametrize(
    ("name", "plate", "strip", "offsets"),
    [
        ("shot_{:04d}_v2.png", range(1, 9), range(3, 9), [7] * 6),
        ("shot.{:04d}_4k.png", range(1, 9), range(1, 2), [9]),
        ("shot.1.{:04d}.png", range(4, 9), range(1, 4), [9] * 3),
        ("plate.{:d}.png", range(8, 13), range(9, 13), [1] * 4),
        ("plate.{:04d}.png", range(1, 9), [1, 2, 3, 5, 6], [9, 9, 9, None, None]),
        ("plate.{:04d}.png", range(1, 9), [4, 3, 2], [6, None, None]),
        ("plate.{:04d}.png", range(1, 9), [1, 1, 2, 2], [9, None, None, None]),
    ],
)
def test_depth_lies_on_an_image_strip_at_the_frames_of_its_files(
    name, plate, strip, offsets, strips, empty_file, tmp_path
):
    """Whichever number of their names that is, and whichever files the artist chose."""
    for frame in {*plate, *strip}:
        depth_maker.write_png(tmp_path / name.format(frame), np.zeros((16, 24, 3), np.uint8))
    clip = replace(source.from_file(tmp_path).source, files=tuple(map(name.format, plate)))
    made = strips.new_image("shot", str(tmp_path / name.format(strip[0])), 1, 10)
    for frame in strip[1:]:
        made.elements.append(name.format(frame))
    at = [viewing.strip_of(clip, empty_file, now=10 + index) for index in range(len(strip))]
    assert [None if each is None else viewing.offset_of(each, clip) for each in at] == offsets
    assert viewing.offset_on(made, clip, empty_file) == (offsets[0] if None not in offsets else None)


@pytest.mark.parametrize(("flag", "says"), [("undistort", "undistorted"), ("stabilize2d", "stabilized")])
def test_clip_strips_that_bend_the_image_are_refused(flag, says, strips, empty_file, clip_file):
    clip = bpy.data.movieclips.load(str(clip_file))
    strip = strips.new_clip(clip.name, clip, 1, 1)
    setattr(strip, flag, True)
    with pytest.raises(SourceError, match=f"shows its clip {says}"):
        source.from_strip(strip, empty_file)


def test_other_strips_are_refused(strips, empty_file):
    other = bpy.data.scenes.new("other")
    strip = strips.new_scene("comp", other, 1, 1)
    with pytest.raises(SourceError, match="comp is of type Scene; select a movie, image sequence or clip strip"):
        source.from_strip(strip, empty_file)


def test_images_that_are_not_numbered_in_order_are_refused(strips, empty_file, tmp_path):
    files = stills(tmp_path / "plate", [1, 2, 4])
    with pytest.raises(SourceError, match=r"plate\.0004\.png follows frame 2"):
        source.from_strip(image_strip(strips, files), empty_file)


def test_a_missing_image_is_named(strips, empty_file, tmp_path):
    files = stills(tmp_path / "plate", range(1, 6))
    strip = image_strip(strips, files)
    files[4].unlink()
    with pytest.raises(SourceError, match=r"Frame 5 of plate is missing: there is no file .*plate\.0005\.png"):
        source.from_strip(strip, empty_file)
    trim(strip, start=0, end=1)  # what is not shown need not be there
    assert source.from_strip(strip, empty_file).last_frame == 4


def test_a_missing_movie_is_named(strips, empty_file, clip_file):
    strip = strips.new_movie("shot", str(clip_file), 1, 1)
    clip_file.unlink()
    with pytest.raises(SourceError, match=r"clip\.mp4 is missing; restore it, or relink it"):
        source.from_strip(strip, empty_file)


def test_a_strip_at_another_rate_than_the_scene_is_refused(strips, empty_file, clip_file):
    if bpy.app.version >= (5, 0, 0):
        pytest.skip("the operator that sets a playback rate crashes the 5.x modules without a window")
    empty_file.render.fps = 50
    with in_sequencer(empty_file):
        bpy.ops.sequencer.movie_strip_add(
            filepath=str(clip_file),
            frame_start=1,
            channel=1,
            adjust_playback_rate=True,
            sound=False,
            use_framerate=False,
        )
    (strip,) = versions.strips_of(empty_file.sequence_editor)
    with pytest.raises(
        SourceError, match=r"another speed than its clip; set the scene's frame rate to the clip's \(25 fps\)"
    ):
        source.from_strip(strip, empty_file)
    assert viewing.offset_on(strip, source.of_movie(str(clip_file), None), empty_file) is None
    empty_file.render.fps = 25
    assert viewing.offset_on(strip, source.of_movie(str(clip_file), None), empty_file) == 0


def test_no_depth_lies_on_a_strip_that_has_another_length_than_the_clip(strips, empty_file, clip_file):
    """As one has that plays at another rate."""
    strip = strips.new_movie("shot", str(clip_file), 1, 3)
    trim(strip, start=2, end=1)
    plates = [replace(source.of_movie(str(clip_file), None), frame_count=count) for count in (12, 13, 10, None)]
    offsets = [viewing.offset_on(strip, plate, empty_file) for plate in plates]
    assert offsets == [2, 2, None, 2]


@pytest.mark.parametrize("count", [4, 30])
def test_a_movie_that_was_replaced_by_one_of_another_length_is_no_strip_of_another_speed(
    strips, empty_file, clip_file, count
):
    strip = strips.new_movie("shot", str(clip_file), 1, 1)
    empty_file.render.fps = 25
    source.from_strip(strip, empty_file)
    movie(clip_file, range(count), rate=25)
    with pytest.raises(SourceError, match=f"shot has 12 frames, and its clip {count}: .* press Strip > Reload Strips"):
        source.from_strip(strip, empty_file)


def test_a_clip_strip_is_matched_by_name_where_blender_does_not_tell(strips, empty_file, clip_file):
    clip = bpy.data.movieclips.load(str(clip_file))
    strip = strips.new_clip("renamed by the artist", clip, 1, 1)
    if versions.clip_of(strip) is not None:
        assert source.from_strip(strip, empty_file).source.path == str(clip_file)
        return
    with pytest.raises(SourceError, match="does not tell which clip strip renamed by the artist shows"):
        source.from_strip(strip, empty_file)
    for name in (clip.name, f"{clip.name}.001"):
        strip.name = name
        assert source.from_strip(strip, empty_file).source.path == str(clip_file)


# The worker holds Blender's word against the file


def test_a_file_that_changed_under_blender_is_declined_by_the_worker(
    strips, empty_file, clip_file, inference_python, tmp_path
):
    plate = source.from_strip(strips.new_movie("shot", str(clip_file), 1, 1), empty_file)
    movie(clip_file, range(12), size=(32, 48))
    result = run_reader(plate.source, inference_python, tmp_path, first=1, last=12)
    assert result.returncode == 4
    assert "has a width of 32 pixels but Blender shows 64; reload the clip" in result.stdout


@pytest.mark.parametrize("changed", [{"rate": 30}, {"times": range(20)}, {"size": (32, 48)}])
def test_a_movie_that_changed_since_its_clip_was_read_is_declined(changed, empty_file, clip_file):
    clip = bpy.data.movieclips.load(str(clip_file))
    whole = source.from_clip(clip)
    movie(clip_file, **({"times": range(12)} | changed))
    with pytest.raises(SourceError, match=r"has changed since Blender read the clip .*: press Clip > Reload Clip"):
        source.from_clip(clip)
    assert list(bpy.data.movieclips) == [clip]
    fresh = bpy.data.movieclips.load(str(clip_file), check_existing=False)
    assert source.from_clip(fresh) != whole


def test_a_sequence_that_is_shown_by_its_proxy_has_the_size_of_its_files(empty_file, tmp_path):
    clip = bpy.data.movieclips.load(str(stills(tmp_path / "plate", range(1, 4))[0]))
    whole = source.from_clip(clip)
    names = ("name", "filepath", "library", "source", "frame_duration", "frame_start", "frame_offset", "fps")
    shown = SimpleNamespace(**{name: getattr(clip, name) for name in names}, size=(68, 48), use_proxy=True)
    shown.colorspace_settings = clip.colorspace_settings
    assert source.from_clip(shown) == whole


def test_a_clip_that_is_shown_by_its_proxy_has_the_size_of_its_file(empty_file, clip_file):
    clip = bpy.data.movieclips.load(str(clip_file))
    names = ("name", "filepath", "library", "source", "frame_duration", "fps", "colorspace_settings")
    # what Blender 5.2 has in a window of a clip 854 pixels wide at 25 %: 856, the proxy's size times four
    shown = SimpleNamespace(**{name: getattr(clip, name) for name in names}, size=(68, 48), use_proxy=True)
    assert source_files.of_clip(shown) == source_files.of_clip(clip)
    shown.use_proxy = False
    with pytest.raises(SourceError, match="has changed since Blender read the clip"):
        source_files.of_clip(shown)
