"""Estimate one shot: the estimator's inputs, and the writing of its maps."""

from __future__ import annotations

import gc
import traceback
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.failures import Cancelled, ClipError, Failure, UnsupportedShot, is_out_of_memory
from ..common.units import counted
from ..contract import depth_sequence, events, leftovers, own_files
from ..contract.camera import Camera
from ..contract.catalogue import COMPLETE_FROM
from ..contract.job import Job
from ..contract.own_files import Names
from ..depth_maps.sequence_maps import SequenceMaps, Skipped
from ..estimators import registry
from ..estimators.base import EstimatorInfo, Frames, ReportProgress, Shot, ShotResult, Writer
from ..media.clip import Clip
from ..media.mattes import mattes
from ..media.processing_size import CachedFrames, Prepared, resized, working_size
from . import checkpoints
from .automatic import Choice
from .output import Output
from .shot_maps import Learned, ShotMaps, of_sequence

_UPSAMPLING = 0.4e-6
"""Work of upsampling a frame's maps to plate size, as a share of estimating it, per pixel of the plate."""
_NO_CONFIDENCE, _MOST_WITHOUT = 0.1, 0.65
"""Confidence below which a pixel has none, and the share of such pixels that causes a warning; good shots: .1 to .6."""
_LOOKED_AT = 48
"""Frames of a shot whose confidence is checked."""
_DISAGREES = (
    "What {0} measured has hardly anything in common with what {1} sees, as where a moving subject is taken for the "
    "scene."
)
LEARNED_WORK = 0.5
"""Work of estimating a frame's learned depth, as a share of estimating it by what that completes."""
_OF_ARRAYS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    zipfile.BadZipFile,
    cv2.error,
)
"""Errors of arrays that are not as expected."""
_OF_THE_SYSTEM = ("CUDA", "CUDNN", "cuDNN", "CUBLAS", "HIP", "MPS", "Metal", "Triton", "thread", "process")
"""Words in a `RuntimeError` of a device, its driver, or a system out of resources."""
_LOW = "low"
"""Folder in the scratch folder for maps that are yet to be upsampled."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the shots of a job have in common.

    Attributes
    ----------
    job : Job
    choice : Choice
    plate : (width, height)
        Of the clip's frames.
    clip : Clip or None
        None where nothing is read of it: it is at processing resolution already, and so are the maps.
    out : Output
    check : callable
    lens_tag : (float, float) or None
        As in `Shot`.
    unsupported : dict of (str, int, int) to UnsupportedShot
        The estimators that are known not to support a shot, with its first and last frame, and the reason of each.
    """

    job: Job
    choice: Choice
    plate: tuple[int, int]
    clip: Clip | None
    out: Output
    check: Callable[[], None]
    lens_tag: tuple[float, float] | None = None
    unsupported: Mapping[tuple[str, int, int], UnsupportedShot] = field(default_factory=dict)

    @property
    def info(self) -> EstimatorInfo:
        """The facts of the result."""
        return self.choice.info

    @property
    def work(self) -> float:
        """Work of a frame, in that of estimating it."""
        return 1 + self.upsampling + (LEARNED_WORK if self.choice.learned else 0.0)

    @property
    def upsampling(self) -> float:
        """Work of upsampling a frame's maps to plate size, if the job wants it, as a share of estimating it."""
        return _UPSAMPLING * self.plate[0] * self.plate[1] if self.job.full_size else 0.0


def run_shot(task: Task, prepared: Prepared, first: int, last: int, *, label: str) -> tuple[depth_sequence.Shot, ...]:
    """Estimate one shot, or resume it; returns it done, with its maps written, or unsupported.

    Where only a part of it is supported, and no learned depth there is for all of it, that part is estimated as a shot
    by itself, and what is before and after it is unsupported.

    Parameters
    ----------
    task : Task
    prepared : Prepared
    first, last : int
        Its frames.
    label : str
        Its name for the artist, such as ``shot 2 of 3``; empty if there is only one.
    """
    shot, part = _run(task, prepared, first, last, label=label)
    if part is None:
        return (shot,)
    task.out.meter.again((last - first - (part[1] - part[0])) * task.work)
    inside, _ = _run(task, prepared, *part, label=label)
    if inside.status != "done":
        return (shot,)
    around = ((first, part[0] - 1), (part[1] + 1, last))
    before, after = (
        (replace(shot, first_frame=start, last_frame=end),) if start <= end else () for start, end in around
    )
    return (*before, inside, *after)


