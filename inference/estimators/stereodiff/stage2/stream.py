"""Stage 2 on a shot of any length: windows stream through one denoising step, and maps stream out.

In memory are, beside the networks, one window's inputs and latents, and the decoded overlap of the window before. After
every window a checkpoint is kept, so that a later run goes on from there to the same bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ....common.files import save_tensors
from ....video_diffusion import resolution, stages, tensor_file, windows
from ....video_diffusion.execution.forward import OWN, Forward
from ....video_diffusion.execution.plan import Plan
from ....video_diffusion.placement import Placement
from ....video_diffusion.stages import DECODING, ENCODE_GRID, ENCODING, STEP, Encoded
from ....video_diffusion.transfer import Fetched, one_behind
from ...base import ReportProgress, Shot
from ..prior import Prior, spread_of, write_maps
from ..settings import Settings
from . import refinement
from .refinement import Blending

ENCODING_PRIOR = 2.3
"""Work for a frame, in TFLOP at 1024x576 as the others': the autoencoder sees each frame twice, CLIP once."""
_PUBLISHED_PIXELS = 1024 * 576
NAME = "windows.safetensors"


def work_of(count: int, settings: Settings, size: tuple[int, int]) -> float:
    """Work of refining a shot, in TFLOP.

    Parameters
    ----------
    count : int
        Frames of the shot.
    settings : Settings
    size : (width, height)
        Of the networks' pictures.
    """
    in_windows = sum(len(window) for window in windows.segments(count, settings.window, settings.overlap))
    decoded = count if settings.latent_sharing else in_windows
    work = (ENCODING + ENCODING_PRIOR) * count + STEP * in_windows + DECODING * decoded
    return work * size[0] * size[1] / _PUBLISHED_PIXELS


