"""Contact sheets: frames of a shot in one color scale."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..gather import Gathered, Track, evenly
from . import style
from .scale import Scale, error_limit

SIDE_BY_SIDE = 5
"""Frames in a comparison."""

_WIDEST, _HIGHEST = 3.4, 2.6  # inches of one image

SHEET = (
    "Frames of the shot in order, all in one color scale: bright is near, dark is far, gray has no value. An "
    "object at a constant distance keeps its color from tile to tile; a background that changes color drifts."
)
BESIDE = (
    "Some frames beside their depth, in one color scale for the whole shot: bright is near, dark is far, gray has no "
    "value. Edges of the depth should match those of the image, and objects at a constant distance keep their color."
)
COMPARISON = (
    "The same frames by every estimator, in one color scale. Each estimator's disparity is mapped to the scale by one "
    "factor and one offset for the whole shot, so differences between frames are the estimator's own."
)
ERRORS = (
    "|Z - Z*| / Z* of every pixel, where Z is the aligned depth and Z* the true depth: dark is accurate, bright is "
    "wrong, gray has no ground truth or no estimate. One scale for all frames and estimators."
)


def sheet(track: Track, scale: Scale) -> Figure:
    """Tiles of one estimate, or of the ground truth."""
    frames = sorted(track.tiles)
    convert = scale.of(track)
    height, width = next(iter(track.tiles.values())).shape[:2]
    columns = max(1, min(len(frames), 5 if width >= height else 8))
    rows = math.ceil(len(frames) / columns)
    figure = _figure(rows, columns, height / width)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(frames) :]:
        axes.set_axis_off()
    for frame, axes in zip(frames, grid.flat):
        style.show(axes, convert(track.tiles[frame]), scale.norm, style.DEPTH)
        axes.set_title(f"frame {frame}")
    style.color_bar(figure, grid, scale.norm, style.DEPTH, label=scale.label)
    if any(np.isnan(tile).any() for tile in track.tiles.values()):
        style.missing_key(figure)
    return figure


def side_by_side(gathered: Gathered, scale: Scale) -> Figure:
    """Some frames of the plate, the ground truth and every estimate: one row a frame, one column each."""
    tracks = [track for track in (gathered.plate, gathered.ground_truth, *gathered.estimates) if track is not None]
    frames = evenly(gathered.chosen, SIDE_BY_SIDE)
    columns = [
        (t.name, {frame: tile if tile.ndim == 3 else scale.of(t)(tile) for frame, tile in t.tiles.items()})
        for t in tracks
    ]
    return _table(columns, frames, scale.norm, style.DEPTH, label=scale.label)


def error_maps(gathered: Gathered) -> Figure:
    """The relative error of some frames: one row a frame, one column an estimate, the plate first."""
    limit = 100 * error_limit(gathered)
    frames = evenly([f for f in gathered.chosen if any(f in t.errors for t in gathered.estimates)], SIDE_BY_SIDE)
    columns = [] if gathered.plate is None else [(gathered.plate.name, gathered.plate.tiles)]
    columns += [(t.name, {frame: 100 * error for frame, error in t.errors.items()}) for t in gathered.estimates]
    norm = Normalize(0, limit)
    return _table(columns, frames, norm, style.ERROR, label="relative error of depth [%]", extend="max")


def _table(
    columns: list[tuple[str, dict[int, NDArray[np.float32]]]],
    frames: tuple[int, ...],
    norm: Normalize,
    colormap: str,
    *,
    label: str,
    extend: str = "both",
) -> Figure:
    """Rows of frames, columns of what is compared, one color scale."""
    height, width = next(iter(columns[-1][1].values())).shape[:2]
    figure = _figure(len(frames), len(columns), height / width)
    grid = figure.subplots(len(frames), len(columns), squeeze=False)
    holes = False
    for row, frame in zip(grid, frames, strict=True):
        for axes, (name, tiles) in zip(row, columns, strict=True):
            tile = tiles.get(frame)
            if tile is None:
                tile = np.full((height, width), np.nan, np.float32)
            holes |= bool(np.isnan(tile).any())
            style.show(axes, tile, norm, colormap)
            if frame == frames[0]:
                axes.set_title(style.short(name))
        row[0].set_ylabel(f"frame {frame}")
    style.color_bar(figure, grid, norm, colormap, label=label, extend=extend)
    if holes:
        style.missing_key(figure)
    return figure


def _figure(rows: int, columns: int, aspect: float) -> Figure:
    """A figure for a grid of images, their titles, a scale and a key; images no larger than one looks at."""
    width = min(0.9 * style.WIDTH / columns, _WIDEST, _HIGHEST / aspect)
    return style.new_figure(
        rows * (width * aspect + 0.22) + 0.5, width=width * columns * 1.03 + 1.2, layout="compressed"
    )
