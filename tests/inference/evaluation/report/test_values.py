"""Percentiles of more values than memory is to hold."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.evaluation.report import values as module
from inference.evaluation.report.values import Values

SHARES = [0, 1, 25, 50, 75, 99, 100]


@settings(max_examples=200, deadline=None)
@given(
    arrays(np.float32, st.integers(1, 60), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.integers(1, 5),
)
def test_percentiles_are_those_of_all_values_at_once(all_values, parts):
    kept = Values()
    for part in np.array_split(all_values, parts):
        kept.add(part)
    assert len(kept) == len(all_values)
    assert kept.percentiles(SHARES) == np.percentile(all_values, SHARES).tolist()


@pytest.mark.parametrize("in_memory", [16, 1 << 24])
def test_values_in_a_file_are_as_those_in_memory(monkeypatch, tmp_path, in_memory):
    monkeypatch.setattr(module, "_IN_MEMORY", in_memory)
    monkeypatch.setattr(module, "_BLOCK", 64)
    all_values = np.random.default_rng(3).standard_normal(999).astype(np.float32)
    kept = Values(tmp_path)
    for part in np.array_split(all_values, 7):
        kept.add(part)
        next(kept.blocks())  # a walk that is left does not disturb what comes after
    assert kept.percentiles(SHARES) == np.percentile(all_values, SHARES).tolist()
    np.testing.assert_array_equal(np.asarray(kept), all_values)
    del kept
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_shot(tmp_path):
    frame = np.random.default_rng(3).standard_normal(100_000).astype(np.float32)

    def peak(count):
        tracemalloc.start()
        kept = Values(tmp_path)
        for _ in range(count):
            kept.add(frame)
        kept.percentiles([1, 99])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(400) < 1.1 * peak(100) + 1e6, "160 MB of values take no more than 40"
