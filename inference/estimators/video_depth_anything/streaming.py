"""Video Depth Anything on a shot of any length: windows are estimated one by one, saved, and then joined.

Every window's raw maps are a checkpoint of their own, so an interrupted run resumes with the next window; memory holds
one window, however long the shot.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...common.failures import Failure, UnsupportedShot, is_out_of_memory
from ...common.files import load_array, save_array
from ...contract import exit_codes
from ...contract.hints import setting
from ...models import pickled, store
from ...models.facts import Model
from ...video_diffusion import device
from ...video_diffusion.dry_run import gigabytes
from ...video_diffusion.execution.compiling import explained
from ..base import Phase, Shot, ShotResult
from . import joining, memory, windows
from .memory import Case
from .network import VideoDepthAnything, resized
from .weights import METRIC, SMALL
from .window import Images, Plan, WindowRun

_NEAREST = 0.05
"""Meters: nothing is nearer than this to a metric network, whose lowest values mean nothing."""
_JOINING = 0.05
"""Work of joining a frame's map, as a share of estimating it in one window."""
_ON_CPU = 294
"""Shorter side of the network's images on a CPU, for time's sake; and the least that is chosen on a GPU."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The estimator's parameters, see ``INFO``."""

    metric: bool
    joining: str
    input_size: int
    device: str
    precision: str
    memory_limit: float
    compile: bool

    def image_size(self, width: int, height: int, *, on_cpu: bool) -> tuple[int, int]:
        """The size (width, height) at which the network sees frames of the processing resolution."""
        side = self.input_size
        if not side:
            # the published rule has the side of a 16:9 frame in mind for frames that are wider
            shorter = max(min(width, height), max(width, height) * 9 / 16)
            side = _ON_CPU if on_cpu else max(_ON_CPU, min(round(shorter), windows.INPUT_SIZE))
        return windows.network_size(width, height, max(windows.PATCH, round(side / windows.PATCH) * windows.PATCH))


def estimate_shot(shot: Shot) -> ShotResult:
    """Estimate a shot; see `estimators.base`.

    Raises
    ------
    Failure
        The device or the precision does not exist; there is too little memory; weights are damaged.
    UnsupportedShot
        The network's maps are the same everywhere.
    """
    if len(shot.finished) == len(shot.frames):
        return ShotResult()
    settings = Settings(**shot.parameters)
    raw = RawMaps(shot, settings)
    for window in raw.missing():
        raw.estimate(window)
    raw.release()
    raw.require_depth()
    for index, depth in enumerate(joined(raw, settings)):
        shot.check()
        disparity = np.asarray(1 / np.maximum(depth, _NEAREST), np.float32) if settings.metric else depth
        for frame in raw.shown_at[index]:
            if frame not in shot.finished:
                shot.write(frame, disparity)
        raw.report("join", "Joining windows and writing maps", _JOINING)
    return ShotResult()


def windows_of(shot: Shot) -> Phase:
    """The estimate of the shot's windows as a phase; `estimate_shot` joins them."""
    raw = RawMaps(shot, Settings(**shot.parameters))

    def run(units: range) -> list[Path]:
        for window in raw.missing(units):
            raw.estimate(window)
        raw.release()
        return [raw.path(window) for window in units]

    return Phase(
        name="windows", label="Estimating windows", kind="window", units=raw.count, work=1 / (1 + _JOINING), run=run
    )


def joined(raw: RawMaps, settings: Settings) -> Iterator[NDArray[np.float32]]:
    """The shot's maps [H, W] at the processing resolution, in order; repeated frames once."""
    count = len(raw.shown_at)
    if settings.joining == "published":
        return joining.joined_in_turn(raw.at_working_size, count, metric=settings.metric)
    raw.report("join", "Comparing windows")
    found = joining.levels_of(raw.at, count, metric=settings.metric, check=raw.shot.check)
    return joining.joined_together(raw.at_working_size, count, found)


