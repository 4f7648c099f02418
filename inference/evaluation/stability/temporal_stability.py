"""Temporal stability of a depth sequence in the static regions of its plate, measured without ground truth.

Disparity is tracked along the plate's optical flow in the static region (see `optical_flow`) and compared with an
interpolation of the neighboring frames, so that neither motion in the image nor the smooth change of disparity under
a moving camera counts. All sizes are shares of the shot's disparity range, between its 1 % and its 99 % percentile,
and thus independent of scale and shift; 0.004 is about one level of an 8-bit image.

* Flicker of frame t: mean of |d(t) - (d(t-1) + d(t+1)) / 2|. Independent noise of deviation s a frame gives 0.98 s,
  a disparity that alternates by +-a every frame 2 a.
* A step before frame t: (3 (d(t) - d(t-1)) - (d(t+1) - d(t-2))) / 2, which is 0 for any change of even speed or even
  acceleration and the full size of a jump; at the ends of a shot, where a frame is missing, d(t) - d(t-1) minus the
  change of the one neighboring step. See `drift` for the steps that are reported.
* Drift: see `drift`.

Optical flow has errors of a fraction of a pixel. Under a moving camera, edges of disparity are therefore excluded, and
slopes cause some flicker even of perfect depth.

Every shot of a sequence is measured independently (`stability_by_shot`): one that cannot be measured does not affect
the others.
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
from ...contract.depth_sequence import DepthSequence, Shot
from ...depth_maps.sequence_maps import map_reader
from ...media.clip import open_clip
from ...media.mattes import mattes as read_mattes
from ..datasets.protocols import MetricsError
from . import drift, following
from .drift import Drift, Follower, Step, Windows, notable_steps
from .following import NO_CHANGE, Change, Frame, FramePair
from .optical_flow import NoStaticRegion

LONG_SIDE = 640
"""Long side in pixels to which larger maps and images are reduced, averaging."""
Disparity = Callable[[int], "NDArray[np.floating] | None"]
"""Source frame to the estimated disparity [H, W] of any size; None where there is none."""
ShotStability = tuple[depth_sequence.Shot, "TemporalStability | MetricsError | ClipError"]
"""A shot with its temporal stability, or the error."""


@dataclass(frozen=True, kw_only=True)
class TemporalStability:
    """Temporal stability of a shot's static region; sizes are shares of the shot's disparity range.

    Attributes
    ----------
    first_frame, last_frame : int
        Source frames.
    spread : float
        The disparity range, between the 1 % and 99 % percentile.
    flicker : float or None
        Mean over the frames; None in a shot of fewer than three.
    flicker_by_frame : tuple of float
        Per frame; NaN at both ends and where it could not be measured.
    steps : tuple of Step
        At all borders of windows, and at jumps.
    drift : tuple of Drift
        From window to window and, for comparison, within them; without windows, over every 25 frames.
    windows : Windows or None
    still : float
        Mean share of the image that is static and could be tracked.
    pairs : int
        Pairs of neighboring frames.
    without_depth, without_texture, without_still : int
        Pairs that could not be measured: a frame without an estimate, too little texture to measure motion, no motion
        that much of the image shares.
    unusable : int
        Pixels, at the measured size, whose disparity is not finite.
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


def stability_by_shot(
    folder: str | Path, sequence: DepthSequence, *, mattes: str | Path | None = None
) -> list[ShotStability]:
    """Measure every shot of a depth sequence on disk against its own plate.

    `mattes` is a folder of images with the plate's frame numbers, white on dynamic objects; None: these are found by
    their motion.
    """
    found: list[ShotStability] = []
    for shot in sequence.done_shots:
        try:
            found.append((shot, _stability_of_shot(Path(folder), sequence, shot, mattes)))
        except (MetricsError, ClipError) as error:
            found.append((shot, error))
    return found


def _stability_of_shot(
    folder: Path, sequence: DepthSequence, shot: Shot, mattes: str | Path | None
) -> TemporalStability:
    first, last, spread = shot.first_frame, shot.last_frame, shot.range
    scale = min(1.0, LONG_SIDE / max(sequence.width, sequence.height))
    size = max(1, round(sequence.width * scale)), max(1, round(sequence.height * scale))
    masks = None if mattes is None else read_mattes(mattes, first, last, size)

    with open_clip(sequence.source, sequence.first_frame, sequence.last_frame) as clip:
        return measure_stability(
            clip.read(first, last, size=size),
            map_reader(folder, sequence),
            spread=0.0 if spread is None else spread.p99 - spread.p1,
            windows=drift.windows_of(sequence),
            moving=None if masks is None else lambda frame: masks[frame - first],
            first=first,
            last=last,
        )


def measure_stability(
    images: Iterable[tuple[int, NDArray]],
    disparity: Disparity,
    *,
    first: int,
    last: int,
    spread: float,
    windows: Windows | None = None,
    moving: Callable[[int], NDArray[np.bool_]] | None = None,
) -> TemporalStability:
    """Measure a shot, with a few frames in memory at a time.

    Parameters
    ----------
    images : iterable of (int, [H, W, 3])
        Source frame and its image, RGB in [0, 1] or integers, for all frames of the shot in order.
    disparity : callable
        See `Disparity`.
    first, last : int
        Source frames of the shot, inclusive.
    spread : float
        The shot's disparity range, above 0; sizes are shares of it.
    windows : Windows or None
        Windows in which the shot was estimated.
    moving : callable or None
        Source frame to bool [H, W], dynamic objects. None: these are found by their motion.

    Raises
    ------
    MetricsError
        Disparity is constant, images are too small, or no static region is found.
    """
    if not spread > 0:
        raise MetricsError(
            f"The disparity of the frames {first}-{last} is constant, so its stability cannot be measured; "
            "estimate the shot again."
        )
    run = _Run(first=first, last=last, spread=spread, windows=windows)
    for number, image in images:
        run.add(following.frame(number, image, disparity(number), spread), moving)
    return run.result()


