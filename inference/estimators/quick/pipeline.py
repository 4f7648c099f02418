"""The estimator from beginning to end: a depth map per frame, stabilized along the flow, upsampled along the plate."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common import frame_threads
from ...common.failures import UnsupportedShot
from ...common.files import load_array, load_arrays, save_array, save_arrays
from ...depth_maps.along_flow import ComparedFrame, Step, Window, levels, normalized_brightness, step
from ...depth_maps.edge_smoothing import edge_weights, smooth
from ...media import light
from ...models import store
from ..base import Phase, Shot, ShotResult
from .network import Network, infer, map_size
from .weights import FILE, MODEL

_LOOKING, _LEVELLING = 0.6, 0.1  # shares of the time for the network, and for comparing neighbors
_FLASH = 24.0  # gray levels by which a flash frame's mean differs from the median around it
_DARK, _GAIN = 50.0, 6.0  # mean level up to which dark frames are brightened, and the largest gain
_AROUND = 3  # frames to either side for this median
_LOOK, _LEVEL, _STEADY = "Estimating each frame", "Comparing neighboring frames", "Stabilizing over time"
_LEVELS = "levels.npy"
_SIGMA, _STRENGTH = 8.0, 10.0  # of the smoothing that stops at the plate's edges
_THREADS = 8


def estimate(shot: Shot, network: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None) -> ShotResult:
    """Estimate a shot's relative disparity.

    Parameters
    ----------
    shot : Shot
    network : callable or None
        As for `network.look`; None: the network of the weights.

    Raises
    ------
    UnsupportedShot
        All frames are blank.
    Cancelled
        From `Shot.check`.
    """
    network = network or Network(store.folder(MODEL) / FILE)
    _look_at_all(shot, network, range(len(shot.frames)))
    with frame_threads.opencv_on_one():
        good, unit = _measured(shot)
        found = _levels(shot, good, unit)
        _steady_all(shot, good, found, unit, range(len(shot.frames)))
    return ShotResult(warnings=_bridged(shot, good))


def phases(shot: Shot, network: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None) -> tuple[Phase, ...]:
    """The steps of `estimate` as phases."""
    frames = len(shot.frames)

    def look(units: range) -> list[Path]:
        return _look_at_all(shot, network or Network(store.folder(MODEL) / FILE), units)

    def level(units: range) -> list[Path]:
        with frame_threads.opencv_on_one():
            _levels(shot, *_measured(shot))
        return [shot.scratch / _LEVELS]

    def steady(units: range) -> list[Path]:
        with frame_threads.opencv_on_one():
            good, unit = _measured(shot)
            _steady_all(shot, good, _levels(shot, good, unit), unit, units)
        return []

    return (
        Phase(name="look", label=_LOOK, kind="frame", units=frames, work=_LOOKING, run=look),
        Phase(name="level", label=_LEVEL, kind="shot", units=1, work=_LEVELLING, run=level),
        Phase(name="steady", label=_STEADY, kind="frame", units=frames, work=1 - _LOOKING - _LEVELLING, run=steady),
    )


@dataclass(frozen=True)
class _Facts:
    """Of a frame: its mean gray, whether it is blank; mean and standard deviation of its depth map."""

    mean: float
    blank: bool
    center: float
    deviation: float


def _look_at_all(shot: Shot, network: Callable[[NDArray[np.uint8]], NDArray[np.float32]], frames: range) -> list[Path]:
    """Run the network on the frames that are no repeats and have no saved result; returns the files of all results."""
    (shot.scratch / "look").mkdir(exist_ok=True)
    files = []
    for done, frame in enumerate(frames):
        if shot.shown and shot.shown[frame] != frame:
            continue
        shot.check()
        files.append(_file(shot, frame))
        if not files[-1].exists():
            image = shot.frames[frame]
            small = _small(image, shot)
            found = infer(network, _brightened(image), check=shot.check)
            told = np.array([small.mean(), light.blank(small) is not None, found.mean(), found.std()])
            save_arrays(files[-1], map=found, facts=told)
        shot.progress("look", _LOOK, _LOOKING * (done + 1), float(len(frames)))
    return files


def _measured(shot: Shot) -> tuple[list[int], tuple[float, float]]:
    """The good frames, and the mean and the standard deviation of their depth; of saved results.

    Raises
    ------
    UnsupportedShot
        There are none.
    """
    facts = {}
    for frame in range(len(shot.frames)):
        if shot.shown and shot.shown[frame] != frame:
            continue
        mean, blank, center, deviation = map(float, load_arrays(_file(shot, frame), "facts")["facts"])
        facts[frame] = _Facts(mean, bool(blank), center, deviation)
    good = _good(facts)
    if not good:
        count = len(shot.frames)
        raise UnsupportedShot(
            f"All {count} frames of the shot are nearly one color." if count > 1 else "The frame is nearly one color.",
            "Choose frames with visible detail.",
        )
    deviation = max(float(np.mean([facts[frame].deviation for frame in good])), 1e-9)
    return good, (float(np.mean([facts[frame].center for frame in good])), deviation)


def _good(facts: dict[int, _Facts]) -> list[int]:
    """The frames that are neither blank nor a flash; all that are not blank where fewer than half remain.

    A flash is brighter or darker than the frames before *and* after it, so switching a light is not a flash.
    """
    shown = [frame for frame, each in facts.items() if not each.blank]
    means = [facts[frame].mean for frame in shown]
    steady = [
        frame
        for at, frame in enumerate(shown)
        if abs(means[at] - np.median(means[max(0, at - _AROUND) : at + _AROUND + 1])) <= _FLASH
    ]
    return steady if 2 * len(steady) >= len(shown) else shown


def _levels(shot: Shot, good: list[int], unit: tuple[float, float]) -> NDArray[np.float64]:
    """Scale and shift [N, 2] of the good frames; saved in the scratch folder."""
    kept = shot.scratch / _LEVELS
    if kept.exists():
        return load_array(kept)
    center, deviation = unit
    steps: dict[int, Step] = {}
    count = len(shot.frames)

    def work(at: int, pause: Callable[[], None]) -> None:
        steps[at] = step(*(_look_of(shot, good[each]) for each in (at, at + 1)), center=center, deviation=deviation)

    def done(_: int) -> None:
        share = _LOOKING + _LEVELLING * len(steps) / len(good)
        shot.progress("level", _LEVEL, share * count, float(count))

    frame_threads.each(work, range(len(good) - 1), check=shot.check, done=done)
    found = levels([steps[at] for at in range(len(good) - 1)])
    save_array(kept, found)
    return found


def _steady_all(
    shot: Shot, good: list[int], found: NDArray[np.float64], unit: tuple[float, float], frames: range
) -> None:
    """Stabilize frames' depth maps over time, upsample them to the working size along the plate's edges, write them."""
    count, shown = len(frames), shot.shown or tuple(range(len(shot.frames)))
    threads = max(1, min(os.cpu_count() or 1, _THREADS))

    center, deviation = unit
    place = {frame: at for at, frame in enumerate(good)}

    def looked(frame: int) -> ComparedFrame:
        scale, shift = found[place[frame]]
        at = _look_of(shot, frame)
        level = center + scale * (at.disparity - center) + shift * deviation
        return ComparedFrame(at.color, level.astype(np.float32))

    window = Window(good, looked, deviation=deviation, threads=threads)
    ready: dict[int, NDArray[np.float32]] = {}
    left = [frame for frame in frames if frame not in shot.finished]
    finished, begun = count - len(left), _LOOKING + _LEVELLING

    def work(frame: int, pause: Callable[[], None]) -> None:
        sources = _sources(shown[frame], good)
        mixed = [np.float32(share) * window.steady(place[at], check=pause) for at, share in sources]
        pause()
        guide = max(sources, key=lambda source: source[1])[0]  # a flash frame has no usable edges
        ready[frame] = _enlarged(sum(mixed[1:], mixed[0]), shot.frames[guide])

    def done(frame: int) -> None:
        nonlocal finished
        finished += 1
        shot.write(frame, ready.pop(frame))
        shot.progress("steady", _STEADY, begun * count + (1 - begun) * finished, float(count))

    frame_threads.each(work, left, check=shot.check, done=done)


def _sources(frame: int, good: list[int]) -> list[tuple[int, float]]:
    """The good frames that a frame's depth is interpolated from, with weights: itself, or the nearest on each side."""
    at = int(np.searchsorted(good, frame))
    if at < len(good) and good[at] == frame:
        return [(frame, 1.0)]
    around = good[max(at - 1, 0) : at + 1]
    if len(around) == 1:
        return [(around[0], 1.0)]
    share = (frame - around[0]) / (around[1] - around[0])
    return [(around[0], 1 - share), (around[1], share)]


