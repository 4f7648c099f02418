"""Records to JSON and back, and what is no record."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import records


@dataclass(frozen=True, kw_only=True)
class Inner:
    x: float
    name: str = "n"


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    kind: Literal["a", "b"]
    items: tuple[Inner, ...] = ()
    pair: tuple[int, float] = (0, 0.0)
    maybe: int | None = None
    anything: dict[str, Any] = field(default_factory=dict)
    fine: bool = False


FINITE = st.floats(allow_nan=False, allow_infinity=False)
INNER = st.builds(Inner, x=FINITE, name=st.text())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OUTER = st.builds(
    Outer,
    inner=INNER,
    kind=st.sampled_from("ab"),
    items=st.lists(INNER, max_size=3).map(tuple),
    pair=st.tuples(st.integers(), FINITE),
    maybe=st.none() | st.integers(),
    anything=st.dictionaries(st.text(), JSON, max_size=3),
    fine=st.booleans(),
)


@given(OUTER)
def test_a_record_survives_the_way_through_json(record):
    assert records.loads(Outer, records.dumps(record), where="outer", strict=True) == record


@given(JSON)
def test_whatever_is_read_is_a_record_or_refused_in_a_sentence(data):
    try:
        records.from_json(Outer, data, where="outer", strict=False)
    except records.RecordError as error:
        assert str(error).startswith("outer")


@given(st.text())
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(records.RecordError, match="outer"):
        records.loads(Outer, "{" + text, where="outer", strict=True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kind": "a"}, "outer.inner is missing"),
        ({"inner": {"x": 1}, "kind": "c"}, "outer.kind must be one of 'a', 'b', not 'c'"),
        ({"inner": {"x": "1"}, "kind": "a"}, "outer.inner.x must be of type float, not str"),
        ({"inner": {"x": True}, "kind": "a"}, "outer.inner.x must be of type float"),
        ({"inner": {"x": 1}, "kind": "a", "maybe": 1.5}, "outer.maybe must be of type int"),
        ({"inner": {"x": 1}, "kind": "a", "pair": [1]}, "outer.pair must have 2 items, not 1"),
        (
            {"inner": {"x": 1}, "kind": "a", "items": [{"x": None}]},
            r"outer.items\[0\].x must be of type float, not null",
        ),
        ({"inner": {"x": 1}, "kind": "a", "fine": 1}, "outer.fine must be of type bool"),
        ([], "outer must be an object, not list"),
    ],
)
def test_the_message_names_the_field(data, words):
    with pytest.raises(records.RecordError, match=words):
        records.from_json(Outer, data, where="outer", strict=True)


def test_unknown_fields_are_refused_or_passed_over():
    data = {"inner": {"x": 1}, "kind": "a", "newer": 3}
    with pytest.raises(records.RecordError, match="no field 'newer'"):
        records.from_json(Outer, data, where="outer", strict=True)
    assert records.from_json(Outer, data, where="outer", strict=False) == Outer(inner=Inner(x=1.0), kind="a")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_neither_come_in_nor_go_out(text):
    with pytest.raises(records.RecordError, match="finite"):
        records.loads(Inner, f'{{"x": {text}}}', where="inner", strict=True)
    with pytest.raises(ValueError, match="JSON"):
        records.dumps(Inner(x=float(text)))
