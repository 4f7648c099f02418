import errno
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.common.failures import ClipError
from inference.media.clip import open_clip
from inference.media.mattes import mattes
from inference.media.processing_size import prepare, working_size
from inference.media.source import describe
from tests.footage_maker import movie, number_in, stills


@settings(max_examples=300, deadline=None)
@given(
    width=st.integers(16, 5000),
    height=st.integers(16, 5000),
    long_side=st.integers(64, 2000),
    multiple=st.sampled_from([1, 2, 8, 14, 64]),
)
def test_the_working_size_fits(width, height, long_side, multiple):
    size = working_size(width, height, long_side, multiple)
    scale = min(1, long_side / max(width, height))
    for length, plate in zip(size, (width, height)):
        assert length % multiple == 0
        assert length >= multiple
        assert abs(length - plate * scale) <= max(multiple / 2, multiple - plate * scale)


def test_a_small_plate_is_not_enlarged():
    assert working_size(320, 240, 640, 1) == (320, 240)
    assert working_size(1920, 1080, 640, 8) == (640, 360)
    assert working_size(1080, 1920, 640, 8) == (360, 640)


@pytest.fixture
def clip(tmp_path):
    with open_clip(describe(movie(tmp_path / "clip.mp4", range(20)))) as opened:
        yield opened


def test_frames_by_random_access(clip, tmp_path):
    done = []
    prepared = prepare(clip, 3, 18, (32, 24), tmp_path / "cache", progress=lambda *args: done.append(args))
    assert done == [(n, 16) for n in range(1, 17)]
    frames = prepared.frames(5, 10)
    assert (len(frames), frames.numbers, frames.width, frames.height) == (6, range(5, 11), 32, 24)
    assert frames[0].shape == (24, 32, 3)
    assert frames[0].dtype == np.uint8
    assert [number_in(frame) for frame in frames] == [4, 5, 6, 7, 8, 9]
    assert number_in(frames[-1]) == 9
    for outside in (6, -7):
        with pytest.raises(IndexError):
            frames[outside]
    with pytest.raises(ValueError, match="not all in 3-18"):
        prepared.frames(2, 5)


@settings(max_examples=60, deadline=None)
@given(
    window=st.tuples(st.integers(1001, 1020), st.integers(1001, 1020)).map(lambda ends: tuple(sorted(ends))),
    part=st.tuples(st.integers(0, 19), st.integers(0, 19)).map(lambda ends: tuple(sorted(ends))),
    index=st.integers(-25, 25),
)
def test_any_window_of_the_cache_shows_its_own_frames(window, part, index, tmp_path_factory):
    """Windows as estimators take them: the i-th frame is frame ``numbers[i]``, whatever part was prepared."""
    folder = tmp_path_factory.getbasetemp() / "windows"
    if not folder.exists():
        stills(folder, range(1001, 1021))
    first, last = window
    begin, end = min(first + part[0], last), min(first + part[1], last)
    with open_clip(describe(folder)) as clip:
        frames = prepare(clip, first, last, (32, 24), tmp_path_factory.mktemp("cache")).frames(begin, end)
    assert frames.numbers == range(begin, end + 1)
    if -len(frames) <= index < len(frames):
        assert number_in(frames[index]) == frames.numbers[index] - 1001
    else:
        with pytest.raises(IndexError):
            frames[index]


def test_scaling_is_an_area_average(clip, tmp_path):
    ((_, plate),) = clip.read(1, 1)
    average = plate.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    frame = prepare(clip, 1, 1, (32, 24), tmp_path / "cache").frames(1, 1)[0]
    assert np.abs(frame / 255 - average).max() < 1 / 255


