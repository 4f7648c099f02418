"""What a report refuses before anything is drawn, and where its lines lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.evaluation.report.data import Column, Estimate, ReportError, Shot, Slice, Table


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4000), st.data())
def test_a_slice_of_a_pixel_comes_back_to_that_pixel(size, data):
    pixel = data.draw(st.integers(0, size - 1))
    assert Slice.of_pixel("column", pixel, size=size).index(size) == pixel


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_a_slice_lies_in_pictures_of_any_size(at):
    assert all(0 <= Slice(kind="row", at=at).index(size) < size for size in (1, 2, 7, 1080))


def test_a_slice_outside_of_the_picture_is_refused():
    with pytest.raises(ReportError, match="no column 640 in a picture of 640; choose one from 0 to 639"):
        Slice.of_pixel("column", 640, size=640)
    with pytest.raises(ReportError, match=r"row at 1\.5 lies outside"):
        Slice(kind="row", at=1.5)


def estimate(name="e", **more):
    return Estimate(name=name, disparity=lambda frame: np.ones((4, 4)), **more)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": ()}, "the frames must rise"),
        ({"frames": (2, 1)}, "the frames must rise"),
        ({"frames": (1, 1, 2)}, "the frames must rise"),
        ({"estimates": ()}, "name every estimate"),
        ({"estimates": (estimate(), estimate())}, "each differently, not e, e"),
        ({"estimates": (estimate(errors={"AbsRel": np.ones(3)}),)}, "3 values of AbsRel and the shot 2 frames"),
        ({"truth": lambda frame: np.ones((4, 4))}, "every estimate needs its alignment"),
    ],
)
def test_a_shot_that_could_not_be_read_is_refused(change, words):
    with pytest.raises(ReportError, match=words):
        Shot(**{"title": "a shot", "frames": (1, 2), "estimates": (estimate(),), **change})


def table(values, better):
    rows = tuple((str(place), (value,)) for place, value in enumerate(values))
    return Table(title="t", reading="r", columns=(Column(name="c", better=better, digits=2),), rows=rows)


@pytest.mark.parametrize(
    ("values", "better", "best"),
    [
        ((0.2, 0.1, None), "lower", 0.1),
        ((0.2, 0.1, float("nan")), "higher", 0.2),
        ((0.104, 0.101), "lower", 0.1),
        ((0.2, 0.1), None, None),
        ((0.2, None), "lower", None),
    ],
)
def test_the_best_of_a_column_is_that_of_the_numbers_shown(values, better, best):
    assert table(values, better).best(0) == best


def test_the_best_is_told_among_rows_about_the_same_only():
    rows = (("a", (1.0,)), ("b", (2.0,)), ("a", (3.0,)), ("b", (2.5,)))
    found = Table(
        title="t",
        reading="r",
        columns=(Column(name="c", better="lower"),),
        rows=rows,
        groups=("first", "first", "second", "second"),
    )
    assert [found.best(0, found.group(row)) for row in range(4)] == [1.0, 1.0, 2.5, 2.5]
    with pytest.raises(ReportError, match="1 groups for 4 rows"):
        Table(title="t", reading="r", columns=found.columns, rows=rows, groups=("first",))


def test_a_row_that_does_not_fit_its_columns_is_refused():
    with pytest.raises(ReportError, match="row a has 2 values for 1 columns"):
        Table(title="t", reading="r", columns=(Column(name="c"),), rows=(("a", (1.0, 2.0)),))
