"""The one denoising step, against diffusers' scheduler, and what windows make of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from inference.estimators.stereodiff import INFO
from inference.estimators.stereodiff.settings import Settings
from inference.estimators.stereodiff.stage2 import refinement
from inference.video_diffusion.execution.plan import Plan
from inference.video_diffusion.networks import random_networks
from inference.video_diffusion.stages import Encoded

CPU = torch.device("cpu")
CONFIG = json.loads((Path(__file__).parents[3] / "golden" / "depthcrafter.json").read_text())["config"]


@pytest.fixture(scope="module")
def networks():
    return random_networks(config=CONFIG)


def _at_once(work):
    return work(Plan())


def test_the_factors_of_the_published_step():
    step = refinement.Step.at(refinement.REFINE_SIGMA)
    found = (step.c_in, step.timestep, step.c_skip, step.c_out)
    assert found == pytest.approx((0.40328, 0.20485, 0.16263, 0.91508), abs=1e-5)


def test_the_step_is_the_released_scheduler_s_third_of_four(networks):
    generator = torch.Generator().manual_seed(0)
    prior, video, noise = (torch.randn(3, 4, 8, 8, generator=generator) for _ in range(3))
    conditions = Encoded(video, torch.randn(3, 24, generator=generator))
    seen = {}

    class Spy:
        @staticmethod
        def predict(unet, latents, *arguments, **named):
            seen.update(latents=latents, timestep=named["timestep"])
            return torch.sin(latents)

    found = refinement.refine(
        networks, prior, conditions, noise, noise_augmentation=0.02, device=CPU, attempt=_at_once, forward=Spy
    )
    scheduler = networks.scheduler
    scheduler.set_timesteps(4)
    timestep = scheduler.timesteps[2]
    noisy = prior + scheduler.sigmas[2] * noise
    scaled = scheduler.scale_model_input(noisy, timestep)
    expected = scheduler.step(torch.sin(scaled), timestep, noisy).pred_original_sample
    torch.testing.assert_close(seen["latents"], scaled)
    torch.testing.assert_close(seen["timestep"], timestep)
    torch.testing.assert_close(found, expected)


def test_maps_go_through_the_networks(networks):
    maps = torch.rand(2, 30, 50, generator=torch.Generator().manual_seed(1))
    for resize in ("nearest", "bilinear"):
        prior = refinement.encode_prior(networks, maps, (64, 64), resize=resize, device=CPU, attempt=_at_once)
        assert prior.shape == (2, 4, 8, 8) and prior.std() > 0
    noise = torch.stack([refinement.frame_noise(3, number, 64, 64) for number in (7, 8)])
    conditions = Encoded(torch.zeros(2, 4, 8, 8), torch.zeros(2, 24))
    common = {"noise_augmentation": 0.02, "device": CPU, "attempt": _at_once}
    refined = refinement.refine(networks, prior, conditions, noise, **common)
    assert refined.shape == prior.shape and torch.isfinite(refined).all()
    # the less noise, the less is painted anew
    nearly = refinement.refine(networks, prior, conditions, noise, sigma=0.01, **common)
    assert (nearly - prior).norm() < (refined - prior).norm()


@pytest.mark.parametrize(("spacing", "level"), [("karras", 2.269116), ("leading", 0.698), ("trailing", 1.613)], ids=str)
def test_the_level_is_the_scheduler_s_third_of_four(networks, spacing, level):
    parameters = {parameter.name: parameter.default for parameter in INFO.parameters} | {"spacing": spacing}
    assert refinement.noise_level(networks.scheduler, Settings(**parameters)) == pytest.approx(level, abs=5e-4)


def test_with_karras_levels_a_spacing_changes_nothing(networks):
    scheduler = networks.scheduler.from_config(networks.scheduler.config, timestep_spacing="trailing")
    scheduler.set_timesteps(4)
    assert scheduler.sigmas[2].item() == pytest.approx(refinement.REFINE_SIGMA, rel=1e-6)


def test_noise_belongs_to_a_frame():
    noise = refinement.frame_noise(1, 42, 64, 128)
    assert noise.shape == (4, 8, 16) and abs(noise.std() - 1) < 0.15
    assert torch.equal(noise, refinement.frame_noise(1, 42, 64, 128))
    grain = refinement.pixel_noise(1, 42, 64, 128)
    assert grain.shape == (3, 64, 128) and abs(grain.std() - 1) < 0.05
    # what a frame's image is given says nothing of what its depth is given
    small = grain.reshape(-1)[: noise.numel()].reshape(noise.shape)
    for other in (refinement.frame_noise(1, 43, 64, 128), refinement.frame_noise(2, 42, 64, 128), small):
        assert (noise - other).abs().max() > 0.1


@pytest.mark.parametrize(("low", "high"), [(0.5, 2.0), (-1.0, 1.0), (3.0, 3.0)])
def test_the_way_to_the_range_and_back(low, high):
    inside = torch.linspace(low, high, 7)
    there = refinement.stretched(inside, low, high)
    assert there.min() >= 0 and there.max() <= 1
    torch.testing.assert_close(refinement.unstretched(there, low, high), inside)
    assert refinement.stretched(torch.tensor([-9.0, 9.0]), 0.0, 1.0).tolist() == [0, 1]