def _run(
    task: Task, prepared: Prepared, first: int, last: int, *, label: str
) -> tuple[depth_sequence.Shot, tuple[int, int] | None]:
    """A shot, done or unsupported, and the first and last frame of the part that may be supported by itself."""
    if first in prepared.blank:
        task.out.meter.begin((last - first + 1) * task.work)
        reason = f"The shot is {prepared.blank[first]} throughout, so it has no depth."
        return _refused(first, last, f"{reason} Leave it out, or choose other frames."), None
    low = _in_low(task, inputs_of(task, prepared, first, last, label=label))
    if not task.job.full_size or low.maps is None:
        return low.shot, low.supported
    maps = upsampled(task, low.maps, label)
    return replace(low.shot, range=maps.value_range.range()), None


def estimate_low(task: Task, prepared: Prepared, first: int, last: int, *, label: str) -> None:
    """Estimate one shot at processing resolution alone, which leaves its upsampling to `run_shot`."""
    low = _in_low(task, inputs_of(task, prepared, first, last, label=label))
    if low.supported is not None:
        _in_low(task, inputs_of(task, prepared, *low.supported, label=label))


class _Disagreement(UnsupportedShot):
    """What was measured and what was learned are so different that one of them is wrong."""


@dataclass(frozen=True, kw_only=True)
class _Low:
    """A shot at processing resolution and its maps; or an unsupported one, and the part that may be supported."""

    shot: depth_sequence.Shot
    maps: ShotMaps | None = None
    supported: tuple[int, int] | None = None


def _in_low(task: Task, inputs: ShotInputs) -> _Low:
    """A shot estimated at processing resolution; or unsupported."""
    frames, label = inputs.frames, inputs.label
    first, last = frames.numbers[0], frames.numbers[-1]
    try:
        learned = _learned(task, inputs)
    except UnsupportedShot as refused:
        return _Low(shot=_refused(first, last, str(refused)))
    maps = maps_of(task, inputs)
    task.out.meter.begin(len(frames))
    names: tuple[str, ...] = (task.choice.leading.name,)
    why: str | None = None
    try:
        result = _estimated(task, task.choice.leading, task.choice.parameters, inputs, maps, learned=learned)
        if learned is not None and not result.completed and task.choice.learned is not None:
            raise _Disagreement(_DISAGREES.format(task.choice.leading.label, learned.label), "")
        if result.completed and learned is not None:
            names = (*names, *learned.estimators)
            why = f"{task.choice.leading.label} measured the depth and {learned.label} completed it."
        elif task.choice.is_automatic:
            why = f"The depth is {task.choice.leading.label}'s alone, without a learned network."
    except UnsupportedShot as refused:
        task.check()  # after a cancellation, an interrupted child process may look like an unsupported shot
        maps.drop()
        if learned is None:
            hint = task.choice.hint_for(refused)
            return _Low(shot=_refused(first, last, f"{refused.reason} {hint}"), supported=refused.supported)
        names = learned.estimators
        why = f"{refused.reason} So the depth is {learned.label}'s alone."
        warnings: tuple[str, ...] = ()
        if isinstance(refused, _Disagreement):
            warnings = (f"{why} Estimate the shot by {task.choice.leading.label} alone as well, and compare.",)
        result = ShotResult(camera=learned.camera, quantity=learned.quantity, warnings=warnings)
        learned.write_all(
            frames, _writer(task.info, inputs, maps), confidence=task.info.has_confidence, check=task.check
        )
    measured = task.choice.leading.name in names
    for warning in (*result.warnings, *(_doubts(maps, task.info) if measured else ())):
        _warn(task, label, warning)
    shot = depth_sequence.Shot(
        first_frame=first,
        last_frame=last,
        status="done",
        reason=why,
        range=maps.value_range.range(),
        camera=result.camera.scaled(*task.plate) if result.camera else None,
        quantity=result.quantity if result.quantity != task.info.quantity else None,
        estimators=names,
    )
    return _Low(shot=shot, maps=maps)


