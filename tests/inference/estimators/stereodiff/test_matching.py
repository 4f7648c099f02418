"""The pair network over a shot: each frame encoded once, the same batches in every run, resumed where it stopped."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from inference.estimators.stereodiff import matching
from inference.estimators.stereodiff.alignment import align
from inference.estimators.stereodiff.pair_network import PairNetwork
from inference.estimators.stereodiff.pair_store import PairStore
from inference.estimators.stereodiff.pairs import pairs
from tests.inference.golden.fill import fill

SIZE = (64, 48)


@pytest.fixture(scope="module")
def network():
    made = PairNetwork(
        encoder_dim=64, encoder_depth=3, encoder_heads=4, decoder_dim=48, decoder_depth=12, decoder_heads=4
    )
    return fill(made.eval(), 13, gain=0.5)


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    wide = cv2.resize(rng.integers(0, 256, (6, 12, 3)).astype(np.float32), (128, 48)).clip(0, 255).astype(np.uint8)
    return [wide[:, 3 * i : 3 * i + 64] for i in range(7)]


def _match(network, frames, folder, **changed):
    store = PairStore(folder, changed.get("reach", 2))
    given = {"reach": 2, "batch": 4, "device": torch.device("cpu"), "size": SIZE} | changed
    matching.match(network, frames, store, **given)
    return store


@pytest.mark.parametrize(
    ("plate", "expected"),
    [
        ((1920, 1080), (512, 288)),
        ((640, 480), (512, 384)),
        ((1242, 375), (512, 144)),
        ((1024, 436), (512, 208)),
        ((4096, 2160), (512, 256)),
        ((1080, 1920), (288, 512)),
        ((600, 600), (512, 512)),
        ((4000, 40), (512, 16)),
    ],
)
def test_the_network_s_size(plate, expected):
    assert matching.picture_size(*plate) == expected


def test_pictures_are_fitted_and_centred_on_zero():
    frame = np.zeros((30, 50, 3), np.uint8)
    frame[..., 0] = 255
    found = matching.to_pictures([frame, frame], (32, 16))
    assert found.shape == (2, 3, 16, 32)
    assert found[:, 0].unique().tolist() == [1] and found[:, 1:].unique().tolist() == [-1]


def test_every_pair_is_what_the_network_says_of_it(network, frames, tmp_path):
    told = []
    store = _match(network, frames, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert store.done == set(pairs(7, 2)) and told[-1] == (22, 22)
    with torch.inference_mode():
        pictures = matching.to_pictures(frames, SIZE)
        kept = 0
        for i, j in sorted(store.done):
            expected = network(pictures[i : i + 1], pictures[j : j + 1])
            for side, frame in enumerate((i, j)):
                try:
                    found = store.read((i, j), frame)
                except KeyError:
                    continue
                kept += 1
                torch.testing.assert_close(found.points, expected[2 * side][0], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(found.confidence, expected[2 * side + 1][0], rtol=1e-4, atol=1e-5)
    assert kept >= 2 * 6


@pytest.mark.parametrize(("reach", "batch"), [(2, 4), (3, 2)])
def test_a_frame_is_encoded_once(network, frames, tmp_path, monkeypatch, reach, batch):
    seen = []
    real = network.encode
    monkeypatch.setattr(network, "encode", lambda picture: seen.append(len(picture)) or real(picture))
    _match(network, frames[:5], tmp_path, reach=reach, batch=batch)
    assert sum(seen) == 5


@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(network, frames, tmp_path, after):
    whole = _match(network, frames, tmp_path / "whole")
    calls = []

    def stop():
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _match(network, frames, tmp_path / "cut", check=stop)
    resumed = _match(network, frames, tmp_path / "cut")
    assert resumed.scores == whole.scores
    contents = [{path.name: path.read_bytes() for path in folder.glob("*.npy")} for folder in tmp_path.iterdir()]
    assert contents[0] == contents[1] and contents[0]


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_shots(network, frames, tmp_path, count):
    store = _match(network, frames[:count], tmp_path)
    aligned = align(count, store.scores, store.read, robust=False, device=torch.device("cpu"), numbers=range(count))
    assert len(aligned.poses) == count
