"""DepthCrafter on a shot of any length: the algorithm of `pipeline`, segment by segment, to the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...video_diffusion import loading, parameters, resolution, stages, stream, windows
from ...video_diffusion.execution.forward import OWN, Forward
from ...video_diffusion.parameters import check_window
from ...video_diffusion.placement import Placement
from ...video_diffusion.stages import ENCODING, STEP, Encoded
from ..base import Shot, ShotResult


@dataclass(frozen=True, kw_only=True)
class Settings(parameters.Settings):
    """The estimator's parameters, see ``INFO``."""

    steps: int
    guidance: float
    anchor: bool
    stitch: bool


def estimate_shot(shot: Shot) -> ShotResult:
    """Estimate a shot with the downloaded networks; see `estimators.base`.

    Raises
    ------
    Failure
        The parameters contradict each other; the device has too little memory; weights are damaged; values overflowed.
    """
    settings = Settings(**shot.parameters)
    check_window(settings.window, settings.overlap)
    if len(shot.finished) < len(shot.frames):
        placement = loading.placement(
            shot, settings, estimator="depthcrafter", who="DepthCrafter", guided=settings.guidance > 1
        )
        Stream(shot, settings, placement).run()
    return ShotResult()


class Stream(stream.Stream):
    """DepthCrafter's part of `video_diffusion.stream`."""

    def __init__(self, shot: Shot, settings: Settings, placement: Placement, forward: Forward = OWN) -> None:
        work = STEP * settings.steps * (2 if settings.guidance > 1 else 1)
        super().__init__(shot, settings, placement, forward, encoding=ENCODING, denoising=work)
        self._settings, self._work_of_step = settings, work / settings.steps
        self._generator, self._pool = torch.Generator(), torch.empty(0)

    def begin(self) -> bool:
        """Draw the latent noise, which follows all pixel noise in the generator's order."""
        self._generator.manual_seed(self.shot.seed)
        self.report("noise", "Drawing noise")
        width, height = self.size
        ahead = windows.skipped(self._generator, self.count, height, width, check=self.shot.check)
        self._pool = windows.latent_noise(ahead, min(self._settings.window, self.count), height, width)
        return True

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The noise: the pool, and the state of the generator after the last encoded frame."""
        return {"pool": self._pool, "generator": self._generator.get_state()}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """See `state`."""
        self._pool = tensors["pool"]
        self._generator.set_state(tensors["generator"])

    def encode(self, indices: range) -> tuple[Tensor, ...]:
        """Latents and embeddings of frames."""
        width, height = self.size
        encoded = self.encode_frames(indices, windows.pixel_noise(self._generator, len(indices), height, width))
        return encoded.latents, encoded.embeddings

    def denoise(self, index: int, *inputs: Tensor) -> Tensor:
        """Denoise one segment and join it to the latents that are not decoded yet."""
        settings, length = self._settings, len(inputs[0])
        label = self.label("Denoising", index)

        def report(steps: int) -> None:
            self.count_work(self._work_of_step, length)
            self.report("denoise", label)

        def denoise(first: Tensor) -> Tensor:
            return stages.denoise(
                self.placement.networks,
                first,
                Encoded(*inputs),
                steps=settings.steps,
                guidance=settings.guidance,
                noise_augmentation=settings.noise_augmentation,
                progress=report,
                **self.common,
            )

        self.report("denoise", label)
        return windows.extended(
            self.latents,
            index,
            windows.segment_noise(self._pool, index, length, settings.overlap, anchor=settings.anchor),
            overlap=settings.overlap,
            anchor=settings.anchor,
            stitch=settings.stitch,
            sigmas=stages.first_sigmas(self.placement.networks, settings.steps),
            denoise=denoise,
        )

    def decodable(self, index: int) -> int:
        """Frames before the next segment are final; chunks are whole, and lie on a grid from the shot's first frame."""
        stop = self.next_start(index)
        return stop if stop == self.count else stop - stop % self._settings.decode_chunk

    def write(self, frame: int, disparity: Tensor) -> None:
        """Write one map."""
        self.shot.check()
        working = (self.shot.frames.width, self.shot.frames.height)
        self.shot.write(frame, resolution.to_working(disparity.numpy(), working))
