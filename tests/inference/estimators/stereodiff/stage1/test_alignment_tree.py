"""Which pairs there are, which of them join the frames, and which can be forgotten before all are known."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.estimators.stereodiff.stage1.pairs import (
    known,
    may_join,
    may_pose,
    order,
    pairs,
    placements,
    scores,
    spanning_tree,
    strongest_starts,
)


@pytest.mark.parametrize(
    ("count", "reach"), [(1, 2), (2, 1), (2, 2), (3, 2), (5, 2), (438, 2), (20, 1), (20, 7), (3, 9)]
)
def test_each_frame_is_paired_with_the_next_ones_in_both_directions(count, reach):
    found = pairs(count, reach)
    near = [(i, j) for i in range(count) for j in range(count) if 0 < abs(i - j) <= reach] or [(0, 0)]
    assert sorted(found) == sorted(near)
    if count > reach:
        assert count == 1 or len(found) == 2 * (reach * count - reach * (reach + 1) // 2)
    later = [max(pair) for pair in found]
    assert later == sorted(later)


def test_the_papers_count_of_pairs():
    assert len(pairs(110, 2)) == 434 and len(pairs(438, 2)) == 1746


def test_a_score_is_the_product_of_both_means():
    assert scores(torch.tensor([[1.0, 3.0]]), torch.tensor([[5.0]])) == 10
    points = torch.zeros(1, 3, 3)
    points[0, 0, 1] = torch.nan
    assert known(points, torch.tensor([[2.0, 4.0, torch.inf]])).tolist() == [[0, 4, 0]]


@st.composite
def scored(draw, most=6):
    count, reach = draw(st.integers(2, most)), draw(st.integers(1, 3))
    given_pairs = draw(st.permutations(pairs(count, reach)))
    values = st.one_of(st.sampled_from([0.0, 1.0, 2.5]), st.floats(0, 100))  # ties are likely
    return count, reach, {pair: draw(values) for pair in given_pairs}


def joins_all(edges, count):
    groups = {frame: frame for frame in range(count)}
    for a, b in edges:
        old, new = groups[a], groups[b]
        if old == new:
            return False
        groups = {frame: new if group == old else group for frame, group in groups.items()}
    return len(edges) == count - 1


@settings(max_examples=60, deadline=None)
@given(scored(most=5))
def test_no_tree_is_stronger(case):
    count, _, scores = case
    found = spanning_tree(count, scores)
    assert joins_all(found, count)
    # of all trees, the one whose pairs, strongest first, are the strongest: so that equal scores are decided as well
    edges = {tuple(sorted(pair)) for pair in scores}
    better = [max([e, e[::-1]], key=lambda pair: order(scores, pair)) for e in edges]
    best = max(
        sorted((order(scores, pair) for pair in chosen), reverse=True)
        for chosen in itertools.combinations(better, count - 1)
        if joins_all(chosen, count)
    )
    assert [order(scores, pair) for pair in found] == best
    total = max(
        sum(scores[pair] for pair in chosen)
        for chosen in itertools.combinations(better, count - 1)
        if joins_all(chosen, count)
    )
    assert sum(scores[pair] for pair in found) == pytest.approx(total)


@settings(max_examples=40, deadline=None)
@given(scored(most=12), st.randoms(use_true_random=False))
def test_equal_scores_do_not_make_the_tree_depend_on_their_order(case, shuffle):
    count, _, scores = case
    items = list(scores.items())
    shuffle.shuffle(items)
    again = dict(items)
    assert spanning_tree(count, scores) == spanning_tree(count, again)
    assert strongest_starts(scores, scores) == strongest_starts(again, again)


@settings(max_examples=60, deadline=None)
@given(scored(most=12))
def test_the_way_through_the_tree_takes_the_strongest_pair_that_touches_it(case):
    count, _, scores = case
    chosen = spanning_tree(count, scores)
    placed, left = set(chosen[0]), set(chosen[1:])
    for step in placements(chosen, scores):
        touching = [pair for pair in left if placed & set(pair)]
        assert step.pair == max(touching, key=lambda pair: order(scores, pair))
        assert {step.anchor, step.frame} == set(step.pair) and step.anchor in placed and step.frame not in placed
        placed.add(step.frame)
        left.remove(step.pair)
    assert placed == set(range(count)) and not left


@settings(max_examples=60, deadline=None)
@given(scored(most=12))
def test_nothing_that_is_needed_in_the_end_is_ever_ruled_out(case):
    count, reach, scores = case
    needed = set(spanning_tree(count, scores))
    posing = set(strongest_starts(scores, scores).values())
    so_far = {}
    for pair, value in scores.items():
        so_far[pair] = value
        assert all(may_join(so_far, other, reach) for other in needed & so_far.keys())
        assert all(may_pose(so_far, other, reach) for other in posing & so_far.keys())
    assert sum(may_pose(scores, pair, reach) for pair in scores) == count


def test_with_the_papers_reach_a_pair_and_a_half_for_each_frame_stay():
    for seed in range(20):
        draw = random.Random(seed)
        scores = {pair: draw.random() for pair in pairs(100, 2)}
        assert sum(may_join(scores, pair, 2) for pair in scores) <= 150


def test_a_single_frame_is_its_own_tree():
    assert spanning_tree(1, {(0, 0): 3.0}) == [(0, 0)]
    assert not list(placements([(0, 0)], {(0, 0): 3.0}))


def test_pairs_that_do_not_join_all_frames_are_named_so():
    with pytest.raises(ValueError, match="the 4 frames into 2 separate groups"):
        spanning_tree(4, {(0, 1): 1.0, (3, 2): 1.0})


def test_a_long_shots_tree_takes_no_time_at_all():
    # Ten thousand frames in seconds, where anything quadratic would take hours: no clock is looked at.
    draw = random.Random(1)
    scores = {pair: draw.random() for pair in pairs(10_000, 2)}
    chosen = spanning_tree(10_000, scores)
    assert len(list(placements(chosen, scores))) == 9_998
