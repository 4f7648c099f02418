"""Shots for a report from folders on disk, with truth and without."""

import numpy as np
import pytest

from inference.contract.depth_sequence import disparity_name
from inference.evaluation.accuracy import metrics
from inference.evaluation.datasets.ground_truth import Truth
from inference.evaluation.datasets.protocols import PLAIN, Crop, Protocol, applied
from inference.evaluation.report import shots
from inference.evaluation.report.gather import gather


def truth_of(make, count=8, **more):
    return Truth(
        name="wall",
        frame_numbers=tuple(range(count)),
        read_depth=lambda index: make.wall(index + 1),
        matrix=np.eye(3),
        **more,
    )


def measured(on_disk, truth, protocol=PLAIN):
    """The sequence compared with a truth whose first picture is frame 1001."""

    def disparity(index):
        values = on_disk.disparity(1001 + truth.frame_numbers[index])
        return values if protocol.crop is None else values[protocol.crop.part(*values.shape)]

    scores = metrics.frame_scores(disparity, truth, protocol)
    return shots.Measured(name="parallax", disparity=disparity, scores=scores)


def test_a_sequence_is_seen_beside_its_plate(on_disk, make):
    shot = shots.without_truth(on_disk.sequence.done_shots[0], [on_disk])
    assert shot.title.endswith("/plate, frames 1001-1008") and shot.fps == 24 and shot.notes == ()
    gathered = gather(shot)
    np.testing.assert_allclose(gathered.estimates[0].tiles[1003], make.right(3))
    assert gathered.plate.tiles[1003].shape == (36, 64, 3)
    np.testing.assert_allclose(gathered.plate.tiles[1003], 3 / 255, atol=1e-3)


def test_a_plate_that_is_not_there_is_a_note(on_disk, tmp_path):
    (tmp_path / "plate" / "p.1004.png").unlink()
    shot = shots.without_truth(on_disk.sequence.done_shots[0], [on_disk])
    assert shot.plate is None and len(shot.notes) == 1
    assert "The plate is left out" in shot.notes[0] and "p.1004.png" in shot.notes[0]


def test_a_map_that_is_not_there_is_a_gap(on_disk):
    (on_disk.folder / disparity_name(1004)).unlink()
    gathered = gather(shots.without_truth(on_disk.sequence.done_shots[0], [on_disk]))
    assert "parallax has no map of frame 1004." in gathered.notes


def test_an_exact_estimate_is_exact_in_every_figures_data(on_disk, make):
    truth = truth_of(make)
    each = measured(on_disk, truth)
    shot = shots.against_truth(truth, [each], numbers=range(1001, 1009), source=on_disk.sequence.source)
    assert shot.frames == tuple(range(1001, 1009)) and shot.fps == 24
    (estimate,) = shot.estimates
    assert set(estimate.errors) == {"AbsRel", "RMSE [m]", "delta1"}
    np.testing.assert_allclose(estimate.errors["AbsRel"], 0, atol=1e-5)
    gathered = gather(shot)
    np.testing.assert_allclose(gathered.estimates[0].errors[1005][3:], 0, atol=1e-5)
    assert np.isnan(gathered.estimates[0].errors[1005][:3]).all() and gathered.plate is not None


def test_only_the_frames_and_the_part_that_were_measured_are_shown(on_disk, make):
    protocol = Protocol(first=1, every=3, crop=Crop(top=4, left=2, right=2))
    truth = applied(truth_of(make), protocol)
    shot = shots.against_truth(
        truth,
        [measured(on_disk, truth, protocol)],
        protocol=protocol,
        numbers=(1002, 1005, 1008),
        source=on_disk.sequence.source,
    )
    assert shot.frames == (1002, 1005, 1008) and shot.fps == 8, "a third of the plate's rate"
    gathered = gather(shot)
    assert gathered.truth.tiles[1005].shape == gathered.estimates[0].tiles[1005].shape == (14, 28)
    assert gathered.plate is None, "the whole plate would show another part than the depth"
    np.testing.assert_allclose(gathered.estimates[0].errors[1005], 0, atol=1e-5)


def test_estimates_that_were_measured_on_other_frames_have_gaps(on_disk, make):
    truth = truth_of(make)
    whole = measured(on_disk, truth)
    part = shots.Measured(
        name="part", disparity=whole.disparity, scores=metrics.frame_scores(whole.disparity, truth, frames=range(2, 5))
    )
    shot = shots.against_truth(truth, [whole, part])
    np.testing.assert_array_equal(np.isnan(shot.estimates[1].errors["AbsRel"]), [1, 1, 0, 0, 0, 1, 1, 1])


def test_the_truths_own_pictures_are_the_plate_of_frames_counted_from_0(on_disk, make):
    picture = np.full((18, 32, 3), 51, np.uint8)
    truth = truth_of(make, read_picture=lambda index: picture)
    shot = shots.against_truth(truth, [measured(on_disk, truth)])
    assert shot.frames == tuple(range(8)) and shot.fps is None
    np.testing.assert_allclose(gather(shot).plate.tiles[1], 0.2, atol=1e-6)


def test_tables_have_a_row_an_estimate_for_every_region_that_was_measured(on_disk, make):
    half = np.zeros((18, 32), bool)
    half[:, :16] = True
    truth = truth_of(make, read_moving=lambda index: half)
    rows = [("parallax", metrics.summary([measured(on_disk, truth).scores]))]
    tables = shots.metrics_tables(rows, reading="Every pixel counts alike.")
    assert [table.title for table in tables] == [
        "Against truth",
        "Against truth where nothing moves",
        "Against truth where something moves",
    ]
    assert [column.name for column in tables[0].columns] == ["AbsRel", "RMSE", "delta1", "delta2", "delta3"]
    assert tables[0].columns[1].unit == "m" and tables[0].reading.endswith("Every pixel counts alike.")
    label, values = tables[0].rows[0]
    assert label == "parallax" and values[0] == pytest.approx(0, abs=1e-5) and values[2] == 1
    assert len(shots.metrics_tables([("p", metrics.summary([measured(on_disk, truth_of(make)).scores]))])) == 1
