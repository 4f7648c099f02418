"""A made-up clip on its way through the stages that estimates share, to be measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import noise, stages
from .embedding import embed
from .execution.forward import OWN, Forward
from .execution.plan import Plan
from .networks import Networks
from .pipeline import ENCODE_GRID
from .placement import Placement

NOISE = 0.02


class Clip:
    """Random pictures, and the stages over them.

    Parameters
    ----------
    networks : Networks
    place : torch.device
    plan : Plan
    width, height : int
        Size that the networks see.
    frames : int
        Length of the clip.
    decode_chunk : int
    forward : Forward
    """

    def __init__(
        self,
        networks: Networks,
        place: torch.device,
        plan: Plan,
        *,
        width: int,
        height: int,
        frames: int,
        decode_chunk: int,
        forward: Forward = OWN,
    ) -> None:
        self.networks, self.frames, self._place, self._chunk = networks, frames, place, decode_chunk
        self.placement = Placement(networks, place, plan, smaller=lambda plan: None, warn=lambda message: None)
        self.generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(ENCODE_GRID, 3, height // 64, width // 64, generator=self.generator)
        self.pictures = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        self._grain = NOISE * noise.pixel_noise(self.generator, ENCODE_GRID, height, width)
        self.common: dict[str, Any] = {"device": place, "attempt": self.placement.attempt, "forward": forward}

    def clip(self) -> None:
        """CLIP's embeddings of all frames."""
        with self.placement.during("encode"):
            for count in self.batches():
                embed(self.networks.image_encoder, self.pictures[:count].to(self._place))

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

    def _encoded(self, count: int) -> stages.Encoded:
        piece = stages.encode(self.networks, self.pictures[:count], self._grain[:count], **self.common)
        return stages.Encoded(piece.latents.cpu(), piece.embeddings.cpu())
