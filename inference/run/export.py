"""A depth sequence written for other programs: images of distances, gray movies, points, cameras.

Every file appears whole under its name. A record beside the files, such as ``street_depth.exr.json``, says what their
values mean and which are written, so that the same export goes on where an earlier one ended, and files of anything
else are never taken for its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common import lock
from ..common.failures import ClipError, Failure, unwritable
from ..common.files import make_folder, sync_folder
from ..common.percentiles import Percentiles
from ..common.progress import Meter
from ..common.units import size_text
from ..contract import depth_sequence, events, exit_codes, leftovers, numbering, own_files
from ..contract import export as contract
from ..contract.camera import SENSOR_WIDTH, Camera
from ..contract.depth_sequence import DepthSequence, confidence_name, disparity_name
from ..contract.export import CONFIDENCE_CHANNEL, MATTE_CHANNEL, Export
from ..contract.hints import setting
from ..contract.job import Source
from ..depth_maps import point_cloud
from ..depth_maps.joint_upsampling import upsample
from ..media import chan, exr, gray_movie
from ..media.clip import Clip, open_clip
from ..media.mattes import Mattes, mattes
from ..media.windows import PlateWindows, Windows
from .checks import warn_of_little_room, warn_of_other_plate
from .export_files import ExportFiles, Part, meaning, spans, up_of

_AGAIN = "copy its files again, or estimate that depth sequence again"
_LARGEST_HALF = 65504.0
_PIXELS_OF_A_VOXEL = 2.0
_TOUCHED = 0.02
"""Opacity of a matte from which on a pixel has no point."""
_GRAY = ("png", "movie", "control")
Check = Callable[[], None]
Emit = Callable[[events.Event], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an export came to: the frames and the files that are there now."""

    frames: int
    files: int


def export(wanted: Export, *, overwrite: bool, emit: Emit, check: Check) -> Outcome:
    """Write an export; what an earlier run of the same one has written stays.

    Parameters
    ----------
    overwrite : bool
        Whether files of these names that another export, or somebody else, has written may be replaced.
    emit : callable
        Receives stages, progress, frames and warnings.
    check : callable
        Called often; raises where the run is to end. Only whole files are left then.

    Raises
    ------
    JobError, Failure
        USAGE: the export cannot be made of this depth. BAD_OUTPUT: the folder cannot be written, is in use, or has
        files that must not be replaced.
    DepthSequenceError, ClipError
        The depth, its plate or the mattes cannot be read.
    """
    contract.validate(wanted)
    depth = Path(wanted.depth)
    depth = (depth.parent if depth.name == depth_sequence.SIDECAR else depth).absolute()
    as_it_was = depth_sequence.stamp(depth)
    sequence = depth_sequence.load(depth)
    source = sequence.source if wanted.plate is None else same_plate(wanted.plate, sequence.source)
    if wanted.format == "ply" or wanted.at_full_size:
        warn_of_other_plate(sequence, source, emit)
    sequence = replace(sequence, source=source)
    shots = _measured(wanted, sequence, depth, check)
    _require_maps(depth, sequence, shots)
    _require_possible(wanted, sequence, shots)
    folder = Path(wanted.output).absolute()
    made = make_folder(folder)
    try:
        held = lock.acquire(folder / contract.SCRATCH)
        try:
            needed = contract.estimated_bytes(wanted, sequence)
            warn_of_little_room(folder, needed, emit)
            try:
                files = ExportFiles(folder, wanted, sequence, shots, depth=depth, overwrite=overwrite)
                with contextlib.closing(files):
                    work = _Work(
                        wanted,
                        depth=depth,
                        as_it_was=as_it_was,
                        sequence=sequence,
                        parts=shots,
                        files=files,
                        emit=emit,
                        check=check,
                    )
                    work.run(needed)
            except OSError as error:
                raise unwritable(error, folder, needed_bytes=needed) from error
        finally:
            held.release()
    finally:
        leftovers.remove_empty(made)
    return Outcome(frames=work.frames, files=len(files.targets))


