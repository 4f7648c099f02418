"""Estimate one shot: the estimator's inputs, and the writing of its maps."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.failures import Cancelled, ClipError, Failure, UnsupportedShot, is_out_of_memory, unwritable
from ..common.percentiles import Percentiles
from ..contract import depth_sequence, events, leftovers, own_files
from ..contract.camera import Camera
from ..contract.depth_sequence import confidence_name, disparity_name
from ..contract.job import Job
from ..contract.own_files import Names
from ..estimators import registry
from ..estimators.base import EstimatorInfo, Frames, ReportProgress, Shot, ShotResult
from ..media.clip import Clip
from ..media.exr import read_map, write_map
from ..media.mattes import mattes
from ..media.working import Prepared
from . import checkpoints
from .output import Output, are_there, map_names, sound_maps

_UPSAMPLING = 0.4e-6
"""Work of upsampling a frame's maps to plate size, as a share of estimating it, per pixel of the plate."""
_NO_CONFIDENCE, _MOST_WITHOUT = 0.1, 0.65
"""Confidence below which a pixel has none, and the share of such pixels that causes a warning; good shots: .1 to .6."""
_LOOKED_AT = 48
"""Frames of a shot whose confidence is checked."""
_LOW = "low"
"""Folder in the scratch folder for maps that are yet to be upsampled."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the shots of a job have in common; `parameters` are all that the estimator declares."""

    job: Job
    info: EstimatorInfo
    parameters: dict[str, Any]
    clip: Clip
    out: Output
    check: Callable[[], None]

    @property
    def upsampling(self) -> float:
        """Work of upsampling a frame's maps to plate size, if the job wants it, as a share of estimating it."""
        return _UPSAMPLING * self.clip.width * self.clip.height if self.job.full_size else 0.0


def run_shot(task: Task, prepared: Prepared, first: int, last: int, *, label: str) -> depth_sequence.Shot:
    """Estimate one shot, or resume it; returns it done, with its maps written, or unsupported.

    `label` is the shot's name for the artist, such as ``shot 2 of 3``; empty if there is only one.
    """
    if first in prepared.blank:
        task.out.meter.begin((last - first + 1) * (1 + task.upsampling))
        reason = f"The shot is {prepared.blank[first]} throughout, so it has no depth."
        return _refused(first, last, f"{reason} Leave it out, or choose other frames.")
    frames = prepared.frames(first, last)
    size = (frames.width, frames.height)
    folder = task.out.scratch / _LOW if task.job.full_size else task.out.maps
    maps = _Maps(task.out, folder, frames.numbers, size, check=task.check)
    own = _own_folder(task, frames.numbers, label)
    is_resumed = any(own.iterdir())
    task.out.meter.begin(len(frames))

    def write(index: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None) -> None:
        _check_maps(task.info, frames, index, disparity, confidence)
        maps.write(frames.numbers[index], disparity, confidence)

    def attempt() -> ShotResult:
        result = registry.function(task.info.name)(
            Shot(
                frames=frames,
                parameters=dict(task.parameters),
                seed=task.job.seed,
                camera=_camera_of(task.job.camera, frames),
                mattes=mattes(task.job.mattes, first, last, size) if task.job.mattes else None,
                shown=prepared.shown(first, last),
                scratch=own,
                finished=frozenset(index for index, number in enumerate(frames.numbers) if number in maps.there),
                write=write,
                progress=_reporter(task, label),
                check=task.check,
                warn=lambda message: _warn(task, label, message),
            )
        )
        if left_out := maps.missing():
            raise ValueError(f"{task.info.name} left out {len(left_out)} frames, the first is {left_out[0]}")
        return replace(result, camera=_checked(result.camera, task.info, frames))

    try:
        if len(frames) < task.info.minimum_frames:
            count = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
            raise UnsupportedShot(
                f"The shot has {count} and {task.info.label} needs at least {task.info.minimum_frames}.",
                "Choose a longer range, or use Video Depth Anything or Quick, which support a single frame.",
            )
        try:
            result = attempt()
        except Exception as error:
            task.check()  # what a cancellation breaks is no checkpoint's fault
            if not is_resumed or not _may_be_of_checkpoints(error):
                raise
            traceback.print_exc()
            why = type(error).__name__
            _warn(task, label, f"What an earlier run left of this shot cannot be used ({why}) and will be made again.")
            own_files.clear(own, Names(tuple(each.removeprefix(leftovers.SHOT) for each in registry.scratch_files())))
            result = attempt()
    except UnsupportedShot as refused:
        task.check()  # after a cancellation, an interrupted child process may look like an unsupported shot
        maps.drop()
        return _refused(first, last, str(refused))
    for warning in (*result.warnings, *_doubts(maps, task.info)):
        _warn(task, label, warning)
    if task.job.full_size:
        maps = _upsampled(task, maps, label)
    return depth_sequence.Shot(
        first_frame=first,
        last_frame=last,
        status="done",
        range=maps.value_range.range(),
        camera=result.camera.scaled(task.clip.width, task.clip.height) if result.camera else None,
        quantity=result.quantity if result.quantity != task.info.quantity else None,
        estimators=(task.info.name,),
    )


