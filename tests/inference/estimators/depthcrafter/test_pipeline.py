"""The pipeline against outputs of the published implementation, on tiny networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from inference.estimators.depthcrafter.pipeline import DepthCrafterPipeline
from tests.marks import rest_slow


@pytest.mark.parametrize("case", rest_slow(["single", "segments", "guided"], 2))
def test_it_agrees_with_the_published_implementation(golden, tiny_networks, case):
    facts, arrays = golden["cases"][case], golden["arrays"]
    pipeline = DepthCrafterPipeline(**dataclasses.asdict(tiny_networks))
    frames = arrays[f"{case}_frames"].astype(np.float32) / 255
    output = pipeline(
        frames,
        num_inference_steps=facts["steps"],
        guidance_scale=facts["g"],
        window_size=facts["window"],
        overlap=facts["overlap"],
        noise_aug_strength=golden["noise_aug_strength"],
        decode_chunk_size=golden["decode_chunk_size"],
        generator=torch.Generator().manual_seed(facts["seed"]),
    )
    assert output.disparity.dtype == np.float32 and output.disparity.shape == frames.shape[:3]
    assert output.latents.shape == arrays[f"{case}_latents"].shape
    np.testing.assert_allclose(output.latents, arrays[f"{case}_latents"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(output.disparity, arrays[f"{case}_disparity"], rtol=0, atol=1e-4)
