"""Film grain."""

import numpy as np

from development.benchmark_scenes.film import with_grain

GRAY = np.full((200, 300, 3), 128, np.uint8)


def test_grain_has_the_asked_strength_in_the_middle_tones_and_is_weak_in_black():
    difference = with_grain(GRAY, strength=2.0, seed=1).astype(float) - GRAY
    assert abs(difference.std() - 2.0) < 0.1 and abs(difference.mean()) < 0.05
    assert with_grain(np.zeros_like(GRAY), strength=2.0, seed=1).std() < 0.6


def test_grain_is_the_same_for_a_seed_and_another_for_the_next():
    assert np.array_equal(with_grain(GRAY, strength=2.0, seed=1), with_grain(GRAY, strength=2.0, seed=1))
    assert not np.array_equal(with_grain(GRAY, strength=2.0, seed=1), with_grain(GRAY, strength=2.0, seed=2))


def test_no_grain_leaves_the_image_as_it_is():
    assert np.array_equal(with_grain(GRAY, strength=0.0, seed=1), GRAY)