def _may_be_of_checkpoints(error: Exception) -> bool:
    """Whether arrays of another shape or type than an estimator's own may cause an error; they are only data to it."""
    others = (Failure, ClipError, UnsupportedShot, Cancelled, OSError, ImportError)
    return not isinstance(error, others) and not is_out_of_memory(error)


def _refused(first: int, last: int, reason: str) -> depth_sequence.Shot:
    return depth_sequence.Shot(first_frame=first, last_frame=last, status="refused", reason=reason)


def _camera_of(prior: Camera | None, frames: Frames) -> Camera | None:
    """The job's camera at processing resolution, with only the shot's poses."""
    if prior is None:
        return None
    poses = tuple(pose for pose in prior.poses if pose.frame in frames.numbers)
    return replace(prior, poses=poses).scaled(frames.width, frames.height)


def _own_folder(task: Task, numbers: Sequence[int], label: str) -> Path:
    """The estimator's folder for a shot; damaged files of an earlier run are deleted, to be made again."""
    folder = task.out.scratch / f"shot.{numbers[0]:04d}-{numbers[-1]:04d}"
    folder.mkdir(exist_ok=True)
    dropped = checkpoints.drop_damaged(folder, Names(registry.scratch_files()), check=task.check)
    if dropped:
        more = f" and {len(dropped) - 1} more" if len(dropped) > 1 else ""
        _warn(task, label, f"{dropped[0]}{more} from an earlier run cannot be read and will be made again.")
    return folder


def _reporter(task: Task, which: str) -> ReportProgress:
    def report(stage: str, label: str, done: float, total: float) -> None:
        task.out.meter.stage(stage, _labelled(label, which))
        task.out.meter.part(done / total if total > 0 else 0.0)

    return report


def _labelled(label: str, which: str) -> str:
    return f"{label} ({which})" if which else label


def _warn(task: Task, label: str, message: str) -> None:
    task.out.emit(events.Warning(message=f"{label.capitalize()}: {message}" if label else message))


def _check_maps(
    info: EstimatorInfo,
    frames: Frames,
    index: int,
    disparity: NDArray[np.float32],
    confidence: NDArray[np.float32] | None,
) -> None:
    """Raise an error if an estimator's maps differ from its declaration."""
    number = frames.numbers[index]
    if (confidence is not None) != info.has_confidence:
        raise ValueError(f"{info.name} declares has_confidence={info.has_confidence}, unlike its maps")
    for name, values in (("disparity", disparity), ("confidence", confidence)):
        if values is None:
            continue
        if values.shape != (frames.height, frames.width) or not np.isfinite(values).all():
            raise ValueError(
                f"{info.name} returned a {name} map of frame {number} that is not finite or not of the size "
                f"{frames.width}x{frames.height}"
            )
    if confidence is not None and not (confidence.min() >= 0 and confidence.max() <= 1):
        raise ValueError(f"{info.name} returned a confidence map of frame {number} that is not between 0 and 1")


def _checked(camera: Camera | None, info: EstimatorInfo, frames: Frames) -> Camera | None:
    if camera is not None and [pose.frame for pose in camera.poses] != list(frames.numbers):
        raise ValueError(f"{info.name} returned a camera with poses of other frames")
    if camera is None and info.has_camera:
        raise ValueError(f"{info.name} declares a camera and returned none")
    return camera


