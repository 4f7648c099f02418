"""Reports put together from comparisons with ground truth, and from depth sequences alone."""

import json

import cv2
import numpy as np
import pytest

from inference.evaluation.accuracy.comparison import compare
from inference.evaluation.datasets.folder import open_clip
from inference.evaluation.datasets.protocols import MetricsError, of
from inference.evaluation.report import build
from inference.evaluation.stability.drift import Step, Windows
from inference.evaluation.stability.temporal_stability import TemporalStability
from inference.evaluation.suites.outcomes import Outcome, by_clip, ranked

TWO_SHOTS = ((1001, 1004, "done"), (1005, 1008, "done"))


@pytest.fixture
def ground_truth(make, tmp_path):
    """The wall as a folder of ground truth."""
    folder = tmp_path / "wall"
    (folder / "depth").mkdir(parents=True)
    for place in range(8):
        cv2.imwrite(str(folder / "depth" / f"{place:05d}.png"), np.round(make.wall(place + 1) * 1000).astype(np.uint16))
    frames = [{"frame": place, "c2w_opencv": None} for place in range(8)]
    camera = {"width": 32, "height": 18, "fx": 30.0, "fy": 30.0, "cx": 15.5, "cy": 8.5, "fps": 24, "frames": frames}
    (folder / "camera.json").write_text(json.dumps(camera))
    return open_clip(folder)


def compared(on_disk, ground_truth, protocol="plain"):
    return compare(on_disk.folder, ground_truth, of(protocol, "folder"))


def measure_stability(first, last, *jumps):
    """Made up: a shot that jumps at some frames."""
    steps = tuple(Step(frame=jump, size=0.1, shift=0.1, typical=0.0, border=False, jump=True) for jump in jumps)
    return TemporalStability(
        first_frame=first,
        last_frame=last,
        spread=2.0,
        flicker=0.01,
        flicker_by_frame=(0.01,) * (last - first + 1),
        steps=steps,
        drift=(),
        windows=Windows(length=4, overlap=1),
        still=0.8,
        pairs=last - first,
        without_depth=0,
        without_texture=0,
        without_still=0,
        unusable=0,
    )


def test_estimates_of_a_clip_share_its_shots_and_its_table(on_disk, another, ground_truth, monkeypatch):
    other = another("flickering", factor=1.2)
    clip = {"parallax": compared(on_disk, ground_truth), "flickering": compared(other, ground_truth)}
    (whole,) = on_disk.sequence.shots
    steady = {on_disk.folder: MetricsError("No."), other.folder: measure_stability(1001, 1008, 1004)}
    monkeypatch.setattr(build, "stability_by_shot", lambda folder, sequence: [(whole, steady[folder])])
    report = build.against_ground_truth("t", clip)
    (shot,) = report.shots
    assert [estimate.name for estimate in shot.estimates] == ["parallax", "flickering"]
    assert shot.frames == tuple(range(1001, 1009)) and shot.title == "wall, frames 1001-1008" and shot.fps == 24
    assert shot.estimates[0].series == () and [series.label for series in shot.estimates[1].series] == ["flicker"]
    assert shot.estimates[1].jumps == (1004,) and 1004 in shot.estimates[1].borders
    table = report.tables[0]
    assert table.rows[0][1] < 1e-3 < table.rows[1][1] and table.column_ranks(1) == [1, 2]
    assert "Clip wall; in the means every pixel has the same weight." in table.reading
    assert "parallax, temporal stability: No." in report.notes


def test_parts_are_put_to_those_that_they_overlap_most(on_disk, another, ground_truth):
    clip = {"cut": compared(another("cut", shots=TWO_SHOTS), ground_truth), "parallax": compared(on_disk, ground_truth)}
    first, second = build.against_ground_truth("t", clip).shots
    assert first.frames == tuple(range(1001, 1009)), "the uncut estimate goes on over the cut"
    assert [estimate.name for estimate in first.estimates] == ["cut", "parallax"]
    assert second.frames == (1005, 1006, 1007, 1008) and [e.name for e in second.estimates] == ["cut"]
    assert second.notes == ("parallax has no depth of this shot.",)


