"""What the 3D Viewport's preview of fog is divided by."""

import numpy as np
import pytest
from bl_ext.dev.fathom.scene.viewing import fog_preview


@pytest.mark.parametrize(("density", "start", "end"), [(0.0, 0.5, 20.0), (1e-9, 1.0, 3.0), (0.05, 0.5, 128.0)])
def test_parts_take_equal_shares_of_the_light(density, start, end):
    found = fog_preview.limits(density, start, end)
    assert (len(found), found[0], found[-1]) == (fog_preview.LAYERS + 1, start, end)
    assert (np.diff(found) > 0).all()
    through = np.exp(-density * (found - start))
    assert np.allclose(np.diff(through), np.diff(through).mean(), rtol=1e-2, atol=1e-9) or through[-1] < np.exp(-6)


def test_dense_fog_ends_where_it_ends():
    found = fog_preview.limits(5.0, 0.1, 1000.0)
    assert found[-1] == 1000.0 and found[-2] < 2.0 and (np.diff(found) > 0).all()


def test_colors_are_codes_of_the_screen():
    assert fog_preview._encoded(0.2158605) == pytest.approx(0.5019608, abs=1e-5)
    assert (fog_preview._encoded(-1.0), fog_preview._encoded(7.0)) == (0.0, pytest.approx(1.0))
