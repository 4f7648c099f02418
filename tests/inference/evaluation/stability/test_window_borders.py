"""Where windows lie: as the estimators lay them, and where drift is measured between them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.contract.depth_sequence import DepthSequence
from inference.contract.job import Source
from inference.evaluation.stability.drift import STRETCH, Windows, spans, windows_of


def sequence(**parameters):
    return DepthSequence(
        source=Source(kind="movie", path="/clip.mp4"),
        first_frame=1,
        last_frame=9,
        width=8,
        height=8,
        quantity="relative_disparity",
        shots=(),
        estimator="any",
        fingerprint="",
        parameters=parameters,
    )


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(1, 110), st.data())
def test_windows_begin_where_the_estimators_lay_them(count, length, data):
    segments = pytest.importorskip("inference.video_diffusion.windows", exc_type=ImportError).segments
    overlap = data.draw(st.integers(0, length - 1))
    starts = Windows(length=length, overlap=overlap).starts(1001, 1000 + count)
    assert starts == [1001 + segment.start for segment in segments(count, length, overlap)]


def test_a_window_comes_in_and_the_one_before_ends():
    assert Windows(length=110, overlap=25).borders(1, 195) == [86, 111]
    assert Windows(length=10, overlap=0).borders(0, 29) == [10, 20]
    assert Windows(length=110, overlap=25).borders(1, 110) == []


def test_windows_are_those_of_the_parameters():
    assert windows_of(sequence(window=110, overlap=25)) == Windows(length=110, overlap=25)
    assert windows_of(sequence()) is None
    assert windows_of(sequence(window=10, overlap=10)) is None
    assert windows_of(sequence(window=110, overlap=25, stage="1")) is None


def test_drift_is_measured_across_each_border_and_in_the_middle_of_each_window():
    found = spans(1, 195, Windows(length=110, overlap=25))
    assert [(span.first, span.last, span.border) for span in found] == [
        (30, 56, False),
        (85, 111, True),
        (140, 166, False),
    ]
    assert [(span.begin, span.end) for span in found] == [(1, 85), (1, 195), (111, 195)]


@pytest.mark.parametrize("windows", [None, Windows(length=80, overlap=5)])
def test_drift_is_measured_over_stretches_where_no_window_ends(windows):
    assert [(span.first, span.last) for span in spans(5, 60, windows)] == [(5, 5 + STRETCH), (5 + STRETCH, 55)]
    assert spans(1, STRETCH, None) == []


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 60), st.data())
def test_spans_lie_in_the_shot_and_cross_each_border_once(count, length, data):
    windows = Windows(length=length, overlap=data.draw(st.integers(0, length - 1)))
    found = spans(1, count, windows)
    assert all(1 <= span.begin <= span.first < span.last <= span.end <= count for span in found)
    assert sum(span.border for span in found) == len(windows.starts(1, count)) - 1
    inside = [range(span.first + 1, span.last + 1) for span in found if not span.border]
    if len(windows.starts(1, count)) > 1:
        assert not any(border in frames for border in windows.borders(1, count) for frames in inside)
