"""Tables: means, spreads, ranks, regions and what is left blank."""

import csv
import io
import json
import re

import pytest

from inference.evaluation.accuracy.metrics import NAMES, REGIONS
from inference.evaluation.suites.outcomes import Outcome, as_csv, as_json, grid, markdown

SHOWN = ("absolute_relative", "delta1")
THREE = "| A | a | three | 0.0000 | 1.0000 |"


def outcome(estimator, name, clip, error, *, run=0, moving=None, bands=None):
    values = {region: dict.fromkeys(NAMES) for region in REGIONS}
    for region, value in (("all", error), ("static", moving and error), ("moving", moving)):
        if value is not None:
            values[region] |= {"absolute_relative": value, "delta1": 1 - value}
    failed = {"values": None, "failure": "It was refused."} if error is None else {"values": values}
    return Outcome(estimator=estimator, set=name, clip=clip, run=run, facts={"bands": bands}, **failed)


TWO = [
    outcome("one", "A", "a", 0.1),
    outcome("one", "A", "b", 0.3),
    outcome("one", "B", "c", 0.5),
    outcome("two", "A", "a", 0.3),
    outcome("two", "A", "b", 0.5),
    outcome("two", "B", "c", 0.1),
    outcome("three", "A", "a", 0.0),
    outcome("three", "A", "b", None),
    outcome("three", "B", "c", 0.3),
]


def test_clips_are_averaged_and_a_row_that_lacks_one_has_no_figure():
    table = grid(TWO, SHOWN)
    assert table.columns == (("A", "absolute_relative"), ("A", "delta1"), ("B", "absolute_relative"), ("B", "delta1"))
    means = {name: [cell and pytest.approx(cell.mean) for cell in row] for name, row in table.rows.items()}
    assert means == {"one": [0.2, 0.8, 0.5, 0.5], "two": [0.4, 0.6, 0.1, 0.9], "three": [None, None, 0.3, 0.7]}
    assert table.rank == {"one": 2.0, "two": 1.5, "three": 2.0}


def test_markdown_has_the_best_in_bold_and_the_second_underlined():
    lines = markdown(TWO, SHOWN, title="Title").splitlines()
    assert lines[0] == "## Title"
    assert lines[2] == "| Estimator | A AbsRel ↓ | A delta1 ↑ | B AbsRel ↓ | B delta1 ↑ | Average rank ↓ |"
    assert lines[4] == "| one | **0.2000** | **0.8000** | 0.5000 | 0.5000 | 2.0 |"
    assert lines[5] == "| two | <u>0.4000</u> | <u>0.6000</u> | **0.1000** | **0.9000** | 1.5 |"
    assert lines[6] == "| three | – | – | <u>0.3000</u> | <u>0.7000</u> | 2.0 |"
    assert lines[8] == "### By clip", "one of them has no figure for a clip"
    assert lines[12:15] == ["| A | a | one | 0.1000 | 0.9000 |", "| A | a | two | 0.3000 | 0.7000 |", THREE]
    assert "| A | b | three | – | – |" in lines
    assert "By clip" not in markdown(TWO[:6], SHOWN) and "By clip" in markdown(TWO[:6], SHOWN, clips=True)


def test_several_runs_have_a_mean_and_a_spread():
    runs = [outcome("one", "A", clip, e, run=run) for run, both in enumerate([(0.1, 0.3), (0.3, 0.5)]) for clip, e in
            zip("ab", both)]  # fmt: skip
    cell = grid(runs, SHOWN).rows["one"][0]
    assert cell.mean == pytest.approx(0.3) and cell.deviation == pytest.approx(0.2 / 2**0.5)
    assert "| one | 0.3000 ± 0.1414 |" in markdown(runs, SHOWN)


def test_regions_have_tables_where_something_moves_and_leads_by_region():
    own = [
        outcome("one", "A", "a", 0.2, moving=0.4),
        outcome("one", "A", "still", 0.2),
        outcome("two", "A", "a", 0.3, moving=0.6),
        outcome("two", "A", "still", 0.2),
    ]
    assert grid(own, SHOWN, "moving").rows["one"][0].mean == 0.4, "a clip in which nothing moves does not count"
    text = markdown(own, SHOWN, clips=True)
    lines = text[text.index("### Dynamic objects, by clip") :].splitlines()
    assert "| A | a | one | 0.4000 | 0.6000 |" in lines and "| A | still | one | – | – |" in lines
    text = markdown(own, SHOWN, reference="one")
    assert "### Dynamic objects" in text and "### one minus two" in text
    assert "| A | moving | -0.2000 | +0.2000 |" in text and "| A | overall | -0.0500 | +0.0500 |" in text
    assert "Dynamic objects" not in markdown(TWO, SHOWN)


def test_errors_by_band_are_averaged_over_clips():
    bands = {"absolute_relative": [[0.1, 0.2, 0.3]], "root_mean_square": [[1.0]], "delta1": [[0.0, 0.5]]}
    short = {"absolute_relative": [[0.3, 0.0]], "root_mean_square": [[2.0]], "delta1": [[0.0]]}
    text = markdown([outcome("one", "A", "a", 0.1, bands=bands), outcome("one", "A", "b", 0.1, bands=short)], SHOWN)
    assert "### A: AbsRel by band of frequency" in text
    assert "| one | 0.2000 | 0.1000 | 0.3000 |" in text and "| one | 1.5000 |" in text


def test_csv_has_every_figure_on_a_line():
    rows = list(csv.DictReader(io.StringIO(as_csv(TWO))))
    (row,) = [r for r in rows if (r["estimator"], r["set"], r["metric"]) == ("two", "B", "absolute_relative")]
    assert row["region"] == "all" and float(row["mean"]) == 0.1 and row["spread"] == ""
    assert not any(r["estimator"] == "three" and r["set"] == "A" for r in rows)


def test_json_has_the_table_every_clip_and_why_one_is_missing():
    facts = json.loads(json.dumps(as_json(TWO, SHOWN), allow_nan=False))
    assert [row["estimator"] for row in facts["table"]] == ["one", "two", "three"]
    assert facts["table"][1]["values"][2] == {"set": "B", "metric": "absolute_relative", "mean": 0.1, "spread": None}
    (refused,) = [clip for clip in facts["clips"] if clip["failure"]]
    assert refused["clip"] == "b" and refused["values"] is None and refused["failure"] == "It was refused."


def test_a_bar_in_a_name_does_not_break_the_table():
    assert "| a\\|b |" in markdown([outcome("a|b", "A", "a", 0.1)], SHOWN)


FOREIGN = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    " \t=1",
    "a\nb,c",
    "a|b",
    "<img src=x>",
    "[a](b)",
    "\x1b]0;x\x07",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_names_from_elsewhere_are_no_formulas_and_no_markup(name):
    outcomes = [outcome(name, name, name, 0.1), outcome("two", name, name, 0.2)]
    rows = list(csv.reader(io.StringIO(as_csv(outcomes))))
    cells = {cell for row in rows[1:] for cell in row[:2]}
    assert not [cell for cell in cells if cell.strip()[:1] in set("=+-@") or not cell.isprintable()]
    assert {len(row) for row in rows} == {7}
    text = markdown(outcomes, SHOWN, title=name, reference=name, clips=True)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({re.sub(r"\\.", "", line).count("|") for line in lines}) <= 2, "no cell more than its table has"
    assert "\x1b" not in text and not re.search(r"(?<!\\)(<img|\[a\])", text)
