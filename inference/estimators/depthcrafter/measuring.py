"""Time and memory of the stages of an estimate, on random pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...common.failures import Failure
from ...video_diffusion import stages, windows
from ...video_diffusion.device import release
from ...video_diffusion.execution.forward import OWN, PLAIN, Forward
from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.networks import Networks
from .benchmark_clip import NOISE, Clip
from .meter import Peak, figures, repeated, seconds_of

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
        finite = bool(torch.isfinite(self.latents).all() and torch.isfinite(self.disparity).all())
        return figures(
            self.seconds,
            self.peaks,
            frames=len(self.disparity),
            first_seconds=self.first_seconds,
            finite=finite,
        )


def measure(
    networks: Networks, task: Task, place: torch.device, plan: Plan, *, forward: Forward = OWN, tell: Tell
) -> Result:
    """Run every stage over a clip and measure it."""
    runner = _Runner(networks, task, place, plan, forward)
    tell("First pass" + (", which compiles" if plan.compiled else ""))
    first = seconds_of(runner.first, place)
    seconds, peaks = {}, {}
    tell("CLIP")
    seconds["clip"], _, _ = repeated(runner.clip, task.repeats, place)
    tell("Encoding")
    seconds["encode"], _, _ = repeated(runner.autoencode, task.repeats, place)
    _, peaks["encode"], encoded = repeated(runner.encode, 1, place)
    tell("Denoising")
    seconds["denoise"], peaks["denoise"], latents = repeated(lambda: runner.denoise(encoded), task.repeats, place)
    tell("Decoding")
    seconds["decode"], peaks["decode"], disparity = repeated(lambda: runner.decode(latents), task.repeats, place)
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


class _Runner(Clip):
    """The stages over a whole clip, as `pipeline` runs them, with random pictures."""

    def __init__(self, networks: Networks, task: Task, place: torch.device, plan: Plan, forward: Forward) -> None:
        super().__init__(networks, task, place, plan, forward)
        self._task = task
        self._pool = windows.latent_noise(self.generator, task.window, task.height, task.width)
        self._segments = windows.segments(task.frames, task.window, task.overlap)

    def first(self) -> None:
        """One chunk or window through each stage."""
        conditions = self.encode_window(self._task.window)
        with self.placement.during("denoise"):
            latents = self._denoised(self._pool, conditions, steps=1)
        self.decode(latents, most=1)

    def denoise(self, encoded: stages.Encoded) -> Tensor:
        """All segments, joined."""
        task, latents = self._task, torch.empty(0)
        with self.placement.during("denoise"):
            for index, segment in enumerate(self._segments):
                conditions = encoded[segment.start : segment.stop]
                latents = windows.extended(
                    latents,
                    index,
                    windows.segment_noise(self._pool, index, len(segment), task.overlap, anchor=True),
                    overlap=task.overlap,
                    anchor=True,
                    stitch=True,
                    sigmas=stages.first_sigmas(self.networks, task.steps),
                    denoise=partial(self._denoised, conditions=conditions, steps=task.steps),
                )
        return latents

    def _denoised(self, first: Tensor, conditions: stages.Encoded, *, steps: int) -> Tensor:
        return stages.denoise(
            self.networks,
            first,
            conditions,
            steps=steps,
            guidance=self._task.guidance,
            noise_augmentation=NOISE,
            **self.common,
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
