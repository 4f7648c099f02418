"""False colors: their tables, and where in them a disparity lies."""

import numpy as np
import pytest
from bl_ext.dev.fathom.scene.viewing import color_maps


def lightness(table):
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)[:, :3]
    return np.cbrt(linear @ [0.2126, 0.7152, 0.0722])


def test_tables_are_whole_and_smooth():
    for name in ("TURBO", "INFERNO", "GRAY"):
        table = color_maps.table(name)
        assert table.shape == (color_maps.COUNT, 4) and table.dtype == np.float32
        assert table.min() >= 0 and table.max() <= 1 and (table[:, 3] == 1).all()
        assert np.abs(np.diff(table[:, :3], axis=0)).max() < 0.04
    for name in ("INFERNO", "GRAY"):
        assert (np.diff(lightness(color_maps.table(name))) > 0).all(), f"{name} is lighter the nearer"
    turbo = np.round(255 * color_maps.table("TURBO")[[0, 128, -1], :3])
    assert np.abs(turbo - [[48, 18, 59], [164, 252, 60], [122, 4, 3]]).max() <= 3, "as published"


def test_levels_go_from_far_to_near_by_the_percentiles():
    d = np.array([0.0, 2.0, 3.0, 4.0, 9.0], np.float32)
    shown = {"low": 2.0, "high": 4.0, "near": 1.0, "far": 0.0, "gamma": 1.0}
    assert np.allclose(color_maps.levels(d, **shown), [0, 0, 0.5, 1, 1])
    assert np.allclose(color_maps.levels(d, **{**shown, "gamma": 2.0}), [0, 0, 0.5**0.5, 1, 1])
    assert np.allclose(color_maps.levels(d, **{**shown, "near": 0.5}), [0, 0, 1, 1, 1])
    assert np.allclose(color_maps.levels(d, **{**shown, "near": 0.0, "far": 1.0}), [1, 1, 0.5, 0, 0]), "inverted"


@pytest.mark.parametrize("values", [(0.0, 0.0), (5.0, 5.0), (-3.0, -3.0), (1e-30, 1e-30)])
def test_a_shot_of_one_value_has_levels_too(values):
    low, high = values
    d = np.array([low - 1, low, low + 1], np.float32)
    found = color_maps.levels(d, low=low, high=high, near=1.0, far=0.0, gamma=1.0)
    assert np.isfinite(found).all() and found[0] == 0 and found[2] == 1
    same = color_maps.levels(d, low=0.0, high=1.0, near=0.5, far=0.5, gamma=1.0)
    assert np.isfinite(same).all()
