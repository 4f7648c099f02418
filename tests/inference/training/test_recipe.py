"""The recipe: the paper's values, and contradictions."""

import dataclasses

import pytest

from inference.training import recipe


def test_every_parameter_is_a_setting_with_its_source():
    names = [each.name for each in recipe.PARAMETERS]
    assert names == [field.name for field in dataclasses.fields(recipe.Settings)]
    for each in recipe.PARAMETERS:
        assert each.description.endswith(".")


@pytest.mark.parametrize(
    ("stage", "trained", "lengths", "steps"),
    [(1, "all", (1, 25), 80_000), (2, "temporal", (1, 110), 40_000), (3, "spatial", (45, 45), 10_000)],
)
def test_stages_are_the_papers(stage, trained, lengths, steps):
    settings = recipe.settings("depthcrafter", stage, {})
    assert (settings.trained, (settings.shortest, settings.longest), settings.steps) == (trained, lengths, steps)
    assert (settings.width, settings.height, settings.batch, settings.learning_rate) == (640, 320, 8, 1e-5)


def test_stereodiffs_levels_lie_around_its_own():
    import math

    from inference.estimators.stereodiff.settings import REFINE_SIGMA

    settings = recipe.settings("stereodiff", 1, {})
    assert math.isclose(settings.noise_mean, math.log(REFINE_SIGMA), abs_tol=1e-3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"shortest": 30}, r"shortest sequence \(30 frames\) is longer than the longest \(25\)"),
        ({"width": 600}, "multiples of 64, not 600x320; choose 576x320"),
    ],
)
def test_contradictions_are_declined(values, said):
    with pytest.raises(ValueError, match=said):
        recipe.settings("depthcrafter", 1, values)
