"""Holes filled from their nearest neighbors, and a shot's range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.depth_maps.sequence_maps import filled
from inference.estimators.stereodiff.prior import value_range


class Maps:
    """A prior of given maps."""

    camera, has_confidence = None, False

    def __init__(self, maps):
        self._maps, self.size = maps, maps[0].shape[::-1]

    def disparity(self, index):
        return self._maps[index]


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_holes_take_the_nearest_valid_value(seed):
    rng = np.random.default_rng(seed)
    values = rng.uniform(1, 2, (6, 9)).astype(np.float32)
    valid = rng.uniform(size=values.shape) < 0.3
    valid[rng.integers(6), rng.integers(9)] = True
    found = filled(np.where(valid, values, np.nan), valid)
    assert found.dtype == np.float32 and (found[valid] == values[valid]).all()
    places = np.argwhere(valid)
    for hole in np.argwhere(~valid):
        far = ((places - hole) ** 2).sum(1)
        nearest = {float(values[tuple(place)]) for place in places[far == far.min()]}
        assert float(found[tuple(hole)]) in nearest


def test_nothing_valid_cannot_be_filled():
    with pytest.raises(ValueError, match="no pixel"):
        filled(np.zeros((2, 3), np.float32), np.zeros((2, 3), bool))


def test_the_range_covers_the_whole_shot():
    maps = [np.linspace(t, t + 1, 5000, dtype=np.float32).reshape(50, 100) for t in range(1, 5)]
    told = []
    low, high = value_range(Maps(maps), 4, 0.01, progress=lambda done, total: told.append((done, total)))
    assert (low, high) == (pytest.approx(1.04, rel=1e-3), pytest.approx(4.96, rel=1e-3))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert value_range(Maps(maps), 4, 0.0) == (1.0, 5.0)
    assert value_range(Maps([np.full((2, 2), 0.25, np.float32)]), 1, 0.01) == (0.25, 0.25)


@pytest.mark.parametrize(("behind", "before"), [(1e-4, 0.5), (0.3, 0.5), (0.0, 1.0), (0.5, 0.1)])
def test_something_small_before_a_sky_is_not_lost(behind, before):
    map_ = np.full((50, 100), behind, np.float32)
    map_[20:24, 30:40] = before
    assert value_range(Maps([map_]), 1, 0.01) == (map_.min(), map_.max())


def test_the_range_can_be_stopped():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        value_range(Maps([np.ones((2, 2), np.float32)]), 1, 0.01, check=stop)