def test_a_protocol_for_whole_clips_makes_one_shot_of_them(another, ground_truth):
    report = build.against_ground_truth(
        "t", {"cut": compared(another("cut", shots=TWO_SHOTS), ground_truth, "depthcrafter")}
    )
    (shot,) = report.shots
    assert shot.frames == tuple(range(1001, 1009)) and "every frame has the same weight" in report.tables[1].reading


def test_frames_without_an_estimate_are_told_by_its_name(another, ground_truth):
    half = another("half", shots=((1001, 1004, "done"), (1005, 1008, "refused")))
    report = build.against_ground_truth("t", {"half": compared(half, ground_truth)})
    assert report.notes[-2].startswith("half: wall: 4 frames with ground truth")
    assert report.notes[-1] == "half does not support the frames 1005-1008: The camera stands."


def test_sequences_without_truth_are_shown_shot_by_shot(on_disk, another):
    refused = another("refusing", shots=((1001, 1004, "done"), (1005, 1008, "refused")))
    (whole,) = on_disk.sequence.shots
    steady = {"refusing": [], "parallax": [(whole, measure_stability(1001, 1008, 1003))]}
    report = build.alone("t", [refused, on_disk], steady)
    (shot,) = report.shots
    assert shot.frames == (1001, 1002, 1003, 1004) and shot.estimates[1].jumps == (1003,)
    assert report.notes == ("refusing does not support the frames 1005-1008: The camera stands.",)
    assert report.tables[0].title == "Shots and cuts"
    first, second = build.alone("t", [another("cut", shots=TWO_SHOTS), refused], {"cut": [], "refusing": []}).shots
    assert first.notes == () and second.notes == ("refusing has no depth of this shot.",)


def test_a_ranked_table_ends_with_the_mean_of_the_places():
    def outcome(name, values):
        known = {"all": dict(zip(("absolute_relative", "root_mean_square"), values, strict=True))}
        return Outcome(estimator=name, set="Bonn", clip="balloon", values={**known, "static": {}, "moving": {}})

    outcomes = [outcome("one", (0.1, 0.4)), outcome("two", (0.2, 0.3)), outcome("three", (0.3, None))]
    table = ranked(outcomes, ("absolute_relative", "root_mean_square"))
    assert [column.name for column in table.columns] == ["Estimator", "Bonn AbsRel", "Bonn RMSE", "Average rank"]
    assert table.columns[2].unit == "m" and table.column_ranks(3) == [1, 1, 3]
    rows = [(row[0], *(cell and cell.mean for cell in row[1:3]), row[3]) for row in table.rows]
    assert rows == [("one", 0.1, 0.4, 1.5), ("two", 0.2, 0.3, 1.5), ("three", 0.3, None, 3.0)]


def test_clips_stand_below_each_other_and_the_best_is_told_within_each():
    def outcome(clip, name, value, run=0):
        values = {"all": {"delta1": value}, "static": {}, "moving": {}}
        return Outcome(estimator=name, set="s", clip=clip, run=run, values=None if value is None else values)

    outcomes = [outcome("a", "one", 0.2), outcome("b", "one", 0.5), outcome("a", "two", 0.8)]
    outcomes += [outcome("b", "two", None), outcome("a", "one", 0.4, run=1)]
    table = by_clip(outcomes, ("delta1",), compared=True)
    assert [", ".join(row[1:3]) for row in table.rows] == ["a, one", "a, two", "b, one", "b, two"]
    assert [row[3] for row in table.rows] == [pytest.approx(0.3), 0.8, 0.5, None]
    assert table.column_ranks(3) == [2, 1, None, None] and '<th scope="row">s, b: one</th>' in table.html()
