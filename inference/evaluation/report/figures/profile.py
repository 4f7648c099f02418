"""Temporal profiles: the values along a line through the image, side by side over time.

As in DepthCrafter (Hu et al., figures 4 and 6): a static scene under a locked camera draws straight stripes, and
flicker draws jagged ones.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from ..gather import Gathered, Track
from ..shots import Shot, Slice
from . import style
from .scale import Scale

READING = (
    "Left, a frame with a line through it; right, the values on that line in every frame, with time to the right. "
    "Compare with the plate's stripes: stable depth follows them smoothly. Vertical streaks are flicker of "
    "single frames, steps are jumps of the whole image, and slow changes of color along a static object are drift."
)
BORDERS = " Dashed lines mark where an estimator's window begins or ends."


def profile(shot: Shot, gathered: Gathered, scale: Scale, index: int) -> Figure:
    """The profiles along one of the shot's slices: one row each for plate, ground truth and every estimate."""
    each = shot.slices[index]
    tracks = [track for track in (gathered.plate, gathered.ground_truth, *gathered.estimates) if track is not None]
    height, width = next(iter(gathered.estimates[0].tiles.values())).shape[:2]
    left = min(0.3, 0.3 * width / height / 1.78)
    row = 0.85 * style.WIDTH * left * height / width + 0.45
    figure = style.new_figure(max(1.6, row) * len(tracks) + 0.5)
    grid = figure.subplots(len(tracks), 2, squeeze=False, width_ratios=[left, 1 - left])
    middle = _middle(gathered.chosen, tracks)
    borders = {e.name: e.borders for e in shot.estimates}
    for (image, slices), track in zip(grid, tracks, strict=True):
        _frame(image, track, scale, each, middle)
        _slices(slices, track, scale, (shot.slices[index], track.profiles[index]), gathered.profiled)
        for border in borders.get(track.name, ()):
            slices.axvline(_place(gathered.profiled, border), color=style.MARK, linestyle="--", linewidth=0.9)
    grid[-1, 1].set_xlabel("source frame")
    style.color_bar(figure, grid[:, 1], scale.norm, style.DEPTH, label=scale.label)
    if any(np.isnan(track.profiles[index]).any() for track in tracks):
        style.missing_key(figure)
    return figure


def reading(shot: Shot, gathered: Gathered) -> str:
    """Caption of a profile."""
    every = -(-len(shot.frames) // len(gathered.profiled))
    return (
        READING
        + (BORDERS if any(each.borders for each in shot.estimates) else "")
        + (f" The shot is long, so the profile shows one frame in {every}." if every > 1 else "")
    )


def _middle(chosen: tuple[int, ...], tracks: list[Track]) -> int:
    """The frame nearest to the middle that all tracks have; if there is none, the middle one."""
    middle = chosen[len(chosen) // 2]
    shared = [frame for frame in chosen if all(frame in track.tiles for track in tracks)]
    return min(shared, key=lambda frame: abs(frame - middle), default=middle)


def _frame(axes: Axes, track: Track, scale: Scale, each: Slice, frame: int) -> None:
    """A frame with the slice's line."""
    tile = track.tiles.get(frame, next(iter(track.tiles.values())))
    style.show(axes, tile if tile.ndim == 3 else scale.of(track)(tile), scale.norm, style.DEPTH)
    axes.set_title(f"{style.short(track.name)}, frame {frame if frame in track.tiles else next(iter(track.tiles))}")
    draw = axes.axvline if each.kind == "column" else axes.axhline
    where = each.index(tile.shape[1] if each.kind == "column" else tile.shape[0])
    draw(where, color="white", linewidth=2.4)
    draw(where, color=style.MARK, linewidth=1.2)


def _slices(
    axes: Axes, track: Track, scale: Scale, line: tuple[Slice, NDArray[np.float32]], frames: tuple[int, ...]
) -> None:
    """The line's values over time."""
    each, values = line
    across = np.swapaxes(values, 0, 1)
    start, step = _time(frames) or (0, 1)
    extent = (start - step / 2, start + (len(frames) - 0.5) * step, len(across) - 0.5, -0.5)
    if across.ndim == 3:
        axes.imshow(style.image(across), aspect="auto", extent=extent, interpolation="antialiased")
    else:
        shown = scale.of(track)(across)
        axes.imshow(shown, cmap=style.colors(style.DEPTH), norm=scale.norm, aspect="auto", extent=extent)
    axes.grid(visible=False)
    axes.set_ylabel(f"{'row' if each.kind == 'column' else 'column'} [px]")
    count = track.size[0] if each.kind == "column" else track.size[1]
    axes.set_title(f"{each.kind} {each.index(count)} of {count} over time")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if _time(frames) is None:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: _number(frames, place)))


def _time(frames: tuple[int, ...]) -> tuple[int, int] | None:
    """First frame and distance of evenly spaced ones; None where the axis must count frames instead."""
    steps = set(np.diff(frames).tolist())
    return (frames[0], steps.pop()) if len(steps) == 1 else None


def _place(frames: tuple[int, ...], frame: int) -> float:
    """The position on the time axis at which a frame begins."""
    start, step = _time(frames) or (0, 1)
    return start + (bisect_left(frames, frame) - 0.5) * step


def _number(frames: tuple[int, ...], place: float) -> str:
    """The source frame at a position of an axis that counts frames."""
    index = round(place)
    return str(frames[index]) if 0 <= index < len(frames) else ""
