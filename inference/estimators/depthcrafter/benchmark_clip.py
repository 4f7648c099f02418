"""A made-up clip on its way through the stages that estimates share, to be measured."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ...video_diffusion import stages, windows
from ...video_diffusion.execution.forward import OWN, Forward
from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.networks import Networks
from ...video_diffusion.placement import Placement
from ...video_diffusion.stages import ENCODE_GRID, embed

NOISE = 0.02


class Task(Protocol):
    """How a clip is cut up; see the options of the benchmarks."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def frames(self) -> int: ...

    @property
    def window(self) -> int: ...

    @property
    def decode_chunk(self) -> int: ...


class Clip:
    """Random pictures, and the stages over them.

    Parameters
    ----------
    networks : Networks
    task : Task
    place : torch.device
    plan : Plan
    forward : Forward
    """

    def __init__(self, networks: Networks, task: Task, place: torch.device, plan: Plan, forward: Forward = OWN) -> None:
        width, height = task.width, task.height
        self.networks, self.frames, self._place, self._chunk = networks, task.frames, place, task.decode_chunk
        self._forward = forward
        self.placement = Placement(networks, place, plan, smaller=lambda plan: None, warn=lambda message: None)
        self.generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(ENCODE_GRID, 3, height // 64, width // 64, generator=self.generator)
        self.pictures = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        self._grain = NOISE * windows.pixel_noise(self.generator, ENCODE_GRID, height, width)
        self.common: dict[str, Any] = {"device": place, "attempt": self.placement.attempt, "forward": forward}

    def clip(self) -> None:
        """CLIP's embeddings of all frames."""
        with self.placement.during("encode"):
            for count in self.batches():
                embed(self.networks.image_encoder, self.pictures[:count].to(self._place))

    def autoencode(self) -> None:
        """The autoencoder's latents of all frames, without what CLIP sees in them."""
        with self.placement.during("encode"):
            for count in self.batches():
                pixels = (2 * self.pictures[:count] - 1 + self._grain[:count]).to(self._place)
                self.placement.attempt(partial(self._latents, pixels)).cpu()

    def encode(self) -> stages.Encoded:
        """Everything that is told of the frames."""
        with self.placement.during("encode"):
            pieces = [self._encoded(count) for count in self.batches()]
        return stages.Encoded.joined(pieces)

    def encode_window(self, window: int) -> stages.Encoded:
        """One chunk, repeated to the length of a window."""
        with self.placement.during("encode"):
            piece = self._encoded(min(ENCODE_GRID, self.frames))
        return stages.Encoded.joined([piece] * -(-window // len(piece)))[:window]

    def decode(self, latents: Tensor, *, most: int | None = None) -> Tensor:
        """All chunks, or as many as hold `most` frames."""
        with self.placement.during("decode"):
            return torch.cat(
                [
                    stages.decode(self.networks, latents[start : start + self._chunk], **self.common).cpu()
                    for start in range(0, len(latents) if most is None else most, self._chunk)
                ]
            )

    def batches(self) -> list[int]:
        """Frames of the chunks that are encoded together."""
        return [min(ENCODE_GRID, self.frames - start) for start in range(0, self.frames, ENCODE_GRID)]

    @torch.inference_mode()
    def _latents(self, pixels: Tensor, plan: Plan) -> Tensor:
        return self._forward.encode(self.networks.vae, pixels, plan=plan, check=lambda: None)

    def _encoded(self, count: int) -> stages.Encoded:
        piece = stages.encode(self.networks, self.pictures[:count], self._grain[:count], **self.common)
        return stages.Encoded(piece.latents.cpu(), piece.embeddings.cpu())
