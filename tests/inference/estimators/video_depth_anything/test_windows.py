"""Which frames windows are fed."""

import pytest

from inference.estimators.video_depth_anything import windows

FED_AGAIN = [0, 12, 24, 25, 26, 27, 28, 29, 30, 31]  # places of a window whose frames the next one begins with


@pytest.mark.parametrize(
    ("frames", "count"), [(1, 1), (22, 1), (23, 2), (31, 2), (32, 2), (33, 2), (44, 2), (45, 3), (54, 3), (1000, 46)]
)
def test_a_window_begins_every_22_frames(frames, count):
    assert windows.window_count(frames) == count


@pytest.mark.parametrize("frames", [1, 20, 31, 32, 33, 54, 55, 100, 400])
def test_windows_are_fed_as_if_each_took_over_from_the_one_before(frames):
    earlier = None
    for window in range(windows.window_count(frames)):
        wanted = [min(22 * window + place, frames - 1) for place in range(32)]
        if earlier:
            wanted[:10] = [earlier[place] for place in FED_AGAIN]
        assert windows.window_frames(window, frames) == wanted
        earlier = wanted
