"""The loss: the preconditioning of the estimates' scheduler, its weight, and the layers of each stage."""

import math

import numpy as np
import pytest
import torch

from inference.training import objective, recipe
from inference.training.examples import Example
from inference.video_diffusion import stages
from inference.video_diffusion.execution.forward import OWN

SETTINGS = recipe.settings("depthcrafter", 1, {})


@pytest.fixture
def example():
    random = torch.Generator().manual_seed(3)
    known = torch.ones(3, 1, 8, 8)
    known[:, :, :2] = 0
    shapes = {"video": (3, 4, 8, 8), "tokens": (3, 24), "depth": (3, 4, 8, 8)}
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    return Example(**tensors, known=known, augmentation=0.05)


@pytest.mark.parametrize("sigma", [0.02, 1.0, 2.27, 150.0])
def test_the_denoiser_is_the_estimates_scheduler_and_network(tiny_networks, example, sigma):
    noisy = example.depth + sigma * example.video.flip(0)
    denoiser = objective.Denoiser(tiny_networks.unet)
    with torch.no_grad():
        own = denoiser(noisy, example.video, example.tokens, sigma=sigma, augmentation=0.05)
    scheduler = tiny_networks.scheduler
    scheduler.set_timesteps(1)
    scheduler.sigmas[0] = sigma
    scheduler.timesteps[0] = 0.25 * math.log(sigma)
    velocity = OWN.predict(
        tiny_networks.unet,
        scheduler.scale_model_input(noisy, scheduler.timesteps[0]),
        example.video,
        example.tokens,
        added_ids=stages.added_ids(tiny_networks, 0.05, torch.device("cpu")),
        timestep=scheduler.timesteps[0],
    )
    expected = scheduler.step(velocity, scheduler.timesteps[0], noisy).pred_original_sample
    torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-3)


def test_all_noise_levels_count_alike_for_the_network(example):
    """A network whose v is off by one everywhere has the loss 1 at any level."""

    class Off(torch.nn.Module):
        def forward(self, noisy, video, tokens, *, sigma, augmentation):
            return example.depth + sigma / math.sqrt(sigma**2 + 1)

    for sigma in (0.01, 1.0, 100.0):
        draw = objective.Draw(sigma=sigma, noise=torch.zeros(3, 4, 8, 8), is_unconditioned=False)
        value = objective.loss(Off(), example, draw, device=torch.device("cpu"))
        assert float(value) == pytest.approx(1.0, rel=1e-4)


def test_unknown_latents_are_no_part_of_the_loss(tiny_networks, example):
    denoiser, draw = objective.Denoiser(tiny_networks.unet), objective.drawn(SETTINGS, example, 5)
    with torch.no_grad():
        before = objective.loss(denoiser, example, draw, device=torch.device("cpu"))
        noise = draw.noise.clone()
        example.depth[:, :, :2] += 3
        noise[:, :, :2] -= 3 / draw.sigma  # so that the network sees the same
        changed = objective.Draw(sigma=draw.sigma, noise=noise, is_unconditioned=draw.is_unconditioned)
        after = objective.loss(denoiser, example, changed, device=torch.device("cpu"))
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-6)


def test_noise_levels_are_log_normal_and_some_sequences_are_unconditioned(example):
    draws = [objective.drawn(SETTINGS, example, number) for number in range(1500)]
    levels = np.log([draw.sigma for draw in draws])
    assert abs(levels.mean() - 0.7) < 0.12 and abs(levels.std() - 1.6) < 0.1
    assert abs(np.mean([draw.is_unconditioned for draw in draws]) - 0.1) < 0.03
    noise = torch.stack([draw.noise for draw in draws[:200]])
    assert abs(float(noise.mean())) < 0.01 and abs(float(noise.std()) - 1) < 0.01
    again = objective.drawn(SETTINGS, example, 7)
    assert again.sigma == draws[7].sigma and torch.equal(again.noise, draws[7].noise)


def test_an_unconditioned_sequence_sees_neither_frames_nor_tokens(example):
    seen = []

    class Seeing(torch.nn.Module):
        def forward(self, noisy, video, tokens, *, sigma, augmentation):
            seen.append((video, tokens))
            return noisy

    for is_unconditioned in (True, False):
        draw = objective.Draw(sigma=1.0, noise=torch.zeros(3, 4, 8, 8), is_unconditioned=is_unconditioned)
        objective.loss(Seeing(), example, draw, device=torch.device("cpu"))
    assert not seen[0][0].any() and not seen[0][1].any()
    assert torch.equal(seen[1][0], example.video) and torch.equal(seen[1][1], example.tokens)


def test_layers_are_temporal_or_spatial(tiny_networks):
    unet = tiny_networks.unet
    everything = set(objective.choose_layers(unet, "all"))
    temporal, spatial = (set(objective.choose_layers(unet, which)) for which in ("temporal", "spatial"))
    assert temporal | spatial == everything == {name for name, _ in unet.named_parameters()}
    assert temporal and spatial and not temporal & spatial
    assert {name for name, each in unet.named_parameters() if each.requires_grad} == spatial
    kinds = ("temporal_res_block", "temporal_transformer_blocks", "time_mixer", "time_pos_embed")
    assert all(any(kind in name for name in temporal) for kind in kinds)
    assert {"conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight"} <= spatial
    assert any("spatial_res_block" in name for name in spatial)
