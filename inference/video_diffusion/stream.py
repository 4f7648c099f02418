"""The networks on a shot of any length: windows of frames stream in, and maps stream out.

Beside the networks, memory holds one window's inputs and latents, and the decoded overlap of the window before. A
checkpoint is saved after every window; a later run resumes from it, to the same bits under the same memory plan and
within rounding under another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..common.files import save_tensors
from ..contract import records
from ..models import safetensors_header
from . import resolution, stages, windows
from .execution.forward import OWN, Forward
from .parameters import Settings, Shot
from .placement import Placement
from .stages import DECODING, ENCODE_GRID, Encoded
from .transfer import Fetched, one_behind
from .windows import Blending

CHECKPOINT = "windows.safetensors"
_PUBLISHED_PIXELS = 1024 * 576


def work_of(
    count: int, settings: Settings, size: tuple[int, int], *, encoding: float, denoising: float, blended: bool
) -> float:
    """Work on a shot of `count` frames with images of `size`, in TFLOP.

    `encoding` and `denoising` are for a frame at 1024x576. A frame is denoised once in every window that it is in, and
    also decoded once in every window where windows are `blended`, else once in all.
    """
    in_windows = sum(len(window) for window in windows.segments(count, settings.window, settings.overlap))
    work = encoding * count + denoising * in_windows + DECODING * (in_windows if blended else count)
    return work * size[0] * size[1] / _PUBLISHED_PIXELS


class Stream(ABC):
    """The loop over a shot's windows; the estimator supplies what is encoded, denoised and written.

    Parameters
    ----------
    encoding, denoising : float
        See `work_of`.
    blended : int
        Decoded frames that are cross-faded between windows; 0: each frame is decoded once.

    Attributes
    ----------
    count : int
        Frames of the shot.
    windows : list of range
        Their frames, counted from the shot's first.
    size : (width, height)
        Of the networks' images.
    common : dict
        Keyword arguments of every stage, see `stages`.
    latents : Tensor [n, 4, h, w]
        Denoised and not decoded yet, on the CPU, from frame `latents_from` on.
    """

    encoding_label = "Encoding frames"

    def __init__(
        self,
        shot: Shot,
        settings: Settings,
        placement: Placement,
        forward: Forward = OWN,
        *,
        encoding: float,
        denoising: float,
        blended: int = 0,
    ) -> None:
        self.shot, self.placement = shot, placement
        self.count = len(shot.frames)
        self.windows = windows.segments(self.count, settings.window, settings.overlap)
        self.size = resolution.network_size(shot.frames.width, shot.frames.height)
        self.common: dict[str, Any] = {
            "device": placement.device,
            "attempt": placement.attempt,
            "check": shot.check,
            "forward": forward,
        }
        self.latents, self.latents_from = torch.empty(0), 0
        self._inputs: tuple[Tensor, ...] = ()
        self._inputs_from = 0
        self._chunk, self._noise = settings.decode_chunk, settings.noise_augmentation
        self._blended, self._blending = blended, Blending(blended)
        self._encoding, self._denoising = encoding, denoising
        self._work_done, self._work = (
            0.0,
            work_of(self.count, settings, self.size, encoding=encoding, denoising=denoising, blended=blended > 0),
        )

    @abstractmethod
    def begin(self) -> bool:
        """Prepare a run without a checkpoint; False: nothing is left to do."""

    @abstractmethod
    def encode(self, indices: range) -> tuple[Tensor, ...]:
        """The inputs that some frames of a window are denoised from, each [n, …] and on the device."""

    @abstractmethod
    def denoise(self, index: int, *inputs: Tensor) -> Tensor:
        """Denoise a window from the results of `encode` for its frames.

        Returns the latents [n, 4, h, w] that are still to be decoded, up to the window's last frame, on the CPU.
        """

    @abstractmethod
    def decodable(self, index: int) -> int:
        """The first frame that is not decoded yet once a window is denoised."""

    @abstractmethod
    def write(self, frame: int, disparity: Tensor) -> None:
        """Write a final map [H, W], 0 to 1, at the networks' size."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The estimator's own part of a checkpoint: tensors, and values that JSON can hold."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Restore the `state` of an earlier run."""

    def run(self) -> None:
        """Estimate the frames that are not written yet.

        Raises
        ------
        Failure
            Memory ran out, or the networks' values overflowed; written maps stay, and an unchanged job resumes.
        Cancelled
        """
        begun = self._resumed()
        if not begun and not self.begin():
            return
        for index in range(begun, len(self.windows)):
            window = self.windows[index]
            self._encode_until(window.stop)
            current = slice(window.start - self._inputs_from, window.stop - self._inputs_from)
            with self.placement.during("denoise"):
                self.latents = self.denoise(index, *(each[current] for each in self._inputs))
            self.latents_from = window.stop - len(self.latents)
            self._inputs = tuple(each[self.next_start(index) - self._inputs_from :] for each in self._inputs)
            self._inputs_from = self.next_start(index)
            self._save(index)
            self._decode(index)

    def maps_of(self, index: int) -> Tensor:
        """The decoded maps [n, H, W] of a window by itself, on the CPU, where windows share no latents.

        To the bits of `run`; of windows in their order, frames are encoded once.
        """
        window = self.windows[index]
        held = len(self._inputs[0]) if self._inputs else 0
        if not self._inputs_from <= window.start <= self._inputs_from + held:
            self._inputs, self._inputs_from = (), window.start // ENCODE_GRID * ENCODE_GRID
        self._encode_until(window.stop)
        current = slice(window.start - self._inputs_from, window.stop - self._inputs_from)
        with self.placement.during("denoise"):
            self.latents = self.denoise(index, *(each[current] for each in self._inputs))
        self.latents_from = window.start
        self._inputs = tuple(each[self.next_start(index) - self._inputs_from :] for each in self._inputs)
        self._inputs_from = self.next_start(index)
        with self.placement.during("decode"):
            return torch.stack([each for each in self._maps(window, range(0)) if each is not None])

    def next_start(self, index: int) -> int:
        """Where the window after one begins; the end of the shot for the last."""
        return self.windows[index + 1].start if index + 1 < len(self.windows) else self.count

    def label(self, doing: str, index: int) -> str:
        """The progress label for a window."""
        return f"{doing} window {index + 1} of {len(self.windows)}" if len(self.windows) > 1 else doing

    def count_work(self, work: float, frames: int) -> None:
        """Add finished work; `work` is for one frame at 1024x576."""
        self._work_done += work * frames * self.size[0] * self.size[1] / _PUBLISHED_PIXELS

    def report(self, stage: str, label: str) -> None:
        """Report the progress."""
        self.shot.progress(stage, label, self._work_done, self._work)

    def encode_frames(self, indices: range, noise: Tensor) -> Encoded:
        """Encode some frames, with standard normal noise [n, 3, H, W] added to them."""
        images = resolution.to_network([self.shot.frames[index] for index in indices], self.size)
        return stages.encode(self.placement.networks, images, self._noise * noise, **self.common)

    def _resumed(self) -> int:
        """Resume from an earlier run's checkpoint; returns the first window to do."""
        found = load_checkpoint(self.shot.scratch / CHECKPOINT)
        if found is None:
            return 0
        tensors, facts = found
        done = facts["windows_done"]
        window = self.windows[done - 1]
        latents_from = window.stop - len(tensors["latents"])
        if not self.shot.finished.issuperset(range(latents_from)):  # a map has been lost since
            return 0
        self.latents, self.latents_from = tensors["latents"], latents_from
        self._inputs = tuple(tensors[f"inputs.{position}"] for position in range(facts["inputs"]))
        self._inputs_from = self.next_start(done - 1)
        self._blending = Blending(self._blended, tensors["waiting"])
        self.restore(tensors, facts)
        before = self.windows[: done - 1]
        self.count_work(self._encoding, self._inputs_from + len(self._inputs[0]))
        self.count_work(self._denoising, sum(map(len, before)) + len(window))
        self.count_work(DECODING, sum(map(len, before)) if self._blended else latents_from)
        self._decode(done - 1)
        return int(done)

    def _save(self, index: int) -> None:
        """Save a checkpoint of a window that is denoised and not decoded; it replaces the previous one."""
        tensors, facts = self.state()
        waiting = self._blending.waiting
        tensors |= {"latents": self.latents, "waiting": torch.stack(waiting) if waiting else torch.empty(0)}
        tensors |= {f"inputs.{position}": each for position, each in enumerate(self._inputs)}
        facts |= {"windows_done": index + 1, "inputs": len(self._inputs)}
        save_tensors(self.shot.scratch / CHECKPOINT, tensors, facts)

    def _encode_until(self, stop: int) -> None:
        """Encode all frames before `stop`, in chunks on a grid from the shot's first frame."""
        start = self._inputs_from + (len(self._inputs[0]) if self._inputs else 0)
        if start >= stop:
            return
        pieces = [self._inputs] if self._inputs else []
        fetched: list[list[Fetched]] = []
        with self.placement.during("encode"):
            for first in range(start, stop, ENCODE_GRID):
                indices = range(first, min(first + ENCODE_GRID, self.count))
                self.report("encode", self.encoding_label)
                fetched.append([Fetched(each) for each in self.encode(indices)])
                self.count_work(self._encoding, len(indices))
        pieces += [tuple(each.tensor() for each in piece) for piece in fetched]
        self._inputs = tuple(torch.cat(each) for each in zip(*pieces))

    def _decode(self, index: int) -> None:
        """Decode the final latents, blend them with the previous window, and write the maps that are final."""
        piece = range(self.latents_from, self.decodable(index))
        last = index + 1 == len(self.windows)
        final = piece if last else piece[: len(piece) - self._blended]
        with self.placement.during("decode"):
            for frame, disparity in self._blending.through(piece, self._maps(piece, final), last=last):
                if disparity is not None and frame not in self.shot.finished:
                    self.write(frame, disparity)
        self.latents = self.latents[len(piece) :]
        self.latents_from = piece.stop

    def _maps(self, piece: range, final: range) -> Iterator[Tensor | None]:
        """Maps [H, W] of consecutive frames; None for those that neither a file nor the next window needs."""
        written = self.shot.finished.intersection(final)

        def decoding() -> Iterator[tuple[range, Fetched | None]]:
            for first in range(0, len(piece), self._chunk):
                chunk = piece[first : first + self._chunk]
                if written.issuperset(chunk):
                    yield chunk, None
                    continue
                latents = self.latents[first : first + len(chunk)]
                yield chunk, Fetched(stages.decode(self.placement.networks, latents, **self.common))

        for chunk, fetched in one_behind(decoding()):
            self.report("decode", "Decoding and writing frames")
            maps = fetched.tensor() if fetched else None
            for position, frame in enumerate(chunk):
                if maps is not None and not bool(torch.isfinite(maps[position]).all()):
                    where = f"while frame {self.shot.frames.numbers[frame]} was decoded"
                    raise stages.overflow(self.placement.networks, where)
                yield None if maps is None else maps[position]
            self.count_work(DECODING, len(chunk))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and facts that `common.files.save_tensors` wrote; None where there is nothing that can be read."""
    try:
        safetensors_header.read(path)
        with safe_open(path, framework="pt") as file:
            saved = {"facts": records.parse(file.metadata()["facts"], where="facts")}
            facts = records.from_json(_Facts, saved, where="checkpoint", strict=True).facts
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


@dataclass(frozen=True)
class _Facts:
    facts: dict[str, Any]
