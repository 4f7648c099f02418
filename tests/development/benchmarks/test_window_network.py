"""The benchmark of Video Depth Anything: what it counts, measures and prints."""

import json

import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from development.benchmarks import networks  # noqa: E402
from inference.estimators.video_depth_anything import memory, network  # noqa: E402
from tests.inference.support import tiny_video_depth  # noqa: E402
from tests.inference.support.tiny_networks import one_thread  # noqa: E402, F401 - fixture


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(network.VARIANTS, "vits", tiny_video_depth.tiny_variant())
    memory.needed_bytes.cache_clear()
    yield
    memory.needed_bytes.cache_clear()


def run(capsys, *arguments):
    assert networks.main(["video_depth_anything", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_work_of_the_released_network_is_what_it_is_known_to_be(capsys):
    found = json.loads(run(capsys, "--count", "--json"))
    assert found["size"] == [924, 518]
    window = found["work"]["encoder"] + found["work"]["head"]
    assert window == pytest.approx(264e9, rel=0.01), "as counted for the published code"
    assert found["work"]["published"] == pytest.approx(window * 32 / 22)
    assert all(float(text.split()[0]) <= 3 for text in found["gpus"].values()), "gigabytes, the driver's share included"


@pytest.mark.slow
def test_a_run_is_measured_beside_the_plain_forward_pass(capsys, tiny):
    small = ("--size", "56x48", "--input-size", "42", "--frames", "3", "--repeats", "1", "--device", "cpu")
    found = json.loads(run(capsys, "--random-weights", "--plain", "--json", *small))
    assert found["size"] == [56, 42] and found["precision"] == "float32"
    assert 0 < found["own"]["network_ms"] < found["own"]["whole_ms"] and found["plain"]["network_ms"] > 0
    text = run(capsys, "--random-weights", "--plain", *small)
    for words in ("ms/frame in the network", "of the floor", "peak ", "plain forward pass", "times as fast"):
        assert words in text
