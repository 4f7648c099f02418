"""Windows that overlap become one clip after decoding, also from where an earlier run stopped."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.video_diffusion.windows import Blending, segments


def whole(windows, reading, overlap, blending=None):
    blending = blending or Blending(overlap)
    for window in windows:
        yield from blending.through(window, map(reading, window), last=window is windows[-1])


@settings(max_examples=50)
@given(st.data())
def test_windows_are_blended_into_the_clip(data):
    window = data.draw(st.integers(1, 12))
    overlap, count = data.draw(st.integers(0, window - 1)), data.draw(st.integers(1, 40))
    truth = torch.arange(count, dtype=torch.float64)
    found = list(whole(segments(count, window, overlap), truth.__getitem__, overlap))
    assert [index for index, _ in found] == list(range(count))
    torch.testing.assert_close(torch.stack([value for _, value in found]), truth)


def _steps(windows, overlap, blending=None):
    """Each window all of its own number, the first 0."""
    blending = blending or Blending(overlap)
    for number, window in enumerate(windows):
        maps = [torch.tensor(float(number))] * len(window)
        yield from blending.through(window, maps, last=number == len(windows) - 1)


def test_overlaps_fade_from_one_window_to_the_next():
    found = _steps([range(0, 6), range(3, 9)], 3)
    assert [(index, value.item()) for index, value in found] == list(enumerate([0, 0, 0, 0, 0.5, 1, 1, 1, 1]))


def test_a_single_shared_frame_is_the_mean():
    assert [value.item() for _, value in _steps([range(0, 2), range(1, 3)], 1)] == [0, 0.5, 1]


def test_it_goes_on_from_what_waited():
    first = Blending(3)
    list(first.through(range(0, 6), [torch.tensor(0.0)] * 6, last=False))
    second = Blending(3, first.waiting)
    found = second.through(range(3, 9), [torch.tensor(1.0)] * 6, last=True)
    assert [value.item() for _, value in found] == [0, 0.5, 1, 1, 1, 1]


def test_what_nobody_asks_for_is_passed_over():
    maps = [None, None, torch.tensor(1.0), torch.tensor(1.0)]
    found = list(Blending(1).through(range(4), maps, last=False))
    assert [(index, value is None) for index, value in found] == [(0, True), (1, True), (2, False)]
    with pytest.raises(ValueError, match="needs frame 3"):
        list(Blending(1).through(range(4), [*maps[:3], None], last=False))