def remove_temporary(folder: Path) -> None:
    """Remove what this process was writing, which is about to be ended by force."""
    for path in folder.glob(f"{own_files.TEMPORARY}{os.getpid()}-*"):
        with contextlib.suppress(OSError):
            path.unlink()


def same_plate(found: Source, written: Source) -> Source:
    """Where the plate is now, with what ``depth.json`` knows of it and its file does not tell."""
    return replace(
        found,
        width=found.width or written.width,
        height=found.height or written.height,
        fps=found.fps or written.fps,
        colorspace=found.colorspace or written.colorspace,
    )


def _measured(wanted: Export, sequence: DepthSequence, depth: Path, check: Check) -> tuple[Part, ...]:
    """The shots that are exported, with their distances and the ends of their grays: one range for the whole shot."""
    found = []
    for shot, frames in contract.shots_within(wanted, sequence):
        if shot.range is None:
            continue
        low, high = shot.range.p1, shot.range.p99
        if wanted.format in _GRAY and wanted.percentiles != (1, 99):
            counted = Percentiles()
            for number in range(shot.first_frame, shot.last_frame + 1):
                check()
                values = exr.read_map(depth / disparity_name(number), size=(sequence.width, sequence.height))
                known = values[np.isfinite(values) & (values != 0)]
                if known.size:
                    counted.add(known)
            with contextlib.suppress(ValueError):  # nothing was counted: there is nothing but the far end
                low, high = (counted.quantile(percentile / 100) for percentile in wanted.percentiles)
        high = max(high, low + 1e-6 * max(abs(low), 1e-6))
        placed = contract.placement(wanted, sequence, shot)
        found.append(Part(shot=shot, frames=frames, placed=placed, low=low, high=high))
    return tuple(found)


def _require_maps(depth: Path, sequence: DepthSequence, parts: Sequence[Part]) -> None:
    names = [disparity_name, *([confidence_name] if sequence.confidence is not None else [])]
    for part in parts:
        for number, name in itertools.product(part.frames, names):
            if not (depth / name(number)).is_file():
                raise ClipError(
                    f"{name(number)} is missing in {depth}, although its depth.json lists that frame", _AGAIN
                )


def _require_possible(wanted: Export, sequence: DepthSequence, parts: Sequence[Part]) -> None:
    """Raise (USAGE) for what the depth does not have, before anything is written."""
    farthest = max(part.placed.far_limit * part.placed.scale for part in parts)
    if wanted.format == "exr" and wanted.half and farthest > _LARGEST_HALF:
        raise Failure(
            exit_codes.USAGE,
            f"Half floats end at {_LARGEST_HALF:g}, and the far limit is {farthest:g}.",
            hint=f"Write 32-bit floats, or choose a nearer {setting('far_limit')}.",
        )
    if wanted.confidence and sequence.confidence is None:
        raise Failure(
            exit_codes.USAGE,
            f"{sequence.estimator} gives no confidence, so there is no channel of it to write.",
            hint="Leave the confidence out.",
        )
    if wanted.format in ("movie", "control") and not (wanted.fps or sequence.source.fps):
        raise Failure(
            exit_codes.USAGE,
            "The clip's frame rate is not known.",
            hint=f"Say how many frames a second the movie has with {setting('fps')}.",
        )
    for part in parts if wanted.format in contract.NEEDS_CAMERA and wanted.focal_length is None else ():
        if part.placed.camera is None and part.shot.camera is None:
            raise Failure(
                exit_codes.USAGE,
                f"The depth of frames {part.shot.first_frame}-{part.shot.last_frame} has no camera.",
                hint=f"Give {setting('focal_length')}, for a camera that does not move.",
            )


# ------------------------------------------------------------------------------------------------------------ work


