"""Whether a depth sequence holds still where its plate does, told without any truth.

Disparity is followed along the plate's optical flow, in what stands still (see `optical_flow`), and compared with what
the frames around let expect, so that neither the motion of the picture nor the smooth change of disparity with a
moving camera counts. All sizes are shares of the shot's spread of disparity, between its 1 % and its 99 % percentile,
and so the same for a disparity of another scale and shift; 0.004 is about one level of an 8-bit picture.

* Flicker of frame t: mean of |d(t) - (d(t-1) + d(t+1)) / 2|. Independent noise of deviation s a frame gives 0.98 s,
  a disparity that goes up and down by a every frame 2 a.
* A step before frame t: (3 (d(t) - d(t-1)) - (d(t+1) - d(t-2))) / 2, which is 0 for any change of even speed or even
  acceleration and a whole jump for a jump; at the ends of a shot, where a frame is lacking, d(t) - d(t-1) less the
  change of the one neighbouring step. See `drift` for which of them are told.
* Drift: see `drift`.

Optical flow has errors of parts of a pixel. Where the camera moves, what lies at edges of disparity is therefore left
out, and slopes give some flicker even to perfect depth.

Every shot of a sequence is measured by itself (`steadiness_by_shot`), so that one that cannot be does not stand in the
others' way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError
from ...contract import depth_sequence
from ...contract.depth_sequence import DepthSequence, Shot, disparity_name
from ...media.clip import open_clip
from ...media.exr import read_map
from ...media.mattes import mattes as read_mattes
from ..datasets.protocols import MetricsError
from . import drift, following
from .drift import Drift, Follower, Step, Windows, remarkable_steps
from .following import NO_CHANGE, Bond, Change, Frame
from .optical_flow import Lacking

LONG_SIDE = 640
"""Pixels to which larger maps and pictures are brought, averaging."""
Disparity = Callable[[int], "NDArray[np.floating] | None"]
"""Source frame to the estimated disparity [H, W] of any size; None where there is none."""
ShotSteadiness = tuple[depth_sequence.Shot, "Steadiness | MetricsError | ClipError"]
"""A shot with how steady it is, or why that cannot be told."""


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """How steady a shot is where nothing moves; sizes are shares of its spread of disparity.

    Attributes
    ----------
    first_frame, last_frame : int
        Source frames.
    spread : float
        Of disparity, between its 1 % and 99 % percentile.
    flicker : float or None
        Mean over the frames; None in a shot of less than three.
    flicker_by_frame : tuple of float
        Per frame; NaN at both ends and where it could not be measured.
    steps : tuple of Step
        At all borders of windows, and wherever the estimate jumps.
    drift : tuple of Drift
        From window to window and, for comparison, within them; without windows, over stretches of 25 frames.
    windows : Windows or None
    still : float
        Mean share of the picture that stands still and could be followed.
    pairs : int
        Pairs of neighbouring frames.
    without_depth, without_texture, without_still : int
        Those that could not be measured: a frame without an estimate, too little texture to measure motion, no motion
        that much of the picture shares.
    unusable : int
        Pixels, at the size that is measured, whose disparity is no finite number.
    """

    first_frame: int
    last_frame: int
    spread: float
    flicker: float | None
    flicker_by_frame: tuple[float, ...]
    steps: tuple[Step, ...]
    drift: tuple[Drift, ...]
    windows: Windows | None
    still: float
    pairs: int
    without_depth: int
    without_texture: int
    without_still: int
    unusable: int

    @property
    def jumps(self) -> tuple[Step, ...]:
        """The steps that are jumps."""
        return tuple(step for step in self.steps if step.jump)

    def mean_drift(self, *, border: bool) -> float | None:
        """Mean size of the drift across the borders of windows, or within them; None where none could be measured."""
        sizes = [each.size for each in self.drift if each.border == border and each.size is not None]
        return sum(sizes) / len(sizes) if sizes else None


def steadiness_by_shot(
    folder: str | Path, sequence: DepthSequence, *, mattes: str | Path | None = None
) -> list[ShotSteadiness]:
    """Measure every shot of a depth sequence on disk against its own plate.

    Parameters
    ----------
    folder : path
        Where the maps lie.
    sequence : DepthSequence
        What its ``depth.json`` says.
    mattes : path or None
        Folder of pictures with the plate's frame numbers, white where it moves on its own. None: told by the motion.
    """
    found: list[ShotSteadiness] = []
    for shot in sequence.done_shots:
        try:
            found.append((shot, _steadiness_of_shot(Path(folder), sequence, shot, mattes)))
        except (MetricsError, ClipError) as error:
            found.append((shot, error))
    return found


def _steadiness_of_shot(folder: Path, sequence: DepthSequence, shot: Shot, mattes: str | Path | None) -> Steadiness:
    first, last, spread = shot.first_frame, shot.last_frame, shot.range
    scale = min(1.0, LONG_SIDE / max(sequence.width, sequence.height))
    size = max(1, round(sequence.width * scale)), max(1, round(sequence.height * scale))
    masks = None if mattes is None else read_mattes(mattes, first, last, size)

    def disparity(frame: int) -> NDArray[np.float32] | None:
        file = folder / disparity_name(frame)
        return read_map(file) if file.exists() else None

    with open_clip(sequence.source, sequence.first_frame, sequence.last_frame) as clip:
        return steadiness(
            clip.read(first, last, size=size),
            disparity,
            spread=0.0 if spread is None else spread.p99 - spread.p1,
            windows=drift.windows_of(sequence),
            moving=None if masks is None else lambda frame: masks[frame - first],
            first=first,
            last=last,
        )


def steadiness(
    pictures: Iterable[tuple[int, NDArray]],
    disparity: Disparity,
    *,
    first: int,
    last: int,
    spread: float,
    windows: Windows | None = None,
    moving: Callable[[int], NDArray[np.bool_]] | None = None,
) -> Steadiness:
    """Measure a shot, with a few frames in memory at a time.

    Parameters
    ----------
    pictures : iterable of (int, [H, W, 3])
        Source frame and its picture, RGB in [0, 1] or of integers, for all frames of the shot in order.
    disparity : callable
        See `Disparity`.
    first, last : int
        Source frames of the shot, both included.
    spread : float
        Of the shot's disparity, above 0; sizes are shares of it.
    windows : Windows or None
        In which the shot was estimated.
    moving : callable or None
        Source frame to bool [H, W], what moves on its own. None: told by the motion.

    Raises
    ------
    MetricsError
        Disparity is the same everywhere, pictures are too small, or nothing is found that stands still.
    """
    if not spread > 0:
        raise MetricsError(
            f"The disparity of the frames {first}-{last} is the same everywhere, so nothing in it can be unsteady; "
            "estimate the shot again."
        )
    run = _Run(first=first, last=last, spread=spread, windows=windows)
    for number, picture in pictures:
        run.take(following.frame(number, picture, disparity(number), spread), moving)
    return run.result()


class _Run:
    """What is known of a shot so far; of its frames, the last four."""

    def __init__(self, *, first: int, last: int, spread: float, windows: Windows | None) -> None:
        self._first, self._last, self._spread, self._windows = first, last, spread, windows
        self._frames: deque[Frame] = deque(maxlen=4)
        self._bonds: deque[Bond | None] = deque(maxlen=3)
        self._lacking: list[Lacking | Literal["depth"]] = []
        self._still: list[float] = []
        self._unusable = 0
        self._flicker: dict[int, Change] = {}
        self._steps: dict[int, Change] = {}
        self._spans = drift.spans(first, last, windows)
        self._followers: list[Follower] = []
        self._drift: list[Drift] = []

    def take(self, frame: Frame, moving: Callable[[int], NDArray[np.bool_]] | None) -> None:
        """Go on by a frame."""
        self._unusable += frame.unusable
        if self._frames:
            before = self._frames[-1]
            found = following.bond(before, frame, None if moving is None else moving(before.number))
            self._bonds.append(found if isinstance(found, Bond) else None)
            if isinstance(found, Bond):
                self._still.append(float(found.still.mean()))
            else:
                self._lacking.append(found)
        self._frames.append(frame)
        self._follow(frame)
        frames, bonds = list(self._frames), list(self._bonds)
        if len(frames) >= 3:
            self._flicker[frame.number - 1] = following.second_difference(frames[-3:], bonds[-2:], self._spread)
        if len(frames) == 4:
            self._steps[frame.number - 1] = following.third_difference(frames, bonds, self._spread)

    def _follow(self, frame: Frame) -> None:
        bond = self._bonds[-1] if self._bonds else None
        for follower in self._followers:
            if bond is None or frame.disparity is None:
                follower.stop()
            else:
                follower.go_on(frame.number, frame.disparity, bond.link.forth, bond.still)
        for span in self._spans:
            if Follower.start(span) == frame.number:
                self._followers.append(Follower(span, frame.disparity, frame.grey.shape))
        done = [follower for follower in self._followers if follower.end == frame.number]
        self._drift += [follower.result(self._spread) for follower in done]
        self._followers = [follower for follower in self._followers if follower not in done]

    def result(self) -> Steadiness:
        """Everything about the shot, once all its frames are taken."""
        pairs = len(self._still) + len(self._lacking)
        without = {name: self._lacking.count(name) for name in ("depth", "texture", "still")}
        if pairs and not self._still:
            raise MetricsError(
                f"Nothing that stands still was found in the frames {self._first}-{self._last}: of {pairs} pairs of "
                f"frames, {without['texture']} have too little texture, {without['still']} share no motion and "
                f"{without['depth']} lack an estimate; give mattes of what moves, or measure another shot."
            )
        flicker = {number: change.size for number, change in self._flicker.items()}
        known = [size for size in flicker.values() if np.isfinite(size)]
        steps = self._all_steps()
        numbers = range(self._first + 1, self._last + 1)
        return Steadiness(
            first_frame=self._first,
            last_frame=self._last,
            spread=self._spread,
            flicker=float(np.mean(known)) if known else None,
            flicker_by_frame=tuple(flicker.get(n, float("nan")) for n in range(self._first, self._last + 1)),
            steps=remarkable_steps(
                numbers,
                [steps[n].size for n in numbers],
                [steps[n].shift for n in numbers],
                set() if self._windows is None else set(self._windows.borders(self._first, self._last)),
            ),
            drift=tuple(sorted(self._drift, key=lambda drift: drift.first)),
            windows=self._windows,
            still=float(np.mean(self._still)) if self._still else 0.0,
            pairs=pairs,
            without_depth=without["depth"],
            without_texture=without["texture"],
            without_still=without["still"],
            unusable=self._unusable,
        )

    def _all_steps(self) -> dict[int, Change]:
        """The step before each frame but the first; those at the ends, by the one neighbour that they have."""
        steps = dict.fromkeys(range(self._first + 1, self._last + 1), NO_CHANGE)
        for number, towards in ((self._last, -2), (self._first + 1, 2)):
            bend = self._flicker.get(self._first + 1 if towards > 0 else self._last - 1, NO_CHANGE)
            steps[number] = Change(size=2 * bend.size, shift=towards * bend.shift)
        return steps | self._steps


def notes(found: Steadiness) -> list[str]:
    """One sentence for each kind of what could not be measured in a shot that could be."""
    reasons = {
        "without an estimate in one of the two": found.without_depth,
        "with too little texture": found.without_texture,
        "without a motion that much of the picture shares": found.without_still,
    }
    lacking = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    said = [f"Of {found.pairs} pairs of neighbouring frames, these were not measured: {lacking}."] if lacking else []
    if not found.pairs:
        said.append("A frame alone holds still; steadiness takes 2 frames, and flicker 3.")
    if found.unusable:
        said.append(f"Pixels without a number as their disparity were left out: {found.unusable}.")
    return said
