"""Refine the maps of a finished depth sequence: a second sequence, with the same cameras and distances.

Shot by shot, in one pass over the plate. What an interrupted run has written stays, and the next run of the same
refinement goes on from there, as estimates do (`output`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.failures import Cancelled, Failure, UnsupportedShot
from ..contract import depth_sequence, events, exit_codes, packages
from ..contract import refinement as contract
from ..contract.depth_sequence import DepthSequence, DepthSequenceError, Range, Shot
from ..contract.hints import setting
from ..contract.job import NO_CUTS, Job
from ..contract.job import validate as validate_job
from ..contract.refinement import Refinement
from ..contract.untrusted import is_same_path, read_bytes
from ..depth_maps import refining
from ..depth_maps.along_flow import ComparedFrame, normalized_brightness
from ..depth_maps.joint_upsampling import upsample
from ..depth_maps.sequence_maps import SequenceMaps
from ..media.clip import Clip, open_clip
from ..media.declared import free_bytes
from ..media.mattes import Mattes, mattes
from . import checks, inputs, output
from .export import same_plate
from .output import Output, State
from .runner import leaving_what_counts
from .shot_maps import ShotMaps

_LEAST = 0.05
"""Smallest step of relative disparity, as a share of the shot's range: it has no zero that a step could be a share of.
"""
_BEYOND = 1.5
"""Inverse depth up to so many times what `SequenceMaps` has for 0 is 0 again."""
_PLATE, _WORK = 12, 64
"""Bytes of a pixel: of a plate, and of what is worked on at the size of the refined maps."""
Emit = Callable[[events.Event], None]


def refine(
    wanted: Refinement, *, emit: Emit, cancelled: Callable[[], bool] = lambda: False, overwrite: bool = False
) -> DepthSequence:
    """Write a refined depth sequence, or resume an earlier run of the same refinement; returns what ``depth.json`` has.

    The distances stay those of the depth that is refined: the same quantity, cameras and percentiles. Unsupported shots
    stay unsupported.

    Parameters
    ----------
    emit : callable
        Takes stages, progress, frames and warnings.
    cancelled : callable
        Called between steps; True stops the run.
    overwrite : bool
        Whether a finished result in the output folder may be replaced.

    Raises
    ------
    JobError, Failure
        USAGE: the refinement is not valid. BAD_OUTPUT: the folder is the depth's own, cannot be written, is in use or
        has a finished result.
    DepthSequenceError, ClipError, UnsupportedShot
        The depth, its plate or the mattes of the sky cannot be read.
    Cancelled
    """
    started = time.monotonic()
    contract.validate(wanted)
    depth = Path(wanted.depth)
    depth = (depth.parent if depth.name == depth_sequence.SIDECAR else depth).absolute()
    sequence = depth_sequence.load(depth)
    if not sequence.done_shots:
        raise Failure(exit_codes.USAGE, f"{depth} has no depth of any shot, so there is nothing to refine.")
    source = sequence.source if wanted.plate is None else same_plate(wanted.plate, sequence.source)
    first, last = sequence.done_shots[0].first_frame, sequence.done_shots[-1].last_frame
    folder = Path(wanted.output).absolute()
    if is_same_path(folder, depth):
        raise Failure(
            exit_codes.BAD_OUTPUT, f"{folder} is the folder of the depth itself.", hint="Choose another output folder."
        )
    job = validate_job(Job(source=source, output=str(folder), first_frame=first, last_frame=last, cuts=NO_CUTS))

    def check() -> None:
        if cancelled():
            raise Cancelled

    checks.warn_of_other_plate(sequence, source, emit)
    noted = inputs.note(job)
    with open_clip(source, first, last) as clip:
        for shot in sequence.done_shots:
            clip.require(shot.first_frame, shot.last_frame)
        for warning in clip.warnings:
            emit(events.Warning(message=warning))
        size = _size(wanted, clip)
        _require_memory(wanted, clip, size)
        parts = {shot: _part(wanted, depth, shot, clip, size) for shot in sequence.done_shots}  # raises before any work
        skies = [(number, file) for part in parts.values() if part.sky for number, file in part.sky.by_frame()]
        read = inputs.Inputs(job, noted, first=first, last=last, sequences=[str(depth)], images=skies)
        beside = contract.files_beside(wanted, source, first, last)
        _require_same(depth, sequence)
        state = State(
            key=_key(wanted, read, depth),
            fingerprint=wanted.fingerprint(sequence),
            plate=depth_sequence.plate_file(source),
            plate_files=read.plate_files(),
            other_files=beside,
            first_frame=first,
            last_frame=last,
        )
        confidence = sequence.confidence is not None
        with output.opened(
            folder, state, size=size, confidence=confidence, overwrite=overwrite, emit=emit, started=started
        ) as out:
            checks.warn_of_little_room(folder, out.needed_bytes(), emit)
            with leaving_what_counts(out, read):
                check()
                count = sum(shot.last_frame - shot.first_frame + 1 for shot in sequence.done_shots)
                out.meter.plan(count)
                shots = tuple(
                    _Refined(wanted, parts[shot], shot, clip, out, size=size, check=check).run(
                        f"shot {index} of {len(sequence.shots)}" if len(sequence.shots) > 1 else ""
                    )
                    if shot.status == "done"
                    else shot
                    for index, shot in enumerate(sequence.shots, 1)
                )
                refined = replace(
                    sequence,
                    source=replace(
                        source, path=str(Path(source.path).absolute()), width=clip.width, height=clip.height
                    ),
                    width=size[0],
                    height=size[1],
                    shots=shots,
                    fingerprint=state.fingerprint,
                    versions={**sequence.versions, **packages.versions()},
                    seconds=round(out.seconds(), 2),
                    full_size=size == (clip.width, clip.height),
                    refinement={**sequence.refinement, **wanted.settings(), "refines": sequence.fingerprint},
                    plate_files=read.plate_files(),
                    other_files=beside,
                )
                check()
                read.check()
                out.publish(refined)
                out.meter.finish()
    return refined


def _size(wanted: Refinement, clip: Clip) -> tuple[int, int]:
    """Width and height of the refined maps, with the plate's aspect."""
    if wanted.size is None:
        return clip.width, clip.height
    scale = wanted.size / max(clip.width, clip.height)
    return max(1, round(clip.width * scale)), max(1, round(clip.height * scale))


