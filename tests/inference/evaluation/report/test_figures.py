"""What stands in the figures: shared scales, frame numbers, units, and curves with a known answer."""

import cv2
import matplotlib as mpl
import numpy as np
import pytest

from inference.evaluation.report.figures import contact, curves, profile, spectra, style
from inference.evaluation.report.figures.scale import scale_of
from inference.evaluation.report.gather import gather
from inference.evaluation.report.shots import Estimate, Series, Slice


@pytest.fixture(autouse=True)
def _styled():
    with style.styled():
        yield


def drawn(make, **more):
    shot = make(**more)
    gathered = gather(shot)
    return shot, gathered, scale_of(gathered)


def colored(figure):
    """Images that are colored by value, not images."""
    return [image for axes in figure.axes for image in axes.images if image.get_array().ndim == 2]


def lab(colors):
    """CIE L*a*b* of RGB colors [N, 3]."""
    return cv2.cvtColor(np.asarray(colors, np.float32)[None, :, :3], cv2.COLOR_RGB2Lab)[0]


@pytest.mark.parametrize("name", [style.DEPTH, style.ERROR])
def test_color_maps_are_perceptually_uniform_and_missing_is_none_of_their_colors(name):
    colors = lab(style.colors(name)(np.arange(256)))
    lightness = colors[:, 0]
    even = np.linspace(lightness[0], lightness[-1], 256)
    assert lightness[-1] - lightness[0] > 60 and np.abs(lightness - even).max() < 6, "equal steps look equal"
    missing = lab([style.colors(name).get_bad()])
    assert np.linalg.norm(colors - missing, axis=1).min() > 20


def test_every_tile_of_a_contact_sheet_has_the_shots_scale_and_its_frame(make):
    shot, gathered, scale = drawn(make, ground_truth=False)
    figure = contact.sheet(gathered.estimates[1], scale)
    images = colored(figure)
    assert len(images) == len(shot.frames)
    assert {image.get_clim() for image in images} == {(0.0, 1.0)}
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles == [f"frame {frame}" for frame in shot.frames]
    assert any(axes.get_ylabel() == scale.label for axes in figure.axes)


def test_a_side_by_side_shows_plate_truth_and_all_estimates_in_one_scale(make):
    _, gathered, scale = drawn(make)
    figure = contact.side_by_side(gathered, scale)
    grid = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in grid[:4]] == ["Plate", "Ground truth", "exact", "flickering"]
    assert len(grid) == 4 * contact.SIDE_BY_SIDE
    assert [axes.get_ylabel() for axes in grid[::4]] == [f"frame {frame}" for frame in (1, 3, 5, 6, 8)]
    assert {image.get_clim() for image in colored(figure)} == {(scale.low, scale.high)}
    exact, ground_truth = grid[2].images[0].get_array(), grid[1].images[0].get_array()
    np.testing.assert_allclose(exact[3:], ground_truth[3:], rtol=1e-4)
    assert figure.legends[0].get_texts()[0].get_text() == "no value", "the truth has holes"


def test_a_frame_that_one_estimator_lacks_is_drawn_as_missing(make):
    some = make.compared("some", lambda frame: None if frame == 1 else make.right(frame))
    _, gathered, scale = drawn(make, estimates=(some,))
    grid = [axes for axes in contact.side_by_side(gathered, scale).axes if axes.images]
    assert np.ma.getmaskarray(grid[2].images[0].get_array()).all()


def test_error_maps_are_in_percent_and_share_their_scale(make):
    _, gathered, _ = drawn(make)
    figure = contact.error_maps(gathered)
    images = colored(figure)
    assert len(images) == 2 * contact.SIDE_BY_SIDE and len({image.get_clim() for image in images}) == 1
    assert images[0].get_clim()[0] == 0 and any("[%]" in axes.get_ylabel() for axes in figure.axes)
    assert np.ma.max(images[0].get_array()) < 1e-3 < 1 < np.ma.max(images[1].get_array()), "exact, then flickering"


@pytest.mark.parametrize(("kind", "across"), [("column", "row [px]"), ("row", "column [px]")])
def test_a_profile_shows_plate_beside_depth_over_source_frames(make, kind, across):
    shot, gathered, scale = drawn(make, slices=(Slice(kind=kind, at=0.25),))
    figure = profile.profile(shot, gathered, scale, 0)
    over_time = [axes for axes in figure.axes if "over time" in axes.get_title()]
    assert len(over_time) == 4 and over_time[-1].get_xlabel() == "source frame"
    assert {axes.get_ylabel() for axes in over_time} == {across}
    assert over_time[0].images[0].get_array().ndim == 3, "the plate first"
    for axes in over_time:
        assert axes.images[0].get_extent()[:2] == [0.5, 8.5]
    size = 32 if kind == "column" else 18
    assert over_time[2].get_title() == f"{kind} {size // 4} of {size} over time"
    assert over_time[0].get_title() == f"{kind} {size // 2} of {2 * size} over time", "the plate is twice as large"


