"""Counts and frames as text."""

import pytest

from inference.common.units import counted, frame_ranges


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([7], "frame 7"),
        ([7, 8], "frames 7-8"),
        ([3, 4, 5, 9], "frames 3-5, 9"),
        ([1, 3, 5, 6], "frames 1, 3, 5-6"),
        ([1, 2, 3, 5, 8, 9], "frames 1-3, 5, 8-9"),
    ],
)
def test_frames_are_formatted_as_ranges(numbers, words):
    assert frame_ranges(numbers) == words


def test_very_many_ranges_are_shortened_and_keep_the_last():
    words = frame_ranges(range(0, 200, 2))
    assert words.startswith("frames 0, 2, 4, ") and words.endswith(", 22, …, 198")


def test_a_count_has_its_noun():
    assert [counted(count, "frame") for count in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
