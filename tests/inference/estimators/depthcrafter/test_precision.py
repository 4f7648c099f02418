"""Half precision stays close to float32."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from inference.estimators.depthcrafter.pipeline import DepthCrafterPipeline


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
