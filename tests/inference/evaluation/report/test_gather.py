"""What is kept of a shot after one walk through its frames."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.common.failures import ClipError
from inference.evaluation.report import gather as module
from inference.evaluation.report.gather import TILES, evenly, gather
from inference.evaluation.report.shots import Estimate, ReportError, Slice


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(2, 30))
def test_chosen_frames_rise_and_take_in_both_ends(length, count):
    frames = range(100, 100 + length)
    chosen = evenly(frames, count)
    assert len(chosen) == min(length, count) and list(chosen) == sorted(set(chosen))
    assert chosen[0] == frames[0] and chosen[-1] == frames[-1]
    assert np.ptp(np.diff(chosen)) <= 1 if len(chosen) > 2 else True


def test_a_profile_is_the_same_column_or_row_of_every_frame(make):
    shot = make(slices=(Slice.of_pixel("column", 5, size=32), Slice.of_pixel("row", 17, size=18)))
    exact = gather(shot).estimates[0]
    column, row = exact.profiles
    assert column.shape == (8, 18) and row.shape == (8, 32)
    for place, frame in enumerate(shot.frames):
        np.testing.assert_array_equal(column[place], make.right(frame)[:, 5])
        np.testing.assert_array_equal(row[place], make.right(frame)[17])


def test_means_are_taken_where_there_is_truth_for_all_alike(make):
    shot = make()
    gathered = gather(shot)
    for place, frame in enumerate(shot.frames):
        depth = make.wall(frame)
        assert gathered.ground_truth.means[place] == pytest.approx(np.mean(1 / depth[depth > 0]), rel=1e-6)
        assert gathered.estimates[0].means[place] == pytest.approx(make.right(frame)[depth > 0].mean(), rel=1e-6)


def test_the_error_of_a_pixel_is_relative_and_unknown_where_there_is_no_truth(make):
    twice = make.compared("far", lambda frame: (make.right(frame) - 0.5) / 2 + 0.5)  # half the inverse depth
    errors = gather(make(estimates=(twice,))).estimates[0].errors
    assert set(errors) == set(range(1, 9))
    assert np.isnan(errors[1][:3]).all()
    np.testing.assert_allclose(errors[1][3:], 1.0, atol=1e-5)


def test_what_has_no_value_is_counted_and_told(make):
    def holed(frame):
        if frame in (3, 4):
            return None
        values = make.right(frame)
        values[:9] = np.inf if frame == 5 else np.nan if frame == 6 else values[:9]
        return values

    gathered = gather(make(estimates=(make.compared("holed", holed),)))
    np.testing.assert_array_equal(gathered.estimates[0].missing, [0, 0, np.nan, np.nan, 0.5, 0.5, 0, 0])
    assert gathered.notes == (
        "holed has no depth map of frames 3-4.",
        "holed has pixels without a value in 2 frames, most in frame 5 (50.0%).",
    )
    assert np.isnan(gathered.estimates[0].profiles[0][2:4]).all()
    assert np.isfinite(gathered.estimates[0].samples).all()


def test_samples_do_not_grow_with_the_shot(make, monkeypatch):
    shot = make(count=60, ground_truth=False, estimates=(Estimate(name="e", disparity=make.right),))
    everything = gather(shot).estimates[0].samples
    monkeypatch.setattr(module, "_MOST_SAMPLES", 4000)
    fewer = gather(shot).estimates[0].samples
    assert len(everything) == 60 * 18 * 32 and 1000 < len(fewer) <= 4000
    ends = np.ptp(everything)
    np.testing.assert_allclose(np.percentile(fewer, [1, 99]), np.percentile(everything, [1, 99]), atol=0.05 * ends)


def test_large_maps_are_kept_small_and_their_holes_stay_holes(make):
    large = np.ones((600, 1200), np.float32)
    large[:, :600] = np.nan
    shot = make(
        count=30, ground_truth=False, plate=False, estimates=(Estimate(name="e", disparity=lambda frame: large),)
    )
    (track,) = gather(shot).estimates
    assert len(track.tiles) == TILES and all(tile.shape == (240, 480) for tile in track.tiles.values())
    assert np.isnan(track.tiles[1][:, :240]).all() and (track.tiles[1][:, 240:] == 1).all()
    assert track.size == (1200, 600)


def test_a_plate_that_breaks_off_is_a_note_and_no_failure(make):
    whole = make().plate

    def broken():
        for frame, image in whole():
            if frame == 4:
                raise ClipError("frame 4 of plate.mp4 cannot be decoded", "copy the clip again")
            yield frame, image

    gathered = gather(dataclasses.replace(make(), plate=broken))
    assert set(gathered.plate.tiles) == {1, 2, 3}
    (note,) = gathered.notes
    assert "The plate is left out from here on" in note and "frame 4 of plate.mp4" in note and ".." not in note


def test_without_a_plate_that_is_said(make):
    gathered = gather(make(plate=False))
    assert gathered.plate is None and gathered.notes == ("The shot has no plate to show beside the depth.",)


@pytest.mark.parametrize(
    ("disparity", "words"),
    [
        (lambda frame: None, "e has no depth map of any frame; leave it out"),
        (lambda frame: np.ones((4, 4 + (frame > 5))), "Frame 6 of e is 5x4 pixels and those before are 4x4"),
    ],
)
def test_depth_that_cannot_be_shown_is_one_sentence(make, disparity, words):
    with pytest.raises(ReportError, match=words):
        gather(make(ground_truth=False, estimates=(Estimate(name="e", disparity=disparity),)))


def test_an_estimate_without_any_of_the_chosen_frames_still_has_a_image(make):
    only = Estimate(name="e", disparity=lambda frame: np.eye(4) if frame == 2 else None)
    (track,) = gather(make(count=60, ground_truth=False, estimates=(only,))).estimates
    assert set(track.tiles) == {2}
