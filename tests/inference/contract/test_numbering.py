"""Which number in a file name is the frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import numbering
from inference.contract.numbering import NumberingError


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("plate_v02.1001.exr", 1001),
        ("0001.png", 1),
        ("shot7.png", 7),
        ("a.0.png", 0),
        ("still.png", 1),
        ("IMG_20240101_0042.jpg", 42),
        ("frame12_left.png", 12),
        ("shot.\u0661.png", 1),
    ],
)
def test_the_number_of_a_file_alone_is_its_last_as_in_blender(name, number):
    assert numbering.frame_number(name) == number
    assert numbering.frame_numbers([name]) == (number,)


@given(
    st.integers(0, 10**7),
    st.integers(0, 8),
    st.text(st.characters(exclude_characters="/\\\0.", exclude_categories=["Nd", "Cs"])),
)
def test_the_number_comes_back_however_it_was_padded(number, padding, name):
    assert numbering.frame_number(f"{name}v002.{number:0{padding}d}.exr") == number


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("shot.{:04d}_4k.png", "shot"),
        ("shot_{:04d}_v02.png", "shot"),
        ("{:05d}-take3.png", "clip"),
        ("take2/{:d}.png", "clip"),
        ("sc3_sh010_v004.{:04d}.exr", "sc3_sh010_v004"),
        ("{:04d}.png", "clip"),
        ("shot.{:04d} (1).png", "shot"),
        ("2024-01-31 at 09.30.{:02d}.png", "2024-01-31 at 09.30"),
        ("100% {:03d}_1920x1080.png", "100%"),
    ],
)
def test_the_number_that_varies_is_the_frame(pattern, name):
    files = [pattern.format(number).rpartition("/")[2] for number in (7, 8, 9, 10, 11)]
    assert numbering.frame_numbers(files) == (7, 8, 9, 10, 11)
    assert numbering.of_folder(reversed(files), "clip") == files
    for file in files:
        assert numbering.around(file, files) == files
    assert numbering.name_of("/shots/clip", files) == name
    numbering.check(files, "clip")


def test_of_two_numbers_that_vary_the_one_that_counts_up_is_the_frame():
    stamped = ["f_0001_1305.png", "f_0002_1399.png", "f_0003_1455.png"]
    assert numbering.frame_numbers(stamped) == (1, 2, 3)
    assert numbering.around(stamped[1], stamped) == stamped
    takes = [f"take{take}_{number:04d}.png" for take in (1, 2) for number in (1, 2, 3)]
    assert numbering.around(takes[4], takes) == takes[3:]
    versions = [f"shot.{number}_v{version:02d}.png" for number in (1, 2, 3) for version in (1, 2)]
    assert numbering.around("shot.2_v02.png", versions) == versions[1::2]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["a1_01.png", "a1_02.png", "a2_01.png"],
            "More than one number varies in the file names a1_01",
        ),
        (["09.30.58.png", "09.30.59.png", "09.31.00.png"], "choose one frame of the sequence that you want"),
        (["a.-0001.png", "a.0000.png", "a.0001.png"], r"a\.-0001\.png has a negative frame number"),
        (["a.\u0661.png", "a.\u0662.png"], "have no frame numbers in their names .* with the digits 0-9"),
        (["a.1001.png", "a.1001 (1).png"], "contains more than one sequence"),
        (["a.1001.png", "a.1001.jpg"], "contains more than one sequence"),
        (["a.1001.png", "thumbnail.png"], r"contains more than one sequence \(a\.1001\.png, thumbnail\.png\)"),
        ([], "contains no images"),
    ],
)
def test_a_folder_whose_names_leave_the_frame_open(names, words):
    with pytest.raises(NumberingError, match=words) as caught:
        numbering.of_folder(names, "clip")
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_dash_after_a_word_makes_no_negative_number():
    names = ["shot-0001.png", "shot-0002.png"]
    assert numbering.frame_numbers(numbering.of_folder(names, "clip")) == (1, 2)
    dates = ["2024-01-01.png", "2024-01-02.png"]
    assert numbering.frame_numbers(numbering.of_folder(dates, "clip")) == (1, 2)


@pytest.mark.parametrize(
    ("numbers", "asked", "words"),
    [
        ((1, 2, 4), (None, None), "Frame 3 is missing .* after a.0002.png comes a.0004.png"),
        ((1, 2, 4), (3, 4), "Frame 3 is missing"),
        ((1, 5), (3, 4), "Frame 3 is missing"),
        ((1, 5, 6), (3, 6), "Frame 3 is missing"),
        ((2, 1), (None, None), "not in frame order"),
        (
            (1, 9998, 9999),
            (None, None),
            "a camera's counter restarted after 9999, rename the files from a.0001.png on to 10000",
        ),
        ((1048574, 1048575), (None, None), "Blender's last frame is 1048574"),
    ],
)
def test_a_gap_among_the_frames_that_are_asked_for(numbers, asked, words):
    with pytest.raises(NumberingError, match=words):
        numbering.check([f"a.{number:04d}.png" for number in numbers], "clip", *asked)


@pytest.mark.parametrize(
    ("numbers", "asked"),
    [
        ((1, 2, 4), (1, 2)),
        ((1, 2, 4), (4, 4)),
        ((1, 2, 4, 5, 7), (4, 5)),
        ((1, 9998, 9999), (9998, 9999)),
        ((1, 2, 20240131093000), (1, 2)),
    ],
)
def test_a_gap_outside_the_frames_that_are_asked_for_does_not_count(numbers, asked):
    numbering.check([f"a.{number:04d}.png" for number in numbers], "clip", *asked)


def test_a_short_sequence_is_no_counter_that_began_again():
    with pytest.raises(NumberingError, match=r"Frame 5 is missing .*; render or copy the missing frames\.$"):
        numbering.check([f"a.{number}.png" for number in (1, 2, 3, 4, 6, 7, 8, 9)], "clip")


def test_two_files_for_a_frame():
    names = numbering.of_folder(["a.1.png", "a.2.png", "a.01.png"], "clip")
    with pytest.raises(NumberingError, match=r"clip has two files for frame 1, a\.01\.png and a\.1\.png"):
        numbering.check(names, "clip")
    numbering.check(names, "clip", 2, 2)


@pytest.mark.parametrize(
    ("names", "missed"),
    [
        (["shot8.png", "shot9.png", "shot10.png"], None),
        (["shot.9998.png", "shot.9999.png", "shot.10000.png"], None),
        (["shot.1001.png", "shot.1003.png"], None),
        (["shot.1001_4k.png", "shot.1002_4k.png"], ("shot.1002_4k.png", "shot.1001_5k.png")),
        (["shot.0009.png", "shot.10.png"], ("shot.10.png", "shot.0010.png")),
        (["shot.0001.png", "shot.0002.PNG"], ("shot.0002.PNG", "shot.0002.png")),
        (["shot.0001.PNG", "shot.0002.PNG"], None),
        (["shot.1001_4k.png"], None),
        (["a.png", "b.png"], ("b.png", "a.png")),
    ],
)
def test_what_blender_looks_for_and_does_not_find(names, missed):
    assert numbering.blender_misses(names) == missed


def test_the_ending_may_be_written_in_capitals_for_some_files():
    names = ["plate.0001.png", "plate.0002.PNG", "plate.0003.Png"]
    assert numbering.of_folder(reversed(names), "clip") == names
    assert numbering.around("plate.0002.PNG", names) == names
    with pytest.raises(NumberingError, match="two files for frame 1"):
        numbering.check(numbering.of_folder(["a.1.png", "a.1.PNG"], "clip"), "clip")
    with pytest.raises(NumberingError, match="more than one sequence"):
        numbering.of_folder(["Plate.1.png", "plate.2.png"], "clip")


def test_of_two_numbers_that_vary_the_one_that_counts_up_but_for_gaps_is_the_frame():
    stamped = [f"f{number:04d}_t{40 * number}.png" for number in (1, 2, 3, 5, 6, 9, 10)]
    assert numbering.frame_numbers(stamped) == (1, 2, 3, 5, 6, 9, 10)
    numbering.check(stamped, "clip", 1, 3)
    with pytest.raises(NumberingError, match="Frame 4 is missing"):
        numbering.check(numbering.of_folder(stamped, "clip"), "clip")
    with pytest.raises(NumberingError, match="none increases by one"):
        numbering.frame_numbers([f"f{number}_{number + 100}.png" for number in (1, 2, 3, 5)])


@pytest.mark.parametrize(
    ("path", "name"),
    [("/shots/street.mov", "street"), ("/shots/a.b.mp4", "a.b"), ("/shots/noext", "noext"), ("/shots/.mp4", ".mp4")],
)
def test_the_name_of_a_movie_is_its_file_without_the_ending(path, name):
    assert numbering.name_of(path, ()) == name