class _Run:
    """Measurements of a shot so far, with its last four frames."""

    def __init__(self, *, first: int, last: int, spread: float, windows: Windows | None) -> None:
        self._first, self._last, self._spread, self._windows = first, last, spread, windows
        self._frames: deque[Frame] = deque(maxlen=4)
        self._frame_pairs: deque[FramePair | None] = deque(maxlen=3)
        self._skipped: list[NoStaticRegion | Literal["depth"]] = []
        self._static_shares: list[float] = []
        self._unusable = 0
        self._flicker: dict[int, Change] = {}
        self._steps: dict[int, Change] = {}
        self._spans = drift.spans(first, last, windows)
        self._followers: list[Follower] = []
        self._drift: list[Drift] = []

    def add(self, frame: Frame, moving: Callable[[int], NDArray[np.bool_]] | None) -> None:
        """Process the next frame."""
        self._unusable += frame.unusable
        if self._frames:
            before = self._frames[-1]
            found = following.frame_pair(before, frame, None if moving is None else moving(before.number))
            self._frame_pairs.append(found if isinstance(found, FramePair) else None)
            if isinstance(found, FramePair):
                self._static_shares.append(float(found.static.mean()))
            else:
                self._skipped.append(found)
        self._frames.append(frame)
        self._follow(frame)
        frames, frame_pairs = list(self._frames), list(self._frame_pairs)
        if len(frames) >= 3:
            self._flicker[frame.number - 1] = following.second_difference(frames[-3:], frame_pairs[-2:], self._spread)
        if len(frames) == 4:
            self._steps[frame.number - 1] = following.third_difference(frames, frame_pairs, self._spread)

    def _follow(self, frame: Frame) -> None:
        frame_pair = self._frame_pairs[-1] if self._frame_pairs else None
        for follower in self._followers:
            if frame_pair is None or frame.disparity is None:
                follower.stop()
            else:
                follower.advance(frame.number, frame.disparity, frame_pair.flow_pair.forward, frame_pair.static)
        for span in self._spans:
            if Follower.start(span) == frame.number:
                self._followers.append(Follower(span, frame.disparity, frame.gray.shape))
        done = [follower for follower in self._followers if follower.end == frame.number]
        self._drift += [follower.result(self._spread) for follower in done]
        self._followers = [follower for follower in self._followers if follower not in done]

    def result(self) -> TemporalStability:
        """The shot's temporal stability, once all its frames were processed."""
        pairs = len(self._static_shares) + len(self._skipped)
        without = {name: self._skipped.count(name) for name in ("depth", "texture", "motion")}
        if pairs and not self._static_shares:
            raise MetricsError(
                f"No static region was found in the frames {self._first}-{self._last}: of {pairs} pairs of "
                f"frames, {without['texture']} have too little texture, {without['motion']} share no motion and "
                f"{without['depth']} lack an estimate; add mattes of the dynamic objects, or measure another shot."
            )
        flicker = {number: change.size for number, change in self._flicker.items()}
        known = [size for size in flicker.values() if np.isfinite(size)]
        steps = self._all_steps()
        numbers = range(self._first + 1, self._last + 1)
        return TemporalStability(
            first_frame=self._first,
            last_frame=self._last,
            spread=self._spread,
            flicker=float(np.mean(known)) if known else None,
            flicker_by_frame=tuple(flicker.get(n, float("nan")) for n in range(self._first, self._last + 1)),
            steps=notable_steps(
                numbers,
                [steps[n].size for n in numbers],
                [steps[n].shift for n in numbers],
                set() if self._windows is None else set(self._windows.borders(self._first, self._last)),
            ),
            drift=tuple(sorted(self._drift, key=lambda drift: drift.first)),
            windows=self._windows,
            still=float(np.mean(self._static_shares)) if self._static_shares else 0.0,
            pairs=pairs,
            without_depth=without["depth"],
            without_texture=without["texture"],
            without_still=without["motion"],
            unusable=self._unusable,
        )

    def _all_steps(self) -> dict[int, Change]:
        """The step before each frame but the first; at both ends, by the single neighboring step."""
        steps = dict.fromkeys(range(self._first + 1, self._last + 1), NO_CHANGE)
        for number, towards in ((self._last, -2), (self._first + 1, 2)):
            curvature = self._flicker.get(self._first + 1 if towards > 0 else self._last - 1, NO_CHANGE)
            steps[number] = Change(size=2 * curvature.size, shift=towards * curvature.shift)
        return steps | self._steps


def notes(found: TemporalStability) -> list[str]:
    """One sentence for each reason why parts of a measured shot were skipped."""
    reasons = {
        "without an estimate in one of the two": found.without_depth,
        "with too little texture": found.without_texture,
        "without a motion that much of the image shares": found.without_still,
    }
    missing = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    sentences = (
        [f"Of {found.pairs} pairs of neighboring frames, these were not measured: {missing}."] if missing else []
    )
    if not found.pairs:
        sentences.append("The shot has one frame; temporal stability needs 2 frames, and flicker 3.")
    if found.unusable:
        sentences.append(f"Pixels without finite disparity were skipped: {found.unusable}.")
    return sentences
