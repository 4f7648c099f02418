"""Time and memory of the stages of an estimate, on random pictures."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...faults import Failure
from . import noise, stages, windows
from .device import release, synchronise
from .embedding import embed
from .execution.forward import OWN, PLAIN, Forward
from .execution.plan import Plan
from .meter import Meter, Peak
from .networks import Networks
from .pipeline import ENCODE_GRID
from .placement import Placement

NOISE = 0.02
T = TypeVar("T")
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is measured; see the options of `benchmark`."""

    width: int
    height: int
    frames: int
    steps: int
    guidance: float
    window: int
    overlap: int
    decode_chunk: int
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured of one way through the networks.

    Attributes
    ----------
    seconds : dict
        By stage (``clip``, ``encode``, ``denoise``, ``decode``), for the whole clip: the median of the repeats.
    first_seconds : float
        Of a first pass through a chunk or window of each stage, which compiles where layers are compiled.
    peaks : dict
        Memory by stage; CLIP's is part of encoding.
    latents, disparity : Tensor
        What came out.
    """

    seconds: dict[str, float]
    first_seconds: float
    peaks: dict[str, Peak]
    latents: Tensor
    disparity: Tensor

    def as_json(self) -> dict[str, Any]:
        """The numbers, per frame where they are."""
        frames = len(self.disparity)
        each = {stage: 1000 * seconds / frames for stage, seconds in self.seconds.items()}
        return {
            "ms_per_frame": each | {"all": sum(each.values())},
            "first_seconds": self.first_seconds,
            "peak_bytes": {stage: vars(peak) for stage, peak in self.peaks.items()},
            "finite": bool(torch.isfinite(self.latents).all() and torch.isfinite(self.disparity).all()),
        }


def measure(
    networks: Networks, task: Task, place: torch.device, plan: Plan, *, forward: Forward = OWN, tell: Tell
) -> Result:
    """Run every stage over a clip and measure it."""
    runner = _Runner(networks, task, place, plan, forward)
    tell("First pass" + (", which compiles" if plan.compiled else ""))
    first = time.perf_counter()
    runner.first()
    synchronise(place)
    first = time.perf_counter() - first
    seconds, peaks = {}, {}
    tell("CLIP")
    seconds["clip"], peaks["clip"], _ = runner.repeated(runner.clip)
    tell("Encoding")
    both, peaks["encode"], encoded = runner.repeated(runner.encode)
    seconds["encode"] = max(both - seconds["clip"], 0.0)
    tell("Denoising")
    seconds["denoise"], peaks["denoise"], latents = runner.repeated(lambda: runner.denoise(encoded))
    tell("Decoding")
    seconds["decode"], peaks["decode"], disparity = runner.repeated(lambda: runner.decode(latents))
    del peaks["clip"]
    return Result(seconds=seconds, first_seconds=first, peaks=peaks, latents=latents, disparity=disparity)


def measure_plain(networks: Networks, task: Task, place: torch.device, *, tell: Tell) -> Result | None:
    """The same through diffusers' stock modules, everything on the device and nothing in pieces but the batches.

    Returns
    -------
    Result or None
        None where the memory does not suffice for it.
    """
    release(place)
    for network in networks.modules:
        for weight in network.parameters():  # as diffusers loads them
            weight.data = weight.data.contiguous()
    try:
        return measure(networks, task, place, Plan(), forward=PLAIN, tell=lambda text: tell(f"Plain: {text}"))
    except Failure as failure:
        tell(f"diffusers' stock modules could not be measured. {failure}")
        return None


class _Runner:
    """The stages over a whole clip, as `pipeline` runs them, with random pictures."""

    def __init__(self, networks: Networks, task: Task, place: torch.device, plan: Plan, forward: Forward) -> None:
        self._networks, self._task, self._place, self._forward = networks, task, place, forward
        self._placement = Placement(networks, place, plan, smaller=lambda plan: None, warn=lambda message: None)
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(ENCODE_GRID, 3, task.height // 64, task.width // 64, generator=generator)
        self._pictures = torch.nn.functional.interpolate(coarse, (task.height, task.width), mode="bilinear")
        self._grain = NOISE * noise.pixel_noise(generator, ENCODE_GRID, task.height, task.width)
        self._pool = noise.latent_noise(generator, task.window, task.height, task.width)
        self._segments = windows.segments(task.frames, task.window, task.overlap)
        self._common: dict[str, Any] = {"device": place, "attempt": self._placement.attempt}

    def first(self) -> None:
        """One chunk or window through each stage."""
        with self._placement.during("encode"):
            piece = self._encoded(min(ENCODE_GRID, self._task.frames))
        repeat = -(-self._task.window // len(piece))
        conditions = stages.Encoded.joined([piece] * repeat)[: self._task.window]
        with self._placement.during("denoise"):
            latents = self._denoised(self._pool, conditions, steps=1)
        with self._placement.during("decode"):
            stages.decode(
                self._networks, latents[: self._task.decode_chunk], forward=self._forward, **self._common
            ).cpu()

    def repeated(self, work: Callable[[], T]) -> tuple[float, Peak, T]:
        """Median seconds, the peak of memory, and the result."""
        seconds: list[float] = []
        with Meter(self._place) as meter:
            for _ in range(self._task.repeats):
                synchronise(self._place)
                start = time.perf_counter()
                result = work()
                synchronise(self._place)
                seconds.append(time.perf_counter() - start)
        return statistics.median(seconds), meter.peak(), result

    def clip(self) -> None:
        """CLIP's embeddings of all frames."""
        with self._placement.during("encode"):
            for count in self._batches(ENCODE_GRID):
                embed(self._networks.image_encoder, self._pictures[:count].to(self._place))

    def encode(self) -> stages.Encoded:
        """Everything that is told of the frames."""
        with self._placement.during("encode"):
            pieces = [self._encoded(count) for count in self._batches(ENCODE_GRID)]
        return stages.Encoded.joined(pieces)

    def denoise(self, encoded: stages.Encoded) -> Tensor:
        """All segments, joined."""
        task, latents = self._task, torch.empty(0)
        with self._placement.during("denoise"):
            for index, segment in enumerate(self._segments):
                conditions = encoded[segment.start : segment.stop]
                latents = windows.extended(
                    latents,
                    index,
                    noise.segment_noise(self._pool, index, len(segment), task.overlap, anchor=True),
                    overlap=task.overlap,
                    anchor=True,
                    stitch=True,
                    sigmas=stages.first_sigmas(self._networks, task.steps),
                    denoise=partial(self._denoised, conditions=conditions, steps=task.steps),
                )
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """All chunks."""
        chunk = self._task.decode_chunk
        with self._placement.during("decode"):
            return torch.cat(
                [
                    stages.decode(
                        self._networks, latents[start : start + chunk], forward=self._forward, **self._common
                    ).cpu()
                    for start in range(0, self._task.frames, chunk)
                ]
            )

    def _batches(self, size: int) -> list[int]:
        return [min(size, self._task.frames - start) for start in range(0, self._task.frames, size)]

    def _encoded(self, count: int) -> stages.Encoded:
        piece = stages.encode(
            self._networks, self._pictures[:count], self._grain[:count], forward=self._forward, **self._common
        )
        return stages.Encoded(piece.latents.cpu(), piece.embeddings.cpu())

    def _denoised(self, first: Tensor, conditions: stages.Encoded, *, steps: int) -> Tensor:
        return stages.denoise(
            self._networks,
            first,
            conditions,
            steps=steps,
            guidance=self._task.guidance,
            noise_augmentation=NOISE,
            forward=self._forward,
            **self._common,
        )


def compare(own: Result, plain: Result) -> dict[str, float | None]:
    """Peak signal-to-noise ratio of our result to the stock modules', in decibels: of latents and of disparity.

    None where they are equal to the bit, or are no numbers.
    """
    span = float(plain.latents.max() - plain.latents.min())
    return {
        "latents": _decibels(own.latents, plain.latents, span),
        "disparity": _decibels(own.disparity, plain.disparity, 1.0),
    }


def _decibels(first: Tensor, second: Tensor, peak: float) -> float | None:
    error = float((first.double() - second.double()).square().mean())
    return 10 * math.log10(peak**2 / error) if math.isfinite(error) and error and peak else None