def _enlarged(steady: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A depth map upsampled to the size of an image [H, W, 3], smoothed within the image's edges.

    Soft edges are not snapped to the image's: that would sharpen the network's errors more than its correct edges, and
    add flicker.
    """
    height, width = image.shape[:2]
    large = cv2.resize(steady, (width, height), interpolation=cv2.INTER_LINEAR)
    return smooth(large[..., None], edge_weights(image, _SIGMA), strength=_STRENGTH)[..., 0]


def _bridged(shot: Shot, good: list[int]) -> tuple[str, ...]:
    """A warning about frames whose depth is interpolated."""
    taken, shown = set(good), shot.shown or tuple(range(len(shot.frames)))
    without = [number for number, frame in zip(shot.frames.numbers, shown, strict=True) if frame not in taken]
    if not without:
        return ()
    if len(without) == 1:
        return (f"Frame {without[0]} is a flash or blank: its depth is interpolated from the frames around it.",)
    return (
        f"{len(without)} frames between {without[0]} and {without[-1]} are flashes or blank: their depth is "
        "interpolated from the frames around them.",
    )


def _brightened(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image, brightened where it is too dark for the network, as in a fade."""
    gain = min(_DARK / max(float(image.mean()), 1e-3), _GAIN)
    return cv2.convertScaleAbs(image, alpha=gain) if gain > 1 else image


def _small(image: NDArray[np.uint8], shot: Shot) -> NDArray[np.uint8]:
    size = map_size(shot.frames.width, shot.frames.height)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _file(shot: Shot, frame: int) -> Path:
    return shot.scratch / "look" / f"{frame:06d}.npz"


def _load(shot: Shot, frame: int) -> NDArray[np.float32]:
    return load_arrays(_file(shot, frame), "map")["map"]


def _look_of(shot: Shot, frame: int) -> ComparedFrame:
    return ComparedFrame(normalized_brightness(_small(shot.frames[frame], shot)), _load(shot, frame))