def test_a_profile_marks_the_windows_and_counts_frames_that_are_not_evenly_spaced(make):
    shot, gathered, scale = drawn(
        make,
        ground_truth=False,
        plate=False,
        frames=(1, 2, 4, 8),
        estimates=(Estimate(name="e", disparity=make.right, borders=(4,)),),
    )
    figure = profile.profile(shot, gathered, scale, 0)
    axes = next(axes for axes in figure.axes if "over time" in axes.get_title())
    assert axes.lines[0].get_xdata()[0] == 1.5, "between the second frame and the third"
    assert [axes.xaxis.get_major_formatter()(place) for place in (0, 1, 2, 3, 4)] == ["1", "2", "4", "8", ""]


def test_mean_curves_of_an_exact_estimate_lie_on_the_truths(make):
    shot, gathered, scale = drawn(make)
    (axes,) = curves.mean_disparity(shot, gathered, scale).axes
    ground_truth, exact, flickering = (line.get_ydata() for line in axes.lines)
    np.testing.assert_allclose(exact, ground_truth, rtol=1e-5)
    assert (np.sign(np.diff(flickering)) == [-1, 1, -1, 1, -1, 1, -1]).all()
    assert axes.get_ylabel() == "mean inverse depth\n[1/m]" and axes.get_xlabel() == "source frame"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Ground truth", "exact", "flickering"]


def test_errors_and_series_stand_over_their_frames_with_units(make):
    series = Series(label="drift", unit="1/m", frames=(2, 3, 4), values=np.array([1.0, np.nan, 3.0]), reading="Is.")
    estimate = make.compared("e", make.right, series=(series,), borders=(5,), jumps=(5,))
    shot = make(estimates=(estimate,))
    figure = curves.errors(shot)
    assert [axes.get_ylabel() for axes in figure.axes] == ["AbsRel", "delta1"]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), shot.frames)
    (axes,) = curves.series(shot).axes
    assert axes.get_ylabel() == "drift\n[1/m]" and axes.lines[0].get_marker() == "o", "points that stand alone are seen"
    assert curves.series_reading(shot).startswith("Drift: Is. Dashed") and axes.get_ylim()[0] == 0


def wave(cycles, count=32):
    return 0.3 + 0.1 * np.cos(2 * np.pi * cycles * np.arange(count) / count)


def waved(make, **waves):
    estimates = [
        Estimate(name=name, disparity=make.right, errors={"delta1": 1 - wave(cycles), "AbsRel": wave(cycles)})
        for name, cycles in waves.items()
    ]
    return make(count=32, ground_truth=False, plate=False, estimates=estimates)


def test_error_that_swings_at_one_frequency_peaks_there(make):
    figure = spectra.spectra(waved(make, slow=2, fast=12))
    magnitudes = [axes for axes in figure.axes if axes.get_ylabel() == "magnitude |F(k)|"]
    assert [axes.get_title() for axes in magnitudes] == ["1 - delta1", "AbsRel"], "both as errors: less is better"
    for axes in magnitudes:
        lines = [line for line in axes.lines if len(line.get_xdata()) == 16]
        assert [int(line.get_xdata()[np.nanargmax(line.get_ydata())]) for line in lines] == [2, 12]
        assert axes.get_xlabel() == "cycles per shot (32 frames)"
    assert sum(axes.get_ylabel() == "ratio to slow" for axes in figure.axes) == 2


def test_band_tables_put_a_frequency_into_its_band(make):
    (table, _) = spectra.tables(waved(make, slow=2, fast=12))
    assert [column.name for column in table.columns] == [
        "Estimate",
        "F0 (0)",
        "F1 (1)",
        "F2 (2)",
        "F3 (3-4)",
        "F4 (5-8)",
        "F5 (9-16)",
    ]
    mean = 0.1 * np.abs(np.cos(2 * np.pi * 2 * np.arange(32) / 32)).mean()
    np.testing.assert_allclose(table.rows[0][1:], [0.3, 0, mean, 0, 0, 0], atol=1e-12)
    assert np.argmax(table.rows[1][2:]) == 4


def test_what_cannot_be_analyzed_is_left_out(make):
    assert spectra.analyzed(make(count=3)) == []
    nothing = Estimate(name="e", disparity=make.right, errors={"AbsRel": np.full(8, np.nan)})
    assert spectra.analyzed(make(ground_truth=False, estimates=(nothing,))) == []


def test_a_png_is_the_same_every_time_and_as_large_as_told(make):
    _, gathered, scale = drawn(make)
    first, second = (style.png(contact.sheet(gathered.estimates[0], scale)) for _ in range(2))
    assert first == second
    height, width = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    assert 500 < width <= style.WIDTH * style.DPI * 1.15 and 200 < height < 1500


def test_the_users_own_settings_of_matplotlib_do_not_show(make):
    with (
        mpl.rc_context({"axes.facecolor": "red", "image.cmap": "jet", "image.interpolation": "bicubic"}),
        style.styled(),
    ):
        assert mpl.rcParams["axes.facecolor"] == "white" and mpl.rcParams["image.interpolation"] == "nearest"
