"""Events as lines."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.contract import events

FINITE = st.floats(allow_nan=False, allow_infinity=False)
EVENTS = st.one_of(
    st.builds(events.Stage, name=st.text(), label=st.text()),
    st.builds(
        events.Progress,
        done=FINITE,
        total=FINITE,
        frames=st.integers(0, 10**9),
        frames_total=st.integers(0, 10**9),
        seconds_left=st.none() | FINITE,
    ),
    st.builds(events.Frame, number=st.integers(-(2**63), 2**63 - 1), path=st.text()),
    st.builds(events.Warning, message=st.text()),
    st.builds(events.Error, code=st.integers(0, 255), what=st.text(), why=st.text(), hint=st.text()),
    st.builds(events.Done, folder=st.text(), frames=st.integers(0, 2**63 - 1), seconds=FINITE),
)


@given(EVENTS)
def test_an_event_survives_as_one_line_of_ascii(event):
    line = events.encode(event)
    assert line.isascii() and "\n" not in line and "\r" not in line
    assert events.decode(line) == event


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "replace")))
@example("")
@example("null")
@example("[]")
@example('{"event": null}')
@example('{"event": "stage"}')
@example('{"event": "stage", "name": 1, "label": "x"}')
@example('{"event": "progress", "done": NaN, "total": 1}')
@example('{"event": ["stage"]}')
def test_no_line_can_do_harm(line):
    found = events.decode(line)
    assert found is None or isinstance(found, events.Event)


def test_nor_can_one_that_is_nested_without_end():
    found = events.decode("[" * 200_000)
    assert found is None


@given(EVENTS, st.dictionaries(st.text(), st.integers(), max_size=3))
def test_a_newer_worker_may_say_more(event, more):
    data = {**{f"new {key}": value for key, value in more.items()}, **json.loads(events.encode(event))}
    assert events.decode(json.dumps(data)) == event
    assert events.decode(json.dumps({**data, "event": "news"})) is None


@pytest.mark.parametrize(("done", "total", "fraction"), [(0, 0, 0), (1, 4, 0.25), (5, 4, 1), (-1, 4, 0)])
def test_the_fraction_is_one(done, total, fraction):
    assert events.Progress(done=done, total=total).fraction == fraction


def test_the_parts_of_an_error_are_one_text():
    assert events.Error(code=1, what="It broke.", hint="Mend it.").message == "It broke. Mend it."
