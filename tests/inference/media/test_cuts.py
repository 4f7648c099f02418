import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.media import cuts
from inference.media.clip import open_clip
from inference.media.source import describe


def scene(seed, frame, *, pan=1):
    """A frame [72, 128, 3] of a textured scene that pans."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (9, 40, 3)).astype(np.uint8)
    wide = coarse.repeat(8, 0).repeat(8, 1)
    return wide[:, frame * pan : frame * pan + 128]


def found(pictures, first=1):
    finder = cuts.CutFinder()
    for number, picture in enumerate(pictures, first):
        finder.feed(number, np.ascontiguousarray(picture))
    return finder.finish()


def test_no_cut_in_one_shot_however_short():
    assert found([scene(1, 0)]) == ()
    assert found([scene(1, i) for i in range(2)]) == ()
    assert found([scene(1, i) for i in range(40)]) == ()


@pytest.mark.parametrize("lengths", [(20, 20), (5, 8, 30), (1, 20), (20, 1), (3, 3, 3)])
@pytest.mark.parametrize("first", [1, 1001])
def test_every_cut_is_found_at_its_frame(lengths, first):
    pictures = [scene(shot, i) for shot, length in enumerate(lengths) for i in range(length)]
    assert found(pictures, first) == tuple(first + sum(lengths[:i]) for i in range(1, len(lengths)))


def test_a_fast_pan_is_no_cut():
    assert found([scene(3, i, pan=6) for i in range(30)]) == ()


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length):
    pictures = [scene(1, i) for i in range(30)]
    for i in range(12, 12 + length):
        pictures[i] = np.full_like(pictures[i], 250)
    assert found(pictures) == ()


def test_shots_cover_the_range():
    assert cuts.shots(5, 20, ()) == ((5, 20),)
    assert cuts.shots(5, 20, (6, 20)) == ((5, 5), (6, 19), (20, 20))


@settings(max_examples=200, deadline=None)
@given(first=st.integers(0, 10**6), count=st.integers(1, 400), places=st.sets(st.integers(1, 399), max_size=20))
def test_every_frame_is_in_exactly_one_shot(first, count, places):
    last = first + count - 1
    starts = tuple(sorted(first + place for place in places if place < count))
    found = cuts.shots(first, last, starts)
    assert [number for begin, end in found for number in range(begin, end + 1)] == list(range(first, last + 1))
    assert tuple(begin for begin, _ in found) == (first, *starts)


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("bikes_scene-cuts.mp4", (31, 77, 138, 188, 243)),
        ("bigbuckbunny_static-camera.mp4", ()),
        ("tokyo-walk.mp4", ()),
        ("cat_portrait.mp4", ()),
        ("apple_closeup.mp4", ()),
        ("bear_davis.mp4", ()),
        ("lady-running_davis.mp4", ()),
    ],
)
def test_cuts_of_real_footage(name, starts, footage):
    with open_clip(describe(footage / "clips" / name)) as clip:
        pictures = [
            np.rint(p * 255).astype(np.uint8) for _, p in clip.read(size=(256, 256 * clip.height // clip.width))
        ]
    assert found(pictures) == starts
