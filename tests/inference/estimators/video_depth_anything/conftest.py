"""The reference's cases of Video Depth Anything, and the network that they were made with."""

import json
import zlib

import numpy as np
import pytest

from tests.inference.golden import fill as golden_fill
from tests.inference.golden import pattern
from tests.inference.support.tiny_networks import GOLDEN, one_thread  # noqa: F401


@pytest.fixture(scope="session")
def golden():
    """The facts of the reference's cases, with the arrays under ``arrays``."""
    facts = json.loads((GOLDEN / "video_depth_anything.json").read_text())
    with np.load(GOLDEN / "video_depth_anything.npz") as arrays:
        facts["arrays"] = {name: arrays[name] for name in arrays.files}
    return facts


@pytest.fixture(scope="session")
def _filled(golden):
    from inference.estimators.video_depth_anything.network import VideoDepthAnything

    return golden_fill.fill(VideoDepthAnything().eval(), golden["weight_seed"], golden["gain"])


@pytest.fixture
def network(_filled):
    """The released small network with the reference's weights; what a test sets on it is put back."""
    before = (_filled.frames_at_once, _filled.pixels_at_once, _filled.metric)
    yield _filled
    _filled.frames_at_once, _filled.pixels_at_once, _filled.metric = before


@pytest.fixture(scope="session")
def frames_of(golden):
    """``frames_of(facts)`` gives a case's frames, uint8 [T, H, W, 3]."""

    def frames(facts, *, phase=0):
        made = pattern.clip(facts.get("frames", 1), facts["height"], facts["width"], golden["phase"] + phase)
        crc = facts.get("frames_crc32", facts.get("frame_crc32"))
        assert crc is None or facts.get("batch", 1) > 1 or zlib.crc32(made.tobytes()) == crc
        return made

    return frames


@pytest.fixture(scope="session")
def normalized(frames_of):
    """``normalized(facts)`` gives them as the network takes them, float32 [T, 3, H, W]."""
    return lambda facts, *, phase=0: pattern.normalized(frames_of(facts, phase=phase))
