"""DepthCrafter on a shot of any length: frames stream in, segment by segment, and maps stream out.

In memory are, beside the networks, one segment's latents and embeddings. The stages are those of `pipeline`, on the
same chunks of frames, so that the maps are the same bits. After every segment a checkpoint is kept, so that a later
run goes on from there, to the same bits as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...common.files import save_tensors
from ...video_diffusion import loading, resolution, stages, tensor_file, windows
from ...video_diffusion.execution.forward import OWN, Forward
from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.parameters import check_window
from ...video_diffusion.placement import Placement
from ...video_diffusion.stages import DECODING, ENCODE_GRID, ENCODING, STEP, Encoded
from ...video_diffusion.transfer import Fetched, one_behind
from ..base import Shot, ShotResult

NAME = "segments.safetensors"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The estimator's parameters, see ``INFO``."""

    steps: int
    guidance: float
    window: int
    overlap: int
    noise_augmentation: float
    decode_chunk: int
    anchor: bool
    stitch: bool
    device: str
    precision: str
    memory_limit: float
    compile: bool


def estimate_shot(shot: Shot) -> ShotResult:
    """Estimate a shot with the downloaded networks; see `estimators.base`.

    Raises
    ------
    Failure
        The parameters contradict each other; the device lacks memory; weights are damaged; values overflowed.
    """
    settings = Settings(**shot.parameters)
    check_window(settings.window, settings.overlap)
    if len(shot.finished) == len(shot.frames):
        return ShotResult()
    wanted = loading.Wanted(
        who="DepthCrafter",
        window=settings.window,
        decode_chunk=settings.decode_chunk,
        guided=settings.guidance > 1,
        device=settings.device,
        precision=settings.precision,
        memory_limit=settings.memory_limit,
        compile=settings.compile,
    )
    placement = loading.placement(
        wanted,
        checkpoint_plan(shot.scratch),
        size=(shot.frames.width, shot.frames.height),
        frame_count=len(shot.frames),
        progress=shot.progress,
        check=shot.check,
        warn=shot.warn,
    )
    Stream(shot, settings, placement).run()
    return ShotResult()


