"""The frames of a shot that are solved, and the depth and poses of the others.

A frame that repeats another adds nothing: as a neighbor in stereo it has no baseline, and a track through it seems to
stop. It gets the depth and pose of the frame that it repeats. A flash, or a black or white frame, has too little detail
to be matched. The camera moves on through it, so its pose is interpolated, and the depth of the frames around it is
reprojected to that pose (`bridge`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import UnsupportedShot
from ...common.files import load_arrays, save_arrays
from ...contract.hints import setting
from ...media import light
from ...media.cuts import BRIDGED, FLASH
from ..base import Frames, Shot
from .camera_motion import HINT, SHORTEST
from .tracks import Tracks, follow
from .view import Views, of_camera

_LONG_SIDE = 320
_BLOWN = 250  # gray level from which a pixel is overexposed
_MORE_BLOWN = 0.12  # share of the image by which a flash has more such pixels than the frames around it
_DARKER = 0.45  # share of the brightness and
_PLAINER = 0.4  # of the detail of the frames around it, below which a frame is too dark
_STANDS = 1.0  # pixels at 640: largest motion of points before a locked camera
_LOST = 0.08  # largest share of the points that can be followed across a cut
_LIT = 0.12  # difference in log brightness across a change of light
_SPOKEN = 3  # ranges of frames that a sentence lists one by one
_AROUND = 2  # frames to either side of a change
_OTHERWISE = HINT[0].lower() + HINT[1:]


@dataclass(frozen=True)
class TakingPart:
    """The frames of a shot by their use, as indices.

    Attributes
    ----------
    frames : tuple of int
        Those that are solved, ascending.
    shown : tuple of int
        For each frame of the shot the one that it repeats, or itself.
    lost : dict of int to str
        Those with too little detail, without repeats, with a description such as ``black``.
    """

    frames: tuple[int, ...]
    shown: tuple[int, ...]
    lost: dict[int, str]

    @property
    def repeating(self) -> dict[int, tuple[int, ...]]:
        """For each frame that repeats none, itself and those that repeat it."""
        return {key: tuple(group) for key, group in groupby(range(len(self.shown)), self.shown.__getitem__)}

    def narrowed(self, shot: Shot) -> Shot:
        """The shot of the solved frames only; a map written for one is also written for those that repeat it."""
        if self.frames == tuple(range(len(shot.frames))):
            return shot
        repeating = [self.repeating[frame] for frame in self.frames]

        def write(index: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None) -> None:
            for frame in repeating[index]:
                shot.write(frame, disparity, confidence)

        return replace(
            shot,
            frames=_Chosen(shot.frames, self.frames),
            mattes=None if shot.mattes is None else _Chosen(shot.mattes, self.frames),
            learned=None if shot.learned is None else _Chosen(shot.learned, self.frames),
            finished=frozenset(i for i, group in enumerate(repeating) if shot.finished.issuperset(group)),
            write=write,
            shown=(),
        )

    def around(self, frame: int) -> tuple[int, int]:
        """The indices into `frames` of the two frames on both sides of a frame, or else of the nearest two."""
        after = int(np.searchsorted(self.frames, frame))
        first = min(max(after - 1, 0), len(self.frames) - 2)
        return first, first + 1

    def spread(self, views: Views, shot: Shot) -> Views:
        """Views of all frames of a shot, without points, from those of the solved frames.

        An input camera's poses are used as they are. Otherwise a repeat has the pose of the frame that it repeats, and
        a frame with too little detail one that is interpolated between its neighbors.
        """
        if shot.camera is not None and shot.camera.poses:
            return of_camera(shot.camera, shot.frames.numbers)
        poses = np.empty((len(self.shown), 3, 4))
        place = {frame: i for i, frame in enumerate(self.frames)}
        for frame, shown in enumerate(self.shown):
            if shown in place:
                poses[frame] = views.world_to_camera[place[shown]]
            else:
                a, b = self.around(frame)
                share = (frame - self.frames[a]) / (self.frames[b] - self.frames[a])
                poses[frame] = _between(views.world_to_camera[a], views.world_to_camera[b], share)
        return replace(views, world_to_camera=poses).with_points(np.empty((0, 3)), np.empty((0, 2), np.int32))

    def warnings(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """A warning about frames whose depth comes from other frames."""
        found = self._stretches()
        if not found:
            return ()
        if len(found) > _SPOKEN:
            every = [frame for frames, _ in found for frame in frames]
            what = " or ".join(sorted({what for _, what in found}))
            where = f"{len(every)} frames between {numbers[every[0]]} and {numbers[every[-1]]} ({what})"
        else:
            where = ", ".join(f"{_spoken(numbers, frames)} ({what})" for frames, what in found)
        return (f"Depth and camera of {where} are interpolated from the frames around: there is too little detail.",)

    def _stretches(self) -> list[tuple[list[int], str]]:
        """Ranges of frames with too little detail, repeats included, with their descriptions."""
        lost = [frame for frame, shown in enumerate(self.shown) if shown in self.lost]
        found = []
        for _, group in groupby(enumerate(lost), lambda pair: pair[1] - pair[0]):
            frames = [frame for _, frame in group]
            found.append((frames, " or ".join(dict.fromkeys(self.lost[self.shown[frame]] for frame in frames))))
        return found

    def require_enough(self, shot: Shot) -> None:
        """Raise `UnsupportedShot` where too few frames can be solved, or too many in a row cannot."""
        numbers, count, new = shot.frames.numbers, len(self.shown), len(set(self.shown))
        if count < SHORTEST:
            raise UnsupportedShot(f"The shot has {count} frames and parallax needs at least {SHORTEST}.", HINT)
        if new == 1:
            raise UnsupportedShot(f"The camera stands still: all {count} frames show the same image.", HINT)
        for frames, what in self._stretches():
            if len(frames) == count:
                raise UnsupportedShot(f"No points can be followed: all {count} frames are {what}.", HINT)
            at_an_end = frames[0] == 0 or frames[-1] == count - 1
            if len(frames) > (FLASH if at_an_end else BRIDGED):
                raise UnsupportedShot(
                    f"There is too little detail in {_spoken(numbers, frames)} ({what}) to follow the camera.",
                    f"Leave these frames out, or start a new shot after them ({setting('cuts')}).",
                )
        if len(self.frames) >= SHORTEST:
            return
        if new < SHORTEST and self._stands(shot):
            raise UnsupportedShot(f"The camera stands still: of {count} frames {count - new} repeat others.", HINT)
        least = f"and parallax needs at least {SHORTEST}."
        if new < SHORTEST:
            repeated = f"the other {count - new} repeat them"
            raise UnsupportedShot(f"The shot has {new} frames that differ, {repeated}, {least}", HINT)
        frames, what = self._stretches()[0]
        raise UnsupportedShot(
            f"The light changes from {_spoken(numbers, frames)} ({what}) on: {len(self.frames)} of {count} frames have "
            f"enough detail, {least}",
            HINT,
        )

    def _stands(self, shot: Shot) -> bool:
        frames = self.narrowed(shot).frames
        tracks = follow(frames.__getitem__, len(frames), step=lambda done: shot.check())
        before, after = tracks.moved(0, len(frames) - 1)
        moved = np.linalg.norm(after - before, axis=1) * 640 / max(frames.width, frames.height)
        return len(moved) > 0 and float(np.percentile(moved, 75)) < _STANDS


class _Chosen:
    """A selection of a shot's frames, mattes or learned maps."""

    def __init__(self, frames: Any, chosen: tuple[int, ...]) -> None:
        self._frames, self._chosen = frames, chosen
        self.width, self.height = getattr(frames, "width", 0), getattr(frames, "height", 0)
        numbers = getattr(frames, "numbers", None)
        self.numbers: Sequence[int] = () if numbers is None else tuple(numbers[i] for i in chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Any:
        return self._frames[self._chosen[index]]


def choose(shot: Shot) -> TakingPart:
    """Select the frames of a shot to solve; the facts about all frames are saved in its scratch folder."""
    shown = shot.shown or tuple(range(len(shot.frames)))
    new = [frame for frame in range(len(shown)) if shown[frame] == frame]
    kept = shot.scratch / "light.npz"
    if kept.exists():
        facts, blank = load_arrays(kept, "facts", "blank").values()
    else:
        found = []
        for frame in new:
            shot.check()
            found.append(_facts(shot.frames[frame]))
        facts, blank = np.array([f for f, _ in found]), np.array([b for _, b in found])
        save_arrays(kept, facts=facts, blank=blank)
    lost = {frame: str(what) for frame, what in zip(new, blank, strict=True) if what}
    some = [i for i, frame in enumerate(new) if frame not in lost]
    lost |= {new[some[i]]: what for i, what in _flashes(facts[some]).items()}
    return TakingPart(tuple(frame for frame in new if frame not in lost), shown, lost)


def require_unbroken(tracks: Tracks, frames: Frames) -> None:
    """Raise `UnsupportedShot` with the frame where all tracks end at once, if there is one.

    To be called for an unsupported shot: such a break is then the actual reason.
    """
    count = len(tracks)
    for step in range(1, count):
        a, b = max(0, step - _AROUND), min(count - 1, step + _AROUND - 1)
        followed, survive = len(tracks.at(a)[0]), len(tracks.shared(a, b)[0])
        if not followed or survive > _LOST * followed:
            continue
        there = min(range(a + 1, b + 1), key=lambda at: len(tracks.shared(at - 1, at)[0]))
        levels = [float(frames[i].mean()) + 1.0 for i in (a, b)]
        number = frames.numbers[there]
        follow_on = f"{survive} of {followed} points can be followed across it"
        if abs(np.log(levels[1] / levels[0])) > _LIT:
            raise UnsupportedShot(
                f"The light changes too much at frame {number}: {follow_on}.",
                f"Start a new shot there ({setting('cuts')}), or {_OTHERWISE}",
            )
        raise UnsupportedShot(
            f"The image changes too much at frame {number}: {follow_on}.",
            f"If that is a cut or a dissolve, start a new shot there ({setting('cuts')}); otherwise {_OTHERWISE}",
        )


def _facts(image: NDArray[np.uint8]) -> tuple[tuple[float, float, float], str]:
    """Brightness, detail and overexposed share of an image, and a description where it is blank."""
    height, width = image.shape[:2]
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 3)).mean()
    return (float(gray.mean()), float(detail), float((gray >= _BLOWN).mean())), light.blank(small) or ""


