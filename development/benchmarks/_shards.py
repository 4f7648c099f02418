"""Views of a depth mesh from beside its camera, and their shards: faces drawn out where the scene's are not.

Images are NumPy arrays [H, W]; places have OpenCV's axes (x right, y down, z ahead), pixel centers are at integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWN_OUT = 1.7
"""Width of a face, to its width through the taking camera, from which on it is drawn out."""
AS_THE_SCENE = 1.35
"""The same of the scene's own surface there, from which on that is why: a wall at a grazing angle."""
BEHIND = 0.02
"""Share of the distance by which a surface is another one than that in front of it."""
_AROUND = 2
"""Pixels around one that the scene's surface is looked for in: edges of estimated depth are off by some."""
_AT_ONCE = 2_000_000
"""Pairs of a triangle and a pixel that are looked at in one go."""


def view(
    places: NDArray[Any], triangles: NDArray[Any], lens: NDArray[Any], size: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Draw a mesh, each pixel by the nearest triangle at its center.

    Parameters
    ----------
    places : [n, 3]
        Of the points, in the camera's axes.
    triangles : [m, 3]
        Indices of points.
    lens : [3, 3]
    size : (width, height)

    Returns
    -------
    z : [H, W]
        Planar; infinite where nothing is.
    triangle : [H, W]
        Index, or -1.
    weights : [H, W, 3]
        Of the triangle's points in space.
    """
    width, height = size
    corners = places[triangles]
    front = np.flatnonzero((corners[..., 2] > 1e-9).all(axis=1))
    corners = corners[front]
    x, y = (corners[..., i] / corners[..., 2] * lens[i, i] + lens[i, 2] for i in (0, 1))
    left, right = np.ceil(x.min(axis=1)).clip(0), np.floor(x.max(axis=1)).clip(None, width - 1)
    top, bottom = np.ceil(y.min(axis=1)).clip(0), np.floor(y.max(axis=1)).clip(None, height - 1)
    columns, rows = (np.maximum(0, b - a + 1).astype(int) for a, b in ((left, right), (top, bottom)))
    count = columns * rows
    nearest, found = np.full(width * height, np.inf), np.full(width * height, -1)
    weights = np.zeros((width * height, 3))
    ends = np.cumsum(count)
    start = 0
    while start < len(front):
        stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + _AT_ONCE)))
        each = np.repeat(np.arange(start, stop), count[start:stop])
        inside = np.arange(len(each)) - np.repeat(ends[start:stop] - count[start:stop], count[start:stop])
        inside += ends[start - 1] if start else 0
        i, j = left[each] + inside % columns[each], top[each] + inside // columns[each]
        part = np.stack(
            [
                (x[each, b] - i) * (y[each, c] - j) - (x[each, c] - i) * (y[each, b] - j)
                for b, c in ((1, 2), (2, 0), (0, 1))
            ],
            axis=-1,
        )
        total = part.sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            part /= total[:, None]
        hit = (part >= -1e-7).all(axis=-1)  # NaN, of a triangle seen from its edge, is no hit
        each, part, pixel = each[hit], part[hit], (j * width + i)[hit].astype(int)
        part /= corners[each, :, 2]
        z = 1 / part.sum(axis=-1)
        order = np.lexsort((z, pixel))
        first = order[np.r_[True, np.diff(pixel[order]) > 0]] if len(order) else order
        first = first[z[first] < nearest[pixel[first]]]
        nearest[pixel[first]], found[pixel[first]] = z[first], front[each[first]]
        weights[pixel[first]] = part[first] * z[first, None]
        start = stop
    return nearest.reshape(height, width), found.reshape(height, width), weights.reshape(height, width, 3)


def seen(
    places: NDArray[Any], triangles: NDArray[Any], lens: NDArray[Any], size: tuple[int, int], there: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Draw a mesh as `view` does, from a camera beside; `places` are in the taking camera's axes.

    `there` is from the view's places to the taking camera's, [4, 4]. Returns `view`'s result, and the normals of what
    is seen, [H, W, 3], in the view's axes.
    """
    back = np.linalg.inv(there)
    places = places @ back[:3, :3].T + back[:3, 3]
    z, triangle, weights = view(places, triangles, lens, size)
    a, b, c = (places[triangles[triangle, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-30)
    return z, triangle, weights, normal


def turned(degrees: float, distance: float) -> NDArray[Any]:
    """From places of a camera that is turned about a point ahead of the taking one to places of that, [4, 4]."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn, ahead, back = np.eye(4), np.eye(4), np.eye(4)
    turn[:3, :3] = (c, 0, -s), (0, 1, 0), (s, 0, c)
    ahead[2, 3], back[2, 3] = distance, -distance
    return ahead @ turn @ back


def shards(
    z: NDArray[Any], normal: NDArray[Any], true: NDArray[Any], lens: NDArray[Any], there: NDArray[Any]
) -> NDArray[np.bool_]:
    """Where a view from beside the camera shows shards.

    Parameters
    ----------
    z : [H, W]
        Planar Z of the mesh in the view; beyond 1e6 there is nothing.
    normal : [H, W, 3]
        Of its faces, in the view's axes.
    true : [H, W]
        1 / Z of the scene through the taking camera, in the mesh's unit; 0 in the sky.
    lens : [3, 3]
        Calibration of both cameras.
    there : [4, 4]
        From the view's places to the taking camera's.
    """
    is_seen = z < 1e6
    place = _places(z, lens)
    drawn_out = 1 / np.maximum(_widths(place, normal, lens, there), 1e-6) > DRAWN_OUT
    row, column, _ = _back(place, lens, there)
    allowed = _around(_drawn_out_by_itself(true, lens, there))
    return is_seen & drawn_out & (allowed[row, column] < AS_THE_SCENE)


def made_up(z: NDArray[Any], front: NDArray[Any], lens: NDArray[Any], there: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a view shows what the taking camera does not: it lies behind `front`, planar Z of the mesh through that."""
    row, column, distance = _back(_places(z, lens), lens, there)
    return (z < 1e6) & (distance > (1 + BEHIND) * front[row, column])


def _places(z: NDArray[Any], lens: NDArray[Any]) -> NDArray[Any]:
    """Places [H, W, 3] of what a view shows; at Z = 1 where that is nothing."""
    return _rays(lens, z.shape[1], z.shape[0]) * np.where(z < 1e6, z, 1.0)[..., None]


def _back(place: NDArray[Any], lens: NDArray[Any], there: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Row and column of places through the other camera, the nearest pixel's beside the image, and their distance."""
    height, width = place.shape[:2]
    back = place @ there[:3, :3].T + there[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        x = back[..., 0] / back[..., 2] * lens[0, 0] + lens[0, 2]
        y = back[..., 1] / back[..., 2] * lens[1, 1] + lens[1, 2]
    column, row = (np.clip(np.nan_to_num(each), 0, n - 1).round().astype(int) for each, n in ((x, width), (y, height)))
    return row, column, back[..., 2]


def _rays(lens: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """Places [H, W, 3] at Z = 1 of an image's pixels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(x - lens[0, 2]) / lens[0, 0], (y - lens[1, 2]) / lens[1, 1], np.ones((height, width))], axis=-1)


def _widths(place: NDArray[Any], normal: NDArray[Any], lens: NDArray[Any], there: NDArray[Any]) -> NDArray[Any]:
    """How many pixels of another camera's image one pixel to the right is wide, on planes through places."""
    ray = place / place[..., 2:]
    along = np.sum(normal * ray, axis=-1)
    along = np.where(np.abs(along) < 1e-9, 1e-9, along)
    step = np.array([1.0, 0.0, 0.0]) - ray * (normal[..., 0] / along)[..., None]
    step *= place[..., 2:] / lens[0, 0]
    other, step = place @ there[:3, :3].T + there[:3, 3], step @ there[:3, :3].T
    z = np.where(np.abs(other[..., 2]) < 1e-9, 1e-9, other[..., 2])
    return np.abs(lens[0, 0] * (step[..., 0] / z - other[..., 0] * step[..., 2] / z**2))


def _drawn_out_by_itself(true: NDArray[Any], lens: NDArray[Any], there: NDArray[Any]) -> NDArray[Any]:
    """By how much the scene's surface is drawn out in the view at each of the taking camera's pixels.

    1 / Z is linear on planes. What changes in one step alone is an edge, and no slope.
    """
    height, width = true.shape
    slopes = []
    for axis in (1, 0):
        step = np.diff(true, axis=axis, prepend=np.take(true, [0], axis), append=np.take(true, [-1], axis))
        before, after = (np.take(step, np.arange(start, start + true.shape[axis]), axis) for start in (0, 1))
        less = np.where(np.abs(before) < np.abs(after), before, after)
        slopes.append(np.where(before * after > 0, less, 0.0))
    across, down = slopes
    ray = _rays(lens, width, height)
    own = true - across * lens[0, 0] * ray[..., 0] - down * lens[1, 1] * ray[..., 1]
    normal = np.stack([across * lens[0, 0], down * lens[1, 1], own], axis=-1)
    place = ray / np.maximum(true, 1e-6)[..., None]
    return np.where(true > 0, _widths(place, normal, lens, np.linalg.inv(there)), 1.0)


def _around(values: NDArray[Any]) -> NDArray[Any]:
    """The largest value around each pixel."""
    padded = np.pad(values, _AROUND, mode="edge")
    side = 2 * _AROUND + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side)).max(axis=(2, 3))
