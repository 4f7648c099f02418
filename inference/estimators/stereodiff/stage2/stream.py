"""Stage 2 on a shot of any length: each window takes one denoising step; see `video_diffusion.stream`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....common.files import load_array, save_array
from ....video_diffusion import stages, stream, windows
from ....video_diffusion.execution.forward import OWN, Forward
from ....video_diffusion.placement import Placement
from ....video_diffusion.stages import ENCODING, STEP, Encoded
from ...base import Shot
from ..prior import Prior, value_range, write_maps
from ..settings import Settings
from . import refinement

_FOLDER, _READING = "refined", "Reading the depth to refine"
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
        if self.has_range():
            return True
        self.shot.warn("The shot's depth is the same everywhere, so there was nothing to refine.")
        for frame in sorted(set(range(self.count)) - self.shot.finished):
            self.write(frame, torch.full((self.shot.frames.height, self.shot.frames.width), 0.5))
        return False

    def has_range(self) -> bool:
        """Read the shot's value range; whether it is one, and not a single value."""
        self.report("range", _READING)
        self._low, self._high = _range_of(
            self._shot, self._settings, self._prior, lambda done, total: self.report("range", _READING)
        )
        return self._high > self._low

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
        _write(self._shot, self._prior, frame, disparity, (self._low, self._high))


def window_file(shot: Shot, index: int) -> Path:
    """The file of the decoded maps of a window that a process of its own refined."""
    return shot.scratch / _FOLDER / f"{index:06d}.npy"


def windows_of(shot: Shot, settings: Settings) -> list[range]:
    """The windows of a shot."""
    return windows.segments(len(shot.frames), settings.window, settings.overlap)


def save_windows(run: Refinement, shot: Shot, units: Iterable[int]) -> None:
    """Refine and save some windows of the run's shot, for a process that does no others."""
    if not run.has_range():
        return
    (shot.scratch / _FOLDER).mkdir(exist_ok=True)
    for index in units:
        save_array(window_file(shot, index), run.maps_of(index).numpy())


def write_saved(shot: Shot, settings: Settings, prior: Prior) -> bool:
    """Write the maps of a shot whose windows are all saved, without networks; False where some are not."""
    parts = windows_of(shot, settings)
    if settings.latent_sharing or not all(window_file(shot, index).exists() for index in range(len(parts))):
        return False
    found, blending = _range_of(shot, settings, prior), windows.Blending(settings.overlap)
    for index, window in enumerate(parts):
        maps = load_array(window_file(shot, index))
        if len(maps) != len(window):
            raise ValueError(f"{len(maps)} maps of a window of {len(window)} frames are saved")
        last = index + 1 == len(parts)
        for frame, disparity in blending.through(window, map(torch.from_numpy, maps), last=last):
            shot.check()
            if disparity is not None and frame not in shot.finished:
                _write(shot, prior, frame, disparity, found)
    return True


def _range_of(
    shot: Shot,
    settings: Settings,
    prior: Prior,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, float]:
    return value_range(prior, len(shot.frames), settings.range_quantile, shot.check, progress)


def _write(shot: Shot, prior: Prior, frame: int, disparity: Tensor, found: tuple[float, float]) -> None:
    write_maps(shot, prior, frame, refinement.unstretched(disparity, *found).numpy())
