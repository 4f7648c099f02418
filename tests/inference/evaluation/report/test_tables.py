"""What was measured of steadiness and consistency, as a report shows it."""

import numpy as np
import pytest

from inference.evaluation.report import tables
from inference.evaluation.report.shots import Extras
from inference.evaluation.stability.consistency import Consistency, Distances
from inference.evaluation.stability.drift import Drift, Step, Windows
from inference.evaluation.stability.temporal_stability import TemporalStability


def drift(size, *, border):
    return Drift(first=4, last=7, size=size, shift=0.0, followed=0.9, border=border, camera_moves=False)


def measure_stability(**more):
    facts = {
        "first_frame": 11,
        "last_frame": 20,
        "spread": 2.0,
        "flicker": 0.01,
        "flicker_by_frame": (np.nan, *[0.01] * 8, np.nan),
        "steps": (
            Step(frame=15, size=0.002, shift=0.001, typical=0.002, border=True, jump=False),
            Step(frame=17, size=0.05, shift=-0.04, typical=0.002, border=True, jump=True),
            Step(frame=19, size=0.03, shift=None, typical=None, border=False, jump=True),
        ),
        "drift": (
            drift(0.02, border=True),
            drift(0.04, border=True),
            drift(None, border=True),
            drift(0.01, border=False),
        ),
        "windows": Windows(length=6, overlap=2),
        "still": 0.8,
        "pairs": 9,
        "without_depth": 0,
        "without_texture": 0,
        "without_still": 0,
        "unusable": 0,
    }
    return TemporalStability(**{**facts, **more})


def consistency(distance):
    def distances(frames, size):
        return Distances(
            distance=size,
            relative=0.1,
            floor=0.01,
            relative_floor=0.001,
            by_pair=(size,) * len(frames),
            frames=frames,
            points=100,
            unusable=0,
            without_pose=0,
            without_depth=0,
            without_points=0,
        )

    spaced, neighbors = distances((0,), distance), distances((0, 1, 2), distance / 10)
    return Consistency(correspondences="given", spacing=10, spaced=spaced, neighbors=neighbors)


def test_flicker_borders_and_jumps_stand_at_their_source_frames():
    extras = tables.of_stability(measure_stability())
    (flicker,) = extras.series
    assert flicker.frames == tuple(range(11, 21)) and flicker.unit == "% of the shot's disparity range"
    np.testing.assert_allclose(flicker.values, [np.nan, *[1.0] * 8, np.nan])
    assert extras.borders == (15, 17) and extras.jumps == (17, 19)
    assert tables.of_stability(measure_stability(windows=None)).borders == ()


def test_a_steadiness_table_is_in_percent():
    table = tables.stability_table(
        [("e", measure_stability()), ("none", measure_stability(flicker=None, drift=(), steps=()))]
    )
    units = [column.unit for column in table.columns]
    assert units == ["", "%", "", "%", "%", "%", "%"]
    assert table.rows[0] == pytest.approx(("e", 1.0, 2, 5.0, 3.0, 1.0, 80.0))
    assert table.rows[1] == ("none", None, 0, None, None, None, pytest.approx(80.0))


def test_every_step_is_told_with_its_frame():
    table = tables.jumps_table([("e", measure_stability())])
    assert [row[0] for row in table.rows] == ["e, frame 15", "e, frame 17", "e, frame 19"]
    assert [row[1] for row in table.rows] == ["window border", "jump at a window border", "jump"]
    assert table.rows[1][2:] == pytest.approx((5.0, -4.0, 0.2)) and table.rows[2][3:] == (None, None)
    assert table.column_ranks(1) == table.column_ranks(2) == [None] * 3
    assert tables.jumps_table([("e", measure_stability(steps=()))]) is None


def test_distances_in_space_stand_beside_their_floor():
    table = tables.consistency_table([("a", consistency(0.5)), ("b", consistency(0.4))])
    assert [column.unit for column in table.columns] == ["", "m", "m", "m", "m", "", ""]
    assert table.rows[0] == pytest.approx(("a", 0.5, 0.01, 0.05, 0.01, 0.1, 0.001)) and table.column_ranks(1) == [2, 1]
    assert "10 apart" in table.reading and "the optical flow that comes with the ground truth" in table.reading
    (series,) = tables.of_consistency(consistency(0.5), numbers=range(1001, 1011)).series
    assert series.frames == (1001, 1002, 1003) and series.unit == "m"
    np.testing.assert_allclose(series.values, 0.05)


def test_what_is_known_of_a_shot_can_be_put_together():
    both = tables.of_stability(measure_stability()) + tables.of_consistency(consistency(1.0), numbers=range(11, 21))
    assert [series.label for series in both.series] == ["flicker", "warp error"]
    assert (both + Extras(jumps=(12, 19))).jumps == (12, 17, 19)