class Refinement:
    """A shot's prior on its way through the step.

    Parameters
    ----------
    shot : Shot
    settings : Settings
    prior : Prior
        Of the shot's frames.
    placement : Placement
        Holds the networks.
    forward : Forward
        How they are run.
    progress : callable or None
        Hears of the work; None: the shot's own.
    """

    def __init__(
        self,
        shot: Shot,
        settings: Settings,
        prior: Prior,
        placement: Placement,
        *,
        forward: Forward = OWN,
        progress: ReportProgress | None = None,
    ) -> None:
        self._shot, self._settings, self._prior = shot, settings, prior
        self._placement, self._forward = placement, forward
        self._progress = progress or shot.progress
        self._count = len(shot.frames)
        self._windows = windows.segments(self._count, settings.window, settings.overlap)
        self._working = (shot.frames.width, shot.frames.height)
        self._size = resolution.network_size(*self._working)
        self._sigma = refinement.noise_level(placement.networks.scheduler, settings)
        self._low = self._high = 0.0
        self._inputs: Inputs | None = None
        self._inputs_from = 0
        self._latents = torch.empty(0)
        self._blending = Blending(self._blended)
        self._work_done, self._work = 0.0, work_of(self._count, settings, self._size)

    def run(self) -> None:
        """Refine the frames that are not written yet.

        Raises
        ------
        Failure
            Memory ran out, or the networks' values overflowed; what was written stays, and an unchanged job goes on.
        Cancelled
        """
        begun = self._take_up()
        if not self._high > self._low:
            self._write_flat()
            return
        for index in range(begun, len(self._windows)):
            self._encode_until(self._windows[index].stop)
            self._refine(index)
            self._decode(index)

    @property
    def _blended(self) -> int:
        """Frames that are faded from a window into the next one once they are decoded."""
        return 0 if self._settings.latent_sharing else self._settings.overlap

    def _take_up(self) -> int:
        """Go on from an earlier run's checkpoint, or begin; returns the first window to do."""
        kept = load_checkpoint(self._shot.scratch)
        # a map of an earlier window may have been lost since then
        if kept is None or not self._shot.finished.issuperset(range(self._windows[kept.windows_done - 1].start)):
            self._tell("range", "Reading the depth to refine")
            self._low, self._high = spread_of(
                self._prior,
                self._count,
                self._settings.range_quantile,
                self._shot.check,
                lambda done, total: self._tell("range", "Reading the depth to refine"),
            )
            return 0
        self._low, self._high = kept.low, kept.high
        self._latents, self._blending = kept.latents, Blending(self._blended, kept.waiting)
        self._inputs, self._inputs_from = kept.inputs, kept.inputs_from
        index = kept.windows_done - 1
        self._worked(ENCODING + ENCODING_PRIOR, self._inputs_from + len(kept.inputs))
        self._worked(STEP, sum(len(window) for window in self._windows[: index + 1]))
        self._worked(DECODING, sum(len(self._piece(before)) for before in range(index)))
        self._decode(index)
        return index + 1

    def _encode_until(self, stop: int) -> None:
        """Have all frames before `stop` encoded, and their prior.

        The chunks lie on a grid from the shot's first frame, whatever windows they are for.
        """
        held = self._inputs
        start = self._inputs_from + (len(held) if held else 0)
        if start >= stop:
            return
        pieces: list[tuple[Fetched, Fetched, Fetched]] = []
        with self._placement.during("encode"):
            for first in range(start, stop, ENCODE_GRID):
                indices = range(first, min(first + ENCODE_GRID, self._count))
                self._tell("encode", "Encoding frames and their depth")
                plate, prior = self._encoded(indices)
                pieces.append((Fetched(plate.latents), Fetched(plate.embeddings), Fetched(prior)))
                self._worked(ENCODING + ENCODING_PRIOR, len(indices))
        new = [
            Inputs(Encoded(latents.tensor(), embeddings.tensor()), prior.tensor())
            for latents, embeddings, prior in pieces
        ]
        self._inputs = Inputs.joined([held, *new] if held else new)

    def _encoded(self, indices: range) -> tuple[Encoded, Tensor]:
        """One chunk's frames and prior, on the device."""
        shot, (width, height) = self._shot, self._size
        grain = torch.stack([refinement.pixel_noise(shot.seed, shot.frames.numbers[i], height, width) for i in indices])
        plate = stages.encode(
            self._placement.networks,
            resolution.to_network([shot.frames[i] for i in indices], self._size),
            self._settings.noise_augmentation * grain,
            device=self._placement.device,
            attempt=self._placement.attempt,
            check=shot.check,
            forward=self._forward,
        )
        disparity = torch.from_numpy(np.stack([self._prior.disparity(i) for i in indices]))
        prior = refinement.encode_prior(
            self._placement.networks,
            refinement.stretched(disparity, self._low, self._high),
            self._size,
            resize=self._settings.resize,
            device=self._placement.device,
            attempt=self._placement.attempt,
            check=shot.check,
            forward=self._forward,
        )
        return plate, prior

    def _refine(self, index: int) -> None:
        """Take one window through the step, and keep that."""
        settings, window = self._settings, self._windows[index]
        assert self._inputs is not None  # noqa: S101 - for the type checker: the window has been encoded
        given = self._inputs[window.start - self._inputs_from : window.stop - self._inputs_from]
        shared = self._latents[-settings.overlap :] if settings.latent_sharing and settings.overlap and index else None
        prior = given.prior if shared is None else torch.cat([shared, given.prior[settings.overlap :]])
        width, height = self._size
        numbers = self._shot.frames.numbers
        noise = [refinement.frame_noise(self._shot.seed, numbers[i], height, width) for i in window]
        label = f"Refining window {index + 1} of {len(self._windows)}" if len(self._windows) > 1 else "Refining"
        self._tell("refine", label)
        with self._placement.during("denoise"):
            latents = refinement.refine(
                self._placement.networks,
                prior,
                given.plate,
                torch.stack(noise),
                sigma=self._sigma,
                noise_augmentation=settings.noise_augmentation,
                device=self._placement.device,
                attempt=self._placement.attempt,
                check=self._shot.check,
                forward=self._forward,
            ).cpu()
        stages.refuse_overflow(latents, self._placement.networks)
        self._worked(STEP, len(window))
        self._tell("refine", label)
        if shared is not None:
            both = windows.joined(shared, latents[: len(shared)], stitch=True)
            latents = torch.cat([both, latents[len(shared) :]])
        self._latents = latents
        self._keep(index)

    def _piece(self, index: int) -> range:
        """The frames that are decoded once a window is refined: all of it, or, where latents are shared, its own."""
        window = self._windows[index]
        if self._settings.latent_sharing and index + 1 < len(self._windows):
            return range(window.start, self._windows[index + 1].start)
        return window

    def _decode(self, index: int) -> None:
        """Decode a window, blend it with the one before, and write the frames that are final and not written yet."""
        maps = self._decoded(index)
        with self._placement.during("decode"):
            for frame, disparity in self._blending.through(self._piece(index), maps, last=self._is_last(index)):
                if disparity is not None and frame not in self._shot.finished:
                    self._write(frame, disparity)

    def _decoded(self, index: int) -> Iterator[Tensor | None]:
        """A window's maps [H, W], 0 to 1; None for those that neither a file nor the next window is made of."""
        piece = self._piece(index)
        final = len(piece) if self._is_last(index) else len(piece) - self._blended
        chunks = [
            piece[start : start + self._settings.decode_chunk]
            for start in range(0, len(piece), self._settings.decode_chunk)
        ]
        written = self._shot.finished.intersection(piece[:final])

        def decoding() -> Iterator[tuple[range, Fetched | None]]:
            for chunk in chunks:
                needed = not written.issuperset(chunk)
                yield chunk, Fetched(self._decoded_chunk(self._windows[index].start, chunk)) if needed else None

        for chunk, fetched in one_behind(decoding()):
            self._tell("decode", "Decoding and writing frames")
            maps = fetched.tensor() if fetched else None
            for place, frame in enumerate(chunk):
                if maps is not None and not bool(torch.isfinite(maps[place]).all()):
                    where = f"while frame {self._shot.frames.numbers[frame]} was decoded"
                    raise stages.overflow(self._placement.networks, where)
                yield None if maps is None else maps[place]
            self._worked(DECODING, len(chunk))

    def _decoded_chunk(self, start: int, chunk: range) -> Tensor:
        return stages.decode(
            self._placement.networks,
            self._latents[chunk.start - start : chunk.stop - start],
            device=self._placement.device,
            attempt=self._placement.attempt,
            check=self._shot.check,
            forward=self._forward,
        )

    def _write(self, frame: int, disparity: Tensor) -> None:
        """Write one frame's maps, in the prior's units.

        Where those are inverse depth, no map reaches 0: the prior's own are above it, so the lower end of the range
        is, and what was decoded lies between 0 and 1, from that end upwards.
        """
        units = refinement.unstretched(disparity, self._low, self._high)
        write_maps(self._shot, self._prior, frame, units.numpy())

    def _write_flat(self) -> None:
        """Write a shot whose prior is the same everywhere: there is nothing to refine."""
        self._shot.warn("Its depth is the same everywhere, so there was nothing to refine.")
        for frame in sorted(set(range(self._count)) - self._shot.finished):
            self._write(frame, torch.full(self._working[::-1], 0.5))

    def _is_last(self, index: int) -> bool:
        return index + 1 == len(self._windows)

    def _keep(self, index: int) -> None:
        """Let go of the inputs before the next window, and keep the rest."""
        assert self._inputs is not None  # noqa: S101 - for the type checker, as above
        begin = self._count if self._is_last(index) else self._windows[index + 1].start
        self._inputs, self._inputs_from = self._inputs[begin - self._inputs_from :], begin
        waiting = self._blending.waiting
        save_checkpoint(
            Checkpoint(
                windows_done=index + 1,
                latents=self._latents,
                waiting=torch.stack(waiting) if waiting else torch.empty(0),
                inputs=self._inputs,
                inputs_from=self._inputs_from,
                low=self._low,
                high=self._high,
                plan=self._placement.plan,
            ),
            self._shot.scratch,
        )

    def _worked(self, work: float, frames: int) -> None:
        self._work_done += work * frames * self._size[0] * self._size[1] / _PUBLISHED_PIXELS

    def _tell(self, stage: str, label: str) -> None:
        self._progress(stage, label, self._work_done, self._work)