def _require_memory(wanted: Refinement, clip: Clip, size: tuple[int, int]) -> None:
    """Raise a `Failure` (USAGE) where the plates that smoothing reads ahead, and a frame's maps, are more than fits."""
    ahead = 2 + wanted.smooth
    needed = _PLATE * ahead * clip.width * clip.height + _WORK * size[0] * size[1]
    free = free_bytes()
    if needed > free:
        raise Failure(
            exit_codes.USAGE,
            f"Refining at {size[0]}x{size[1]} with {setting('smooth', wanted.smooth)} takes {needed / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free.",
            hint=f"Choose smaller maps or fewer frames for {setting('smooth')}, or close other programs.",
        )


def _require_same(depth: Path, sequence: DepthSequence) -> None:
    """Raise where the depth was replaced since it was read, before its files were noted."""
    try:
        is_same = depth_sequence.load(depth) == sequence
    except DepthSequenceError:
        is_same = False
    if not is_same:
        raise Failure(
            exit_codes.FAILED,
            f"{depth} was replaced just now.",
            hint="Start again when the depth is finished.",
        )


@dataclass(frozen=True)
class _Part:
    """What a shot is refined from: its maps, and the mattes of its sky."""

    maps: SequenceMaps
    sky: Mattes | None


def _part(wanted: Refinement, depth: Path, shot: Shot, clip: Clip, size: tuple[int, int]) -> _Part:
    numbers = range(shot.first_frame, shot.last_frame + 1)
    try:
        maps = SequenceMaps(depth, numbers, named_by="depth")
        maps.check_aspect(clip.width, clip.height)
    except UnsupportedShot as error:
        raise Failure(
            exit_codes.USAGE, error.reason, hint="Choose another depth sequence, or its own plate."
        ) from error
    sky = mattes(wanted.sky_mattes, numbers[0], numbers[-1], size) if wanted.sky_mattes else None
    return _Part(maps, sky)


def _key(wanted: Refinement, read: inputs.Inputs, depth: Path) -> str:
    """What two runs have in common whose maps are the same bit for bit."""
    sidecar = hashlib.sha256(read_bytes(depth / depth_sequence.SIDECAR)).hexdigest()
    settings = json.dumps(wanted.settings(), sort_keys=True)
    return read.key(versions=packages.versions(), device="cpu", given={"depth": sidecar, "refinement": settings})


