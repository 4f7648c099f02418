"""How far a job is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.common.progress import Meter
from inference.contract import events


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def _meter(frames=10):
    heard, clock = [], Clock()
    return Meter(heard.append, frames, clock), heard, clock


def test_the_time_left_follows_from_the_pace():
    meter, heard, clock = _meter()
    meter.plan(11.0)
    meter.begin(1.0, counts=False)
    meter.part(0.5)
    assert heard[-1].seconds_left is None, "reading does not tell how long estimating takes"
    meter.begin(10.0)
    for step in range(6):
        meter.part(step / 10)
        clock.now += 2.0
    assert heard[-1].done == pytest.approx(6.0)
    assert heard[-1].seconds_left == pytest.approx(10.0)


def test_what_an_earlier_run_did_does_not_count_as_pace():
    meter, heard, clock = _meter()
    meter.plan(10.0)
    meter.begin(10.0)
    meter.part(0.8)
    clock.now += 4.0
    meter.part(0.9)
    assert heard[-1].seconds_left == pytest.approx(4.0)


def test_a_stage_is_told_once():
    meter, heard, _ = _meter()
    for _ in range(3):
        meter.stage("a", "A")
    meter.stage("b", "B")
    assert heard == [events.Stage(name="a", label="A"), events.Stage(name="b", label="B")]


@given(st.lists(st.tuples(st.floats(0, 3), st.lists(st.floats(-1, 2), max_size=5)), max_size=5))
def test_the_bar_never_runs_backwards_or_beyond_its_end(parts):
    meter, heard, clock = _meter()
    meter.plan(sum(span for span, _ in parts) + 1)
    meter.begin(1.0)
    for span, fractions in parts:
        meter.begin(span)
        for fraction in fractions:
            clock.now += 1.0
            meter.part(fraction)
    meter.finish()
    done = [event.done for event in heard]
    assert done == sorted(done)
    assert heard[-1].done == heard[-1].total
    assert all(0 <= event.fraction <= 1 for event in heard)


def test_events_are_not_told_faster_than_anybody_can_see():
    meter, heard, clock = _meter()
    meter.plan(1.0)
    meter.begin(1.0)
    for step in range(1000):
        clock.now += 0.001
        meter.part(step / 1000)
    assert len(heard) <= 11
