"""Estimating one shot: what the estimator is given, and what becomes of its maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.failures import ClipError, Refused, unwritable
from ..common.percentiles import Spread
from ..common.progress import Meter
from ..contract import depth_sequence, events, own_files
from ..contract.camera import Camera
from ..contract.depth_sequence import confidence_name, disparity_name
from ..contract.own_files import Names
from ..estimators import registry
from ..estimators.base import EstimatorInfo, Frames, ReportProgress, Shot
from ..estimators.registry import Estimate
from ..media.clip import Clip
from ..media.exr import read_map, write_map
from . import checkpoints

_NO_CONFIDENCE, _MOST_WITHOUT = 0.1, 0.65
"""Below which confidence there is none, and the share of the pixels that is warned of; good shots have .1 to .6."""
_LOOKED_AT = 48
"""Frames of a shot whose confidence is looked at."""
_LOW = "low"
"""Folder in the scratch for maps at working size that wait for their upsampling."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all shots of a job share.

    Attributes
    ----------
    info, estimate
        The estimator.
    clip : Clip
    parameters, seed
        As the estimator gets them.
    camera : Camera or None
        The prior, at plate size.
    full_size : bool
    scratch, maps : Path
        Folder for what outlives a run, and for finished maps.
    emit, check, meter
        Hear of what happens; `check` raises `Cancelled`.
    written : callable
        Called after each finished map with the number of bytes that its frame takes.
    needed_bytes : callable
        About how much room the rest of the job needs.
    """

    info: EstimatorInfo
    estimate: Estimate
    clip: Clip
    parameters: dict[str, Any]
    seed: int
    camera: Camera | None
    full_size: bool
    scratch: Path
    maps: Path
    emit: Callable[[events.Event], None]
    check: Callable[[], None]
    meter: Meter
    written: Callable[[int], None]
    needed_bytes: Callable[[], float]


def blank_shot(first: int, last: int, *, what: str) -> depth_sequence.Shot:
    """A shot that shows nothing, and so has no depth.

    Parameters
    ----------
    first, last : int
        Its frames, both included.
    what : str
        What it is, as `media.light.blank` says it.
    """
    reason = f"It is {what} throughout, so there is no depth in it. Leave it out, or choose other frames."
    return depth_sequence.Shot(first_frame=first, last_frame=last, status="refused", reason=reason)


def run_shot(
    task: Task,
    frames: Frames,
    mattes: Any | None,
    *,
    shown: tuple[int, ...],
    label: str,
    estimating: float,
    upsampling: float,
) -> depth_sequence.Shot:
    """Estimate one shot, or go on with it.

    Parameters
    ----------
    task : Task
    frames : Frames
        The shot at working size.
    mattes : Frames-like or None
    shown : tuple of int
        Which frame each repeats, see `estimators.base.Shot`.
    label : str
        Which shot it is, for the artist, such as ``shot 2 of 3``; empty where there is only one.
    estimating, upsampling : float
        Units of work for the progress.

    Returns
    -------
    depth_sequence.Shot
        Done, its maps written, or refused with the reason.
    """
    numbers = frames.numbers
    target = task.scratch / _LOW if task.full_size else task.maps
    target.mkdir(exist_ok=True)
    keeper = _Keeper(task, target, frames, final=not task.full_size)
    own = _own_folder(task, numbers, label)
    task.meter.begin(estimating)
    try:
        if len(numbers) < task.info.minimum_frames:
            count = "1 frame" if len(numbers) == 1 else f"{len(numbers)} frames"
            raise Refused(
                f"It has {count} and {task.info.label} needs at least {task.info.minimum_frames}.",
                "Choose a longer range, or use Quick, which takes a single frame.",
            )
        result = task.estimate(
            Shot(
                frames=frames,
                parameters=dict(task.parameters),
                seed=task.seed,
                camera=_camera_of(task.camera, frames),
                mattes=mattes,
                shown=shown,
                scratch=own,
                finished=keeper.finished,
                write=keeper,
                progress=_reporter(task.meter, label),
                check=task.check,
                warn=lambda message: _warn(task, label, message),
            )
        )
    except Refused as refused:
        task.check()  # a child that was interrupted together with this process may have looked like a reason
        keeper.drop()
        return depth_sequence.Shot(
            first_frame=numbers[0], last_frame=numbers[-1], status="refused", reason=str(refused)
        )
    keeper.complete()
    for warning in (*result.warnings, *_doubts(task, target, numbers)):
        _warn(task, label, warning)
    camera = _checked(result.camera, task.info, frames)
    spread = _upsample_all(task, frames, label, upsampling) if task.full_size else keeper.spread
    return depth_sequence.Shot(
        first_frame=numbers[0],
        last_frame=numbers[-1],
        status="done",
        range=spread.range(),
        camera=camera.scaled(task.clip.width, task.clip.height) if camera else None,
    )


def _doubts(task: Task, folder: Path, numbers: Sequence[int]) -> tuple[str, ...]:
    """A warning where most of a shot's depth is of no confidence, from a few dozen of its frames."""
    if not task.info.gives_confidence:
        return ()
    looked_at = numbers[:: -(-len(numbers) // _LOOKED_AT)]
    share = float(np.mean([np.mean(read_map(folder / confidence_name(n)) < _NO_CONFIDENCE) for n in looked_at]))
    if share <= _MOST_WITHOUT:
        return ()
    return (
        f"{share:.0%} of the depth has hardly any confidence (less than {_NO_CONFIDENCE}) and may be wrong; blur, "
        "a rolling shutter, flat colours and reflections do that. Look at the confidence before you build on it.",
    )


def _warn(task: Task, label: str, message: str) -> None:
    task.emit(events.Warning(message=f"{label.capitalize()}: {message}" if label else message))


class _Keeper:
    """Takes an estimator's maps (`base.Writer`) and keeps each as soon as it comes."""

    def __init__(self, task: Task, folder: Path, frames: Frames, *, final: bool) -> None:
        self._task, self._folder, self._final = task, folder, final
        self._numbers, self._shape = frames.numbers, (frames.height, frames.width)
        self.spread = Spread()
        if final:
            found = _take_up(task, self._numbers, self.spread, (frames.width, frames.height))
        else:
            found = {number for number in self._numbers if is_written(folder, number, task.info)}
        self.finished = frozenset(i for i, number in enumerate(self._numbers) if number in found)
        self._there = set(self.finished)

    def __call__(
        self, index: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None
    ) -> None:
        """Keep one frame's maps; what an earlier run has kept already is passed over."""
        number = self._numbers[index]
        self._check(number, disparity, confidence)
        if index in self._there:
            return
        write_maps(self._task, self._folder, number, disparity, confidence, final=self._final)
        if self._final:
            self.spread.add(disparity)
        self._there.add(index)

    def complete(self) -> None:
        """Check that every frame has its maps."""
        missing = [n for i, n in enumerate(self._numbers) if i not in self._there]
        if missing:
            raise ValueError(f"{self._task.info.name} left out {len(missing)} frames, the first is {missing[0]}")

    def drop(self) -> None:
        """Remove the maps of a shot that was refused after all."""
        for index in sorted(self._there):
            for name in (disparity_name(self._numbers[index]), confidence_name(self._numbers[index])):
                (self._folder / name).unlink(missing_ok=True)
        if self._final:
            self._task.meter.frames_done(-len(self._there))

    def _check(self, number: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None) -> None:
        info = self._task.info
        if (confidence is not None) != info.gives_confidence:
            raise ValueError(f"{info.name} declares gives_confidence={info.gives_confidence} and does otherwise")
        for name, values in (("disparity", disparity), ("confidence", confidence)):
            if values is None:
                continue
            if values.shape != self._shape or not np.isfinite(values).all():
                raise ValueError(
                    f"{info.name} gave a {name} of frame {number} that is not finite or not of the size "
                    f"{self._shape[1]}x{self._shape[0]}"
                )
        if confidence is not None and not (confidence.min() >= 0 and confidence.max() <= 1):
            raise ValueError(f"{info.name} gave a confidence of frame {number} that is not between 0 and 1")


def is_written(folder: Path, number: int, info: EstimatorInfo) -> bool:
    """Whether all maps of a frame are in a folder; names appear only once their files are complete."""
    names = [disparity_name(number)] + ([confidence_name(number)] if info.gives_confidence else [])
    return all(own_files.is_file(folder / name) for name in names)


def write_maps(
    task: Task,
    folder: Path,
    number: int,
    disparity: NDArray[np.float32],
    confidence: NDArray[np.float32] | None,
    *,
    final: bool,
) -> None:
    """Write a frame's maps, the disparity last, and tell of it where they are final."""
    size = 0
    maps = [(disparity_name(number), disparity)]
    if confidence is not None:
        maps.insert(0, (confidence_name(number), confidence))
    for name, values in maps:
        try:
            with own_files.atomic(folder / name, via=task.scratch) as temporary:
                write_map(temporary, values)
                size += temporary.stat().st_size
        except OSError as error:
            raise unwritable(error, folder / name, needed_bytes=task.needed_bytes()) from error
    if final:
        task.meter.frames_done(1)
        task.written(size)
        task.emit(events.Frame(number=number, path=str(folder / disparity_name(number))))


def _take_up(task: Task, numbers: Sequence[int], spread: Spread, size: tuple[int, int]) -> set[int]:
    """The frames whose final maps an earlier run has written, counted in; one that is damaged is made again.

    `size` (width, height) is that of the maps.
    """
    found = set()
    for number in numbers:
        if is_written(task.maps, number, task.info):
            task.check()
            values = _sound(task.maps / disparity_name(number), size)
            if values is None or (
                task.info.gives_confidence and _sound(task.maps / confidence_name(number), size) is None
            ):
                (task.maps / disparity_name(number)).unlink()
                continue
            spread.add(values)
            found.add(number)
    task.meter.frames_done(len(found))
    return found


def _sound(path: Path, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """A map that an earlier run has written; None where it is damaged, of another size, or not finite."""
    try:
        values = read_map(path, size=size)
    except ClipError:
        return None
    return values if np.isfinite(values).all() else None


def _upsample_all(task: Task, frames: Frames, label: str, work: float) -> Spread:
    """Bring a shot's maps to plate size, streaming through the plate once."""
    from ..depth_maps.joint_upsampling import upsample  # compiles: not for jobs that do without

    numbers = frames.numbers
    spread = Spread()
    done = _take_up(task, numbers, spread, (task.clip.width, task.clip.height))
    task.meter.begin(work)
    task.meter.stage("upsample", _labelled("Bringing depth to the plate's size", label))
    left = [number for number in numbers if number not in done]
    if not left:
        return spread
    low = task.scratch / _LOW
    for number, plate in task.clip.read(left[0], numbers[-1]):
        task.check()
        if number not in done:
            names = [disparity_name(number), *([confidence_name(number)] if task.info.gives_confidence else [])]
            maps = [read_map(low / name, size=(frames.width, frames.height)) for name in names]
            large = upsample(tuple(maps), plate)
            write_maps(task, task.maps, number, large[0], large[1] if len(large) > 1 else None, final=True)
            spread.add(large[0])
        task.meter.part((number - numbers[0] + 1) / len(numbers))
    return spread


def _camera_of(prior: Camera | None, frames: Frames) -> Camera | None:
    """The prior at working size, with the shot's poses only."""
    if prior is None:
        return None
    poses = tuple(pose for pose in prior.poses if pose.frame in frames.numbers)
    return replace(prior, poses=poses).scaled(frames.width, frames.height)


def _checked(camera: Camera | None, info: EstimatorInfo, frames: Frames) -> Camera | None:
    if camera is not None and [pose.frame for pose in camera.poses] != list(frames.numbers):
        raise ValueError(f"{info.name} gave a camera whose poses are not those of the frames")
    if camera is None and info.gives_camera:
        raise ValueError(f"{info.name} declares that it gives a camera and gave none")
    return camera


def _reporter(meter: Meter, which: str) -> ReportProgress:
    def report(stage: str, label: str, done: float, total: float) -> None:
        meter.stage(stage, _labelled(label, which))
        meter.part(done / total if total > 0 else 0.0)

    return report


def _labelled(label: str, which: str) -> str:
    return f"{label} ({which})" if which else label


def _own_folder(task: Task, numbers: Sequence[int], label: str) -> Path:
    """The estimator's folder for a shot; what an earlier run left damaged in it goes, so that it is made again."""
    folder = task.scratch / f"shot.{numbers[0]:04d}-{numbers[-1]:04d}"
    folder.mkdir(exist_ok=True)
    dropped = checkpoints.drop_damaged(folder, Names(registry.scratch_files()), check=task.check)
    if dropped:
        more = f" and {len(dropped) - 1} more" if len(dropped) > 1 else ""
        _warn(task, label, f"{dropped[0]}{more} of an earlier run cannot be read and will be made again.")
    return folder
