"""The published rule for the networks' size, and the way there and back."""

from __future__ import annotations

import numpy as np
import pytest

from inference.media.processing_size import working_size
from inference.video_diffusion.resolution import network_size, to_network, to_working


@pytest.mark.parametrize(
    ("plate", "long_side", "expected"),
    [
        ((1920, 1080), 1024, (1024, 576)),
        ((1920, 1080), 768, (768, 448)),
        ((1920, 1080), 640, (640, 384)),
        ((1920, 1080), 512, (512, 256)),
        ((1080, 1920), 1024, (576, 1024)),
        ((640, 480), 1024, (640, 512)),
        ((1280, 720), 1024, (1024, 576)),
        ((1024, 436), 1024, (1024, 448)),
        ((50, 20), 1024, (64, 64)),
    ],
)
def test_sides_become_multiples_of_64_as_published(plate, long_side, expected):
    assert network_size(*working_size(*plate, long_side, 1)) == expected


def test_frames_and_maps_are_brought_there_and_back():
    image = np.full((30, 70, 3), (255, 51, 0), np.uint8)
    frames = to_network([image, image], (64, 64))
    assert frames.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(frames[1, :, 5, 5].numpy(), [1, 0.2, 0], atol=1e-6)
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(64, 0)
    back = to_working(ramp, (70, 30))
    assert back.shape == (30, 70) and back.dtype == np.float32
    np.testing.assert_allclose(back[3, 1:-1], (np.arange(1, 69) + 0.5) * 64 / 70 / 63 - 0.5 / 63, atol=1e-5)
