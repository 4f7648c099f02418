"""Error sequences by frequency: bands as published, and sequences whose frequencies are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference.evaluation.accuracy.metrics import MetricsError
from inference.evaluation.stability.spectrum import (
    band_values,
    bands,
    interpolated,
    magnitude,
    mean_bands,
    ratio,
)


def wave(count, frequency, *, level=0.2, amplitude=0.1, phase=0.4):
    return level + amplitude * np.cos(2 * np.pi * frequency * np.arange(count) / count + phase)


@pytest.mark.parametrize(("count", "groups", "highest"), [(580, 11, range(257, 291)), (251, 9, range(65, 126))])
def test_there_are_as_many_bands_as_in_the_papers_tables(count, groups, highest):
    assert len(bands(count)) == groups
    assert bands(count)[-1] == highest


@settings(max_examples=40)
@given(st.integers(1, 2000))
def test_every_frequency_is_in_one_band(count):
    assert [k for band in bands(count) for k in band] == list(range(count // 2 + 1))


def test_no_values_have_no_bands():
    with pytest.raises(ValueError, match="no bands"):
        bands(0)


@pytest.mark.parametrize(("frequency", "band"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (16, 5), (17, 6), (50, 7)])
def test_flicker_at_one_frequency_lands_in_its_band(frequency, band):
    values = band_values(wave(101, frequency))
    assert values[0] == pytest.approx(0.2)
    assert values[band] == pytest.approx(0.1 * 2 / np.pi, rel=0.05)  # the mean of a rectified sine
    assert max(value for index, value in enumerate(values) if index not in (0, band)) < 1e-12


def test_the_fastest_flicker_has_its_full_amplitude():
    assert band_values([0.3, 0.1] * 8)[-1] == pytest.approx(0.1)


def test_one_frame_has_its_error_and_nothing_else():
    assert band_values([0.3]) == [pytest.approx(0.3)]


@settings(max_examples=30)
@given(arrays.arrays(np.float64, st.integers(1, 90), elements=st.floats(0, 10)))
def test_the_lowest_band_is_the_mean_and_magnitudes_keep_the_energy(errors):
    assert band_values(errors)[0] == pytest.approx(errors.mean(), abs=1e-9)
    found = magnitude(errors)
    twice = np.where(np.arange(len(found)) == 0, 1, 2)  # every frequency but 0 and T/2 is there with -k
    if len(errors) % 2 == 0:
        twice[-1] = 1
    assert np.sum(twice * found**2) / len(errors) == pytest.approx(np.sum(errors**2), abs=1e-6)


def test_magnitude_is_that_of_the_wave():
    found = magnitude(wave(50, 10))
    assert found[10] == pytest.approx(0.1 * 50 / 2)
    assert found[0] == pytest.approx(0.2 * 50)


def test_frames_without_a_value_are_filled_in():
    errors = np.array([np.nan, 1, np.nan, 3, np.nan, np.nan])
    np.testing.assert_allclose(interpolated(errors), [1, 1, 2, 3, 3, 3])
    assert band_values(errors) == band_values([1, 1, 2, 3, 3, 3])


@pytest.mark.parametrize("errors", [[], [np.nan, np.nan]])
def test_no_value_at_all_is_refused(errors):
    with pytest.raises(MetricsError, match="No frame"):
        band_values(errors)


def test_the_ratio_of_two_estimators_says_which_frequency_is_stronger():
    found = ratio(wave(64, 20, amplitude=0.3) + wave(64, 3), wave(64, 20, amplitude=0.1) + wave(64, 3))
    assert found[20] == pytest.approx(3)
    assert found[3] == pytest.approx(1)
    assert np.isnan(found[7])


def test_a_ratio_needs_the_same_frames():
    with pytest.raises(MetricsError, match="5 frames and the other 6"):
        ratio(np.ones(5), np.ones(6))


def test_a_short_shot_does_not_count_in_bands_it_does_not_have():
    assert mean_bands([[0.2, 0.1], [0.4, 0.3, 0.5]]) == pytest.approx([0.3, 0.2, 0.5])
    assert mean_bands([]) == []
