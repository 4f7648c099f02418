"""Which steps of a series are told, and which of them are jumps."""

import numpy as np
import pytest

from inference.evaluation.stability.drift import notable_steps


def told(sizes, borders=()):
    return notable_steps(range(101, 101 + len(sizes)), sizes, [-size for size in sizes], set(borders))


def rough(count, seed=0):
    return list(0.005 + 0.001 * np.random.default_rng(seed).random(count))


def test_one_large_step_is_a_jump_with_its_frame():
    sizes = rough(40)
    sizes[17] = 0.05
    (step,) = told(sizes)
    assert (step.frame, step.size, step.shift) == (118, 0.05, -0.05)
    assert step.jump
    assert not step.border
    assert 0.005 < step.typical < 0.006


def test_what_a_jump_leaves_in_the_steps_beside_it_is_no_jump():
    sizes = rough(40)
    sizes[16:19] = 0.025, 0.05, 0.025
    assert [step.frame for step in told(sizes)] == [118]


def test_a_frame_that_is_off_is_a_jump_there_and_back():
    sizes = rough(40)
    sizes[16:20] = 0.02, 0.06, 0.06, 0.02
    assert [step.frame for step in told(sizes)] == [118, 119]


@pytest.mark.parametrize(("ends", "frame"), [((0.05, 0.025), 101), ((0.05, 0.05), 102), ((0.05, 0.04), 102)])
def test_at_an_end_of_the_shot_one_step_is_the_jump(ends, frame):
    first, second = ends
    assert [step.frame for step in told([first, second, *rough(30)])] == [frame]
    assert [step.frame for step in told([*rough(30), second, first])] == [{101: 132, 102: 131}[frame]]


def test_steps_that_cannot_be_seen_are_no_jumps():
    assert told([0.0] * 20 + [0.003] + [0.0] * 20) == ()
    assert [step.frame for step in told([0.0] * 20 + [0.005] + [0.0] * 20)] == [121]


def test_unsteady_stretches_hide_no_jump_elsewhere():
    sizes = rough(30) + [10 * size for size in rough(30, seed=1)]
    sizes[10] = 0.03
    assert next(step.frame for step in told(sizes) if step.jump) == 111


def test_borders_are_told_whether_they_jump_or_not():
    sizes = rough(40)
    sizes[9] = float("nan")
    found = told(sizes, borders=(105, 110))
    assert [(step.frame, step.border, step.jump) for step in found] == [(105, True, False), (110, True, False)]
    assert found[0].size == pytest.approx(sizes[4])
    assert found[1].size is None
    assert found[1].shift is None
    assert found[1].typical is not None


def test_a_single_step_has_nothing_to_be_compared_with():
    (step,) = told([0.5], borders=(101,))
    assert step.typical is None
    assert not step.jump
    assert told([]) == ()
