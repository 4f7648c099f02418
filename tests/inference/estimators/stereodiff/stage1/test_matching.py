"""The pair network over a shot: each frame encoded once, resumed where it stopped."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from inference.estimators.stereodiff.stage1 import matching
from inference.estimators.stereodiff.stage1.alignment import align
from inference.estimators.stereodiff.stage1.pair_store import PairStore
from inference.estimators.stereodiff.stage1.pairs import pairs
from tests.inference.support import tiny_models

SIZE = (64, 48)


@pytest.fixture(scope="module")
def network():
    return tiny_models.pair_network()


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    wide = cv2.resize(rng.integers(0, 256, (6, 12, 3)).astype(np.float32), (128, 48)).clip(0, 255).astype(np.uint8)
    return [wide[:, 3 * i : 3 * i + 64] for i in range(7)]


def never(batch):
    raise AssertionError("memory did not run out")


def _match(network, frames, folder, **changed):
    store = PairStore(folder, changed.get("reach", 2))
    options = {
        "reach": 2,
        "batch": 4,
        "device": torch.device("cpu"),
        "size": SIZE,
        "smaller": never,
    } | changed
    matching.match(network, frames, store, **options)
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
        ((320, 240), (320, 240)),
        ((100, 60), (96, 48)),
        ((9, 300), (16, 288)),
    ],
)
def test_the_network_s_size(plate, expected):
    assert matching.image_size(*plate) == expected


def test_images_are_fitted_and_centered_on_zero():
    frame = np.zeros((30, 50, 3), np.uint8)
    frame[..., 0] = 255
    found = matching.to_images([frame, frame], (32, 16))
    assert found.shape == (2, 3, 16, 32)
    assert found[:, 0].unique().tolist() == [1] and found[:, 1:].unique().tolist() == [-1]


def test_every_pair_is_what_the_network_says_of_it(network, frames, tmp_path):
    told = []
    store = _match(network, frames, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert store.done == set(pairs(7, 2)) and told[-1] == (22, 22)
    with torch.inference_mode():
        images = matching.to_images(frames, SIZE)
        saved = 0
        for i, j in sorted(store.done):
            expected = network(images[i : i + 1], images[j : j + 1])
            for side, frame in enumerate((i, j)):
                try:
                    found = store.read((i, j), frame)
                except KeyError:
                    continue
                saved += 1
                torch.testing.assert_close(found.points, expected[2 * side][0], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(found.confidence, expected[2 * side + 1][0], rtol=1e-4, atol=1e-5)
    assert saved >= 2 * 6


@pytest.mark.parametrize(("reach", "batch"), [(2, 4), (3, 2), (1, 1), (2, 16)])
def test_a_frame_is_encoded_once(network, frames, tmp_path, monkeypatch, reach, batch):
    seen = []
    real = network.encode
    monkeypatch.setattr(network, "encode", lambda images, check: seen.append(len(images)) or real(images, check))
    _match(network, frames[:5], tmp_path, reach=reach, batch=batch)
    assert sum(seen) == 5 and max(seen) == min(5, max(1, batch // 2))


def stopping(after):
    """A check that stops on its call after so many."""
    calls = []

    def stop():
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt

    return stop


def assert_same(one, other):
    assert one.scores == other.scores
    contents = [{path.name: path.read_bytes() for path in store.folder.glob("*.npy")} for store in (one, other)]
    assert contents[0] == contents[1] and contents[0]


@pytest.mark.parametrize("after", [0, 40, 80])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(network, frames, tmp_path, after):
    whole = _match(network, frames, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _match(network, frames, tmp_path / "cut", check=stopping(after))
    assert len(PairStore(tmp_path / "cut", 2).done) < 22
    assert_same(_match(network, frames, tmp_path / "cut"), whole)


class Crowded:
    """The network on a device that finds no room for more than so many pairs, from a number of calls on."""

    def __init__(self, network, *, room, after=0):
        self._network, self._room, self._left = network, room, after
        self.parameters, self.encode = network.parameters, network.encode

    def decode(self, first, *more):
        self._left -= 1
        if self._left < 0 and len(first) > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._network.decode(first, *more)


@pytest.mark.slow
def test_what_ran_out_of_memory_goes_on_in_smaller_batches_and_resumes_in_others(network, frames, tmp_path):
    asked = []
    crowded = Crowded(network, room=2, after=2)
    found = _match(crowded, frames, tmp_path / "whole", smaller=lambda batch: asked.append(batch) or batch // 2)
    assert asked == [4] and found.done == set(pairs(7, 2))
    with pytest.raises(KeyboardInterrupt):
        _match(network, frames, tmp_path / "cut", batch=2, check=stopping(85))
    assert 0 < len(PairStore(tmp_path / "cut", 2).done) < 22
    expected = _match(network, frames, tmp_path / "expected")
    for store in (found, _match(network, frames, tmp_path / "cut", batch=3)):
        assert store.scores == pytest.approx(expected.scores, rel=1e-4)
        for pair, frame in expected.saved & store.saved:
            one, other = store.read(pair, frame), expected.read(pair, frame)
            torch.testing.assert_close(one.points, other.points, rtol=1e-4, atol=1e-5)


def test_what_is_no_lack_of_memory_is_passed_on(network, frames, tmp_path):
    class Broken(Crowded):
        def decode(self, *given):
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        _match(Broken(network, room=0), frames, tmp_path)


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_shots(network, frames, tmp_path, count):
    store = _match(network, frames[:count], tmp_path)
    aligned = align(count, store.scores, store.read, robust=False, device=torch.device("cpu"), numbers=range(count))
    assert len(aligned.poses) == count