class _Work:
    """One run of an export; `frames` is how many it writes."""

    def __init__(
        self,
        wanted: Export,
        *,
        depth: Path,
        as_it_was: tuple[int, int] | None,
        sequence: DepthSequence,
        parts: tuple[Part, ...],
        files: ExportFiles,
        emit: Emit,
        check: Check,
    ) -> None:
        self._wanted, self._depth, self._sequence, self._parts = wanted, depth, sequence, parts
        self._as_it_was = as_it_was
        self._files, self._emit, self._check = files, emit, check
        self._size = (sequence.width, sequence.height)
        self._known_mattes: dict[tuple[int, int], Mattes] = {}
        self._known_rays: dict[tuple[float, ...], NDArray[np.float32]] = {}  # of the lens that is at its turn
        self.frames = contract.count_frames(wanted, sequence)
        self._meter = Meter(emit, self.frames)
        self._meter.plan(self.frames)

    def run(self, needed: float) -> None:
        """Write what is left, at most about `needed` bytes."""
        wanted, count = self._wanted, len(self._files.left)
        self._warn_before()
        self._warn_of_others()
        if not count:
            self._emit(events.Warning(message="All files of this export are there already."))
            return
        what = "1 file" if count == 1 else f"{count} files"
        room = size_text(needed * self._files.share_left())
        self._meter.stage("export", f"Writing {what}, {room} at most")
        done = self.frames - count if wanted.is_for_each_frame else 0
        self._meter.begin(done)
        self._meter.frames_done(done)
        self._meter.begin(self.frames - done)
        write = {
            "exr": self._write_exr,
            "png": self._write_png,
            "movie": self._write_movie,
            "control": self._write_movie,
            "ply": self._write_merged if wanted.merged else self._write_points,
            "chan": self._write_chan,
        }
        write[wanted.format]()
        sync_folder(next(iter(self._files.targets.values())).parent)
        self._meter.finish()

    def _write_exr(self) -> None:
        wanted, source = self._wanted, self._sequence.source
        size = contract.image_size(wanted, self._sequence)
        windows = self._windows(size)
        held = self._mattes(size)
        kind = np.float16 if wanted.half else np.float32
        header: dict[str, Any] = {"comments": meaning(wanted), "software": "Fathom"}
        if source.fps:
            header["framesPerSecond"] = Fraction(source.fps).limit_denominator(1001)
        unknown = 0
        for part, number, maps, _ in self._frames(full=wanted.at_full_size):
            distance = point_cloud.distance(maps[0], part.placed, number)
            channels = {wanted.channel: -distance if wanted.negative else distance}
            if wanted.confidence:
                channels[CONFIDENCE_CHANNEL] = maps[1]
            if held is not None:
                channels[MATTE_CHANNEL] = held.opacity(held.numbers.index(number))
            found = windows.of_frame(number) if windows is not None else None
            unknown += found is None
            placed = found or Windows()
            with self._writing(number) as temporary:
                exr.write_channels(
                    temporary,
                    {name: each.astype(kind) for name, each in channels.items()},
                    header | {"pixelAspectRatio": placed.pixel_aspect},
                    corner=placed.corner,
                    display=placed.display,
                )
        if unknown:
            self._emit(
                events.Warning(
                    message=f"The plate of {unknown} frames cannot be read, so their data window is the whole image "
                    f"and their pixels are square; if the plate's are not, show where it is with {setting('plate')}."
                )
            )

    def _write_png(self) -> None:
        for part, number, maps, _ in self._frames(full=self._wanted.at_full_size):
            gray = np.round(65535 * self._shade(part, maps[0])).astype(np.uint16)
            is_coded, data = cv2.imencode(".png", gray)
            if not is_coded:
                raise ValueError("OpenCV cannot encode an image as PNG")
            with self._writing(number) as temporary:
                temporary.write_bytes(data.tobytes())

    def _write_movie(self) -> None:
        wanted, sequence = self._wanted, self._sequence
        rate = wanted.fps or (sequence.source.fps or 0) / wanted.every
        size = contract.image_size(wanted, sequence)
        (target,) = self._files.targets
        numbers = range(self._parts[0].frames[0], self._parts[-1].frames[-1] + 1, wanted.every)
        chosen, nothing = set(numbers), np.zeros(size[::-1], np.float32)
        label = f"Writing {size[0]}x{size[1]} pixels at {rate:.6g} frames/s"
        self._meter.stage("export", label)
        with self._files.writing(target) as temporary, gray_movie.written(temporary, size, rate) as append:
            following = iter(numbers)
            awaited = next(following)
            for part, number, maps, _ in self._frames(full=wanted.at_full_size, chosen=chosen):
                while awaited < number:  # frames without depth
                    append(nothing)
                    awaited = next(following)
                append(self._shade(part, _resized(maps[0], size)))
                awaited = next(following, number)
                self._meter.frames_done(1)

    def _write_points(self) -> None:
        for part, number, maps, image in self._frames(full=self._wanted.at_full_size, colors=True):
            points = self._vertices(part, number, maps, image)
            with self._writing(number) as temporary:
                point_cloud.write(temporary, points, self._comments(part, f"frame {number}"))

    def _write_merged(self) -> None:
        for part in self._parts:
            if part.shot.first_frame not in self._files.left:
                continue
            voxel = self._wanted.voxel or self._voxel(part)
            self._meter.stage("export", f"Merging points, one in each voxel of {voxel:g}")
            grid = point_cloud.VoxelGrid(voxel, with_confidence=self._sequence.confidence is not None)
            try:
                for each, number, maps, image in self._frames(full=self._wanted.at_full_size, colors=True, only=part):
                    grid.add(self._vertices(each, number, maps, image))
                    self._meter.frames_done(1)
                points = grid.points()
            except point_cloud.VoxelError as error:
                raise Failure(
                    exit_codes.USAGE,
                    f"Voxels of {voxel:g} are too small for how far the points spread.",
                    hint=f"Choose a larger {setting('voxel')}, or a nearer {setting('far_limit')}.",
                ) from error
            what = f"frames {part.frames[0]}-{part.frames[-1]}, one point in each voxel of {voxel:g}"
            with self._files.writing(part.shot.first_frame) as temporary:
                point_cloud.write(temporary, points, self._comments(part, what))

    def _write_chan(self) -> None:
        for part in self._parts:
            self._check()
            camera = self._camera(part)
            self._warn_of_lens(part, camera)
            turned = np.diag([1.0, -1.0, -1.0, 1.0])  # from OpenCV's axes to those that look along -z
            poses = [
                point_cloud.pose(camera, number, part.placed, up_of(self._wanted)) @ turned for number in part.frames
            ]
            lenses = (camera.intrinsics(point_cloud.pose_at(camera, number)) for number in part.frames)
            fields = [chan.vertical_field(along_height, camera.height) for _, along_height, *_ in lenses]
            if part.shot.first_frame in self._files.left:
                with self._files.writing(part.shot.first_frame) as temporary:
                    temporary.write_text(chan.text(part.frames, poses, fields), encoding="ascii", newline="\n")
            self._meter.count(len(part.frames))
            self._meter.frames_done(len(part.frames))

    # -------------------------------------------------------------------------------------------------- what is read

    def _frames(
        self, *, full: bool, colors: bool = False, chosen: set[int] | None = None, only: Part | None = None
    ) -> Iterator[tuple[Part, int, tuple[NDArray[np.float32], ...], NDArray[np.float32] | None]]:
        """Shot, number, maps (disparity, and confidence where there is one) and plate of each frame that is left.

        `full`: at the plate's size, along its edges; the plate is at the size of the maps, where it is read.
        """
        source = self._sequence.source
        full = full and (source.width, source.height) != self._size
        for part in self._parts if only is None else (only,):
            wanted = self._files.left if chosen is None and self._wanted.is_for_each_frame else chosen
            numbers = [number for number in part.frames if wanted is None or number in wanted]
            plate = self._plate(numbers, None if full else self._size) if full or colors else itertools.repeat(None)
            for number, image in zip(numbers, plate):
                self._check()
                maps = self._maps(number)
                if full and image is not None:
                    maps = upsample(maps, image)
                yield part, number, maps, image
                self._meter.count(1)

    def _maps(self, number: int) -> tuple[NDArray[np.float32], ...]:
        names = [disparity_name(number)]
        if self._sequence.confidence is not None:
            names.append(confidence_name(number))
        try:
            maps = tuple(exr.read_map(self._depth / name, size=self._size) for name in names)
        finally:  # depth.json goes before the first map is replaced, so these are still of the same depth
            if depth_sequence.stamp(self._depth) != self._as_it_was:
                raise Failure(
                    exit_codes.FAILED,
                    f"The depth in {self._depth} was replaced while it was exported.",
                    hint="Export it again when it is finished, and overwrite what is written.",
                )
        if not np.isfinite(maps[0]).any():
            raise ClipError(f"The map of frame {number} in {self._depth} has no finite depth", _AGAIN)
        return tuple(np.nan_to_num(each) for each in maps)

    def _plate(self, numbers: Sequence[int], size: tuple[int, int] | None) -> Iterator[NDArray[np.float32]]:
        """The plate's images of some frames in ascending order, read run by run."""
        if not numbers:
            return
        clip = self._clip(numbers[0], numbers[-1])
        for first, last in spans(numbers):
            for _, image in clip.read(first, last, size=size):
                yield image

    def _clip(self, first: int, last: int) -> Clip:
        source = self._sequence.source
        try:
            clip = open_clip(source, first, last)
            clip.require(first, last)
        except ClipError as error:
            why = "colors are" if self._wanted.format == "ply" else "edges are"
            hint = f"show where it is with {setting('plate')}"
            if self._wanted.format != "ply":
                hint += f", or export at the size of the maps ({setting('full_size')} off)"
            raise ClipError(f"The plate's {why} needed, and it cannot be read: {error.what}", hint) from error
        return clip

    def _mattes(self, size: tuple[int, int]) -> Mattes | None:
        if self._wanted.mattes is None:
            return None
        if size not in self._known_mattes:
            first, last = self._parts[0].frames[0], self._parts[-1].frames[-1]
            self._known_mattes[size] = mattes(self._wanted.mattes, first, last, size)
        return self._known_mattes[size]

    def _windows(self, size: tuple[int, int]) -> PlateWindows | None:
        try:
            return PlateWindows(self._sequence.source, size)
        except ClipError:  # a movie that is not there
            return None

    # ---------------------------------------------------------------------------------------------- what is made of it

    def _shade(self, part: Part, disparity: NDArray[np.float32]) -> NDArray[np.float32]:
        known = np.isfinite(disparity) & (disparity != 0)  # 0 is beyond the far end
        gray = np.where(known, (disparity - part.low) / (part.high - part.low), 0).clip(0, 1).astype(np.float32)
        return 1 - gray if self._wanted.far_white else gray

    def _vertices(
        self, part: Part, number: int, maps: tuple[NDArray[np.float32], ...], image: NDArray[np.float32] | None
    ) -> NDArray[np.void]:
        if image is None:
            raise ValueError("points need the plate's colors")
        confidence = maps[1] if len(maps) > 1 else None
        left_out = None
        if confidence is not None and self._wanted.minimum_confidence > 0:
            left_out = confidence < self._wanted.minimum_confidence
        height, width = maps[0].shape
        held = self._mattes((width, height))
        if held is not None:
            matte = held.opacity(held.numbers.index(number)) > _TOUCHED  # at their edges, depth is half the object's
            left_out = matte if left_out is None else left_out | matte
        camera = self._camera(part).scaled(width, height)
        lens = (part.shot.first_frame, *camera.intrinsics(point_cloud.pose_at(camera, number)))
        if lens not in self._known_rays:
            self._known_rays = {lens: point_cloud.rays(camera, number)}
        return point_cloud.vertices(
            maps[0],
            part.placed,
            number,
            rays=self._known_rays[lens],
            pose=point_cloud.pose(camera, number, part.placed, up_of(self._wanted)),
            colors=image,
            confidence=confidence,
            left_out=left_out,
        )

    def _camera(self, part: Part) -> Camera:
        """The camera of a shot, at the plate's size."""
        millimeters, source = self._wanted.focal_length, self._sequence.source
        if millimeters is not None:
            width, height = source.width or self._size[0], source.height or self._size[1]
            return Camera.from_lens(millimeters, SENSOR_WIDTH, width=width, height=height)
        camera = part.placed.camera or part.shot.camera
        if camera is None:
            raise ValueError("the shot has no camera")  # `_require_possible` has seen to it
        return camera

    def _voxel(self, part: Part) -> float:
        """About two pixels at the median distance of the shot's middle frame, rounded to two digits."""
        middle = part.frames[len(part.frames) // 2]
        inverse = point_cloud.inverse_distance(self._maps(middle)[0], part.placed, middle)
        seen = inverse[inverse > np.float32(1 / part.placed.far_limit)]
        median = part.placed.scale / float(np.median(seen)) if seen.size else part.placed.far_limit
        focal_length = self._camera(part).scaled(*self._size).focal_length
        return float(f"{_PIXELS_OF_A_VOXEL * median / focal_length:.2g}")

    def _comments(self, part: Part, what: str) -> tuple[str, ...]:
        return (f"Fathom: {what}, {up_of(self._wanted)} up, scene units", f"far limit {part.placed.far_limit:g}")

    @contextlib.contextmanager
    def _writing(self, number: int) -> Iterator[Path]:
        """Write a frame's file, and count it."""
        with self._files.writing(number) as temporary:
            yield temporary
        self._meter.frames_done(1)
        self._emit(events.Frame(number=number, path=str(self._files.targets[number])))

    # --------------------------------------------------------------------------------------------- what is to be known

    def _warn_before(self) -> None:
        """Say which frames of the range have no depth, and which shots no path of the camera."""
        wanted, sequence = self._wanted, self._sequence
        first = sequence.first_frame if wanted.first_frame is None else max(wanted.first_frame, sequence.first_frame)
        last = sequence.last_frame if wanted.last_frame is None else min(wanted.last_frame, sequence.last_frame)
        there = {number for part in self._parts for number in part.frames}
        for part in self._parts if wanted.format in contract.NEEDS_CAMERA else ():
            if not self._camera(part).poses:
                frames = f"{part.frames[0]}-{part.frames[-1]}"
                text = f"No path of the camera is known at frames {frames}, so it is taken to stand still."
                self._emit(events.Warning(message=text))
        gaps = spans(set(range(first, last + 1)) - there)
        if gaps:
            frames = ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in gaps)
            what = "are black" if wanted.format in ("movie", "control") else "are left out"
            self._emit(events.Warning(message=f"Frames {frames} have no depth and {what}."))

    def _warn_of_others(self) -> None:
        """Say which frames beside these are of an earlier export."""
        if self._files.strange:
            self._emit(events.Warning(message=numbering.earlier_stay(sorted(self._files.strange))))

    def _warn_of_lens(self, part: Part, camera: Camera) -> None:
        """Say what of a lens no .chan file can hold."""
        points = [camera.intrinsics(point_cloud.pose_at(camera, number))[2:] for number in part.frames]
        middle = ((camera.width - 1) / 2, (camera.height - 1) / 2)
        shift = max(((x - middle[0], y - middle[1]) for x, y in points), key=lambda by: max(map(abs, by)))
        lost = []
        if any(abs(value) > 0.5 for value in shift):
            lost.append(f"the lens's shift of {shift[0]:+.1f}, {shift[1]:+.1f} pixels (right, down)")
        if any(camera.distortion):
            values = ", ".join(f"{value:g}" for value in camera.distortion)
            lost.append(f"its distortion ({camera.distortion_model}: {values})")
        if lost:
            self._emit(
                events.Warning(
                    message=f"A .chan file cannot hold {' nor '.join(lost)}: set it in the camera of frames "
                    f"{part.frames[0]}-{part.frames[-1]} by hand, or undistort the plate."
                )
            )


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = values.shape
    if (width, height) == size:
        return values
    shrinks = size[0] <= width and size[1] <= height
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, size, interpolation=way), np.float32)
