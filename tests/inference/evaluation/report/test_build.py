"""The report of a suite: a table, and a page for each clip."""

import re

import pytest

from inference.evaluation.accuracy.comparison import compare
from inference.evaluation.datasets.ground_truth import GroundTruth
from inference.evaluation.report import build
from inference.evaluation.stability.temporal_stability import stability_by_shot
from inference.evaluation.suites.outcomes import Outcome

METRICS = ("absolute_relative", "delta1")


def truth_of(make, name, count=2):
    return GroundTruth(name=name, frame_numbers=tuple(range(count)), read_depth=lambda index: make.wall(index + 1))


def measured(on_disk, ground_truth, *, run=0, set_name="Set"):
    found = compare(on_disk.folder, ground_truth)
    return Outcome(
        estimator=on_disk.name,
        set=set_name,
        clip=ground_truth.name,
        run=run,
        values=found.values(),
        notes=tuple(found.notes()),
        comparison=found,
    )


@pytest.mark.slow
def test_a_suite_has_its_table_and_a_page_for_each_clip(make, on_disk, another, tmp_path):
    one, two = truth_of(make, "a?b <2>"), truth_of(make, "a/b <2>", count=1)
    other = another("other", factor=1.2)
    failed = Outcome(estimator="other", set="Set", clip="a/b <2>", failure="It refused.")
    everything = [measured(on_disk, one), measured(other, one), measured(on_disk, one, run=1), measured(on_disk, two)]
    told = []
    out = tmp_path / "out"
    page = build.write_suite("A suite", [*everything, failed], METRICS, out, log=told.append)
    assert page == out / "index.html" and told == ["Drawing Set, a?b <2>", "Drawing Set, a/b <2>"]
    text = page.read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"]+)">', text)
    assert len(set(links)) == 2, "names that differ only in what a path cannot have"
    assert all((out / link).is_file() for link in links)
    assert "Set: a/b &lt;2&gt;" in text and "other on Set, a/b &lt;2&gt;: It refused." in text
    assert "Set AbsRel" in text and "Average rank" in text and "Dynamic objects" not in text
    assert "Clip by clip" in text and "Set, a/b &lt;2&gt;: other" in text
    first, second = ((out / link).read_text(encoding="utf-8") for link in links)
    assert "other" in first and "flickering" not in first and '<th scope="row">other</th>' not in second


def test_what_cannot_be_measured_is_a_note_in_the_report(make, on_disk):
    report = build.against_ground_truth("t", {"e": compare(on_disk.folder, truth_of(make, "wall"))})
    assert any("no camera path" in note for note in report.notes)
    assert any(note.startswith("e, temporal stability: No static region") for note in report.notes), (
        "a plate of one gray"
    )
    assert [table.title for table in report.tables] == ["Against ground truth"]


def test_sequences_alone_are_seen_by_their_names_whatever_could_be_measured(on_disk, another):
    estimates = [on_disk, another("other", shots=((1001, 1004, "done"), (1005, 1008, "done")))]
    steady = {each.name: stability_by_shot(each.folder, each.sequence) for each in estimates}
    report = build.alone("t", estimates, steady)
    assert [estimate.name for estimate in report.shots[0].estimates] == ["parallax", "other"]
    said = [note.partition(": ")[0] for note in report.notes]
    assert said == [
        "parallax, temporal stability",
        "other, frames 1001-1004, temporal stability",
        "other, frames 1005-1008, temporal stability",
    ]
    assert [table.title for table in report.tables] == ["Shots and cuts"]
