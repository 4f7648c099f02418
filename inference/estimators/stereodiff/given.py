"""Another depth sequence in the place of stage 1: the paper's second stage refines any (section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import depth_sequence, exit_codes
from ...camera import Camera
from ...depth_sequence import DepthSequence, DepthSequenceError, confidence_name, disparity_name
from ...faults import Failure
from ...hints import setting
from ...media.errors import ClipError
from ...media.exr import read_map
from ..base import Refused
from .prior import filled

_FARTHEST = 1e-4
"""Inverse depth of what lies infinitely far away, as a share of the shot's 99 % quantile, which wild points do not
move: the range from 0 to 1 that the refinement knows must end somewhere above 0."""
_ASPECT = 1.05
"""By how much the pictures' aspects may differ: sizes are rounded to whole pixels."""
_AGAIN = "copy its files again, or estimate that depth sequence again"


class GivenPrior:
    """The maps of a shot from a depth sequence; see `prior.Prior`.

    Parameters
    ----------
    folder : Path
        Holds ``depth.json``.
    numbers : sequence of int
        The shot's source frames.

    Attributes
    ----------
    sequence : DepthSequence
    size : (width, height)
    camera : Camera or None
    has_confidence : bool

    Raises
    ------
    Failure
        USAGE: the folder holds no depth sequence.
    Refused
        What the sequence has does not do for this shot: it lacks frames; it was refused itself; its shots are cut
        elsewhere.
    ClipError
        The folder lacks files that it should have; those may come back.
    """

    def __init__(self, folder: Path, numbers: Sequence[int]) -> None:
        folder = Path(folder)
        self._folder = folder.parent if folder.name == depth_sequence.SIDECAR else folder
        self._numbers = numbers
        try:
            self.sequence: DepthSequence = depth_sequence.load(folder)
        except DepthSequenceError as error:
            raise Failure(
                exit_codes.USAGE, f"{setting('stage1_from')} names no depth sequence to refine: {error}"
            ) from error
        self.size = (self.sequence.width, self.sequence.height)
        self.has_confidence = self.sequence.confidence is not None
        shot = self._shot()
        self._floor = self._farthest(shot)
        self._require_maps()
        self.camera = self._camera(shot)

    def check_aspect(self, width: int, height: int) -> None:
        """Refuse maps of pictures that have another aspect than those of this size."""
        found, wanted = self.size[0] / self.size[1], width / height
        if max(found / wanted, wanted / found) > _ASPECT:
            raise Refused(
                f"The maps in {self._folder} are {self.size[0]}x{self.size[1]} and have another aspect than the clip.",
                "Choose a depth sequence of this very clip.",
            )

    def disparity(self, index: int) -> NDArray[np.float32]:
        """A frame's map in the sequence's own units, holes filled; above 0 where those are inverse depth."""
        values = self._read(disparity_name(self._numbers[index]))
        valid = np.isfinite(values)
        if not valid.any():
            raise ClipError(f"The map of frame {self._numbers[index]} in {self._folder} holds no finite value", _AGAIN)
        found = filled(values, valid)
        return found if self._floor is None else np.maximum(found, np.float32(self._floor))

    def confidence(self, index: int) -> NDArray[np.float32]:
        """The sequence's own, 0 where the map has no finite value."""
        values = self._read(confidence_name(self._numbers[index]))
        known = np.isfinite(values) & np.isfinite(self._read(disparity_name(self._numbers[index])))
        return np.where(known, values, np.float32(0)).clip(0, 1)

    def _shot(self) -> depth_sequence.Shot:
        """The sequence's shot that all frames are in."""
        first, last, sequence = self._numbers[0], self._numbers[-1], self.sequence
        if first < sequence.first_frame or last > sequence.last_frame:
            raise Refused(
                f"{self._folder} has depth of the frames {sequence.first_frame} to {sequence.last_frame} only, not of "
                f"all from {first} to {last}.",
                "Choose frames within those, or estimate that depth sequence for all frames.",
            )
        shot = sequence.shot_at(first)
        if shot.status != "done":
            raise Refused(
                f"{self._folder} has no depth of the frames {shot.first_frame} to {shot.last_frame}: its estimator "
                f"refused them ({(shot.reason or 'it did not say why').rstrip('.')}).",
                f"Take another depth sequence, or let stereo matching do it (leave {setting('stage1_from')} out).",
            )
        if not shot.first_frame <= first <= last <= shot.last_frame:
            raise Refused(
                f"A shot of {self._folder} ends at frame {shot.last_frame}, within the frames {first} to {last} that "
                "make one shot here, so their depths share no scale.",
                "Estimate that depth sequence again from the same clip.",
            )
        return shot

    def _farthest(self, shot: depth_sequence.Shot) -> float | None:
        """The least that inverse depth may be; None where the quantity is another."""
        if self.sequence.quantity != "inverse_depth":
            return None
        if shot.range is None or not shot.range.maximum > 0:
            raise Refused(
                f"In {self._folder} nothing of the frames {shot.first_frame} to {shot.last_frame} is at a finite "
                "distance.",
                f"Take another depth sequence, or let stereo matching do it (leave {setting('stage1_from')} out).",
            )
        return _FARTHEST * (shot.range.p99 if shot.range.p99 > 0 else shot.range.maximum)

    def _require_maps(self) -> None:
        for number in self._numbers:
            names = [disparity_name(number), *([confidence_name(number)] if self.has_confidence else [])]
            for name in names:
                if not (self._folder / name).is_file():
                    raise ClipError(f"{self._folder} lacks {name}, although its depth.json says that it has it", _AGAIN)

    def _camera(self, shot: depth_sequence.Shot) -> Camera | None:
        """The sequence's camera with the poses of the frames, for its maps."""
        if shot.camera is None or not shot.camera.poses:
            return None
        poses = tuple(pose for pose in shot.camera.poses if pose.frame in self._numbers)
        return replace(shot.camera, poses=poses).scaled(*self.size)

    def _read(self, name: str) -> NDArray[np.float32]:
        return read_map(self._folder / name, size=self.size)
