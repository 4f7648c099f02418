"""A shot's depth before stage 2: what stage 1, or another depth sequence, says of each frame.

The paper's second stage refines any depth sequence (section 3.3), so one that exists can take the place of stage 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ...common.failures import ClipError, Failure, Refused
from ...common.percentiles import Spread
from ...contract import depth_sequence, exit_codes
from ...contract.camera import Camera
from ...contract.depth_sequence import DepthSequence, DepthSequenceError, confidence_name, disparity_name
from ...contract.hints import setting
from ...media.exr import read_map
from ...video_diffusion import resolution
from ..base import Shot

_NARROW, _TINY = 1e-3, 1e-37
"""Two quantiles must be further apart than this share of their value, and than this: `Spread` knows no better."""
_FARTHEST = 1e-4
"""Inverse depth of what lies infinitely far away, as a share of the shot's 99 % quantile, which wild points do not
move: the range from 0 to 1 that the refinement knows must end somewhere above 0."""
_ASPECT = 1.05
"""By how much the pictures' aspects may differ: sizes are rounded to whole pixels."""
_AGAIN = "copy its files again, or estimate that depth sequence again"


class Prior(Protocol):
    """Maps by random access; the same bits however often and in whatever order they are asked for.

    Attributes
    ----------
    size : (width, height)
        Of the maps.
    camera : Camera or None
        With a pose for every frame, scaled to the maps; None where none is known.
    has_confidence : bool
        Whether `confidence` means something.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def camera(self) -> Camera | None: ...

    @property
    def has_confidence(self) -> bool: ...

    def disparity(self, index: int) -> NDArray[np.float32]:
        """The map [h, w] of the shot's `index`-th frame: finite, holes filled, in the prior's own units."""

    def confidence(self, index: int) -> NDArray[np.float32]:
        """How far that map is to be trusted, [h, w], 0 to 1; 0 where it was filled."""


def filled(disparity: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A map [h, w] with the value of the nearest valid pixel wherever it is not valid itself.

    Raises
    ------
    ValueError
        No pixel is valid.
    """
    if valid.all():
        return disparity
    if not valid.any():
        raise ValueError("no pixel is valid")
    rows, columns = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return disparity[rows, columns]


def spread_of(
    prior: Prior,
    count: int,
    quantile: float,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, float]:
    """Between which values a shot's disparity lies, but for a share of it at each end.

    Where nearly all values are the same, as those of a sky behind something small, it is minimum and maximum.

    Parameters
    ----------
    prior : Prior
    count : int
        Frames of the shot; one map is held at a time.
    quantile : float
        The share, 0 to below 0.5; 0: minimum and maximum.
    check : callable
        Raises to stop; called before each map.
    progress : callable
        Hears how many maps of how many are read.

    Returns
    -------
    (low, high)
        Equal where all values are.
    """
    spread = Spread()
    for index in range(count):
        check()
        spread.add(prior.disparity(index))
        progress(index + 1, count)
    low, high = spread.quantile(quantile), spread.quantile(1 - quantile)
    if high - low <= max(_NARROW * abs(low), _NARROW * abs(high), _TINY):
        return spread.quantile(0), spread.quantile(1)
    return low, high


def write_maps(shot: Shot, prior: Prior, frame: int, disparity: NDArray[np.float32]) -> None:
    """Write a frame's map, with the prior's confidence where it has one.

    Parameters
    ----------
    shot : Shot
    prior : Prior
    frame : int
        Counted from the shot's first.
    disparity : array [h, w]
        Of any size. Resizing stays within its values.
    """
    shot.check()
    working = (shot.frames.width, shot.frames.height)
    confidence = None
    if prior.has_confidence:
        confidence = np.clip(resolution.to_working(prior.confidence(frame), working), 0, 1)
    shot.write(frame, resolution.to_working(disparity, working), confidence)


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