class RawMaps:
    """The network's maps of all windows of a shot, saved in its scratch folder; the anchor is the one after the last.

    Parameters
    ----------
    shot : Shot
    settings : Settings

    Attributes
    ----------
    shown_at : list of list of int
        For each frame of the clip that repeats no other, the shot's frames that show it.
    size : (width, height)
        Of the maps.
    """

    def __init__(self, shot: Shot, settings: Settings) -> None:
        shown: dict[int, list[int]] = {}
        for frame, source in enumerate(shot.shown or range(len(shot.frames))):
            shown.setdefault(source, []).append(frame)
        self.shot, self._sources = shot, sorted(shown)
        self.shown_at = [shown[source] for source in self._sources]
        count = len(self._sources)
        self._frames = [windows.window_frames(window, count) for window in range(windows.joined_count(count))]
        self._anchor = len(self._frames)
        if settings.joining == "whole_clip" and (anchor := joining.anchor_frames(count)):
            self._frames.append(anchor)
        self._work, self._done = windows.WINDOW * len(self._frames) + _JOINING * count, 0.0
        self._network = _Network(shot, settings)
        self.size = self._network.size

    @property
    def count(self) -> int:
        """How many windows there are, the anchor among them."""
        return len(self._frames)

    def missing(self, among: range | None = None) -> list[int]:
        """The windows that are still to be estimated: of all, or of some, which are all of the work then."""
        among = range(self.count) if among is None else among
        missing = [window for window in among if not self.path(window).exists()]
        if len(among) < self.count:
            self._work = float(windows.WINDOW * len(among))
        self._done = float(windows.WINDOW * (len(among) - len(missing)))
        return missing

    def estimate(self, window: int) -> None:
        """Estimate one window, in any order, and save its maps."""
        label, is_anchor = self._label(window), window == self._anchor
        self.report("estimate", label)
        maps = self._network.maps(
            self._frames[window],
            self._places(window),
            self._images,
            last=None if is_anchor else len(self._sources) - 1,
            keep=() if window + 1 >= len(self._frames) else self._frames[window + 1],
            progress=lambda share: self.shot.progress(
                "estimate", label, self._done + share * windows.WINDOW, self._work
            ),
        )
        save_array(self.path(window), maps)
        self._done += windows.WINDOW

    def at(self, window: int, place: int) -> NDArray[np.float32]:
        """A saved map at the network's size."""
        # read, not kept mapped: Windows deletes no file that is
        return np.array(load_array(self.path(window), mapped=True)[place])

    def at_working_size(self, window: int, place: int) -> NDArray[np.float32]:
        """A saved map at the processing resolution."""
        found = torch.from_numpy(self.at(window, place))[None, None]
        return resized(found, (self.shot.frames.height, self.shot.frames.width))[0, 0].numpy()

    def require_depth(self) -> None:
        """Raise `UnsupportedShot` for maps that are the same everywhere."""
        for window in range(len(self._frames)):
            self.shot.check()
            maps = (joining.thinned(self.at(window, place)) for place in range(self._places(window)))
            if any(np.ptp(each) > 0 for each in maps):
                return
        raise UnsupportedShot(
            "Video Depth Anything sees the same distance everywhere in the shot.", "Choose frames with visible detail."
        )

    def report(self, stage: str, label: str, work: float = 0.0) -> None:
        """Report progress, with some more work done."""
        self._done += work
        self.shot.progress(stage, label, self._done, self._work)

    def release(self) -> None:
        """Free the network's memory."""
        self._network.release()

    def _images(self, indices: Sequence[int]) -> Tensor:
        """Frames as the network takes them [n, 3, H, W]."""
        frames = (self.shot.frames[self._sources[index]] for index in indices)
        scaled = (np.asarray(frame.astype(np.float32) / 255, np.float32) for frame in frames)
        return torch.from_numpy(np.stack([windows.normalized(frame, self.size) for frame in scaled]))

    def _label(self, window: int) -> str:
        if window == self._anchor:
            return "Estimating frames across the shot together"
        return f"Estimating window {window + 1} of {self._anchor}" if self._anchor > 1 else "Estimating"

    def path(self, window: int) -> Path:
        """The file of a window's maps."""
        return self.shot.scratch / ("anchor.npy" if window == self._anchor else f"window.{window:06d}.npy")

    def _places(self, window: int) -> int:
        """How many maps of a window are saved; those of padding behind the clip's end are never asked for."""
        if window == self._anchor:
            return windows.WINDOW
        places = max(len(self._sources) - windows.STEP * window, windows.FROM_AFAR if window else 1)
        return min(places, windows.WINDOW)