class Stream:
    """A shot on its way through the stages.

    Parameters
    ----------
    shot : Shot
    settings : Settings
    placement : Placement
        Holds the networks.
    forward : Forward
        How they are run.
    """

    def __init__(self, shot: Shot, settings: Settings, placement: Placement, forward: Forward = OWN) -> None:
        self._shot, self._settings, self._placement, self._forward = shot, settings, placement, forward
        self._count = len(shot.frames)
        self._segments = windows.segments(self._count, settings.window, settings.overlap)
        self._working = (shot.frames.width, shot.frames.height)
        self._size = resolution.network_size(*self._working)
        self._generator = torch.Generator()
        self._pool = torch.empty(0)
        self._latents, self._latents_from = torch.empty(0), 0
        self._encoded: Encoded | None = None
        self._encoded_from = 0
        self._work_done = 0.0

    def run(self) -> None:
        """Estimate the frames that are not written yet.

        Raises
        ------
        Failure
            Memory ran out, or the networks' values overflowed; what was written stays, and an unchanged job goes on.
        Cancelled
        """
        begun = self._take_up()
        for index in range(begun, len(self._segments)):
            self._encode_until(self._segments[index].stop)
            self._denoise(index)
            self._decode_until(self._final_until(index))

    def _take_up(self) -> int:
        """Go on from an earlier run's checkpoint, or begin; returns the first segment to do."""
        kept = load_checkpoint(self._shot.scratch)
        if kept is None or not self._shot.finished.issuperset(range(kept.latents_from)):  # a map was lost since then
            self._generator.manual_seed(self._shot.seed)
            # The pool's noise comes after all pixel noise, which is drawn only as frames are read.
            self._tell("noise", "Drawing noise")
            width, height = self._size
            ahead = windows.skipped(self._generator, self._count, height, width, check=self._shot.check)
            self._pool = windows.latent_noise(ahead, min(self._settings.window, self._count), height, width)
            return 0
        self._generator.set_state(kept.generator)
        self._pool = kept.pool
        self._latents, self._latents_from = kept.latents, kept.latents_from
        self._encoded, self._encoded_from = kept.encoded, kept.encoded_from
        index = kept.segments_done - 1
        denoised = sum(len(segment) for segment in self._segments[: index + 1])
        self._worked(ENCODING * (self._encoded_from + len(kept.encoded)))
        self._worked(self._step_work() * denoised + DECODING * kept.latents_from)
        self._decode_until(self._final_until(index))
        return index + 1

    def _encode_until(self, stop: int) -> None:
        """Have all frames before `stop` encoded; the chunk that holds the last of them is done whole."""
        held = self._encoded
        start = self._encoded_from + (len(held) if held else 0)
        if start >= stop:
            return
        pieces: list[tuple[Fetched, Fetched]] = []
        width, height = self._size
        with self._placement.during("encode"):
            for first in range(start, stop, ENCODE_GRID):
                self._tell("encode", "Encoding frames")
                indices = range(first, min(first + ENCODE_GRID, self._count))
                frames = resolution.to_network([self._shot.frames[i] for i in indices], self._size)
                grain = windows.pixel_noise(self._generator, len(indices), height, width)
                piece = stages.encode(
                    self._placement.networks,
                    frames,
                    self._settings.noise_augmentation * grain,
                    device=self._placement.device,
                    attempt=self._placement.attempt,
                    check=self._shot.check,
                    forward=self._forward,
                )
                pieces.append((Fetched(piece.latents), Fetched(piece.embeddings)))
                self._worked(ENCODING * len(indices))
        new = [Encoded(latents.tensor(), embeddings.tensor()) for latents, embeddings in pieces]
        self._encoded = Encoded.joined([held, *new] if held else new)

    def _denoise(self, index: int) -> None:
        """Denoise one segment, join it to what is there, and keep that."""
        settings, segment = self._settings, self._segments[index]
        assert self._encoded is not None  # noqa: S101 - for the type checker: the segment has been encoded
        conditions = self._encoded[segment.start - self._encoded_from : segment.stop - self._encoded_from]
        label = f"Denoising window {index + 1} of {len(self._segments)}" if len(self._segments) > 1 else "Denoising"
        work = self._step_work() / settings.steps * len(segment)

        def told(steps: int) -> None:
            self._worked(work)
            self._tell("denoise", label)

        def denoise(first: Tensor) -> Tensor:
            return stages.denoise(
                self._placement.networks,
                first,
                conditions,
                steps=settings.steps,
                guidance=settings.guidance,
                noise_augmentation=settings.noise_augmentation,
                device=self._placement.device,
                attempt=self._placement.attempt,
                check=self._shot.check,
                forward=self._forward,
                progress=told,
            )

        self._tell("denoise", label)
        with self._placement.during("denoise"):
            self._latents = windows.extended(
                self._latents,
                index,
                windows.segment_noise(self._pool, index, len(segment), settings.overlap, anchor=settings.anchor),
                overlap=settings.overlap,
                anchor=settings.anchor,
                stitch=settings.stitch,
                sigmas=stages.first_sigmas(self._placement.networks, settings.steps),
                denoise=denoise,
            )
        self._forget_encoded(before=self._final_until(index))
        self._keep(segments_done=index + 1)

    def _decode_until(self, stop: int) -> None:
        """Decode and write the chunks whose frames are all before `stop`, and that an earlier run did not write.

        The chunks lie on a grid from the shot's first frame, and the last one may be short.
        """
        chunks = [
            range(start, min(start + self._settings.decode_chunk, self._count))
            for start in range(self._latents_from, stop, self._settings.decode_chunk)
        ]
        if chunks and chunks[-1].stop > stop:
            chunks.pop()
        if not chunks:
            return
        with self._placement.during("decode"):
            for chunk, fetched in one_behind(self._decoded(chunks)):
                self._tell("decode", "Decoding and writing frames")
                for index, disparity in zip(chunk, fetched.tensor().numpy() if fetched else ()):
                    if index not in self._shot.finished:
                        self._write(index, disparity)
                self._worked(DECODING * len(chunk))
        self._latents = self._latents[chunks[-1].stop - self._latents_from :]
        self._latents_from = chunks[-1].stop

    def _decoded(self, chunks: list[range]) -> Iterator[tuple[range, Fetched | None]]:
        """Each chunk's disparity on its way from the device; None where all of it was written by an earlier run."""
        for chunk in chunks:
            if self._shot.finished.issuperset(chunk):
                yield chunk, None
                continue
            disparity = stages.decode(
                self._placement.networks,
                self._latents[chunk.start - self._latents_from : chunk.stop - self._latents_from],
                device=self._placement.device,
                attempt=self._placement.attempt,
                check=self._shot.check,
                forward=self._forward,
            )
            yield chunk, Fetched(disparity)

    def _write(self, index: int, disparity: NDArray[np.float32]) -> None:
        """Write one map, if it is one."""
        if not np.isfinite(disparity).all():
            raise stages.overflow(
                self._placement.networks, f"while frame {self._shot.frames.numbers[index]} was decoded"
            )
        self._shot.check()
        self._shot.write(index, resolution.to_working(disparity, self._working))

    def _final_until(self, index: int) -> int:
        """The first frame that is not final yet once a segment is done: where the next segment begins."""
        following = index + 1
        return self._segments[following].start if following < len(self._segments) else self._count

    def _forget_encoded(self, *, before: int) -> None:
        if self._encoded is not None:
            self._encoded = self._encoded[before - self._encoded_from :]
            self._encoded_from = before

    def _keep(self, *, segments_done: int) -> None:
        assert self._encoded is not None  # noqa: S101 - for the type checker, as above
        save_checkpoint(
            Checkpoint(
                segments_done=segments_done,
                latents=self._latents,
                latents_from=self._latents_from,
                encoded=self._encoded,
                encoded_from=self._encoded_from,
                pool=self._pool,
                generator=self._generator.get_state(),
                plan=self._placement.plan,
            ),
            self._shot.scratch,
        )

    def _step_work(self) -> float:
        """Work of denoising a frame once through all steps."""
        return STEP * self._settings.steps * (2 if self._settings.guidance > 1 else 1)

    def _worked(self, work: float) -> None:
        self._work_done += work

    def _tell(self, stage: str, label: str) -> None:
        in_segments = sum(len(segment) for segment in self._segments)
        total = (ENCODING + DECODING) * self._count + self._step_work() * in_segments
        self._shot.progress(stage, label, self._work_done, total)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run between two segments.

    Attributes
    ----------
    segments_done : int
        Segments that are denoised and joined.
    latents : Tensor [n, 4, h, w]
        Joined latents from frame `latents_from` on: what is not decoded yet, or overlaps the next segment.
    latents_from : int
    encoded : Encoded
        Frames from `encoded_from` on that are encoded already and still needed.
    encoded_from : int
    pool : Tensor [window, 4, h, w]
        See `windows.latent_noise`.
    generator : Tensor
        State of the generator of pixel noise, after the last encoded frame.
    plan : Plan
        In what pieces the layers were computed; with another one results differ by rounding.
    """

    segments_done: int
    latents: Tensor
    latents_from: int
    encoded: Encoded
    encoded_from: int
    pool: Tensor
    generator: Tensor
    plan: Plan


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Keep a checkpoint in the place of the one before, in one step."""
    tensors = {
        "latents": checkpoint.latents,
        "encoded.latents": checkpoint.encoded.latents,
        "encoded.embeddings": checkpoint.encoded.embeddings,
        "pool": checkpoint.pool,
        "generator": checkpoint.generator,
    }
    facts = {
        "segments_done": checkpoint.segments_done,
        "latents_from": checkpoint.latents_from,
        "encoded_from": checkpoint.encoded_from,
        "plan": dataclasses.asdict(checkpoint.plan),
    }
    save_tensors(folder / NAME, tensors, facts)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint that an earlier run left; None where there is none that can be read."""
    found = tensor_file.load(folder / NAME)
    if found is None:
        return None
    tensors, facts = found
    return Checkpoint(
        segments_done=facts["segments_done"],
        latents=tensors["latents"],
        latents_from=facts["latents_from"],
        encoded=Encoded(tensors["encoded.latents"], tensors["encoded.embeddings"]),
        encoded_from=facts["encoded_from"],
        pool=tensors["pool"],
        generator=tensors["generator"].to(torch.uint8),
        plan=Plan(**facts["plan"]),
    )


def checkpoint_plan(folder: Path) -> Plan | None:
    """The plan alone of the checkpoint in a folder, without its tensors; None where there is none that can be read."""
    facts = tensor_file.facts(folder / NAME)
    return Plan(**facts["plan"]) if facts else None
