"""Stage 2: one denoising step makes a depth sequence that holds in the large hold in the small as well (paper, 3.3).

Everything happens in disparity, stretched to 0..1 by one range for the whole shot, so that all windows share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..depthcrafter.execution.forward import OWN, Forward
from ..depthcrafter.execution.plan import Plan
from ..depthcrafter.networks import Networks
from ..depthcrafter.stages import Attempt, Check, Encoded, added_ids
from .settings import REFINE_SIGMA


@dataclass(frozen=True)
class Step:
    """The factors of one step at a noise level (Karras et al. 2022, table 1, with SVD's v-prediction).

    Attributes
    ----------
    given : float
        The noisy latents are multiplied by it for the network.
    kept, predicted : float
        Clean latents are `kept` times the noisy ones less `predicted` times what the network gives.
    timestep : float
        What the network is told.
    """

    given: float
    kept: float
    predicted: float
    timestep: float

    @staticmethod
    def at(sigma: float) -> Step:
        """The step that starts at the noise level `sigma`, above 0."""
        size = math.sqrt(sigma**2 + 1)
        return Step(given=1 / size, kept=1 / size**2, predicted=sigma / size, timestep=0.25 * math.log(sigma))


def frame_noise(seed: int, frame: int, height: int, width: int) -> Tensor:
    """Standard normal noise [4, height / 8, width / 8] of one frame, by its absolute number.

    Whatever windows a frame is in, its noise is the same.
    """
    state = np.random.SeedSequence([seed, frame]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state >> np.uint64(1)))
    return torch.randn(4, height // 8, width // 8, generator=generator)


def stretched(disparity: Tensor, low: float, high: float) -> Tensor:
    """Disparity by the shot's range: `low` becomes 0, `high` 1, what lies outside is clamped; a flat shot is 0.5."""
    if not high > low:
        return torch.full_like(disparity, 0.5)
    return ((disparity - low) / (high - low)).clamp(0, 1)


def unstretched(disparity: Tensor, low: float, high: float) -> Tensor:
    """The way back from `stretched`, to the units of stage 1."""
    return disparity * (high - low) + low if high > low else torch.full_like(disparity, low)


@torch.inference_mode()
def encode_prior(
    networks: Networks,
    disparity: Tensor,
    size: tuple[int, int],
    *,
    resize: Literal["nearest", "bilinear"],
    device: torch.device,
    attempt: Attempt,
    check: Check = lambda: None,
    forward: Forward = OWN,
) -> Tensor:
    """Latents of disparity maps, as the network was trained to make them.

    Parameters
    ----------
    networks : Networks
    disparity : Tensor [n, h, w]
        float32, 0 to 1.
    size : (width, height)
        Of the networks' pictures.
    resize : str
        The paper takes the nearest value.

    Returns
    -------
    Tensor [n, 4, height / 8, width / 8]
        float32, scaled.
    """
    width, height = size
    options = {} if resize == "nearest" else {"align_corners": False}
    fitted = functional.interpolate(disparity[:, None].to(device), (height, width), mode=resize, **options)
    pictures = (2 * fitted - 1).expand(-1, 3, -1, -1)

    def work(plan: Plan) -> Tensor:
        return forward.encode(networks.vae, pictures, plan=plan, check=check) * networks.vae.config.scaling_factor

    return attempt(work).contiguous()


@torch.inference_mode()
def refine(
    networks: Networks,
    prior: Tensor,
    conditions: Encoded,
    noise: Tensor,
    *,
    sigma: float = REFINE_SIGMA,
    noise_augmentation: float,
    device: torch.device,
    attempt: Attempt,
    check: Check = lambda: None,
    forward: Forward = OWN,
) -> Tensor:
    """One step from noisy latents of a window straight to clean ones.

    Parameters
    ----------
    networks : Networks
    prior : Tensor [n, 4, h, w]
        See `encode_prior`.
    conditions : Encoded
        Of the same frames.
    noise : Tensor [n, 4, h, w]
        See `frame_noise`.
    sigma : float
        How much noise is added: the more, the more is painted anew. 0.7 to 3 is useful.
    noise_augmentation : float
        Strength of the noise that the frames were encoded with.

    Returns
    -------
    Tensor [n, 4, h, w]
        float32, on the device.
    """
    step = Step.at(sigma)
    noisy = prior.to(device) + sigma * noise.to(device)
    added = added_ids(networks, noise_augmentation, device)

    def work(plan: Plan) -> Tensor:
        return forward.predict(
            networks.unet,
            step.given * noisy,
            conditions.latents.to(device),
            conditions.embeddings.to(device),
            added_ids=added,
            timestep=torch.tensor(step.timestep, device=device),
            plan=plan,
            check=check,
        ).float()

    return (step.kept * noisy - step.predicted * attempt(work)).contiguous()


def blended(windows: Iterable[tuple[range, Callable[[int], Tensor]]], overlap: int) -> Iterator[tuple[int, Tensor]]:
    """Frames from overlapping windows, faded from one to the next after decoding.

    The paper shares no latents between windows: at this noise level that harms (table 6).

    Parameters
    ----------
    windows : iterable of (range, callable)
        Each window's frames, and what gives the map of one of them by its index in the clip.
    overlap : int
        Frames that consecutive windows share.

    Yields
    ------
    (int, Tensor)
        Each frame's index, in order, and its map.
    """
    waiting: list[Tensor] = []
    weights = torch.linspace(0, 1, overlap).tolist() if overlap > 1 else [0.5] * overlap
    held: list[tuple[range, Callable[[int], Tensor]]] = []
    for window, read in windows:
        if held:
            yield from _body(*held.pop(), waiting, weights, keep=overlap)
        held.append((window, read))
    for window, read in held:
        yield from _body(window, read, waiting, weights, keep=0)


def _body(
    window: range, read: Callable[[int], Tensor], waiting: list[Tensor], weights: list[float], *, keep: int
) -> Iterator[tuple[int, Tensor]]:
    """A window's frames but the last `keep`, which wait for the next window; its first meet those that waited."""
    before, waiting[:] = list(waiting), []
    for place, index in enumerate(window):
        map_ = read(index)
        if place < len(before):
            map_ = torch.lerp(before[place], map_, weights[place])
        if place >= len(window) - keep:
            waiting.append(map_)
        else:
            yield index, map_
