"""Shots and cuts as a table, and refusals as sentences."""

from dataclasses import replace

from inference.evaluation.report import build, tables


def with_shots(on_disk, *shots):
    (one,) = on_disk.sequence.shots
    made = [replace(one, first_frame=a, last_frame=b, status=how, reason="It is dark.") for a, b, how in shots]
    return replace(on_disk.sequence, shots=tuple(made))


def test_a_clip_of_one_shot_needs_no_table(on_disk):
    assert tables.shots_table({"a": on_disk.sequence}) is None
    assert list(build.unsupported_shots({"a": on_disk.sequence})) == []


def test_every_shot_is_listed_with_what_each_estimator_did(on_disk):
    first = with_shots(on_disk, (1001, 1004, "done"), (1005, 1008, "refused"))
    second = with_shots(on_disk, (1001, 1004, "done"), (1005, 1008, "done"))
    table = tables.shots_table({"a": first, "b": second})
    assert table.columns[0].name == "Shot" and table.columns[1].unit == "frames"
    assert table.rows == (
        ("frames 1001-1004", 4.0, "depth", "depth"),
        ("frames 1005-1008", 4.0, "refused", "depth"),
    )
    assert "a cut between each shot and the next. Every shot has its own scale" in table.reading
    assert "own scale" not in tables.shots_table({"a": first}, apart=False).reading
    assert list(build.unsupported_shots({"a": first})) == ["a does not support the frames 1005-1008: It is dark."]


def test_cuts_in_unlike_places_are_not_taken_for_the_same(on_disk):
    table = tables.shots_table({"a": on_disk.sequence, "b": with_shots(on_disk, (1001, 1008, "refused"))})
    assert table.rows == (("frames 1001-1008", 8.0, "depth", "refused"),)
    table = tables.shots_table({"a": on_disk.sequence, "b": with_shots(on_disk, (1001, 1004, "done"))})
    assert table.rows[0] == ("frames 1001-1004", 4.0, "cut elsewhere", "depth")
    assert table.reading.startswith("The estimates have cuts at different frames.")
