"""Sequences as the network sees them: latents of frames and disparity, and CLIP's tokens, kept in a cache on the disk.

Whatever is cached is used as the cache has it, rounded to half floats, also when it has just been made, so that a
training does not depend on what the cache holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from ..common.files import save_tensors
from ..contract import records
from ..models import safetensors_header
from ..video_diffusion import stages
from ..video_diffusion.execution.forward import OWN
from ..video_diffusion.execution.plan import Plan
from ..video_diffusion.networks import Networks
from . import sequences
from .data import Clip
from .recipe import Settings
from .sequences import Excerpt

_PLAN = Plan(encode_frames=2)
"""In which pieces frames are encoded: small, since the network that is trained fills the device."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A sequence in the space of the network, in host memory.

    Attributes
    ----------
    video : Tensor [T, 4, h, w]
        float32, latents of the frames with noise, not scaled, as in an estimate.
    tokens : Tensor [T, channels]
        float32, CLIP's, of the frames without noise.
    depth : Tensor [T, 4, h, w]
        float32, scaled latents of disparity: what is to be learned.
    known : Tensor [T, 1, h, w]
        float32, 1 where every pixel of a latent has true depth, else 0.
    augmentation : float
        Strength of the noise on the frames.
    """

    video: Tensor
    tokens: Tensor
    depth: Tensor
    known: Tensor
    augmentation: float

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.video)


class Examples:
    """Examples of a training by their numbers.

    Parameters
    ----------
    settings : Settings
    clips : sequence of Clip
    repeats : sequence of int
        How often each comes in a round.
    networks : Networks
        The autoencoder, whose encoder is in float32, and the image encoder, both on the device.
    device : torch.device
    cache : Path or None
        An existing folder; None: nothing is kept.
    encoders : str
        What identifies the encoders' weights.
    """

    def __init__(
        self,
        settings: Settings,
        clips: Sequence[Clip],
        repeats: Sequence[int],
        networks: Networks,
        *,
        device: torch.device,
        cache: Path | None,
        encoders: str = "",
        check: Callable[[], None] = lambda: None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._settings, self._clips, self._repeats = settings, clips, repeats
        self._networks, self._device, self._cache, self._encoders = networks, device, cache, encoders
        self._check, self._warn = check, warn

    def __getitem__(self, number: int) -> Example:
        """Example `number`, from the cache or made now.

        Raises
        ------
        UnusableSequence
            See `sequences.usable`.
        """
        found: Example = sequences.usable(
            self._settings, self._clips, self._repeats, number, read=self._made_or_kept, warn=self._warn
        )
        return found

    def _made_or_kept(self, excerpt: Excerpt) -> Example:
        if self._cache is None:
            return _example(_rounded(self._made(excerpt)), excerpt)
        file = self._cache / f"{self._key(excerpt)}.safetensors"
        tensors = _read(file)
        if tensors is None:
            tensors = _rounded(self._made(excerpt))
            save_tensors(file, tensors, {})
        return _example(tensors, excerpt)

    def _key(self, excerpt: Excerpt) -> str:
        """What a sequence's tensors depend on, as a hash: its files by name, size and time, and how it is changed."""
        clip = self._clips[excerpt.clip]
        files = [
            each[frame] for each in (clip.truth.rgb_files, clip.truth.depth_files) if each for frame in excerpt.frames
        ]
        facts = {
            "clip": clip.name,
            "far": clip.is_far,
            "files": [[str(file), (status := file.stat()).st_size, status.st_mtime_ns] for file in files],
            "excerpt": {name: value for name, value in asdict(excerpt).items() if name != "clip"},
            "size": [self._settings.width, self._settings.height, self._settings.range_quantile],
            "encoders": self._encoders,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:40]

    def _made(self, excerpt: Excerpt) -> dict[str, Tensor]:
        found = sequences.pixels(self._settings, self._clips[excerpt.clip], excerpt, self._check)
        images = torch.from_numpy(found.images).permute(0, 3, 1, 2)
        generator = torch.Generator().manual_seed(excerpt.noise_seed)
        common: dict[str, Any] = {"device": self._device, "attempt": lambda work: work(_PLAN), "check": self._check}
        pieces, depth = [], []
        for first in range(0, len(images), stages.ENCODE_GRID):
            some = slice(first, first + stages.ENCODE_GRID)
            noise = excerpt.augmentation * torch.randn(images[some].shape, generator=generator)
            encoded = stages.encode(self._networks, images[some], noise, **common)
            pieces.append((encoded.latents.cpu(), encoded.embeddings.cpu()))
            maps = 2 * torch.from_numpy(found.disparity[some])[:, None].to(self._device) - 1
            # three identical channels; the decoder's mean is taken of three in an estimate (section 3.2)
            latents = OWN.encode(self._networks.vae, maps.expand(-1, 3, -1, -1), plan=_PLAN, check=self._check)
            depth.append((latents * self._networks.vae.config.scaling_factor).cpu())
        known = torch.from_numpy(found.known.astype(np.float32))[:, None]
        by = images.shape[-1] // pieces[0][0].shape[-1]
        return {
            "video": torch.cat([video for video, _ in pieces]),
            "tokens": torch.cat([tokens for _, tokens in pieces]),
            "depth": torch.cat(depth),
            "known": -functional.max_pool2d(-known, by),  # 1 where all pixels are known
        }


def _rounded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as the cache keeps them. They are copied: gradients need tensors that no inference mode has made."""
    found = {name: tensor.to(torch.float16, copy=True).contiguous() for name, tensor in tensors.items()}
    for name, tensor in found.items():
        if not bool(torch.isfinite(tensor).all()):
            raise sequences.UnusableSequence(f"its {name} leaves the range of half floats")
    return found


def _example(tensors: dict[str, Tensor], excerpt: Excerpt) -> Example:
    whole = {name: tensor.float() for name, tensor in tensors.items()}
    return Example(**whole, augmentation=excerpt.augmentation)


def load_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts that `save_tensors` wrote; an `OSError` or `ValueError` where they cannot be read."""
    try:
        safetensors_header.read(file)
        with safe_open(file, framework="pt") as opened:
            facts = records.parse((opened.metadata() or {}).get("facts", "{}"), where=file.name)
            return {name: opened.get_tensor(name) for name in opened.keys()}, facts  # noqa: SIM118 - it is no mapping
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read(file: Path) -> dict[str, Tensor] | None:
    """The tensors of a cached sequence; None where there is no such file, or it cannot be read."""
    try:
        found, _ = load_tensors(file)
    except (OSError, ValueError):
        return None
    return found if set(found) == {"video", "tokens", "depth", "known"} else None