def may_be_of_checkpoints(error: Exception) -> bool:
    """Whether arrays of another shape or type than an estimator's own may cause an error; they are only data to it.

    A GPU or a system that fails is no fault of theirs, and they are kept: they may be hours of work.
    """
    if isinstance(error, (Failure, ClipError, UnsupportedShot, Cancelled)) or is_out_of_memory(error):
        return False
    if isinstance(error, RuntimeError):  # torch's for shapes that do not fit, and for much else
        is_plain = type(error) in (RuntimeError, NotImplementedError)
        return is_plain and not any(word in str(error) for word in _OF_THE_SYSTEM)
    if type(error).__module__.startswith("numba."):  # of compiled loops, for which other types have to be compiled
        return type(error).__name__ == "TypingError"
    return isinstance(error, _OF_ARRAYS)


@dataclass(frozen=True, kw_only=True)
class ShotInputs:
    """What a shot's estimators share.

    Attributes
    ----------
    frames : CachedFrames
    shown : tuple of int
        As in `Shot`.
    scratch : Path
        Their folder.
    is_resumed : bool
        Whether an earlier run left something there.
    label : str
        The shot's name for the artist.
    """

    frames: CachedFrames
    shown: tuple[int, ...]
    scratch: Path
    is_resumed: bool
    label: str


def inputs_of(task: Task, prepared: Prepared, first: int, last: int, *, label: str, whole: bool = True) -> ShotInputs:
    """The inputs of a shot; `whole` : whether all of its work is done here, so that damaged checkpoints are deleted."""
    frames = prepared.frames(first, last)
    scratch = _own_folder(task, frames.numbers, label, whole=whole)
    return ShotInputs(
        frames=frames,
        shown=prepared.shown(first, last),
        scratch=scratch,
        is_resumed=any(scratch.iterdir()),
        label=label,
    )


def _learned(task: Task, inputs: ShotInputs) -> Learned | None:
    """The learned depth that completes the shot, which a network estimates first; None where there is none.

    Raises
    ------
    UnsupportedShot
        It is another depth sequence's, which does not fit the shot.
    """
    numbers = inputs.frames.numbers
    if task.choice.learned_from is not None:
        try:
            found = SequenceMaps(task.choice.learned_from, numbers, named_by=COMPLETE_FROM)
        except Skipped as skipped:
            _warn(task, inputs.label, f"{skipped.reason} So the depth is not completed.")
            return None
        found.check_aspect(inputs.frames.width, inputs.frames.height)
        return of_sequence(found)
    if task.choice.learned is None:
        return None
    task.out.meter.begin(len(inputs.frames) * LEARNED_WORK)
    return estimate_learned(task, inputs)


def estimate_learned(task: Task, inputs: ShotInputs) -> Learned | None:
    """The depth of the network that completes the shot; None where it does not support it."""
    info, smaller, parameters = network_of(task, inputs)
    maps = network_maps(task, smaller)
    try:
        result = _estimated(task, info, parameters, smaller, maps, learned=None)
    except UnsupportedShot:
        task.check()
        maps.drop()
        return None
    return learned_of(info, maps, result)


def network_of(task: Task, inputs: ShotInputs) -> tuple[EstimatorInfo, ShotInputs, dict[str, Any]]:
    """The network that completes the shot, with its inputs and parameters."""
    info = task.choice.learned
    if info is None:
        raise ValueError("no network completes the depth")
    size = working_size(inputs.frames.width, inputs.frames.height, info.default_size, info.size_multiple)
    parameters = {parameter.name: parameter.default for parameter in info.parameters}
    return info, replace(inputs, frames=resized(inputs.frames, size)), parameters


def learned_of(info: EstimatorInfo, maps: ShotMaps, result: ShotResult) -> Learned:
    """The depth of a network, of its maps."""
    return Learned(
        maps=lambda index: maps.read(maps.numbers[index])[0],
        estimators=(info.name,),
        label=info.label,
        quantity=result.quantity or info.quantity,
        camera=result.camera,
    )


