"""Stage 2 on a shot of any length: each window takes one denoising step; see `video_diffusion.stream`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....video_diffusion import stages, stream, windows
from ....video_diffusion.execution.forward import OWN, Forward
from ....video_diffusion.placement import Placement
from ....video_diffusion.stages import ENCODING, STEP, Encoded
from ...base import Shot
from ..prior import Prior, value_range, write_maps
from ..settings import Settings
from . import refinement

ENCODING_PRIOR = 2.3
"""Work for a frame, in TFLOP at 1024x576 as the others': the autoencoder encodes each frame twice, CLIP once."""


def work_of(count: int, settings: Settings, size: tuple[int, int]) -> float:
    """Work of refining a shot of `count` frames with networks' images of `size` (width, height), in TFLOP."""
    work = ENCODING + ENCODING_PRIOR
    return stream.work_of(count, settings, size, encoding=work, denoising=STEP, blended=not settings.latent_sharing)


class Refinement(stream.Stream):
    """StereoDiff's part of `video_diffusion.stream`, which refines the prior of the shot's frames."""

    encoding_label = "Encoding frames and their depth"

    def __init__(
        self, shot: Shot, settings: Settings, prior: Prior, placement: Placement, *, forward: Forward = OWN
    ) -> None:
        super().__init__(
            shot,
            settings,
            placement,
            forward,
            encoding=ENCODING + ENCODING_PRIOR,
            denoising=STEP,
            blended=0 if settings.latent_sharing else settings.overlap,
        )
        self._shot, self._settings, self._prior = shot, settings, prior
        self._sigma = refinement.noise_level(placement.networks.scheduler, settings)
        self._low = self._high = 0.0

    def begin(self) -> bool:
        """Read the shot's value range; a shot whose prior is constant is written at once."""
        self.report("range", "Reading the depth to refine")
        self._low, self._high = value_range(
            self._prior,
            self.count,
            self._settings.range_quantile,
            self.shot.check,
            lambda done, total: self.report("range", "Reading the depth to refine"),
        )
        if self._high > self._low:
            return True
        self.shot.warn("The shot's depth is the same everywhere, so there was nothing to refine.")
        for frame in sorted(set(range(self.count)) - self.shot.finished):
            self.write(frame, torch.full((self.shot.frames.height, self.shot.frames.width), 0.5))
        return False

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The shot's value range."""
        return {}, {"range": [self._low, self._high]}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """See `state`."""
        self._low, self._high = facts["range"]

    def encode(self, indices: range) -> tuple[Tensor, ...]:
        """Latents and embeddings of frames, and latents of their prior."""
        seed, numbers, (width, height) = self.shot.seed, self.shot.frames.numbers, self.size
        noise = torch.stack([refinement.pixel_noise(seed, numbers[index], height, width) for index in indices])
        plate = self.encode_frames(indices, noise)
        disparity = torch.from_numpy(np.stack([self._prior.disparity(index) for index in indices]))
        prior = refinement.encode_prior(
            self.placement.networks,
            refinement.stretched(disparity, self._low, self._high),
            self.size,
            resize=self._settings.resize,
            **self.common,
        )
        return plate.latents, plate.embeddings, prior

    def denoise(self, index: int, *inputs: Tensor) -> Tensor:
        """Refine one window by one denoising step."""
        latents, embeddings, prior = inputs
        settings, window = self._settings, self.windows[index]
        shared = self.latents if settings.latent_sharing and settings.overlap and index else None
        if shared is not None:
            prior = torch.cat([shared, prior[settings.overlap :]])
        seed, numbers, (width, height) = self.shot.seed, self.shot.frames.numbers, self.size
        label = self.label("Refining", index)
        self.report("refine", label)
        refined = refinement.refine(
            self.placement.networks,
            prior,
            Encoded(latents, embeddings),
            torch.stack([refinement.frame_noise(seed, numbers[frame], height, width) for frame in window]),
            sigma=self._sigma,
            noise_augmentation=settings.noise_augmentation,
            **self.common,
        ).cpu()
        stages.check_overflow(refined, self.placement.networks)
        self.count_work(STEP, len(window))
        self.report("refine", label)
        if shared is None:
            return refined
        both = windows.joined(shared, refined[: len(shared)], stitch=True)
        return torch.cat([both, refined[len(shared) :]])

    def decodable(self, index: int) -> int:
        """The end of the window, which is blended with the next; where latents are shared, the start of the next."""
        return self.next_start(index) if self._settings.latent_sharing else self.windows[index].stop

    def write(self, frame: int, disparity: Tensor) -> None:
        """Write one frame's maps, in the prior's units.

        Inverse depth stays above 0: the prior's values are, and so is the lower end of the value range, which decoded
        values (0 to 1) start from.
        """
        units = refinement.unstretched(disparity, self._low, self._high)
        write_maps(self._shot, self._prior, frame, units.numpy())
