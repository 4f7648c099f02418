"""One window of frames through the network, in groups that bound its memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .network import VideoDepthAnything

Levels = Sequence[Tensor]
Images = Callable[[Sequence[int]], Tensor]
"""Gives some frames as the network takes them, [n, 3, H, W], in host memory."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much goes through the network at once.

    Attributes
    ----------
    frames : int
        Through its encoder.
    fine : int
        Frames through the fine half of its head.
    pixels : int
        Through its temporal modules. Eight heads attend to each, and CUDA's kernels take 65535 pieces at most.
    """

    frames: int = 1
    fine: int = 1
    pixels: int = 2048


class WindowRun:
    """The network on one window after another; the encoder sees each frame once, not once a window.

    Parameters
    ----------
    network : VideoDepthAnything
        On the device.
    size : (width, height)
        Of its images.
    device : torch.device
    plan : Plan
    check : callable
        Called between steps; raises to cancel.

    Attributes
    ----------
    device : torch.device
    """

    def __init__(
        self,
        network: VideoDepthAnything,
        size: tuple[int, int],
        device: torch.device,
        plan: Plan,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._network, self.device, self._plan = network, device, plan
        self._width, self._height = size
        self._check = check
        self._levels: dict[int, Levels] = {}
        network.pixels_at_once = plan.pixels

    def hold(self, frames: Sequence[int], levels: Sequence[Tensor]) -> None:
        """Take the levels of some frames, [n, …] each, for the next window."""
        self._levels = self._levels | _by_frame(frames, levels)

    @torch.inference_mode()
    def __call__(
        self,
        frames: Sequence[int],
        places: int,
        images: Images,
        *,
        last: int | None = None,
        keep: Collection[int] = (),
        progress: Callable[[float], None] = lambda share: None,
    ) -> NDArray[np.float32]:
        """The network's maps [places, H, W] of a window.

        Parameters
        ----------
        frames : sequence of int
            Those that the window is fed, counted from the shot's first.
        places : int
            How many of its first maps are wanted.
        images : callable
        last : int or None
            The shot's last frame: frames are encoded in groups that are the same in whatever order, and in however
            many runs, the windows are estimated. None: in groups of these frames alone, which no other window shares.
        keep : collection of int
            Frames that the next window is fed.
        progress : callable
            Called with the share of the window that is done.
        """
        network, levels = self._network, self._encoded(frames, images, last, progress)
        third, fourth = (torch.cat([levels[frame][index] for frame in frames]) for index in (2, 3))
        coarse = network.over_time(third, fourth, levels[frames[0]][1].shape[2:], check=self._check)
        del third, fourth
        maps = np.empty((places, self._height, self._width), np.float32)
        for start in range(0, places, self._plan.fine):
            group = slice(start, min(start + self._plan.fine, places))
            first, second = (torch.cat([levels[frame][index] for frame in frames[group]]) for index in (0, 1))
            found = network.finish(first, second, coarse[group], (self._height, self._width), check=self._check)
            maps[group] = found.cpu().numpy()
            progress(0.75 + 0.25 * group.stop / places)
        if last is not None:
            self._levels = {frame: found for frame, found in levels.items() if frame in keep}
        return maps

    def _encoded(
        self, frames: Sequence[int], images: Images, last: int | None, progress: Callable[[float], None]
    ) -> dict[int, Levels]:
        """The levels of the frames, those of the window before taken from there."""
        levels, at_once = self._levels, self._plan.frames
        wanted = sorted({*frames} - {*levels})
        if last is None:
            groups = [wanted[start : start + at_once] for start in range(0, len(wanted), at_once)]
        else:
            starts = dict.fromkeys(frame - frame % at_once for frame in wanted)
            groups = [list(range(start, min(start + at_once, last + 1))) for start in starts]
        for index, group in enumerate(groups):
            self._check()
            batch = images(group).to(self.device, memory_format=torch.channels_last)
            found = self._network.levels(batch, check=self._check)
            levels = _by_frame(group, found) | levels
            progress(0.7 * (index + 1) / len(groups))
        return levels


def _by_frame(frames: Sequence[int], levels: Sequence[Tensor]) -> dict[int, Levels]:
    """The levels [1, …] of each frame, from those of all [n, …]."""
    return {frame: own for frame, *own in zip(frames, *(torch.split(each, 1) for each in levels))}