class _Network:
    """The network on its device, in smaller pieces once memory ran out."""

    def __init__(self, shot: Shot, settings: Settings) -> None:
        self._shot, self._settings = shot, settings
        self._device, self._dtype = device.choose(settings.device, settings.precision)
        width, height = shot.frames.width, shot.frames.height
        self.size = settings.image_size(width, height, on_cpu=self._device.type == "cpu")
        self._plans: list[Plan] = []
        self._run: WindowRun | None = None

    def maps(
        self,
        frames: Sequence[int],
        places: int,
        images: Images,
        *,
        last: int | None,
        keep: Collection[int],
        progress: Callable[[float], None],
    ) -> NDArray[np.float32]:
        """One window's maps; see `WindowRun`.

        Raises
        ------
        Failure
            There is too little memory; weights are damaged; values are not finite.
        """
        while True:
            run = self._run = self._run or self._loaded(self._dtype)
            try:
                with explained() if self._settings.compile else nullcontext():
                    maps = run(frames, places, images, last=last, keep=keep, progress=progress)
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(self._plans) == 1:
                    raise _exhausted() from error
            # outside of the handler: while that runs, the traceback keeps the tensors of the failed attempt alive
            del run
            self._step_down()
        if np.isfinite(maps).all():
            return maps
        if self._dtype == torch.float32:
            raise _not_finite()
        self._shot.warn("Values left the range of half precision in a window, which is estimated in float32 instead.")
        self.release()
        maps = self._loaded(torch.float32)(frames, places, images, last=last, keep=keep)
        if not np.isfinite(maps).all():
            raise _not_finite()
        return maps

    def release(self) -> None:
        """Free the device's memory."""
        self._run = None
        gc.collect()
        device.release(self._device)

    def _step_down(self) -> None:
        self._plans = self._plans[1:]
        self.release()
        self._shot.warn(
            "The memory ran out, so the estimate continues in smaller pieces, which is slower. No finished work is "
            "lost."
        )

    def _loaded(self, dtype: torch.dtype) -> WindowRun:
        """The network on the device in a precision."""
        if not self._plans:
            self._shot.progress("load", "Loading the network", 0, 1)
            width, height = self.size
            case = Case(width=width, height=height, kind=self._device.type, dtype=self._dtype)
            free = device.free_bytes(self._device, memory_limit=self._settings.memory_limit)
            self._plans = list(memory.plans(case, free))
            print(
                f"Video Depth Anything at {width}x{height} needs about "
                f"{gigabytes(memory.needed_bytes(case, self._plans[0]))} of {gigabytes(free, up=False)} GB that are "
                f"free on {device.name(self._device)}: {self._plans[0]}",
                file=sys.stderr,
            )
        network = load(METRIC if self._settings.metric else SMALL).in_precision(dtype)
        network = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self._settings.compile:
            network.compile_parts()
        return WindowRun(network, self.size, self._device, self._plans[0], check=self._shot.check)


def load(model: Model) -> VideoDepthAnything:
    """The network with downloaded weights, float32 in host memory.

    Raises
    ------
    Failure
        MISSING: the file cannot be read, or is of another network.
    """
    (file,) = model.files
    with torch.device("meta"):
        network = VideoDepthAnything(metric=model == METRIC).eval()
    try:
        network.load_state_dict(pickled.tensors(model, file), assign=True)
    except RuntimeError as error:
        path = store.folder(model) / file.path
        raise Failure(exit_codes.MISSING, f"The weights {path} are of another network.", hint=_VERIFY) from error
    return network.requires_grad_(False)


_VERIFY = f"Check them. Run: {store.command('verify')}"


def _not_finite() -> Failure:
    what = "The network's values are not finite, although it runs in float32."
    return Failure(exit_codes.FAILED, what, "Its weights are damaged.", _VERIFY)


def _exhausted() -> Failure:
    return Failure(
        exit_codes.FAILED,
        "The memory ran out again, with the smallest memory plan that was left.",
        hint=f"Choose smaller images for the network ({setting('input_size', 294)}), or close other programs that use "
        "the device, and start the job again.",
    )