@dataclass(frozen=True)
class Inputs:
    """What a window is refined from.

    Attributes
    ----------
    plate : Encoded
        Of n frames.
    prior : Tensor [n, 4, h, w]
        See `refinement.encode_prior`.
    """

    plate: Encoded
    prior: Tensor

    def __len__(self) -> int:
        return len(self.prior)

    def __getitem__(self, frames: slice) -> Inputs:
        return Inputs(self.plate[frames], self.prior[frames])

    @staticmethod
    def joined(pieces: Sequence[Inputs]) -> Inputs:
        """Consecutive frames as one."""
        return Inputs(Encoded.joined([piece.plate for piece in pieces]), torch.cat([piece.prior for piece in pieces]))


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run whose last window is refined, but not decoded.

    Attributes
    ----------
    windows_done : int
        Windows that are refined, one or more.
    latents : Tensor [n, 4, h, w]
        Of the last of them.
    waiting : Tensor [m, H, W]
        What the windows before it have made of its first frames; m = 0 where nothing is blended.
    inputs : Inputs
        Of frames from `inputs_from` on, where the next window begins.
    inputs_from : int
    low, high : float
        The shot's range.
    plan : Plan
        In what pieces the layers were computed; with another one results differ by rounding.
    """

    windows_done: int
    latents: Tensor
    waiting: Tensor
    inputs: Inputs
    inputs_from: int
    low: float
    high: float
    plan: Plan


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Keep a checkpoint in the place of the one before, in one step."""
    tensors = {
        "latents": checkpoint.latents,
        "waiting": checkpoint.waiting,
        "plate.latents": checkpoint.inputs.plate.latents,
        "plate.embeddings": checkpoint.inputs.plate.embeddings,
        "prior": checkpoint.inputs.prior,
    }
    facts = {
        "windows_done": checkpoint.windows_done,
        "inputs_from": checkpoint.inputs_from,
        "range": [checkpoint.low, checkpoint.high],
        "plan": dataclasses.asdict(checkpoint.plan),
    }
    save_tensors(folder / NAME, tensors, facts)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint that an earlier run left; None where there is none that can be read."""
    found = tensor_file.load(folder / NAME)
    if found is None:
        return None
    tensors, facts = found
    low, high = facts["range"]
    return Checkpoint(
        windows_done=facts["windows_done"],
        latents=tensors["latents"],
        waiting=tensors["waiting"],
        inputs=Inputs(Encoded(tensors["plate.latents"], tensors["plate.embeddings"]), tensors["prior"]),
        inputs_from=facts["inputs_from"],
        low=low,
        high=high,
        plan=Plan(**facts["plan"]),
    )


def checkpoint_plan(folder: Path) -> Plan | None:
    """The plan alone of the checkpoint in a folder; None where there is none that can be read."""
    facts = tensor_file.facts(folder / NAME)
    return Plan(**facts["plan"]) if facts else None
