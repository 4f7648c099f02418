"""Percentiles over many maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from inference.common.percentiles import Percentiles

MAPS = st.lists(
    npst.arrays(
        np.float32,
        npst.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    ),
    min_size=1,
    max_size=5,
)


def _spread(maps):
    value_range = Percentiles()
    for values in maps:
        value_range.add(values)
    return value_range.range()


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_bounds_are_exact_and_percentiles_lie_between_their_neighbors(maps):
    found = _spread(maps)
    values = np.sort(np.concatenate([each.ravel() for each in maps]).astype(np.float64))
    assert (found.minimum, found.maximum) == (values[0], values[-1])
    values = values[values != 0] if values.any() else values
    for fraction, got in ((0.01, found.p1), (0.99, found.p99)):
        rank = fraction * len(values)
        around = values[max(int(np.floor(rank)) - 1, 0)], values[min(int(np.ceil(rank)), len(values) - 1)]
        slack = 1e-3 * max(abs(around[0]), abs(around[1])) + 1e-30
        assert around[0] - slack <= got <= around[1] + slack


@settings(max_examples=30, deadline=None)
@given(MAPS, st.randoms())
def test_the_order_of_the_maps_does_not_matter_to_the_bit(maps, random):
    shuffled = list(maps)
    random.shuffle(shuffled)
    assert _spread(maps) == _spread(shuffled)


def test_close_to_numpys_percentiles_on_many_values():
    rng = np.random.default_rng(0)
    maps = rng.gamma(2.0, 0.3, (20, 50, 60)).astype(np.float32)
    found = _spread(maps)
    assert found.p1 == pytest.approx(np.percentile(maps, 1), rel=1e-3)
    assert found.p99 == pytest.approx(np.percentile(maps, 99), rel=1e-3)


def test_what_is_beyond_the_far_end_is_not_of_the_range():
    scene = np.linspace(0.2, 1, 1000, dtype=np.float32).reshape(20, 50)
    sky = np.zeros((80, 50), np.float32)
    found, alone = _spread([scene, sky, -sky]), _spread([scene])
    assert (found.p1, found.p99) == (alone.p1, alone.p99)
    assert (found.minimum, found.maximum) == (0, 1)
    nothing = _spread([sky])
    assert nothing.minimum == nothing.p1 == nothing.p99 == nothing.maximum == 0


def test_a_single_value():
    found = _spread([np.full((3, 3), -0.25, np.float32)])
    assert found.minimum == found.maximum == found.p1 == found.p99 == -0.25


def test_nothing_has_no_spread():
    with pytest.raises(ValueError, match="no map"):
        Percentiles().range()
