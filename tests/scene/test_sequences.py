"""Image sequences as people name, crop and lose them: strips, clips and files take the frames that are asked for."""

import bpy
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract.job import Job, JobError, validate
from bl_ext.dev.fathom.scene import source
from bl_ext.dev.fathom.scene.source import SourceError

from tests.blender_images import fresh_sequencer, trim
from tests.footage_maker import cropped_exrs, movie, stills


@pytest.fixture
def strips(empty_file):
    return fresh_sequencer(empty_file)


def image_strip(strips, files, start=1):
    strip = strips.new_image("a strip", str(files[0]), 1, start)
    for file in files[1:]:
        strip.elements.append(file.name)
    return strip


def frames(plate):
    job = validate(Job(source=plate.source, output="out", first_frame=plate.first_frame, last_frame=plate.last_frame))
    return job.first_frame, job.last_frame, plate.scene_start


# The number that varies


@pytest.mark.parametrize("pattern", ["shot.{:04d}_4k", "shot_{:04d}_v02", "{:05d}-take3"])
def test_digits_behind_the_frame_number(pattern, strips, empty_file, tmp_path):
    files = stills(tmp_path / "shot", range(1001, 1006), pattern=pattern)
    plates = [source.from_strip(image_strip(strips, files), empty_file), source.from_file(files[0].parent)]
    plates += [source.from_file(files[3])]
    assert {frames(plate)[:2] for plate in plates} == {(1001, 1005)}
    assert {plate.source.files for plate in plates} == {tuple(file.name for file in files)}
    assert {plate.name for plate in plates} == {"shot"}
    assert {Job(source=plate.source, output="out").fingerprint() for plate in plates} == {
        Job(source=plates[0].source, output="out").fingerprint()
    }


def test_a_clip_that_does_not_find_its_sequence_is_declined(empty_file, tmp_path):
    files = stills(tmp_path / "shot", range(1001, 1006), pattern="shot.{:04d}_4k")
    clip = bpy.data.movieclips.load(str(files[0]))
    assert clip.frame_duration == 1, "Blender counts up the last number"
    with pytest.raises(
        SourceError,
        match=r"shot\.1001_4k\.png to shot\.1005_4k\.png: .* looks for shot\.1001_5k\.png .* as an image strip",
    ):
        source.from_clip(clip)


def test_a_strip_of_which_one_frame_is_shown_keeps_its_number(strips, empty_file, tmp_path):
    files = stills(tmp_path / "shot", range(1001, 1006), pattern="shot.{:04d}_4k")
    strip = image_strip(strips, files)
    trim(strip, start=2, end=2)
    assert frames(source.from_strip(strip, empty_file)) == (1003, 1003, 3)
    assert frames(source.from_strip(image_strip(strips, files), empty_file, "1002-1003")) == (1002, 1003, 2)


# Only what is asked for counts


def test_a_gap_outside_the_frames_that_are_asked_for(strips, empty_file, tmp_path):
    files = stills(tmp_path / "shot", [1001, 1002, 1003, 1005, 1006])
    for path in (files[0].parent, files[1]):
        assert frames(source.from_file(path, "1001-1003"))[:2] == (1001, 1003)
        assert frames(source.from_file(path, "1005-1006"))[:2] == (1005, 1006)
        for asked in ("", "1003-1005"):
            with pytest.raises(SourceError, match=r"Frame 1004 is missing"):
                source.from_file(path, asked)
    clip = bpy.data.movieclips.load(str(files[0]))
    assert frames(source.from_clip(clip, "1002-1003")) == (1002, 1003, 2)
    with pytest.raises(SourceError, match=r"Frame 1004 is missing .* reload the clip"):
        source.from_clip(clip)
    strip = image_strip(strips, files)
    assert frames(source.from_strip(strip, empty_file, "1005-1006")) == (1005, 1006, 4)
    with pytest.raises(SourceError, match=r"plate\.1005\.png follows frame 1003"):
        source.from_strip(strip, empty_file)
    with pytest.raises(JobError, match=r"a strip shows the frames 1001-1006: .* not 1003-1007"):
        source.from_strip(strip, empty_file, "1003-1007")
    trim(strip, start=0, end=2)
    assert frames(source.from_strip(strip, empty_file)) == (1001, 1003, 1)


def test_a_strip_that_repeats_its_files_is_trimmed_to_one_round(strips, empty_file, tmp_path):
    files = stills(tmp_path / "shot", [1001, 1002, 1003])
    strip = image_strip(strips, [*files, *files])
    trim(strip, start=3, end=0)
    assert frames(source.from_strip(strip, empty_file)) == (1001, 1003, 4)


def test_a_size_that_changes_and_a_still_that_is_broken_outside(strips, empty_file, tmp_path):
    files = stills(tmp_path / "shot", range(1001, 1007))
    big = stills(tmp_path / "big", [1001], images=[np.zeros((96, 128, 3), np.uint8)])
    big[0].replace(files[0])
    files[1].write_bytes(b"\x89PNG nothing")
    for plate in (
        source.from_file(files[0].parent, "1003-1006"),
        source.from_clip(bpy.data.movieclips.load(str(files[0])), "1003-1006"),
        source.from_strip(image_strip(strips, files), empty_file, "1003-1006"),
    ):
        assert frames(plate)[:2] == (1003, 1006)
        assert (plate.source.width, plate.source.height) == (64, 48)


# Data windows


def test_data_windows_that_differ_lie_in_their_display_window(strips, empty_file, tmp_path):
    files = cropped_exrs(tmp_path / "comp", range(1, 5), [(4, 0, 63, 47), (3, 2, 63, 47), (0, 0, 60, 40), (9, 9, 9, 9)])
    for plate in (
        source.from_file(files[0]),
        source.from_clip(bpy.data.movieclips.load(str(files[0]))),
        source.from_strip(image_strip(strips, files), empty_file),
    ):
        assert frames(plate)[:2] == (1, 4)
        assert (plate.source.width, plate.source.height) == (64, 48)


def test_data_windows_that_are_alike_are_the_image_as_in_blender(empty_file, tmp_path):
    files = cropped_exrs(tmp_path / "comp", range(1, 4), [(4, 2, 43, 31)] * 3)
    plate = source.from_file(files[0])
    assert (plate.source.width, plate.source.height) == (40, 30)


# One name


def test_the_name_is_the_files_own_whatever_blender_calls_it(strips, empty_file, tmp_path):
    files = stills(tmp_path / "street", range(1, 4), pattern="{:05d}")
    for _ in range(2):
        clip = bpy.data.movieclips.load(str(files[0]), check_existing=False)
    named = [
        source.from_clip(clip),
        source.from_strip(image_strip(strips, files), empty_file),
        source.from_file(files[0]),
        source.from_file(files[0].parent),
    ]
    assert {plate.name for plate in named} == {"street"}
    film = movie(tmp_path / "walk.mp4", range(3))
    named = [source.from_file(film), source.from_strip(strips.new_movie("x", str(film), 5, 1), empty_file)]
    named += [source.from_clip(bpy.data.movieclips.load(str(film)))]
    assert {plate.name for plate in named} == {"walk"}
    assert len({Job(source=plate.source, output="out").fingerprint() for plate in named}) == 1
