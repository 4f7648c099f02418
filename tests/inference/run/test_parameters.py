"""An estimator's parameters."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.common.failures import Failure
from inference.contract.catalogue import Parameter
from inference.estimators.base import EstimatorInfo
from inference.run.checks import parse_parameters, resolve_parameters

INFO = EstimatorInfo(
    name="e",
    label="E",
    summary="",
    licence="",
    quantity="inverse_depth",
    default_size=64,
    parameters=(
        Parameter(name="count", default=3, minimum=1, maximum=9, description=""),
        Parameter(name="amount", default=0.5, minimum=0.0, description=""),
        Parameter(name="fine", default=True, description=""),
        Parameter(name="mode", default="a", choices=("a", "b"), description=""),
    ),
)
GIVEN = replace(INFO, parameters=(Parameter(name="given", default="", depth_sequence=True, description=""),))


def test_what_is_not_given_keeps_its_default():
    assert resolve_parameters(INFO, {"count": 5}) == {"count": 5, "amount": 0.5, "fine": True, "mode": "a"}


def test_a_whole_number_serves_where_a_number_is_wanted():
    amount = resolve_parameters(INFO, {"amount": 2})["amount"]
    assert (amount, type(amount)) == (2.0, float)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"speed": 1}, "no parameter 'speed'; it has amount, count, fine, mode"),
        ({"count": 0}, "at least 1 and at most 9, not 0"),
        ({"count": 10}, "at most 9"),
        ({"count": 2.5}, "must be a whole number, not 2.5"),
        ({"count": True}, "must be a whole number"),
        ({"count": "3"}, "must be a whole number"),
        ({"amount": -0.1}, "at least 0"),
        ({"amount": float("nan")}, "at least 0"),
        ({"amount": None}, "must be a number"),
        ({"fine": 1}, "must be yes or no"),
        ({"mode": "c"}, "one of a, b, not 'c'"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(given_, words):
    with pytest.raises(Failure, match=words) as caught:
        resolve_parameters(INFO, given_)
    assert caught.value.code == 2


@given(st.integers(1, 9), st.floats(0, 1e9), st.booleans(), st.sampled_from("ab"))
def test_the_command_line_says_the_same_as_a_job(count, amount, fine, mode):
    texts = [f"count={count}", f"amount={amount!r}", f"fine={'yes' if fine else 'No'}", f"mode={mode}"]
    assert resolve_parameters(INFO, parse_parameters(INFO, texts)) == {
        "count": count,
        "amount": amount,
        "fine": fine,
        "mode": mode,
    }


def test_unknown_names_are_left_for_the_check_that_lists_the_known_ones():
    with pytest.raises(Failure, match="it has amount"):
        resolve_parameters(INFO, parse_parameters(INFO, ["speed=1"]))


@pytest.mark.parametrize("text", ["depth/v001", "./depth/v001/", "depth/v001/depth.json"])
def test_the_folder_of_a_depth_sequence_becomes_absolute(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = {"given": str(tmp_path / "depth" / "v001")}
    assert resolve_parameters(GIVEN, {"given": text}) == parse_parameters(GIVEN, [f"given={text}"]) == wanted
    assert resolve_parameters(GIVEN, wanted) == wanted and resolve_parameters(GIVEN, {}) == {"given": ""}
    with pytest.raises(Failure, match="must be a folder, not 1"):
        resolve_parameters(GIVEN, {"given": 1})