def _estimated(
    task: Task,
    info: EstimatorInfo,
    parameters: dict[str, Any],
    inputs: ShotInputs,
    maps: ShotMaps,
    *,
    learned: Learned | None,
) -> ShotResult:
    """Run an estimator on a shot."""
    frames = inputs.frames
    if known := task.unsupported.get((info.name, frames.numbers[0], frames.numbers[-1])):
        raise known
    if info.uses_poses:
        require_poses(task.job.camera, frames)
    if len(frames) < info.minimum_frames:
        raise UnsupportedShot(
            f"The shot has {counted(len(frames), 'frame')} and {info.label} needs at least {info.minimum_frames}.",
            "Choose a longer range, or use Video Depth Anything or Quick, which support a single frame.",
        )
    try:
        return _attempt(task, info, parameters, inputs, maps, learned=learned)
    except Exception as error:
        task.check()  # what a cancellation breaks is no checkpoint's fault
        if not inputs.is_resumed or not may_be_of_checkpoints(error):
            raise
        traceback.print_exc()
        why = f"What an earlier run left of this shot cannot be used ({type(error).__name__}) and will be made again."
    # outside of the handler: while that runs, the traceback keeps what the attempt had, a GPU's memory and open files,
    # which Windows does not delete
    gc.collect()
    _warn(task, inputs.label, why)
    names = tuple(each.removeprefix(leftovers.SHOT) for each in registry.scratch_files())
    own_files.clear(inputs.scratch, Names(names))
    return _attempt(task, info, parameters, inputs, maps, learned=learned)


def _attempt(
    task: Task,
    info: EstimatorInfo,
    parameters: dict[str, Any],
    inputs: ShotInputs,
    maps: ShotMaps,
    *,
    learned: Learned | None,
) -> ShotResult:
    result = registry.function(info.name)(shot_of(task, info, parameters, inputs, maps, learned=learned))
    if left_out := maps.missing():
        raise ValueError(f"{info.name} left out {len(left_out)} frames, the first is {left_out[0]}")
    return replace(result, camera=_checked(result.camera, info, inputs.frames))


def shot_of(
    task: Task,
    info: EstimatorInfo,
    parameters: dict[str, Any],
    inputs: ShotInputs,
    maps: ShotMaps,
    *,
    learned: Learned | None,
) -> Shot:
    """The input of an estimator."""
    frames = inputs.frames
    first, last, size = frames.numbers[0], frames.numbers[-1], (frames.width, frames.height)
    return Shot(
        frames=frames,
        parameters=dict(parameters),
        seed=task.job.seed,
        camera=_camera_of(task.job.camera, frames),
        mattes=mattes(task.job.mattes, first, last, size) if task.job.mattes else None,
        shown=inputs.shown,
        learned=learned,
        learned_sinks=learned is not None and any(registry.sinks(name) for name in learned.estimators),
        lens_tag=task.lens_tag,
        scratch=inputs.scratch,
        finished=frozenset(index for index, number in enumerate(frames.numbers) if number in maps.there),
        write=_writer(info, inputs, maps),
        progress=_reporter(task, inputs.label),
        check=task.check,
        warn=lambda message: _warn(task, inputs.label, message),
    )


def _writer(info: EstimatorInfo, inputs: ShotInputs, maps: ShotMaps) -> Writer:
    def write(index: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None) -> None:
        _check_maps(info, inputs.frames, index, disparity, confidence)
        maps.write(inputs.frames.numbers[index], disparity, confidence)

    return write


def maps_of(task: Task, inputs: ShotInputs, *, whole: bool = True) -> ShotMaps:
    """The maps of a shot that its leading estimator writes: the final ones, or those that are yet to be upsampled."""
    folder = task.out.scratch / _LOW if task.job.full_size else task.out.maps
    return _maps(task, folder, inputs, confidence=task.info.has_confidence, whole=whole)


def network_maps(task: Task, inputs: ShotInputs, *, whole: bool = True) -> ShotMaps:
    """The maps of the network that completes the shot."""
    confidence = task.choice.learned is not None and task.choice.learned.has_confidence
    return _maps(task, inputs.scratch / leftovers.LEARNED, inputs, confidence=confidence, whole=whole)


