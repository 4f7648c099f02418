"""Names that somebody else gave: a report comes out whatever they hold."""

import pytest

from inference.evaluation.report import write
from inference.evaluation.report.figures import style
from inference.evaluation.report.shots import Estimate, ReportError
from inference.evaluation.report.write import Report
from tests.marks import rest_slow


@pytest.mark.parametrize(
    "name",
    rest_slow(
        [
            "a$b_{",
            "$\\frac{1}{$",
            "_hidden",
            "\x1b]0;x\x07\r\n\u202egnp.exe",
            "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET}",
            "n" * 5000,
            "\udcff",
        ],
        2,
    ),
)
def test_a_figure_with_any_name(make, tmp_path, name):
    shot = make(count=2, plate=False, ground_truth=False, estimates=(Estimate(name=name, disparity=make.right),))
    page = write.write(Report(title=name, shots=(shot,)), tmp_path)
    assert page.read_text(encoding="utf-8").count("<img") == 4


def test_names_have_room_and_are_never_left_out_of_a_legend():
    assert len(style.short("n" * 5000)) <= 48 and style.short("_a") == " _a" and style.short("a\nb") == "a b"


@pytest.mark.parametrize("name", ["Plate", "Ground truth"])
def test_an_estimate_is_not_taken_for_the_plate_or_the_truth(make, name):
    with pytest.raises(ReportError, match=f"cannot have the name {name}"):
        make(count=1, estimates=(make.compared(name, make.right, 1),))