def _flashes(facts: NDArray[np.float64]) -> dict[int, str]:
    """The rows of facts [N, 3] of frames that are far brighter or darker than those before and after them."""
    found: dict[int, str] = {}
    for first in range(1, len(facts) - 1):
        if first in found:
            continue
        for length in range(1, min(BRIDGED, len(facts) - 1 - first) + 1):
            inside, around = facts[first : first + length], facts[[first - 1, first + length]]
            if np.all(inside[:, 2] > around[:, 2].max() + _MORE_BLOWN):
                what = "overexposed by a flash"
            elif np.all((inside[:, 0] < _DARKER * around[:, 0].min()) & (inside[:, 1] < _PLAINER * around[:, 1].min())):
                what = "much darker than the others"
            else:
                continue
            found |= dict.fromkeys(range(first, first + length), what)
            break
    return found


def _between(one: NDArray[np.float64], other: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """A pose [3, 4] interpolated between two: rotation about one axis, position on a line."""
    turn = cv2.Rodrigues(other[:, :3] @ one[:, :3].T)[0] * share
    rotation = cv2.Rodrigues(turn)[0] @ one[:, :3]
    here, there = (-pose[:, :3].T @ pose[:, 3] for pose in (one, other))
    return np.column_stack([rotation, -rotation @ (here + share * (there - here))])


def _spoken(numbers: Sequence[int], frames: list[int]) -> str:
    first, last = numbers[frames[0]], numbers[frames[-1]]
    return f"frame {first}" if first == last else f"frames {first}-{last}"
