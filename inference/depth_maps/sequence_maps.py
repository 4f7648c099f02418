"""The maps of an existing depth sequence, for what starts from it (refined, or completing what is measured) or measures
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..common.failures import ClipError, Failure, UnsupportedShot
from ..contract import depth_sequence, exit_codes
from ..contract.camera import Camera
from ..contract.depth_sequence import DepthSequence, DepthSequenceError, confidence_name, disparity_name
from ..contract.hints import setting
from ..media.exr import read_map

_FARTHEST = 1e-4
"""Inverse depth of points at infinity, as a share of the shot's 99th percentile, which outliers do not change: the
lower end of the refinement's value range must be above 0."""
_LARGEST = 1e30
"""Values beyond are no depth: sums and differences of them leave float32."""
_ASPECT = 1.05
"""Ratio by which the images' aspects may differ: sizes are rounded to whole pixels."""
_AGAIN = "copy its files again, or estimate that depth sequence again"


class Skipped(UnsupportedShot):
    """The depth sequence has no maps of the shot, because its estimator did not support it."""


class SequenceMaps:
    """The maps of a shot from a depth sequence, by random access.

    Parameters
    ----------
    folder : Path
        Holds ``depth.json``.
    numbers : sequence of int
        The shot's source frames.
    named_by : str
        The parameter that names the folder, for messages.

    Attributes
    ----------
    sequence : DepthSequence
    quantity : Quantity
        Of this shot.
    estimators : tuple of str
        Those whose depth of this shot it is.
    size : (width, height)
    camera : Camera or None
    has_confidence : bool
    farthest : float
        The least that `disparity` returns of inverse depth, for all that is at or beyond the far end; else 0.

    Raises
    ------
    Failure
        USAGE: the folder holds no depth sequence.
    Skipped
        Its estimator did not support the shot.
    UnsupportedShot
        The sequence does not fit this shot: frames are missing; its shots are cut elsewhere.
    ClipError
        Files are missing in the folder; they may come back.
    """

    def __init__(self, folder: Path, numbers: Sequence[int], *, named_by: str) -> None:
        folder = Path(folder)
        self._folder = folder.parent if folder.name == depth_sequence.SIDECAR else folder
        self._numbers, self._named_by = numbers, named_by
        try:
            self.sequence: DepthSequence = depth_sequence.load(folder)
        except DepthSequenceError as error:
            raise Failure(exit_codes.USAGE, f"{setting(named_by)} names no depth sequence: {error}") from error
        self.size = (self.sequence.width, self.sequence.height)
        self.has_confidence = self.sequence.confidence is not None
        shot = self._shot()
        self.quantity = self.sequence.quantity_of(shot)
        self.estimators = shot.estimators or (self.sequence.estimator,)
        self._floor = self._farthest(shot)
        self.farthest = self._floor or 0.0
        self._require_maps()
        self.camera = self._camera(shot)

    def check_aspect(self, width: int, height: int) -> None:
        """Check that the maps have the aspect of images of this size."""
        found, wanted = self.size[0] / self.size[1], width / height
        if max(found / wanted, wanted / found) > _ASPECT:
            raise UnsupportedShot(
                f"The maps in {self._folder} are {self.size[0]}x{self.size[1]} and have another aspect than the clip.",
                "Choose a depth sequence of this clip.",
            )

    def disparity(self, index: int) -> NDArray[np.float32]:
        """A frame's map in the sequence's own units, holes (not finite, or huge) filled; above 0 for inverse depth."""
        values = self._read(disparity_name(self._numbers[index]))
        valid = _is_depth(values)
        if not valid.any():
            raise ClipError(f"The map of frame {self._numbers[index]} in {self._folder} has no finite depth", _AGAIN)
        found = filled(values, valid)
        return found if self._floor is None else np.maximum(found, np.float32(self._floor))

    def confidence(self, index: int) -> NDArray[np.float32]:
        """The sequence's own, 0 where the map has no finite value."""
        values = self._read(confidence_name(self._numbers[index]))
        known = np.isfinite(values) & _is_depth(self._read(disparity_name(self._numbers[index])))
        return np.where(known, values, np.float32(0)).clip(0, 1)

    def _shot(self) -> depth_sequence.Shot:
        """The sequence's shot that all frames are in."""
        first, last, sequence = self._numbers[0], self._numbers[-1], self.sequence
        if first < sequence.first_frame or last > sequence.last_frame:
            raise UnsupportedShot(
                f"{self._folder} has depth of frames {sequence.first_frame} to {sequence.last_frame} only, not of all "
                f"frames {first} to {last}.",
                "Choose frames in that range, or estimate that depth sequence for all frames.",
            )
        shot = sequence.shot_at(first)
        if shot.status != "done":
            raise Skipped(
                f"{self._folder} has no depth of frames {shot.first_frame} to {shot.last_frame}: its estimator does "
                f"not support that shot ({(shot.reason or 'no reason was recorded').rstrip('.')}).",
                f"Choose another depth sequence, or leave out {setting(self._named_by)}.",
            )
        if not shot.first_frame <= first <= last <= shot.last_frame:
            raise UnsupportedShot(
                f"A shot of {self._folder} ends at frame {shot.last_frame}, within frames {first} to {last}, which are "
                "one shot here, so their depths share no scale.",
                "Estimate that depth sequence again from the same clip.",
            )
        return shot

    def _farthest(self, shot: depth_sequence.Shot) -> float | None:
        """The least that inverse depth may be; None where the quantity is another."""
        if self.quantity != "inverse_depth":
            return None
        if shot.range is None or not shot.range.maximum > 0:
            raise UnsupportedShot(
                f"{self._folder} has no finite distance in frames {shot.first_frame} to {shot.last_frame}.",
                f"Choose another depth sequence, or leave out {setting(self._named_by)}.",
            )
        return _FARTHEST * (shot.range.p99 if shot.range.p99 > 0 else shot.range.maximum)

    def _require_maps(self) -> None:
        for number in self._numbers:
            names = [disparity_name(number), *([confidence_name(number)] if self.has_confidence else [])]
            for name in names:
                if not (self._folder / name).is_file():
                    raise ClipError(
                        f"{name} is missing in {self._folder}, although its depth.json lists that frame", _AGAIN
                    )

    def _camera(self, shot: depth_sequence.Shot) -> Camera | None:
        """The sequence's camera, scaled to its maps, with the poses of the shot's frames."""
        if shot.camera is None or not shot.camera.poses:
            return None
        poses = tuple(pose for pose in shot.camera.poses if pose.frame in self._numbers)
        return replace(shot.camera, poses=poses).scaled(*self.size)

    def _read(self, name: str) -> NDArray[np.float32]:
        return read_map(self._folder / name, size=self.size)