def _maps(task: Task, folder: Path, inputs: ShotInputs, *, confidence: bool, whole: bool) -> ShotMaps:
    size = (inputs.frames.width, inputs.frames.height)
    numbers = inputs.frames.numbers
    return ShotMaps(task.out, folder, numbers, size, confidence=confidence, check=task.check, whole=whole)


def _refused(first: int, last: int, reason: str) -> depth_sequence.Shot:
    return depth_sequence.Shot(first_frame=first, last_frame=last, status="refused", reason=reason)


def _camera_of(prior: Camera | None, frames: Frames) -> Camera | None:
    """The job's camera at processing resolution, with only the shot's poses."""
    if prior is None:
        return None
    poses = tuple(pose for pose in prior.poses if pose.frame in frames.numbers)
    return replace(prior, poses=poses).scaled(frames.width, frames.height)


def require_poses(camera: Camera | None, frames: Frames) -> None:
    """Raise `UnsupportedShot` where the job's camera has poses and none of this shot: another path is no answer."""
    if camera is None or not camera.poses or any(pose.frame in frames.numbers for pose in camera.poses):
        return
    first, last = frames.numbers[0], frames.numbers[-1]
    which = f"frame {first}" if first == last else f"frames {first}-{last}"
    raise UnsupportedShot(
        f"The camera has no pose for {which}.", "Solve the camera there as well, or leave these frames out."
    )


def _own_folder(task: Task, numbers: Sequence[int], label: str, *, whole: bool) -> Path:
    """The estimator's folder for a shot; damaged files of an earlier run are deleted, to be made again."""
    folder = task.out.scratch / f"shot.{numbers[0]:04d}-{numbers[-1]:04d}"
    folder.mkdir(exist_ok=True)
    if not whole:
        return folder
    dropped = checkpoints.drop_damaged(folder, Names(registry.scratch_files()), check=task.check)
    if dropped:
        more = f" and {len(dropped) - 1} more" if len(dropped) > 1 else ""
        _warn(task, label, f"{dropped[0]}{more} from an earlier run cannot be read and will be made again.")
    return folder


def _reporter(task: Task, which: str) -> ReportProgress:
    def report(stage: str, label: str, done: float, total: float) -> None:
        task.out.meter.stage(stage, _labeled(label, which))
        task.out.meter.part(done / total if total > 0 else 0.0)

    return report


def _labeled(label: str, which: str) -> str:
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


def _doubts(maps: ShotMaps, info: EstimatorInfo) -> tuple[str, ...]:
    """A warning if most of a shot's depth has no confidence, judged by a few dozen of its frames."""
    if not info.has_confidence:
        return ()
    looked_at = maps.numbers[:: -(-len(maps.numbers) // _LOOKED_AT)]
    share = float(np.mean([np.mean(maps.confidence(number) < _NO_CONFIDENCE) for number in looked_at]))
    if share <= _MOST_WITHOUT:
        return ()
    return (
        f"{share:.0%} of the depth has hardly any confidence (less than {_NO_CONFIDENCE}) and may be wrong; blur, a "
        "rolling shutter, flat colors and reflections cause that. Check the confidence before you build on it.",
    )


def upsampled(task: Task, low: ShotMaps, label: str, among: range | None = None) -> ShotMaps:
    """A shot's maps at plate size, in one pass over the plate; `among` : indices of frames to do, None: all."""
    from ..depth_maps.joint_upsampling import upsample  # late, since it compiles

    if task.clip is None:
        raise ValueError("maps are upsampled along the plate, which is not open")
    numbers, meter = low.numbers if among is None else low.numbers[among.start : among.stop], task.out.meter
    maps = ShotMaps(
        task.out, task.out.maps, low.numbers, task.plate, confidence=task.info.has_confidence, check=task.check,
        whole=among is None,
    )  # fmt: skip
    meter.begin(len(numbers) * task.upsampling)
    meter.stage("upsample", _labeled("Upsampling depth to the plate's size", label))
    left = [number for number in numbers if number not in maps.there]
    for number, plate in task.clip.read(left[0], numbers[-1]) if left else ():
        task.check()
        if number not in maps.there:
            maps.write(number, *upsample(low.read(number), plate))
        meter.part((number - numbers[0] + 1) / len(numbers))
    return maps
