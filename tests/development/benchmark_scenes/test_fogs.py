"""Fathom's fog is nearer to Cycles' own, in the same rendered scene, than the plate without fog is."""

import pytest

from development.benchmark_scenes import fogs

pytestmark = pytest.mark.slow(seconds=40)


@pytest.fixture(autouse=True)
def empty(empty_file):
    """Leave an empty file."""


def test_fog_of_true_depth_is_like_real_fog(tmp_path):
    found = fogs.against_real(tmp_path, "courtyard", 96, samples=8, real=12)
    assert set(found) == {"plate", "compositing", "volume", "lit"}
    similarity = {name: values[0] for name, values in found.items()}
    difference = {name: values[1] for name, values in found.items()}
    for name in ("compositing", "volume"):
        assert similarity[name] > similarity["plate"] + 0.1 and difference[name] < 0.6 * difference["plate"]
    assert abs(similarity["volume"] - similarity["compositing"]) < 0.03
