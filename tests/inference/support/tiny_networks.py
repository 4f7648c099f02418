"""The tiny networks that the reference outputs in ``tests/inference/golden`` were made with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny layers lose more by sharing out their work than they win, much more so beside other programs."""
    torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden():
    """The facts of the reference cases, ``depthcrafter.json``, with the arrays under ``arrays``."""
    facts = json.loads((GOLDEN / "depthcrafter.json").read_text())
    with np.load(GOLDEN / "depthcrafter.npz") as arrays:
        facts["arrays"] = {name: arrays[name] for name in arrays.files}
    return facts


@pytest.fixture(scope="session")
def fill():
    """``fill(module, seed)`` gives a network the reference's weights, from their names, and returns it."""
    from tests.inference.golden import fill

    return fill.fill


@pytest.fixture
def tiny_networks(golden, fill):
    """Fresh tiny networks, float32 on the CPU, with the reference's weights."""
    from inference.video_diffusion.networks import random_networks

    networks = random_networks(config=golden["config"])
    seed = golden["weight_seed"]
    for offset, network in enumerate((networks.unet, networks.vae, networks.image_encoder)):
        fill(network, seed + offset)
    return networks
