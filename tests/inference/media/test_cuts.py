import cv2
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


def look(images, first=1):
    """What the finder knows of images when it has seen all: where shots start, what repeats, what is blank."""
    finder = cuts.CutFinder()
    for number, image in enumerate(images, first):
        finder.feed(number, np.ascontiguousarray(image))
    return finder.finish(), finder.repeats, finder.blank


def found(images, first=1):
    return look(images, first)[0]


def smooth(seed, frame, *, pan=3):
    """A frame [72, 128, 3] as a lens draws it, which pans."""
    return cv2.GaussianBlur(scene(seed, frame, pan=pan), (0, 0), 2)


def nothing(level, count=1):
    return [np.full((72, 128, 3), level, np.uint8)] * count


def lit(image, gain, lift=0):
    return np.clip(image.astype(np.float32) * gain + lift, 0, 255).astype(np.uint8)


def grainy(image, seed, sigma=6):
    grain = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def test_no_cut_in_one_shot_however_short():
    assert found([scene(1, 0)]) == ()
    assert found([scene(1, i) for i in range(2)]) == ()
    assert found([scene(1, i) for i in range(40)]) == ()


@pytest.mark.parametrize("lengths", [(20, 20), (5, 8, 30), (1, 20), (20, 1), (3, 3, 3)])
@pytest.mark.parametrize("first", [1, 1001])
def test_every_cut_is_found_at_its_frame(lengths, first):
    images = [scene(shot, i) for shot, length in enumerate(lengths) for i in range(length)]
    assert found(images, first) == tuple(first + sum(lengths[:i]) for i in range(1, len(lengths)))


def test_a_fast_pan_is_no_cut():
    assert found([scene(3, i, pan=6) for i in range(30)]) == ()


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length):
    images = [scene(1, i) for i in range(30)]
    for i in range(12, 12 + length):
        images[i] = np.full_like(images[i], 250)
    assert found(images) == ()


@pytest.mark.parametrize(
    "holds", [[2] * 12, [3] * 12, [6] * 8, [1, 4, 2, 3, 1, 1, 4, 2, 3, 3, 2], [9, 1, 1, 1, 1, 1, 1, 7]]
)
@pytest.mark.parametrize("sigma", [0, 2, 8], ids=["as they are", "with grain", "with much grain"])
def test_held_frames_are_no_cuts_and_are_known(holds, sigma):
    unique = [i for i, count in enumerate(holds) for _ in range(count)]
    images = [grainy(smooth(1, i), seed, sigma) for seed, i in enumerate(unique)]
    starts, repeats, blank = look(images)
    assert (starts, blank) == ((), {})
    assert repeats == [n + 1 for n in range(1, len(unique)) if unique[n] == unique[n - 1]]


def test_a_cut_between_held_frames_is_found():
    images = [
        grainy(smooth(1 + i // 5, i % 5, pan=1), n, 4) for n, i in enumerate(i for i in range(15) for _ in range(3))
    ]
    assert found(images) == (16, 31)


def test_a_camera_that_moves_slowly_repeats_nothing_for_long():
    wide = cv2.GaussianBlur(scene(2, 0).repeat(4, 0).repeat(4, 1), (0, 0), 6)
    for step, longest in ((0.03, 5), (0.3, 1)):
        moved = [cv2.warpAffine(wide, np.float32([[1, 0, -step * i], [0, 1, 0]]), (400, 240)) for i in range(40)]
        repeats = look([grainy(p, i, 2) for i, p in enumerate(moved)])[1]
        runs = np.diff([n for n in range(1, 42) if n not in repeats])
        assert runs.max() <= longest


def test_a_locked_camera_repeats_everything_but_what_moves():
    still = smooth(1, 0)
    assert look([grainy(still, i) for i in range(20)])[1] == list(range(2, 21))
    walk = []
    for i in range(20):
        walk.append(still.copy())
        walk[-1][30:60, 4 * i : 4 * i + 12] = 30
    assert look(walk)[1] == []


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("gain", [0.2, 0.5, 1.3, 2.0])
def test_a_frame_or_two_in_another_light_are_no_shot(length, gain):
    images = [smooth(1, i) for i in range(30)]
    images[12 : 12 + length] = [lit(image, gain) for image in images[12 : 12 + length]]
    assert found(images) == ()


@pytest.mark.parametrize(
    "light",
    [
        np.where(np.arange(40) < 20, 1, 0.4),
        np.where(np.arange(40) // 2 % 2, 1, 0.15),
        np.where(np.arange(40) % 5 == 2, 1, 0.08),
        np.linspace(1, 0.3, 40),
        np.clip(np.minimum(np.arange(40), np.arange(40)[::-1]) / 8, 0, 1),
    ],
    ids=["a lamp is put out", "strobe", "flashes in the dark", "exposure adapts", "fades"],
)
def test_light_that_changes_is_no_cut(light):
    assert look([lit(smooth(1, i), gain) for i, gain in enumerate(light)])[0::2] == ((), {})


def test_a_white_flash_on_a_cut_is_no_shot():
    images = [smooth(1, i) for i in range(15)] + nothing(255) + [smooth(2, i) for i in range(15)]
    starts, _, blank = look(images)
    assert starts in ((16,), (17,)) and blank == {}


@pytest.mark.parametrize("level", [0, 255])
def test_heads_tails_and_dips_that_show_nothing_are_shots_of_their_own(level):
    one, two = [smooth(1, i) for i in range(15)], [smooth(2, i) for i in range(15)]
    starts, _, blank = look(nothing(level, 6) + one + nothing(level, 4) + two + nothing(level, 12))
    what = "white" if level else "black"
    assert starts == (7, 22, 26, 41)
    assert blank == {1: what, 22: what, 41: what}


def test_a_shot_goes_on_behind_a_few_frames_that_show_nothing():
    images = [smooth(1, i, pan=1) for i in range(40)]
    assert look(images[:15] + nothing(0, 5) + images[20:])[0::2] == ((), {})
    starts, _, blank = look(images[:10] + nothing(0, 20) + images[30:])
    assert (starts, blank) == ((11, 31), {11: "black"})


def test_one_frame_that_shows_nothing_at_an_end_stays_with_its_shot():
    images = [smooth(1, i) for i in range(15)]
    assert look(nothing(0) + images + nothing(255, 2))[0::2] == ((), {})


@pytest.mark.parametrize(("level", "what"), [(0, "black"), (255, "white"), (20, "black"), (128, "of one color")])
@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_clip_that_shows_nothing_is_one_shot_that_says_so(level, what, count):
    assert look([grainy(image, i, 1) for i, image in enumerate(nothing(level, count))])[0::2] == ((), {1: what})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_short_clip_of_a_fast_camera_is_one_shot(count):
    assert found([smooth(1, i, pan=11) for i in range(count)]) == ()


def test_a_short_shot_in_other_colors_is_a_shot():
    images = [smooth(1, i, pan=1) for i in range(33)]
    images[15:18] = [lit(image, np.float32([0.3, 1, 0.5])) for image in images[15:18]]
    assert found(images) == (16, 19)


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


@pytest.mark.slow
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
        images = [np.rint(p * 255).astype(np.uint8) for _, p in clip.read(size=(256, 256 * clip.height // clip.width))]
    assert found(images) == starts
