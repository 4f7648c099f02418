"""Shots for a report: what is refused before anything is drawn, and what folders on disk give."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.contract.depth_sequence import disparity_name
from inference.evaluation.accuracy import metrics
from inference.evaluation.accuracy.comparison import compare
from inference.evaluation.datasets.ground_truth import GroundTruth
from inference.evaluation.datasets.protocols import PLAIN, Crop, Protocol
from inference.evaluation.report import shots
from inference.evaluation.report.gather import gather
from inference.evaluation.report.shots import Estimate, Extras, ReportError, Shot, Slice
from inference.evaluation.report.tables import metrics_tables


def truth_of(make, count=8, **more):
    return GroundTruth(
        name="wall",
        frame_numbers=tuple(range(count)),
        read_depth=lambda index: make.wall(index + 1),
        matrix=np.eye(3),
        **more,
    )


def measured(on_disk, ground_truth, protocol=PLAIN):
    """The sequence compared with a ground truth whose first image is frame 1001."""
    found = compare(on_disk.folder, ground_truth, protocol)
    return found, found.parts[0], Extras()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4000), st.data())
def test_a_slice_of_a_pixel_comes_back_to_that_pixel(size, data):
    pixel = data.draw(st.integers(0, size - 1))
    assert Slice.of_pixel("column", pixel, size=size).index(size) == pixel


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_a_slice_lies_in_images_of_any_size(at):
    assert all(0 <= Slice(kind="row", at=at).index(size) < size for size in (1, 2, 7, 1080))


def test_a_slice_outside_of_the_image_is_refused():
    with pytest.raises(ReportError, match="no column 640 in an image of 640; choose one from 0 to 639"):
        Slice.of_pixel("column", 640, size=640)
    with pytest.raises(ReportError, match=r"row at 1\.5 is outside"):
        Slice(kind="row", at=1.5)


def estimate(name="e", **more):
    return Estimate(name=name, disparity=lambda frame: np.ones((4, 4)), **more)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": ()}, "frames must be ascending"),
        ({"frames": (2, 1)}, "frames must be ascending"),
        ({"frames": (1, 1, 2)}, "frames must be ascending"),
        ({"estimates": ()}, "every estimate needs a name of its own"),
        ({"estimates": (estimate(), estimate())}, "name of its own, not e, e"),
        ({"estimates": (estimate(errors={"AbsRel": np.ones(3)}),)}, "3 values of AbsRel and the shot 2 frames"),
        ({"ground_truth": lambda frame: np.ones((4, 4))}, "every estimate needs its alignment"),
    ],
)
def test_a_shot_that_could_not_be_read_is_refused(change, words):
    with pytest.raises(ReportError, match=words):
        Shot(**{"title": "a shot", "frames": (1, 2), "estimates": (estimate(),), **change})


def test_a_sequence_is_seen_beside_its_plate(on_disk, make):
    shot = shots.of_sequences(on_disk.sequence.done_shots[0], [(on_disk, Extras())])
    assert shot.title.endswith("/plate, frames 1001-1008") and shot.fps == 24 and shot.notes == ()
    gathered = gather(shot)
    np.testing.assert_allclose(gathered.estimates[0].tiles[1003], make.right(3))
    assert gathered.plate.tiles[1003].shape == (36, 64, 3)
    np.testing.assert_allclose(gathered.plate.tiles[1003], 3 / 255, atol=1e-3)


def test_a_plate_that_is_not_there_is_a_note(on_disk, tmp_path):
    (tmp_path / "plate" / "p.1004.png").unlink()
    shot = shots.of_sequences(on_disk.sequence.done_shots[0], [(on_disk, Extras())])
    assert shot.plate is None and len(shot.notes) == 1
    assert "The plate is not shown" in shot.notes[0] and "p.1004.png" in shot.notes[0]


def test_a_map_that_is_not_there_is_a_gap(on_disk):
    (on_disk.folder / disparity_name(1004)).unlink()
    gathered = gather(shots.of_sequences(on_disk.sequence.done_shots[0], [(on_disk, Extras())]))
    assert "parallax has no depth map of frame 1004." in gathered.notes


def test_an_exact_estimate_is_exact_in_every_figures_data(on_disk, make):
    shot = shots.of_parts({"parallax": measured(on_disk, truth_of(make))})
    assert shot.frames == tuple(range(1001, 1009)) and shot.fps == 24
    (estimate,) = shot.estimates
    assert set(estimate.errors) == {"AbsRel", "RMSE [m]", "delta1"}
    np.testing.assert_allclose(estimate.errors["AbsRel"], 0, atol=1e-5)
    gathered = gather(shot)
    np.testing.assert_allclose(gathered.estimates[0].errors[1005][3:], 0, atol=1e-5)
    assert np.isnan(gathered.estimates[0].errors[1005][:3]).all() and gathered.plate is not None


def test_only_the_frames_and_the_part_that_were_measured_are_shown(on_disk, make):
    protocol = Protocol(first=1, every=3, crop=Crop(top=4, left=2, right=2))
    shot = shots.of_parts({"parallax": measured(on_disk, truth_of(make), protocol)})
    assert shot.frames == (1002, 1005, 1008) and shot.fps == 8, "a third of the plate's rate"
    gathered = gather(shot)
    assert gathered.ground_truth.tiles[1005].shape == gathered.estimates[0].tiles[1005].shape == (14, 28)
    assert gathered.plate is None, "the whole plate would show another part than the depth"
    np.testing.assert_allclose(gathered.estimates[0].errors[1005], 0, atol=1e-5)


def test_estimates_that_were_measured_on_other_frames_have_gaps(on_disk, make):
    ground_truth = truth_of(make)
    whole, part, _ = measured(on_disk, ground_truth)
    less = replace(part, scores=metrics.frame_scores(whole.disparity, ground_truth, frames=range(2, 5)))
    shot = shots.of_parts({"parallax": (whole, part, Extras()), "part": (whole, less, Extras())})
    np.testing.assert_array_equal(np.isnan(shot.estimates[1].errors["AbsRel"]), [1, 1, 0, 0, 0, 1, 1, 1])


def test_the_truths_own_images_are_the_plate(on_disk, make):
    image = np.full((18, 32, 3), 51, np.uint8)
    shot = shots.of_parts({"parallax": measured(on_disk, truth_of(make, read_image=lambda index: image))})
    np.testing.assert_allclose(gather(shot).plate.tiles[1001], 0.2, atol=1e-6)


def test_tables_have_a_row_an_estimate_for_every_region_that_was_measured(on_disk, make):
    half = np.zeros((18, 32), bool)
    half[:, :16] = True
    ground_truth = truth_of(make, read_moving=lambda index: half)
    rows = [("parallax", metrics.summary([measured(on_disk, ground_truth)[1].scores]))]
    tables = metrics_tables(rows, reading="Every pixel counts alike.")
    assert [table.title for table in tables] == [
        "Against ground truth",
        "Against ground truth in static regions",
        "Against ground truth on dynamic objects",
    ]
    assert [column.name for column in tables[0].columns] == ["Estimate", "AbsRel", "RMSE", "delta1", "delta2", "delta3"]
    assert tables[0].columns[2].unit == "m" and tables[0].reading.endswith("Every pixel counts alike.")
    label, *values = tables[0].rows[0]
    assert label == "parallax" and values[0] == pytest.approx(0, abs=1e-5) and values[2] == 1
    assert len(metrics_tables([("p", metrics.summary([measured(on_disk, truth_of(make))[1].scores]))])) == 1
