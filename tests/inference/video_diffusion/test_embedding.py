"""What CLIP is shown, against an independent way to compute it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from inference.video_diffusion import stages


@pytest.mark.parametrize(
    ("height", "width", "sigmas", "taps"),
    [(576, 1024, (0.786, 1.786), (3, 7)), (320, 640, (0.214, 0.929), (3, 3)), (64, 64, (0.001, 0.001), (3, 3))],
)
def test_frames_are_blurred_as_far_as_they_shrink(height, width, sigmas, taps):
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    blurred = image.numpy().astype(np.float64)
    for axis, sigma, count in zip((-2, -1), sigmas, taps):
        places = np.arange(count) - count // 2
        exact = max((image.shape[axis] / 224 - 1) / 2, 0.001)
        assert exact == pytest.approx(sigma, abs=5e-4)
        kernel = np.exp(-(places**2) / (2 * exact**2))
        blurred = ndimage.correlate1d(blurred, kernel / kernel.sum(), axis=axis, mode="mirror")
    expected = functional.interpolate(torch.from_numpy(blurred), (224, 224), mode="bicubic", align_corners=True)
    torch.testing.assert_close(stages.shrunk(image).double(), expected, atol=1e-4, rtol=0)


def test_each_frame_has_a_token_of_its_own(tiny_networks):
    frames = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    tokens = stages.embed(tiny_networks.image_encoder, frames)
    assert tokens.shape == (3, 24)
    torch.testing.assert_close(stages.embed(tiny_networks.image_encoder, frames[1:2]), tokens[1:2])
    assert (tokens[0] - tokens[1]).abs().max() > 1e-3
