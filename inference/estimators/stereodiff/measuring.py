"""Time and memory of both stages, on random pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...video_diffusion import windows
from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.networks import Networks, make_up
from ...video_diffusion.stages import ENCODE_GRID, Encoded
from ..depthcrafter import meter
from ..depthcrafter.benchmark_clip import NOISE, Clip
from ..depthcrafter.meter import repeated
from .counting import Task
from .stage1 import joining, matching
from .stage1.checkpoint_file import prepared
from .stage1.matching import Batching, group_pairs
from .stage1.network import PairNetwork
from .stage1.pair_store import PairStore
from .stage1.pairs import Pair, pairs
from .stage1.result import MatchedPrior
from .stage2 import refinement
from .stage2.refinement import Blending

Tell = Callable[[str], None]


def made_up_network(config: dict[str, Any], place: torch.device | str, dtype: torch.dtype) -> PairNetwork:
    """A pair network with random weights, those of the sizes that `config` leaves out being the released ones'."""
    with torch.device("meta"):
        network = PairNetwork(**config)
    if str(place) != "meta":
        make_up(network, torch.Generator(place).manual_seed(0), torch.float32)
    return prepared(network, dtype)


def measure_matching(
    network: PairNetwork, task: Task, place: torch.device, batch: int, *, tell: Tell
) -> dict[str, Any]:
    """Run stage 1 over a clip and measure it: `meter.figures` of ``encode``, ``pairs`` and ``align``.

    Random weights place no point sensibly, so that the alignment is measured on a scene of its own.
    """
    clip = _Matching(network, task, place, batch)
    tell("Stage 1: first pass")
    first = meter.seconds_of(clip.first, place)
    seconds, peaks = {}, {}
    tell("Stage 1: encoding frames")
    seconds["encode"], peaks["encode"], states = repeated(clip.encode, task.repeats, place)
    finite = bool(torch.isfinite(states).all())
    tell("Stage 1: decoding pairs")
    both, peaks["pairs"], _ = repeated(clip.match, task.repeats, place)
    seconds["pairs"] = max(both - seconds["encode"], 0.0)
    tell("Stage 1: aligning")
    with clip.scene() as (scores, store):
        seconds["align"], peaks["align"], _ = repeated(lambda: clip.align(scores, store), task.repeats, place)
    return meter.figures(seconds, peaks, frames=task.frames, first_seconds=first, finite=finite)


def measure_refining(networks: Networks, task: Task, place: torch.device, plan: Plan, *, tell: Tell) -> dict[str, Any]:
    """Run stage 2 over a clip and measure it: `meter.figures` of the stages that `counting.refining` counts."""
    clip = _Refining(networks, task, place, plan)
    tell("Stage 2: first pass" + (", which compiles" if plan.compiled else ""))
    first = meter.seconds_of(clip.first, place)
    seconds, peaks = {}, {}
    tell("Stage 2: CLIP")
    seconds["clip"], _, _ = repeated(clip.clip, task.repeats, place)
    tell("Stage 2: encoding the plate")
    seconds["encode"], _, _ = repeated(clip.autoencode, task.repeats, place)
    _, peaks["encode"], plate = repeated(clip.encode, 1, place)
    tell("Stage 2: encoding the prior")
    seconds["prior"], peaks["prior"], prior = repeated(clip.encode_prior, task.repeats, place)
    tell("Stage 2: one step")
    seconds["refine"], peaks["refine"], latents = repeated(lambda: clip.refine(plate, prior), task.repeats, place)
    tell("Stage 2: decoding")
    seconds["decode"], peaks["decode"], maps = repeated(lambda: clip.decode_windows(latents), task.repeats, place)
    finite = bool(all(torch.isfinite(window).all() for window in latents) and torch.isfinite(maps).all())
    return meter.figures(seconds, peaks, frames=task.frames, first_seconds=first, finite=finite)


