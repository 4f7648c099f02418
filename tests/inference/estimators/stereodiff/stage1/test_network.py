"""The pair network against outputs of the published implementation, on tiny networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.estimators.stereodiff.stage1.checkpoint_file import current_name
from inference.estimators.stereodiff.stage1.network import PairNetwork
from tests.inference.golden.fill import fill

GOLDEN = Path(__file__).parents[3] / "golden"


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDEN / "dust3r.json").read_text()), dict(np.load(GOLDEN / "dust3r.npz"))


@pytest.fixture(scope="module")
def network(golden):
    config = golden[0]["config"]
    made = PairNetwork(
        encoder_dim=config["enc_embed_dim"],
        encoder_depth=config["enc_depth"],
        encoder_heads=config["enc_num_heads"],
        decoder_dim=config["dec_embed_dim"],
        decoder_depth=config["dec_depth"],
        decoder_heads=config["dec_num_heads"],
    ).eval()
    return fill(made, golden[0]["weight_seed"], gain=0.5)


def test_the_golden_pairs(golden, network):
    arrays = golden[1]
    pairs = sorted({name.split("_")[0] for name in arrays})
    assert pairs
    for pair in pairs:
        with torch.inference_mode():
            found = network(*(torch.from_numpy(arrays[f"{pair}_image{side}"]) for side in (1, 2)))
        for name, values in zip(("points1", "conf1", "points2", "conf2"), found, strict=True):
            expected = arrays[f"{pair}_{name}"]
            assert values.shape == expected.shape
            size = np.linalg.norm(expected, axis=-1, keepdims=True) if expected.ndim == 4 else expected
            error = np.abs(values.numpy() - expected) / size
            assert error.max() < 1e-4, (pair, name)


def test_the_names_are_the_released_ones(golden, network):
    stored = {name: list(shape) for name, shape in golden[0]["state_dict"].items()}
    ours = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    translated = {own: shape for name, shape in stored.items() if (own := current_name(name)) is not None}
    assert translated == ours


def test_the_released_sizes():
    with torch.device("meta"):
        network = PairNetwork()
    unused = 768  # the pretraining's mask token
    assert sum(parameter.numel() for parameter in network.parameters()) + unused == 571_171_208