def _is_depth(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where values are finite and can be reckoned with."""
    return np.asarray(np.abs(values) <= _LARGEST, bool)


def map_reader(folder: Path, sequence: DepthSequence) -> Callable[[int], NDArray[np.float32] | None]:
    """What gives the map of a source frame of a finished depth sequence; None where there is no file.

    `sequence` is what the folder's ``depth.json`` had when it was loaded. Where another estimate has replaced that
    depth since, or begins to, this or the next map raises a `Failure` (FAILED): figures would be of both.
    """

    def unless(is_same: bool) -> None:
        if not is_same:
            raise Failure(
                exit_codes.FAILED,
                f"The depth in {folder} was replaced while it was measured.",
                hint="Measure it again when it is finished.",
            )

    as_it_was = depth_sequence.stamp(folder)
    unless(as_it_was is not None and depth_sequence.load(folder) == sequence)

    def read(frame: int) -> NDArray[np.float32] | None:
        file = folder / disparity_name(frame)
        try:
            return read_map(file) if file.exists() else None
        finally:  # depth.json goes before the first map is replaced, so this one is still of the same depth
            unless(depth_sequence.stamp(folder) == as_it_was)

    return read


def filled(disparity: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A map [h, w] whose invalid pixels are filled with the value of the nearest valid one.

    Raises
    ------
    ValueError
        No pixel is valid.
    """
    if valid.all():
        return disparity
    if not valid.any():
        raise ValueError("no pixel is valid")
    from scipy.ndimage import distance_transform_edt  # takes a fifth of a second to import, and few runs need it

    rows, columns = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return disparity[rows, columns]