class _Matching:
    """Stage 1 over a clip, with random pictures."""

    def __init__(self, network: PairNetwork, task: Task, place: torch.device, batch: int) -> None:
        self._network, self._task, self._place = network, task, place
        self._batching, self._batch = Batching.of(batch), batch
        width, height = task.plate
        few = np.random.default_rng(0).integers(0, 256, (ENCODE_GRID, height, width, 3), np.uint8)
        self._frames = [few[index % ENCODE_GRID] for index in range(task.frames)]

    def first(self) -> None:
        """One batch."""
        self._match(self._frames[: min(len(self._frames), self._batch + 1)])

    @torch.inference_mode()
    def encode(self) -> Tensor:
        """All frames, in the groups in which they are encoded for pairs; gives the last group's states."""
        dtype, start, states = next(self._network.parameters()).dtype, 0, torch.empty(0)
        while start < len(self._frames):
            frames = group_pairs(start, self._batch, len(self._frames))
            pictures = matching.to_pictures([self._frames[index] for index in frames], self._task.picture)
            states = self._network.encode(pictures.to(self._place, dtype))
            start = frames.stop
        return states

    def match(self) -> None:
        """All frames and pairs, and what is kept of them on disk."""
        self._match(self._frames)

    def _match(self, frames: list[NDArray[np.uint8]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            matching.match(
                self._network,
                frames,
                PairStore(Path(folder), self._task.reach),
                reach=self._task.reach,
                batching=self._batching,
                device=self._place,
                size=self._task.picture,
                smaller=_too_little,
            )

    @contextmanager
    def scene(self) -> Iterator[tuple[dict[Pair, float], PairStore]]:
        """Pairs as a trained network might see them: a wavy wall, past which the camera goes."""
        with tempfile.TemporaryDirectory() as folder:
            store = PairStore(Path(folder), self._task.reach)
            generator = torch.Generator().manual_seed(0)
            for pair in pairs(self._task.frames, self._task.reach):
                store.add([pair], *_wall(self._task.picture, pair[1] - pair[0], generator))
            yield store.scores, store

    def align(self, scores: dict[Pair, float], store: PairStore) -> MatchedPrior:
        """Where all frames are, and the depth of each, which is asked for once."""
        count = self._task.frames
        found = joining.join(count, scores, store.read, robust=True, device=self._place, numbers=range(count))
        prior = MatchedPrior(store, *found, size=self._task.picture, numbers=range(count))
        for frame in range(count):
            prior.disparity(frame)
        return prior


def _wall(size: tuple[int, int], steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a pair of frames so many steps apart sees, in a unit of its own, with noise."""
    width, height = size
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    rays = torch.stack([columns, rows * height / width, torch.ones_like(rows)], dim=-1)
    unit = 0.5 + torch.rand((), generator=generator)
    views = []
    for apart in (0.0, 0.05 * steps):
        depth = 3 + torch.sin(4 * columns + apart) * torch.cos(3 * rows)
        points = rays * depth[..., None] + torch.tensor([apart, 0.0, 0.0])
        points = unit * points * (1 + 0.01 * torch.randn(height, width, 1, generator=generator))
        views += [points[None], 1 + torch.exp(1 + 0.5 * torch.randn(1, height, width, generator=generator))]
    return views[0], views[1], views[2], views[3]


def _too_little(batching: Batching, place: int) -> Batching:
    raise MemoryError(f"so many pairs do not fit at once after all: {batching.steps[-1][1]}")


class _Refining(Clip):
    """Stage 2 over a clip, with random pictures and a random prior."""

    def __init__(self, networks: Networks, task: Task, place: torch.device, plan: Plan) -> None:
        super().__init__(networks, task, place, plan)
        self._task = task
        self._maps = torch.rand(ENCODE_GRID, *task.picture[::-1], generator=self.generator)
        self._windows = windows.segments(task.frames, task.window, task.overlap)

    def first(self) -> None:
        """One chunk or window through each stage."""
        task = self._task
        plate = self.encode_window(task.window)
        with self.placement.during("encode"):
            piece = self._prior(min(ENCODE_GRID, task.frames))
        prior = torch.cat([piece] * -(-task.window // len(piece)))[: task.window]
        with self.placement.during("denoise"):
            latents = self._refined(range(task.window), plate, prior)
        self.decode(latents, most=1)

    def encode_prior(self) -> Tensor:
        """All frames' prior."""
        with self.placement.during("encode"):
            return torch.cat([self._prior(count) for count in self.batches()])

    def refine(self, plate: Encoded, prior: Tensor) -> list[Tensor]:
        """Each window's latents."""
        with self.placement.during("denoise"):
            return [
                self._refined(window, plate[window.start : window.stop], prior[window.start : window.stop])
                for window in self._windows
            ]

    def decode_windows(self, latents: list[Tensor]) -> Tensor:
        """All windows, blended."""
        blending, last = Blending(self._task.overlap), len(self._windows) - 1
        maps: list[Tensor] = []
        for index, window in enumerate(self._windows):
            final = blending.through(window, self.decode(latents[index]), last=index == last)
            maps += [map_ for _, map_ in final if map_ is not None]
        return torch.stack(maps)

    def _prior(self, count: int) -> Tensor:
        size = (self._task.width, self._task.height)
        latents = refinement.encode_prior(self.networks, self._maps[:count], size, resize="nearest", **self.common)
        return latents.cpu()

    def _refined(self, window: range, plate: Encoded, prior: Tensor) -> Tensor:
        noise = [refinement.frame_noise(0, frame, self._task.height, self._task.width) for frame in window]
        return refinement.refine(
            self.networks, prior, plate, torch.stack(noise), noise_augmentation=NOISE, **self.common
        ).cpu()
