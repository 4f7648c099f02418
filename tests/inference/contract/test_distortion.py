"""Lens models in both directions, for numbers and for arrays."""

import math

import numpy as np
import pytest

from inference.contract import distortion
from inference.contract.camera import MOST_COEFFICIENTS

LENSES = [
    ("polynomial", (-0.12, 0.03, 0.01)),
    ("polynomial", (0.2,)),
    ("division", (-0.15, 0.02)),
    ("nuke", (-0.1, 0.03, 0.01, -0.005)),
    ("brown", (-0.12, 0.03, 0.01, 0.004, 0.01, -0.006)),
]
X, Y = (grid.astype(float) for grid in np.meshgrid(np.linspace(-0.6, 0.6, 13), np.linspace(-0.35, 0.35, 9)))


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
def test_undistorting_is_the_inverse_of_distorting(model, coefficients):
    bent = distortion.distort(model, coefficients, X, Y, unit=0.6)
    assert np.abs(bent[0] - X).max() > 0.005
    straight = distortion.undistort(model, coefficients, *bent, unit=0.6)
    np.testing.assert_allclose(straight, (X, Y), atol=1e-9)


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
def test_numbers_and_arrays_give_the_same(model, coefficients):
    for function in (distortion.distort, distortion.undistort):
        arrays = function(model, coefficients, X, Y, unit=0.6)
        numbers = function(model, coefficients, float(X[0, 2]), float(Y[0, 2]), unit=0.6)
        np.testing.assert_allclose(numbers, (arrays[0][0, 2], arrays[1][0, 2]), rtol=1e-12)


def test_the_formulas():
    assert distortion.distort("polynomial", (0.1, 0.2, 0.3), 1.0, 0.0) == pytest.approx((1.6, 0.0))
    assert distortion.distort("division", (0.1, 0.2), 1.0, 0.0) == pytest.approx((1 / 1.3, 0.0))
    assert distortion.undistort("nuke", (0.1, 0.2), 0.5, 0.0, unit=0.5) == pytest.approx((0.5 / 1.3, 0.0))
    across, down = distortion.undistort("nuke", (0.1, 0.0, 0.02, -0.01), 0.5, 1.0)
    assert (across, down) == pytest.approx((0.5 / (1.125 + 0.02), 1.0 / (1.125 - 0.0025)))
    across, down = distortion.distort("brown", (0, 0, 0, 0, 0.1, 0.01), 1.0, 2.0)
    assert (across, down) == pytest.approx((1 + 2 * 0.1 * 2 + 0.01 * 7, 2 + 0.1 * 13 + 2 * 0.01 * 2))


@pytest.mark.parametrize("model", MOST_COEFFICIENTS)
def test_a_lens_without_distortion_changes_nothing(model):
    for function in (distortion.distort, distortion.undistort):
        assert function(model, (), 0.3, -0.2) == pytest.approx((0.3, -0.2))


def test_a_nuke_lens_does_not_depend_on_the_focal_length():
    """Its radius is that of the image, so the same place of the image goes to the same place whatever the zoom."""
    wide, long = (
        distortion.undistort("nuke", (-0.1, 0.03), 0.4 / zoom, 0.2 / zoom, unit=0.5 / zoom) for zoom in (1, 3)
    )
    assert math.isclose(wide[0], 3 * long[0]) and math.isclose(wide[1], 3 * long[1])