def _doubts(maps: _Maps, info: EstimatorInfo) -> tuple[str, ...]:
    """A warning if most of a shot's depth has no confidence, judged by a few dozen of its frames."""
    if not info.has_confidence:
        return ()
    looked_at = maps.numbers[:: -(-len(maps.numbers) // _LOOKED_AT)]
    share = float(np.mean([np.mean(maps.confidence(number) < _NO_CONFIDENCE) for number in looked_at]))
    if share <= _MOST_WITHOUT:
        return ()
    return (
        f"{share:.0%} of the depth has hardly any confidence (less than {_NO_CONFIDENCE}) and may be wrong; blur, a "
        "rolling shutter, flat colours and reflections cause that. Check the confidence before you build on it.",
    )


def _upsampled(task: Task, low: _Maps, label: str) -> _Maps:
    """A shot's maps at plate size, in one pass over the plate."""
    from ..depth_maps.joint_upsampling import upsample  # late, since it compiles

    numbers, meter = low.numbers, task.out.meter
    maps = _Maps(task.out, task.out.maps, numbers, (task.clip.width, task.clip.height), check=task.check)
    meter.begin(len(numbers) * task.upsampling)
    meter.stage("upsample", _labelled("Upsampling depth to the plate's size", label))
    left = maps.missing()
    for number, plate in task.clip.read(left[0], numbers[-1]) if left else ():
        task.check()
        if number not in maps.there:
            maps.write(number, *upsample(low.read(number), plate))
        meter.part((number - numbers[0] + 1) / len(numbers))
    return maps


class _Maps:
    """The maps of one shot in a folder, including those of an earlier run unless they are damaged.

    The folder is `Output.maps`, whose final maps are counted there, or one for maps that are yet to be upsampled.

    Attributes
    ----------
    there : set of int
        The frames whose maps are all written.
    value_range : Percentiles
        Percentiles of the written disparity maps.
    """

    def __init__(
        self, out: Output, folder: Path, numbers: Sequence[int], size: tuple[int, int], *, check: Callable[[], None]
    ) -> None:
        self._out, self._folder, self.numbers, self._size = out, folder, numbers, size
        self._final = folder == out.maps
        self.value_range, self.there = Percentiles(), set[int]()
        folder.mkdir(exist_ok=True)
        for number in numbers:
            if not are_there(folder, number, confidence=out.confidence):
                continue
            check()
            maps = sound_maps(folder, number, size=size, confidence=out.confidence)
            if maps is None:
                (folder / disparity_name(number)).unlink()
            else:
                self._count(number, maps[0])

    def read(self, number: int) -> tuple[NDArray[np.float32], ...]:
        """A frame's disparity [H, W] and, if there is one, its confidence."""
        return tuple(read_map(self._folder / name, size=self._size) for name in self._names(number))

    def confidence(self, number: int) -> NDArray[np.float32]:
        """A frame's confidence alone."""
        return read_map(self._folder / confidence_name(number), size=self._size)

    def write(self, number: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None) -> None:
        """Write a frame's maps [H, W], the disparity last, unless they are written already."""
        if number in self.there:
            return
        size = 0
        for name, values in ((confidence_name(number), confidence), (disparity_name(number), disparity)):
            if values is None:
                continue
            path = self._folder / name
            try:
                with own_files.atomic(path, via=self._out.scratch) as temporary:
                    write_map(temporary, values)
                    size += temporary.stat().st_size
            except OSError as error:
                raise unwritable(error, path, needed_bytes=self._out.needed_bytes()) from error
        self._count(number, disparity)
        if self._final:
            self._out.wrote(size)
            self._out.emit(events.Frame(number=number, path=str(self._folder / disparity_name(number))))

    def missing(self) -> list[int]:
        """The frames without maps."""
        return [number for number in self.numbers if number not in self.there]

    def drop(self) -> None:
        """Remove all maps."""
        for number in sorted(self.there):
            for name in self._names(number):
                (self._folder / name).unlink(missing_ok=True)
        if self._final:
            self._out.meter.frames_done(-len(self.there))
        self.there.clear()

    def _count(self, number: int, disparity: NDArray[np.float32]) -> None:
        self.value_range.add(disparity)
        self.there.add(number)
        if self._final:
            self._out.meter.frames_done(1)

    def _names(self, number: int) -> list[str]:
        return map_names(number, confidence=self._out.confidence)
