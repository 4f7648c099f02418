"""Pairs on disk: only what can still matter, to the same alignment, whenever a run is killed and taken up."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from inference.estimators.stereodiff.stage1 import pair_store
from inference.estimators.stereodiff.stage1.alignment import align, depth_map
from inference.estimators.stereodiff.stage1.pair_store import PairStore, packed
from inference.estimators.stereodiff.stage1.pairs import pairs
from tests.inference.support import pair_scene

COUNT, REACH = 14, 2


@pytest.fixture
def network():
    return pair_scene.network(pair_scene.shot(COUNT), REACH, spoil=single_precision)


def single_precision(draw, points, confidence):
    return points.float(), confidence.float()


def add(store, network, batch):
    """As the pair network would give them."""
    results = []
    for side in (0, 1):
        views = [network.views[pair, pair[side]] for pair in batch]
        results += [torch.stack([view.points for view in views]), torch.stack([view.confidence for view in views])]
    store.add(batch, *packed(*results))


def batches(wanted, size=4):
    return [wanted[start : start + size] for start in range(0, len(wanted), size)]


def outcome(scores, read, count=COUNT):
    found = align(count, scores, read)
    maps = [depth_map(found, read, frame) for frame in range(count)]
    return [*vars(found).values(), *(m.depth.numpy() for m in maps), *(m.confidence.numpy() for m in maps)]


def same(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def test_the_alignment_is_that_of_all_pairs_and_of_any_order(network, tmp_path):
    expected = outcome(network.scores, network.read)
    for run in range(3):
        order = pairs(COUNT, REACH)
        if run:
            random.Random(run).shuffle(order)
        store = PairStore(tmp_path / str(run), REACH)
        for batch in batches(order, 1 + 3 * run):
            add(store, network, batch)
        assert store.scores == network.scores and store.done == set(order)
        assert same(outcome(store.scores, store.read), expected)


def test_a_view_comes_back_to_the_bit(network, tmp_path):
    store = PairStore(tmp_path, REACH)
    add(store, network, [(0, 1)])
    view = store.read((0, 1), 1)
    assert torch.equal(view.points, network.views[(0, 1), 1].points) and view.points.dtype == torch.float32
    assert torch.equal(view.confidence, network.views[(0, 1), 1].confidence)


def test_only_a_pair_and_a_half_for_each_frame_is_kept(tmp_path):
    count = 60
    network = pair_scene.network(pair_scene.shot(count, height=2, width=2), REACH, spoil=single_precision)
    store, most = PairStore(tmp_path, REACH), 0
    for batch in batches(pairs(count, REACH), 4):
        add(store, network, batch)
        newest = max(max(pair) for pair in batch)
        saved = len(list(tmp_path.glob("*.npy")))
        most = max(most, saved - 4 * newest)
        assert {path.name for path in tmp_path.glob("*.npy")} == {pair_store._name(view) for view in store._saved}
    assert most <= 8
    saved = len(list(tmp_path.glob("*.npy")))
    assert saved <= 4 * count < 2 * len(network.scores)  # 2 views of 1.5 pairs, 1 of the pairs that only give poses
    store.clear()
    assert not list(tmp_path.iterdir()) and not store.done and not store.scores


@pytest.mark.parametrize("stop", ["write", "note", "clean up"])
def test_a_run_killed_anywhere_is_taken_up_to_the_same_bits(network, tmp_path, monkeypatch, stop):
    class Killed(BaseException):
        pass

    expected = outcome(network.scores, network.read)
    place = {"write": "_write", "note": "_note", "clean up": "_clean_up"}[stop]
    real = getattr(PairStore, place)
    for kill_at in (1, 5, 9):
        folder, calls = tmp_path / str(kill_at), 0

        def killed(self, *given):
            nonlocal calls
            calls += 1
            if calls == kill_at:
                raise Killed
            real(self, *given)

        with monkeypatch.context() as patch:
            patch.setattr(PairStore, place, killed)
            store = PairStore(folder, REACH)
            with pytest.raises(Killed):
                for batch in batches(pairs(COUNT, REACH)):
                    add(store, network, batch)
        store = PairStore(folder, REACH)
        for batch in batches(pairs(COUNT, REACH)):
            if not store.done.issuperset(batch):
                add(store, network, batch)
        assert same(outcome(store.scores, store.read), expected)
        assert {path.name for path in folder.glob("*.npy")} == {pair_store._name(view) for view in store._saved}


def test_a_torn_last_line_is_a_pair_to_be_computed_again(network, tmp_path):
    store = PairStore(tmp_path, REACH)
    order = pairs(COUNT, REACH)
    for batch in batches(order):
        add(store, network, batch)
    path = tmp_path / "scores.jsonl"
    text = path.read_text()
    path.write_text(text[: text.rstrip().rfind("\n") + 6])
    store = PairStore(tmp_path, REACH)
    assert store.done == set(order[:-1])
    assert path.read_text().endswith("]\n") and len(path.read_text().splitlines()) == len(order) - 1
    add(store, network, [order[-1]])
    assert [json.loads(line)[:2] for line in path.read_text().splitlines()] == [list(pair) for pair in order]
    assert same(outcome(store.scores, store.read), outcome(network.scores, network.read))


def test_a_lost_file_is_a_pair_to_be_computed_again(network, tmp_path):
    store = PairStore(tmp_path, REACH)
    for batch in batches(pairs(COUNT, REACH)):
        add(store, network, batch)
    pair, frame = sorted(store._saved)[3]
    next(tmp_path.glob(pair_store._name((pair, frame)))).unlink()
    (tmp_path / ".tmp-1-000001-000002-000001.npy").write_bytes(b"half a file")
    store = PairStore(tmp_path, REACH)
    assert set(pairs(COUNT, REACH)) - store.done == {pair}
    add(store, network, [pair])
    assert store.done == set(pairs(COUNT, REACH)) and not list(tmp_path.glob(".tmp*"))
    assert same(outcome(store.scores, store.read), outcome(network.scores, network.read))


def test_a_single_frame(tmp_path):
    network = pair_scene.network(pair_scene.shot(1), REACH, spoil=single_precision)
    store = PairStore(tmp_path, REACH)
    add(store, network, [(0, 0)])
    assert same(outcome(store.scores, store.read, 1), outcome(network.scores, network.read, 1))
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_a_view_that_was_ruled_out_cannot_be_read(network, tmp_path):
    store = PairStore(tmp_path, REACH)
    with pytest.raises(KeyError, match="not saved"):
        store.read((0, 1), 0)


def test_points_that_are_not_finite_weigh_nothing_in_a_score(tmp_path):
    points, confidence = torch.zeros(1, 2, 2, 3), torch.full((1, 2, 2), 4.0)
    broken = points.clone()
    broken[0, 0] = torch.nan
    store = PairStore(tmp_path, REACH)
    store.add([(0, 1)], *packed(points, confidence, broken, confidence))
    assert store.scores == {(0, 1): 8.0}
    assert store.read((0, 1), 1).confidence.tolist() == [[0, 0], [4, 4]]
