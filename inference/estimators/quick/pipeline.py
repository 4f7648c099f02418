"""The estimator from beginning to end: each frame by itself, then all of them along the flow, then along the plate."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import workers
from ...depth_maps.along_flow import Look, Window, levelled
from ...depth_maps.edge_smoothing import edge_weights, smooth
from ...models import store
from ..base import Refused, Shot, ShotResult
from .network import Network, look, map_size
from .weights import FILE, MODEL

_LOOKING = 0.6  # share of the time that the network takes
_BLANK = 4.0  # standard deviation of grey below which a frame shows nothing
_FLASH = 24.0  # grey levels that a frame's mean lies from the median around it, when it is a flash
_AROUND = 3  # frames to either side that this median is of
_SIGMA, _STRENGTH = 8.0, 10.0  # of the smoothing that stops at the plate's edges
_THREADS = 8


def estimate(shot: Shot, network: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None) -> ShotResult:
    """Estimate a shot's relative disparity.

    Parameters
    ----------
    shot : Shot
    network : callable or None
        As for `network.look`; None: the one of the weights.

    Raises
    ------
    Refused
        No frame shows anything.
    Cancelled
        Passed on from `Shot.check`.
    """
    count = len(shot.frames)
    facts = _look_at_all(shot, network or Network(store.folder(MODEL) / FILE))
    good = _good(np.array([[each.mean, each.contrast] for each in facts]))
    if not good:
        raise Refused(
            f"All {count} frames of the shot are of nearly one colour."
            if count > 1
            else "The frame is of nearly one colour.",
            "Choose frames that show something.",
        )
    deviation = float(np.mean([facts[frame].deviation for frame in good]))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # frames are worked on side by side; OpenCV's own threads would only get in the way
    try:
        _steady_all(shot, good, deviation)
    finally:
        cv2.setNumThreads(threads)
    return ShotResult(warnings=_bridged(shot, good))


@dataclass(frozen=True)
class _Facts:
    """Of a frame: mean and standard deviation of its grey, and the deviation of its map."""

    mean: float
    contrast: float
    deviation: float


def _look_at_all(shot: Shot, network: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> list[_Facts]:
    """Show every frame to the network; what an earlier run has kept is read."""
    (shot.scratch / "look").mkdir(exist_ok=True)
    facts, count = [], len(shot.frames)
    for frame in range(count):
        shot.check()
        kept = _file(shot, frame)
        if not kept.exists():
            picture = shot.frames[frame]
            grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            found = look(network, picture, check=shot.check)
            _save(kept, found, np.array([grey.mean(), grey.std(), found.std()]))
        with np.load(kept) as data:
            facts.append(_Facts(*(float(each) for each in data["facts"])))
        shot.progress("look", "Looking at each frame", _LOOKING * (frame + 1), float(count))
    return facts


def _good(facts: NDArray[np.float64]) -> list[int]:
    """The frames that tell something: no blank ones, no flashes; all that are not blank where hardly any is left.

    A flash is brighter or darker than what is before it *and* after it, so light that goes on or off is none.
    """
    shown = [frame for frame in range(len(facts)) if facts[frame, 1] >= _BLANK]
    means = facts[shown, 0]
    steady = [
        frame
        for at, frame in enumerate(shown)
        if abs(means[at] - np.median(means[max(0, at - _AROUND) : at + _AROUND + 1])) <= _FLASH
    ]
    return steady if 2 * len(steady) >= len(shown) else shown


def _steady_all(shot: Shot, good: list[int], deviation: float) -> None:
    """Make the frames steady, bring them to the working size along the plate's edges, and write them."""
    count = len(shot.frames)
    size = map_size(shot.frames.width, shot.frames.height)
    threads = max(1, min(os.cpu_count() or 1, _THREADS))

    def looked(frame: int) -> Look:
        small = cv2.resize(shot.frames[frame], size, interpolation=cv2.INTER_AREA)
        return Look(levelled(small), _load(shot, frame))

    window = Window(good, looked, deviation=deviation, threads=threads)
    place = {frame: at for at, frame in enumerate(good)}
    ready: dict[int, NDArray[np.float32]] = {}
    left = [frame for frame in range(count) if frame not in shot.finished]
    finished = count - len(left)

    def work(frame: int, pause: Callable[[], None]) -> None:
        steady = np.zeros(size[::-1], np.float32)
        for other, share in _sources(frame, good):
            steady += np.float32(share) * window.steady(place[other], check=pause)
        pause()
        picture = shot.frames[frame]
        ready[frame] = _enlarged(steady, picture)

    def done(frame: int) -> None:
        nonlocal finished
        finished += 1
        shot.write(frame, ready.pop(frame))
        shot.progress("steady", "Steadying over time", _LOOKING * count + (1 - _LOOKING) * finished, float(count))

    workers.each(work, left, check=shot.check, done=done)


def _sources(frame: int, good: list[int]) -> list[tuple[int, float]]:
    """The good frames that a frame's map is mixed from, with their shares: itself, or the nearest before and after."""
    at = int(np.searchsorted(good, frame))
    if at < len(good) and good[at] == frame:
        return [(frame, 1.0)]
    around = good[max(at - 1, 0) : at + 1]
    if len(around) == 1:
        return [(around[0], 1.0)]
    share = (frame - around[0]) / (around[1] - around[0])
    return [(around[0], 1 - share), (around[1], share)]


def _enlarged(steady: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A map at the size of a picture [H, W, 3], smoothed up to the picture's edges.

    Soft edges are left as they are: drawn to the picture's, what the network sees wrongly shows sharper than what is
    right, and it flickers more.
    """
    height, width = picture.shape[:2]
    large = cv2.resize(steady, (width, height), interpolation=cv2.INTER_LINEAR)
    return smooth(large[..., None], edge_weights(picture, _SIGMA), strength=_STRENGTH)[..., 0]


def _bridged(shot: Shot, good: list[int]) -> tuple[str, ...]:
    """What the artist should know of frames that told nothing."""
    without = len(shot.frames) - len(good)
    if not without:
        return ()
    first = next(n for i, n in enumerate(shot.frames.numbers) if i not in set(good))
    which = f"frame {first}" if without == 1 else f"{without} frames, the first {first}"
    return (f"The depth of {which}, which flashes or is blank, is that of the frames around it.",)


def _file(shot: Shot, frame: int) -> Path:
    return shot.scratch / "look" / f"{frame:06d}.npz"


def _load(shot: Shot, frame: int) -> NDArray[np.float32]:
    with np.load(_file(shot, frame)) as data:
        return data["map"]


def _save(path: Path, found: NDArray[np.float32], facts: NDArray[np.float64]) -> None:
    """Write under a temporary name and rename it: it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        np.savez(file, map=found, facts=facts)
    os.replace(temporary, path)
