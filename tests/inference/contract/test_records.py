"""Records to JSON and back, and what is no record."""

import os
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import records


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
WHOLE = st.integers(-(2**63), 2**63 - 1)
INNER = st.builds(Inner, x=FINITE, name=st.text())
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OUTER = st.builds(
    Outer,
    inner=INNER,
    kind=st.sampled_from("ab"),
    items=st.lists(INNER, max_size=3).map(tuple),
    pair=st.tuples(WHOLE, FINITE),
    maybe=st.none() | WHOLE,
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


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What may come from anybody."""

    number: Annotated[int, records.Bounds(1, 100)] = 1
    share: Annotated[float, records.Bounds(0, 1)] = 0.0
    any_number: int = 0
    any_float: float = 0.0
    word: records.Word = ""
    text: str = ""
    path: records.FilePath = ""
    files: tuple[records.FileName, ...] = ()
    said: records.ForPeople = ""
    anything: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"number": 0}', "foreign.number must be at least 1, not 0"),
        ('{"number": 101}', "foreign.number must be at most 100, not 101"),
        ('{"share": 1.5}', "foreign.share must be at most 1, not 1.5"),
        (f'{{"any_number": {2**63}}}', "foreign.any_number must be at most 9.22337e[+]18"),
        (f'{{"any_float": {"9" * 401}}}', "whole number has 401 digits"),
        (f'{{"any_float": {"9" * 5000}}}', "whole number has 5000 digits"),
        (f'{{"any_float": {"9" * 309}}}', "foreign.any_float must be a finite number"),
        (f'{{"anything": {{"a": {"9" * 300}}}}}', "foreign.anything.a must be at most"),
        ('{"anything": {"a": [1e999]}}', "foreign.anything.a must be a finite number"),
        ('{"anything": {"a": {"b": "\\ud800"}}}', "half a surrogate"),
        ('{"anything": {"\\udc80": 1}}', "half a surrogate"),
        ('{"text": "\\ud800"}', "foreign.text must be text, but contains half a surrogate"),
        ('{"text": "\\udc80"}', "foreign.text must be text, but contains half a surrogate"),
        ('{"path": "\\ud800"}', "foreign.path must be text"),
        ('{"path": "a\\u0000b"}', "foreign.path must be a file name, but contains a zero byte"),
        ('{"word": "a\\u001b[2J"}', "foreign.word is not valid"),
        ('{"files": ["a.png", "../b.png"]}', r"foreign.files\[1\] is not valid"),
        ('{"files": ["/b.png"]}', "is not valid"),
        ('{"files": [".."]}', "is not valid"),
        ('{"files": [""]}', "is not valid"),
        (f'{{"files": ["{"9" * 256}.png"]}}', "at most 255 characters"),
        (f'{{"text": "{"a" * 100_001}"}}', "at most 100000 characters, not 100001"),
        ('{"number": 1, "number": 2}', "has 'number' twice"),
        ('{"anything": {"a": ' + "[" * 40 + "]" * 40 + "}}", "nested deeper than 32 levels"),
        ('{"anything": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}", "nested too deeply"),
        ("[" * 1_000_000, "nested too deeply"),
        ("[" + "0," * 2_100_000 + "0]", "contains more than 2097152 values"),
        ('{"\\u001b[31m\\u202e": 1}', r"has no field '\\u001b\[31m\\u202e'"),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_one_sentence(text, words):
    with pytest.raises(records.RecordError, match=words) as caught:
        records.loads(Foreign, text, where="foreign", strict=True)
    message = str(caught.value)
    assert len(message) < 1000 and message.isprintable() and message.startswith("foreign")


def test_names_that_are_no_utf_8_travel_as_bytes_in_file_names_alone():
    one = Foreign(path="/shots/caf\udce9.mov", files=("caf\udce9.png", "a\\b.png"[: 1 if os.name == "nt" else None]))
    assert records.loads(Foreign, records.dumps(one), where="foreign", strict=True) == one
    assert records.loads(Foreign, '{"said": "\\ud800"}', where="foreign", strict=True).said == "\ud800"


def test_a_record_that_was_made_by_hand_is_checked_likewise():
    records.check(Foreign(number=2), where="foreign")
    with pytest.raises(records.RecordError, match=r"foreign\.number must be at most 100"):
        records.check(Foreign(number=200), where="foreign")
    with pytest.raises(records.RecordError, match=r"foreign\.number must be of type int"):
        records.check(Foreign(number="2"), where="foreign")  # type: ignore[arg-type]
