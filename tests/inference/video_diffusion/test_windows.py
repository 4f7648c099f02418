"""Where segments lie, how they are joined, and the noise that they share."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.common.failures import Failure
from inference.video_diffusion import windows


@st.composite
def clips(draw):
    window = draw(st.integers(1, 120))
    return draw(st.integers(1, 500)), window, draw(st.integers(0, window - 1))


@settings(deadline=None, max_examples=200)
@given(clips())
def test_segments_cover_the_clip_and_overlap_as_asked(clip):
    count, window, overlap = clip
    found = windows.segments(count, window, overlap)
    assert found[0].start == 0 and found[-1].stop == count
    for before, after in itertools.pairwise(found):
        assert before.stop - after.start == overlap and len(before) == window
        assert len(after) > overlap
    assert all(1 <= len(segment) <= window for segment in found)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [(0, 1)]),
        (110, [(0, 110)]),
        (111, [(0, 110), (85, 111)]),
        (195, [(0, 110), (85, 195)]),
        (438, [(0, 110), (85, 195), (170, 280), (255, 365), (340, 438)]),
    ],
)
def test_segments_of_the_released_window(count, expected):
    assert [(s.start, s.stop) for s in windows.segments(count, 110, 25)] == expected


@pytest.mark.parametrize(("window", "overlap"), [(10, 10), (10, 25), (10, -1), (0, 0)])
def test_a_window_that_its_overlap_fills_is_refused(window, overlap):
    with pytest.raises(Failure, match=r"must be"):
        windows.segments(200, window, overlap)


def test_stitching_fades_from_one_segment_to_the_next():
    before, after = torch.zeros(5, 4, 2, 2), torch.ones(5, 4, 2, 2)
    assert windows.joined(before, after, stitch=True)[:, 0, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert windows.joined(before, after, stitch=False).unique().tolist() == [0.5]


def _extended(**changed):
    """A second segment of 6 frames that overlaps the first by 2, 'denoised' by doing nothing."""
    settings = {"overlap": 2, "anchor": True, "stitch": True, "sigmas": (700.0, 701.0)} | changed
    before, start = torch.full((6, 4, 1, 1), 5.0), torch.ones(6, 4, 1, 1)
    return windows.extended(before, 1, start, denoise=lambda first: first, **settings)[:, 0, 0, 0].tolist()


def test_an_anchored_overlap_starts_from_the_segment_before():
    # frames 4 and 5 are shared; the new segment has them as 5 + 700, all else is pure noise of 701
    assert _extended() == [5, 5, 5, 5, 5, 705, 701, 701, 701, 701]
    assert _extended(stitch=False) == [5, 5, 5, 5, 355, 355, 701, 701, 701, 701]
    assert _extended(anchor=False) == [5, 5, 5, 5, 5, 701, 701, 701, 701, 701]
    assert _extended(overlap=0) == [5] * 6 + [701] * 6


def test_noise_drawn_piece_by_piece_is_noise_drawn_at_once():
    whole = torch.Generator().manual_seed(3)
    expected = torch.randn(7, 3, 64, 128, generator=whole)
    pool = torch.randn(1, 5, 4, 8, 16, generator=whole)[0]
    parts = torch.Generator().manual_seed(3)
    ahead = windows.skipped(parts, 7, 64, 128)
    pieces = [windows.pixel_noise(parts, count, 64, 128) for count in (3, 1, 3)]
    assert torch.equal(torch.cat(pieces), expected)
    assert torch.equal(windows.latent_noise(ahead, 5, 64, 128), pool)
    assert torch.equal(ahead.get_state(), whole.get_state())


def test_overlapped_frames_keep_their_noise_where_they_are_anchored():
    pool = torch.randn(6, 4, 2, 2)
    for index in range(4):
        here = windows.segment_noise(pool, index, 6, 2, anchor=True)
        following = windows.segment_noise(pool, index + 1, 6, 2, anchor=True)
        assert torch.equal(following[:2], here[-2:])
    assert torch.equal(windows.segment_noise(pool, 3, 4, 2, anchor=False), pool[:4])
