"""Half precision stays close to float32."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from inference.estimators.depthcrafter.pipeline import DepthCrafterPipeline


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "least"), [(torch.float16, 45), (torch.bfloat16, 30)])
def test_half_precision_stays_close_to_float32(golden, tiny_networks, dtype, least):
    frames = golden["arrays"]["segments_frames"].astype(np.float32) / 255
    arguments = {"window_size": 6, "overlap": 2, "decode_chunk_size": 4, "num_inference_steps": 5}

    def run():
        pipeline = DepthCrafterPipeline(**dataclasses.asdict(tiny_networks))
        return pipeline(frames, generator=torch.Generator().manual_seed(2), **arguments).disparity

    exact = run()
    tiny_networks.prepared(dtype=dtype)
    error = np.mean((run() - exact) ** 2)
    psnr = 10 * np.log10(1 / error)
    assert psnr > least


def test_the_autoencoders_encoder_never_passes_through_half_precision(tiny_networks):
    before = {name: value.clone() for name, value in tiny_networks.vae.encoder.state_dict().items()}
    tiny_networks.prepared(dtype=torch.bfloat16)
    assert tiny_networks.vae.decoder.conv_in.weight.dtype == torch.bfloat16
    assert tiny_networks.vae.quant_conv.weight.dtype == torch.float32
    for name, value in tiny_networks.vae.encoder.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
