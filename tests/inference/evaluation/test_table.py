"""One table for all who read it: the best of a column, and its forms."""

import csv
import io

import pytest

from inference.evaluation.table import Cell, Column, Table

LABEL = Column(name="Estimator")


def table(values, better):
    rows = tuple((str(place), value) for place, value in enumerate(values))
    return Table(columns=(LABEL, Column(name="c", better=better, digits=2)), rows=rows)


@pytest.mark.parametrize(
    ("values", "better", "places"),
    [
        ((0.2, 0.1, None), "lower", [2, 1, None]),
        ((0.2, 0.1, float("nan")), "higher", [1, 2, None]),
        ((0.104, 0.101), "lower", [1, 1]),
        ((0.2, 0.1), None, [None, None]),
        ((0.2, None), "lower", [None, None]),
    ],
)
def test_the_best_of_a_column_is_that_of_the_numbers_shown(values, better, places):
    found = table(values, better)
    assert found.column_ranks(1) == places and found.column_ranks(0) == [None] * len(values)
    assert found.html().count('class="best"') == places.count(1)


def test_the_best_is_told_among_rows_about_the_same_only():
    rows = (("a", 1.0), ("b", 2.0), ("a", 3.0), ("b", 2.5))
    columns = (LABEL, Column(name="c", better="lower"))
    found = Table(columns=columns, rows=rows, groups=("first", "first", "second", "second"))
    assert found.column_ranks(1) == [1, 2, 2, 1]
    with pytest.raises(ValueError, match="1 groups for 4 rows"):
        Table(columns=columns, rows=rows, groups=("first",))


def test_a_row_that_does_not_fit_its_columns_is_refused():
    with pytest.raises(ValueError, match="row a has 3 values for 2 columns"):
        Table(columns=(LABEL, Column(name="c")), rows=(("a", 1.0, 2.0),))


MIXED = Table(
    columns=(
        Column(name="Set"),
        LABEL,
        Column(name="RMSE", unit="m", better="lower"),
        Column(name="flicker", unit="%", better="lower", digits=1),
        Column(name="what"),
    ),
    rows=(
        ("<A>", "a|b", Cell(mean=0.25, deviation=0.01), 1.25, "all & more"),
        ("<A>", "=c", Cell(mean=0.5), None, ""),
        ("<A>", "d", Cell(mean=1.0), float("nan"), "-"),
    ),
    labels=2,
)


def test_a_page_has_a_rows_labels_in_one_cell_and_arrows_and_units_in_the_head():
    text = MIXED.html()
    assert '<th scope="col">Set: Estimator</th>' in text and '<th scope="row">&lt;A&gt;: a|b</th>' in text
    assert '>RMSE <span class="unit">[m] <span title="lower is better">↓</span></span></th>' in text
    assert '<td class="best">0.2500</td><td>1.2</td><td>all &amp; more</td>' in text
    assert text.count("<td>–</td>") == 2, "what could not be measured is no zero"


def test_markdown_tells_the_best_of_what_is_compared_and_spreads():
    head, rule, *rows = MIXED.markdown().splitlines()
    assert head == "| Set | Estimator | RMSE [m] ↓ | flicker [%] ↓ | what |"
    assert rule == "| --- | --- | ---: | ---: | ---: |"
    assert rows[0] == "| \\<A\\> | a\\|b | **0.2500 ± 0.0100** | 1.2 | all \\& more |"
    assert rows[1] == "| \\<A\\> | =c | <u>0.5000</u> | – |  |"


def test_a_spreadsheet_gets_figures_and_no_formulas():
    rows = list(csv.reader(io.StringIO(MIXED.csv())))
    assert rows[0] == ["Set", "Estimator", "RMSE", "flicker", "what"]
    assert rows[2] == ["<A>", "'=c", "0.5000", "", ""] and rows[3][-1] == "'-"


def test_a_terminal_gets_columns_words_to_the_left_and_numbers_to_the_right():
    assert MIXED.text().splitlines() == [
        "Set  Estimator  RMSE [m]  flicker  what",
        "<A>  a|b          0.2500     1.2%  all & more",
        "<A>  =c           0.5000        -",
        "<A>  d            1.0000        -  -",
    ]
