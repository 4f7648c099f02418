from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.media.timeline import Timeline

timelines = st.builds(
    lambda rate, tick, origin, count: Timeline(rate=rate, tick=tick, origin=origin, frame_count=count, end=None),
    rate=st.sampled_from([Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25, 2)]),
    tick=st.sampled_from([Fraction(1, 12800), Fraction(1, 90000), Fraction(1, 1000)]),
    origin=st.integers(-1000, 200_000),
    count=st.integers(1, 5000),
)


@settings(max_examples=200, deadline=None)
@given(timeline=timelines, number=st.integers(1, 5000))
def test_frames_follow_one_another_at_the_rate(timeline, number):
    step = 1 / (timeline.rate * timeline.tick)
    assert timeline.time_of(1) == timeline.origin
    assert abs(timeline.time_of(number) - timeline.origin - (number - 1) * step) <= Fraction(1, 2)
    assert timeline.time_of(number + 1) > timeline.time_of(number)


@settings(max_examples=200, deadline=None)
@given(timeline=timelines, number=st.integers(1, 5000))
def test_a_image_is_first_shown_at_the_first_frame_that_reaches_its_time(timeline, number):
    shown = timeline.number_at(timeline.time_of(min(number, timeline.frame_count)))
    assert shown == min(number, timeline.frame_count)
    assert 1 <= timeline.number_at(-10_000_000) <= timeline.number_at(10_000_000_000) == timeline.frame_count


def test_halves_round_upwards():
    timeline = Timeline(rate=Fraction(60000, 1001), tick=Fraction(1, 90000), origin=4500, frame_count=9, end=None)
    assert [timeline.time_of(n) for n in (1, 2, 3, 4)] == [4500, 6002, 7503, 9005]
