"""What a training takes, by a dry run."""

import dataclasses

import pytest

from inference.training import cost, recipe

SMALL = {"longest": 3, "width": 64, "height": 64, "batch": 2}


def costs(golden, stage=1, **values):
    settings = recipe.settings("depthcrafter", stage, {**SMALL, "shortest": 3, **values})
    return cost.of(settings, unet=golden["config"]["unet"])


@pytest.mark.slow
def test_less_is_trained_and_held_in_the_later_stages(golden):
    temporal, spatial = (costs(golden, stage) for stage in (2, 3))
    assert temporal.trained + spatial.trained == temporal.parameters
    assert temporal.fixed - spatial.fixed == 14 * (temporal.trained - spatial.trained)
    assert temporal.step == 2 * temporal.flops > 0 and temporal.bytes > temporal.fixed and temporal.working > 0


@pytest.mark.slow
def test_longer_sequences_and_no_checkpointing_take_more(golden):
    plain, longer = costs(golden, checkpointing=False), costs(golden, checkpointing=False, longest=6, shortest=6)
    assert longer.working > 1.5 * plain.working and longer.flops > 1.8 * plain.flops
    saving = costs(golden, checkpointing=True, longest=6, shortest=6)
    assert saving.working < longer.working and saving.flops > 1.1 * longer.flops


@pytest.mark.slow
def test_the_released_sizes(golden):
    settings = dataclasses.replace(recipe.settings("depthcrafter", 3, {}), longest=2, shortest=2)
    found = cost.of(settings)
    assert 1.52e9 < found.parameters < 1.53e9
    assert any("A100" in sentence for sentence in cost.sentences(settings, clips=3))
