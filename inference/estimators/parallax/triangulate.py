"""Triangulation of static points from tracks, with a known camera path."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .tracks import Tracks
from .view import Views

_ROUNDS = 4
_LEAST_VIEWS = 3
_LEAST_ANGLE = np.radians(1.0)
_MOST_MISSED = 3.0  # pixels at 640
_STATIC, _MOSTLY = 1.5, 0.9  # pixels at 640 from a static point, within which this share of a track's observations lies
_HALF_PIXEL = 0.5  # at 640


def triangulate(tracks: Tracks, views: Views) -> Views:
    """Triangulate the tracks.

    Each point minimizes its distance to the rays of its track, weighted by 1/Z^2 to approximate the reprojection error
    (iteratively reweighted; Hartley and Sturm, "Triangulation", 1997, section 4.2).

    Parameters
    ----------
    tracks : Tracks
        Undistorted.
    views : Views
        Its points are replaced.

    Returns
    -------
    Views
        With the points that at least three frames see from sufficiently different directions.
    """
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    count = int(tracks.ids.max(initial=-1)) + 1
    points, missed = place(tracks.ids, frames, tracks.xy, views)
    fits = missed < _MOST_MISSED * max(views.width, views.height) / 640
    share = np.bincount(tracks.ids[fits], minlength=count) / np.maximum(np.bincount(tracks.ids, minlength=count), 1)
    enough = np.bincount(tracks.ids, minlength=count) >= _LEAST_VIEWS
    good = enough & (share > 0.7) & (_angle(tracks.ids, points, views.positions[frames], count) > _LEAST_ANGLE)
    renumbered = np.cumsum(good) - 1
    kept = good[tracks.ids] & fits
    seen = np.stack([frames[kept], renumbered[tracks.ids[kept]]], axis=1).astype(np.int32)
    return views.with_points(points[good], seen)


def place(
    ids: NDArray[np.integer], frames: NDArray[np.integer], xy: NDArray[np.floating], views: Views
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points for all tracks, good or not, and their reprojection errors.

    Parameters
    ----------
    ids, frames : int [M]
        Track and frame of each observation.
    xy : float [M, 2]
        Pixels.
    views : Views

    Returns
    -------
    points : float64 [count, 3]
    missed : float64 [M]
        Pixels between each observation and its point; infinite behind the camera.
    """
    count = int(ids.max(initial=-1)) + 1
    local = np.column_stack([(xy - views.center) / views.focal, np.ones(len(xy))])
    rays = np.einsum("nij,nj->ni", views.to_world[frames], local)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    origins = views.positions[frames]
    weight = np.ones(len(rays))
    points = np.zeros((count, 3))
    for _ in range(_ROUNDS):
        points = _nearest(ids, rays, origins, weight, count)
        depth = _depth(points[ids], views.world_to_camera[frames])
        weight = 1 / np.maximum(np.abs(depth), 1e-9) ** 2
    at = np.einsum("nij,nj->ni", views.world_to_camera[frames, :, :3], points[ids])
    at += views.world_to_camera[frames, :, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = np.linalg.norm(views.focal * at[:, :2] / at[:, 2:] + views.center - xy, axis=1)
    return points, np.where(at[:, 2] > 0, missed, np.inf)


def static_errors(
    ids: NDArray[np.integer], frames: NDArray[np.integer], xy: NDArray[np.floating], views: Views
) -> NDArray[np.float64]:
    """Pixels [M] between each observation and its track's static point, at any distance.

    Parameters are those of `place`. The rays of a point far away are almost parallel, so noise may have them meet
    behind the camera. So each track is also fitted by a direction, a point at infinity, and the better of both counts.
    """
    return _better_of_far(ids, frames, xy, views, near=place(ids, frames, xy, views)[1])


def _better_of_far(
    ids: NDArray[np.integer],
    frames: NDArray[np.integer],
    xy: NDArray[np.floating],
    views: Views,
    *,
    near: NDArray[np.float64],
) -> NDArray[np.float64]:
    """As `static_errors`, with the errors of what `place` finds."""
    count = int(ids.max(initial=-1)) + 1
    turns = views.world_to_camera[frames, :, :3]
    rays = np.einsum("nji,nj->ni", turns, np.column_stack([(xy - views.center) / views.focal, np.ones(len(xy))]))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    mean = np.column_stack([np.bincount(ids, rays[:, axis], count) for axis in range(3)])
    at = np.einsum("nij,nj->ni", turns, mean[ids])
    with np.errstate(divide="ignore", invalid="ignore"):
        there = views.focal * at[:, :2] / at[:, 2:] + views.center
    far = np.where(at[:, 2] > 0, np.linalg.norm(there - xy, axis=1), np.inf)
    most = 0.01 * max(views.width, views.height)  # what is farther off counts as this
    total_near, total_far = (np.bincount(ids, np.minimum(each, most), count) for each in (near, far))
    return np.where((total_far < total_near)[ids], far, near)


def sure_inverse_depths(tracks: Tracks, views: Views) -> NDArray[np.float64]:
    """The inverse depths [K] that observations of static tracks have at most, however far away their points are.

    Points without parallax are not triangulated by a solve: half an image of buildings may have none. A track's inverse
    depth is known within `_HALF_PIXEL` over focal length and the way of the camera along the track, which is added.

    Parameters
    ----------
    tracks : Tracks
        Undistorted.
    views : Views
        At the size of the tracks.
    """
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    count = int(tracks.ids.max(initial=-1)) + 1
    points, near = place(tracks.ids, frames, tracks.xy, views)
    missed = _better_of_far(tracks.ids, frames, tracks.xy, views, near=near)
    unit = max(views.width, views.height) / 640
    fitting = np.bincount(tracks.ids, missed < _STATIC * unit, minlength=count)
    static = fitting >= _MOSTLY * np.maximum(np.bincount(tracks.ids, minlength=count), _LEAST_VIEWS)
    depth = _depth(points[tracks.ids], views.world_to_camera[frames])
    least, most = (np.full((count, 3), side * np.inf) for side in (1, -1))
    np.minimum.at(least, tracks.ids, views.positions[frames])
    np.maximum.at(most, tracks.ids, views.positions[frames])
    way = np.linalg.norm(most - least, axis=1)[tracks.ids]
    kept = static[tracks.ids] & (way > 0)
    with np.errstate(divide="ignore"):
        inverse = np.where(depth > 0, 1 / depth, 0)
    return np.asarray(inverse[kept] + _HALF_PIXEL * unit / (views.focal * way[kept]), np.float64)


def _nearest(
    ids: NDArray[np.integer],
    rays: NDArray[np.float64],
    origins: NDArray[np.float64],
    weight: NDArray[np.float64],
    count: int,
) -> NDArray[np.float64]:
    """The point [count, 3] nearest to its rays."""
    matrix, right = np.empty((count, 3, 3)), np.empty((count, 3))
    for row in range(3):
        aside = -rays[:, row : row + 1] * rays
        aside[:, row] += 1
        aside *= weight[:, None]
        for column in range(3):
            matrix[:, row, column] = np.bincount(ids, aside[:, column], minlength=count)
        right[:, row] = np.bincount(ids, np.sum(aside * origins, axis=1), minlength=count)
    matrix += np.eye(3) * (1e-12 + 1e-9 * np.trace(matrix, axis1=1, axis2=2)[:, None, None])
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0], np.float64)


def _depth(points: NDArray[np.float64], poses: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("nj,nj->n", poses[:, 2, :3], points) + poses[:, 2, 3]


def _angle(
    ids: NDArray[np.integer], points: NDArray[np.float64], origins: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """The greatest angle [count] between the rays of a track and its first ray."""
    to = points[ids] - origins
    to /= np.maximum(np.linalg.norm(to, axis=1, keepdims=True), 1e-12)
    first = np.full(count, len(ids), np.int64)
    np.minimum.at(first, ids, np.arange(len(ids)))
    cosine = np.clip(np.sum(to * to[np.minimum(first[ids], len(ids) - 1)], axis=1), -1, 1)
    lowest = np.ones(count)
    np.minimum.at(lowest, ids, cosine)
    return np.arccos(lowest)