@dataclass
class _Refined:
    """The refinement of one shot; in memory are the frames that its smoothing reaches, no more."""

    wanted: Refinement
    part: _Part
    shot: Shot
    clip: Clip
    out: Output
    size: tuple[int, int]
    check: Callable[[], None]
    _held: dict[int, ComparedFrame] = field(default_factory=dict)
    """By frame number: maps and small images."""

    def run(self, label: str) -> Shot:
        """Write what is missing of the shot's maps; returns it as it is now."""
        wanted, out, shot = self.wanted, self.out, self.shot
        numbers = range(shot.first_frame, shot.last_frame + 1)
        out.meter.begin(len(numbers))
        out.meter.stage("refine", f"Refining depth ({label})" if label else "Refining depth")
        source = self.part.maps
        maps = ShotMaps(
            out, out.maps, numbers, self.size, confidence=source.has_confidence, check=self.check, whole=True
        )  # fmt: skip
        if shot.range is None:
            raise ValueError("a shot with maps has a range")
        far, near = shot.range.p1, shot.range.p99
        self._least = _LEAST * (near - far) if source.quantity == "relative_disparity" else 0.0
        self._beyond = refining.below_sky(source.quantity, far=far, near=near)
        smoothing = refining.Smoothing(
            numbers,
            self._held.__getitem__,
            reach=wanted.smooth,
            value_range=near - far,
            camera=source.camera if source.quantity == "inverse_depth" else None,
        )
        for index, image in self._ahead(source, maps.missing()):
            number = numbers[index]
            if number not in maps.there:
                self.check()
                disparity = smoothing.smooth(index, check=self.check) if wanted.smooth else self._held[number].disparity
                confidence = source.confidence(index) if source.has_confidence else None
                maps.write(number, *self._refined(index, image, disparity, confidence, far=far, near=near))
            out.meter.part((index + 1) / len(numbers))
        self._held.clear()
        found = maps.value_range.range()
        return replace(
            shot,
            range=Range(minimum=min(found.minimum, far), maximum=max(found.maximum, near), p1=far, p99=near),
        )

    def _ahead(self, source: SequenceMaps, missing: list[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Index and plate of the frames from the first missing one to the last, once what they reach is read."""
        if not missing:
            return
        wanted, first, end = self.wanted, self.shot.first_frame, self.shot.last_frame
        reach = wanted.smooth
        start, stop = max(missing[0] - reach, first), min(missing[-1] + reach, end)
        plates: dict[int, NDArray[np.float32]] = {}
        following = missing[0]
        for number, plate in self.clip.read(start, stop):
            self.check()
            small = refining.to_bytes(plate, source.size)
            self._held[number] = ComparedFrame(normalized_brightness(small), source.disparity(number - first))
            plates[number] = plate
            while following <= missing[-1] and number >= min(following + reach, stop):
                yield following - first, plates[following]
                for old in [each for each in plates if each <= following]:
                    del plates[old]
                for old in [each for each in self._held if each <= following - reach]:
                    del self._held[old]
                following += 1

    def _refined(
        self,
        index: int,
        plate: NDArray[np.float32],
        disparity: NDArray[np.float32],
        confidence: NDArray[np.float32] | None,
        *,
        far: float,
        near: float,
    ) -> tuple[NDArray[np.float32], ...]:
        """A frame's refined maps."""
        wanted, least = self.wanted, self._least
        sky = None
        if wanted.sky and self.part.sky is None:
            image = refining.to_bytes(plate, disparity.shape[::-1])
            sky = refining.find_sky(image, disparity, confidence, far=far, near=near)
        size_of_plate = plate.shape[1]
        if (plate.shape[1], plate.shape[0]) != self.size:
            plate = cv2.resize(plate, self.size, interpolation=cv2.INTER_AREA)
        small = tuple(each for each in (disparity, confidence, sky) if each is not None)
        if sky is not None:  # the sky's border is an edge too, whatever depth was there
            small = (np.where(sky > 0, np.float32(self._beyond), disparity), *small[1:])
        enlarged = upsample(small, plate, fringe=wanted.fringe, least=least, guided=wanted.sharpen)
        result = enlarged[0]
        if self.part.maps.farthest:
            result = np.where(result <= _BEYOND * self.part.maps.farthest, np.float32(0), result)
        if self.part.sky is not None:
            result = np.where(self.part.sky[index], np.float32(self._beyond), result)
        elif sky is not None:
            result = np.where(enlarged[-1] >= 0.5, np.float32(self._beyond), result)
        result = refining.shifted(result, wanted.edge * self.size[0] / size_of_plate, least=least)
        return (result,) if confidence is None else (result, np.clip(enlarged[1], 0, 1))