def test_cuts_make_shots(tmp_path):
    random = np.random.default_rng(0)
    worlds = [random.integers(0, 255, (6, 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(3)]
    stills(tmp_path / "plate", range(1001, 1031), images=[worlds[i // 10] for i in range(30)])
    with open_clip(describe(tmp_path / "plate")) as clip:
        prepared = prepare(clip, 1003, 1030, (64, 48), tmp_path / "cache")
    assert prepared.shots == ((1003, 1010), (1011, 1020), (1021, 1030))


class Stop(Exception):
    pass


def test_images_that_stand_for_several_frames_are_known_however_often_it_is_asked(tmp_path):
    times, at = [], 0
    for held in (1, 3, 2, 1, 4, 2, 1, 3):
        times.append(at)
        at += held
    path = movie(tmp_path / "phone.mp4", times, rate=24, images=[panned(i) for i in range(8)], size=(192, 96))
    with open_clip(describe(path)) as clip:
        for cuts, shots in ((None, ((1, 15),)), ((), ((1, 15),)), ((3, 7), ((1, 2), (3, 6), (7, 15)))):
            prepared = prepare(clip, 1, 15, (192, 96), tmp_path / "cache", cuts=cuts)
            assert prepared.shots == shots
            assert prepared.repeats == {3, 4, 6, 9, 10, 11, 13}
            assert prepared.shown(1, 15) == (0, 1, 1, 1, 4, 4, 6, 7, 7, 7, 7, 11, 11, 13, 14)
            assert prepared.shown(3, 6) == (0, 0, 2, 2)


def panned(index):
    texture = np.random.default_rng(5).integers(0, 256, (12, 60, 3), np.uint8)
    return np.ascontiguousarray(cv2.resize(texture, (480, 96), interpolation=cv2.INTER_CUBIC)[:, 5 * index :][:, :192])


def stopping_after(count):
    calls = iter(range(count))

    def check():
        if next(calls, None) is None:
            raise Stop

    return check


@pytest.mark.parametrize("stops", [(0,), (1,), (5, 2, 9), (19,)])
def test_an_interrupted_pass_goes_on_to_the_same_bits(stops, clip, tmp_path):
    whole = prepare(clip, 1, 20, (32, 24), tmp_path / "whole")
    for stop in stops:
        with pytest.raises(Stop):
            prepare(clip, 1, 20, (32, 24), tmp_path / "cache", check=stopping_after(stop))
    resumed = prepare(clip, 1, 20, (32, 24), tmp_path / "cache")
    assert resumed.shots == whole.shots
    assert resumed.path.read_bytes() == whole.path.read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 2303, 2304, 2305, 30000])
def test_a_file_that_was_cut_off_anywhere_goes_on(kept, clip, tmp_path):
    whole = prepare(clip, 1, 20, (32, 24), tmp_path / "cache")
    expected = whole.path.read_bytes()
    whole.path.write_bytes(expected[:kept])
    assert prepare(clip, 1, 20, (32, 24), tmp_path / "cache").path.read_bytes() == expected


def test_what_is_done_is_not_read_again(clip, tmp_path):
    prepared = prepare(clip, 1, 20, (32, 24), tmp_path / "cache")
    done = []
    again = prepare(
        clip, 1, 20, (32, 24), tmp_path / "cache", check=stopping_after(0), progress=lambda *args: done.append(args)
    )
    assert again == prepared
    assert done == [(20, 20)]


def test_a_broken_state_starts_afresh(clip, tmp_path):
    prepared = prepare(clip, 1, 20, (32, 24), tmp_path / "cache")
    expected = prepared.path.read_bytes()
    for text in ("", "no json", "[]", '{"found": 1}'):
        (tmp_path / "cache" / "frames.json").write_text(text)
        assert prepare(clip, 1, 20, (32, 24), tmp_path / "cache").path.read_bytes() == expected


def test_a_wrong_range_leaves_the_cache_alone(clip, tmp_path):
    prepared = prepare(clip, 1, 20, (32, 24), tmp_path / "cache")
    with pytest.raises(ClipError, match="not all in"):
        prepare(clip, 1, 21, (32, 24), tmp_path / "cache")
    assert prepared.path.stat().st_size == 20 * 32 * 24 * 3


def test_too_little_room_is_said_before_the_work(clip, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match="make room, choose another output folder") as caught:
        prepare(clip, 1, 20, (32, 24), tmp_path / "cache", check=stopping_after(0))
    assert caught.value.errno == errno.ENOSPC


def test_mattes_by_frame_number(tmp_path):
    images = []
    for column in range(4):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:, 16 * column : 16 * (column + 1)] = 255
        images.append(image)
    stills(tmp_path / "mattes", range(1001, 1005), images=images)
    found = mattes(tmp_path / "mattes", 1002, 1004, (32, 24))
    assert (len(found), found.numbers) == (3, range(1002, 1005))
    assert found[0].dtype == bool
    assert found[0].shape == (24, 32)
    assert np.flatnonzero(found[0].all(axis=0)).tolist() == list(range(8, 16))
    assert found[0].sum() == 24 * 8


def test_a_missing_matte_is_named(tmp_path):
    with pytest.raises(ClipError, match="There is no folder of mattes"):
        mattes(tmp_path / "nowhere", 1, 2, (32, 24))
    stills(tmp_path / "mattes", [1, 2])
    with pytest.raises(ClipError, match="Frame 3 has no matte in"):
        mattes(tmp_path / "mattes", 1, 3, (32, 24))
