"""Masks of dynamic objects, from the motion of tracks and of pixels.

A point that moves while the camera does cannot be triangulated. Over a window of frames, its track fits no static
point; a track of a static point fits one. Pixels are tested likewise (`dense_motion`). The votes of both are smoothed
over the image within the surfaces that the plate shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.compiled import compiled
from ...depth_maps.edge_smoothing import edge_weights, smooth
from .dense_motion import DenseMotion
from .pixel_paths import PixelPaths
from .tracks import Tracks
from .view import Views

_SPAN = 8  # observations to either side
_LEAST = 4  # fewest observations for a vote
_STILL, _MOVING = 1.5, 3.0  # pixels at 640: smaller errors are static, larger ones dynamic
_SHARE = (
    0.08  # the error of a dynamic point also exceeds this share of its path, as near points show errors of the solve
)
_STRENGTH, _SIGMA = 100.0, 6.0
_DOUBT = 0.03  # each pixel's own vote for static, so that an object does not spread over a blank sky
_TRACK = 3.0  # vote of a track, where that of a pixel is 1 at most
_SEED = 0.3  # vote of a pixel that is surely dynamic
_NEAR = 0.015  # of the long side: largest distance of an object's pixels from surely dynamic ones
_GAP = 0.1  # of the height: largest part of an object without such pixels, between parts with them
_AROUND_MATTE = 0.035  # of the long side: what belongs to a matte's subject, its shadow too
_VOTES = 6  # fewest dynamic tracks of an object, or else
_SEEN = 0.2  # the smallest share of its pixels that are surely dynamic
_SMALLEST = 1e-3  # share of the image
_APART = 1.2  # pixels by which flow changes within a pixel's neighbors, where two objects meet
_OFTEN, _SOMETIMES = 0.4, 0.2  # share of the frames around in which what a pixel shows is dynamic: in most, or between
_BETWEEN = 0.035  # of the long side: how far such parts are apart
_SITS = 3.0  # times as many votes for static as for dynamic, with which a matte's part belongs to the static scene


@compiled
def _solved(m, right, out):  # type: ignore[no-untyped-def]
    """Solve a symmetric system of three equations by Cramer's rule."""
    a = m[1, 1] * m[2, 2] - m[1, 2] * m[1, 2]
    b = m[0, 2] * m[1, 2] - m[0, 1] * m[2, 2]
    c = m[0, 1] * m[1, 2] - m[0, 2] * m[1, 1]
    d = m[0, 0] * m[2, 2] - m[0, 2] * m[0, 2]
    e = m[0, 1] * m[0, 2] - m[0, 0] * m[1, 2]
    f = m[0, 0] * m[1, 1] - m[0, 1] * m[0, 1]
    scale = 1 / (m[0, 0] * a + m[0, 1] * b + m[0, 2] * c)
    out[0] = scale * (a * right[0] + b * right[1] + c * right[2])
    out[1] = scale * (b * right[0] + d * right[1] + e * right[2])
    out[2] = scale * (c * right[0] + e * right[1] + f * right[2])


@compiled
def _residuals(starts, frames, rays, origins, poses, xy, focal, cx, cy, span, missed, path, seen):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """For each observation of each track: the error of the static point that fits its window best."""
    for track in range(len(starts) - 1):
        first, last = starts[track], starts[track + 1]
        for center in range(first, last):
            begin, end = max(first, center - span), min(last, center + span + 1)
            seen[center] = end - begin
            if end - begin < 3:
                continue
            point = np.zeros(3)
            weights = np.ones(end - begin)
            for _ in range(3):
                matrix = np.zeros((3, 3))
                right = np.zeros(3)
                for i in range(begin, end):
                    w = weights[i - begin]
                    along = 0.0
                    for r in range(3):
                        along += rays[i, r] * origins[i, r]
                    for r in range(3):
                        right[r] += w * (origins[i, r] - rays[i, r] * along)
                        for c in range(3):
                            matrix[r, c] += w * ((1.0 if r == c else 0.0) - rays[i, r] * rays[i, c])
                size = (matrix[0, 0] + matrix[1, 1] + matrix[2, 2]) * 1e-9 + 1e-12
                for r in range(3):
                    matrix[r, r] += size
                _solved(matrix, right, point)
                for i in range(begin, end):
                    pose = poses[frames[i]]
                    z = pose[2, 0] * point[0] + pose[2, 1] * point[1] + pose[2, 2] * point[2] + pose[2, 3]
                    weights[i - begin] = 1 / max(z * z, 1e-12)
            total = 0.0
            widest = 0.0
            for i in range(begin, end):
                pose = poses[frames[i]]
                x = pose[0, 0] * point[0] + pose[0, 1] * point[1] + pose[0, 2] * point[2] + pose[0, 3]
                y = pose[1, 0] * point[0] + pose[1, 1] * point[1] + pose[1, 2] * point[2] + pose[1, 3]
                z = pose[2, 0] * point[0] + pose[2, 1] * point[1] + pose[2, 2] * point[2] + pose[2, 3]
                if z <= 1e-9:
                    total += 2500.0
                    continue
                dx, dy = focal * x / z + cx - xy[i, 0], focal * y / z + cy - xy[i, 1]
                total += min(dx * dx + dy * dy, 2500.0)
                # where the point would be if the camera had only rotated since the window's first frame
                fx = pose[0, 0] * rays[begin, 0] + pose[0, 1] * rays[begin, 1] + pose[0, 2] * rays[begin, 2]
                fy = pose[1, 0] * rays[begin, 0] + pose[1, 1] * rays[begin, 1] + pose[1, 2] * rays[begin, 2]
                fz = max(pose[2, 0] * rays[begin, 0] + pose[2, 1] * rays[begin, 1] + pose[2, 2] * rays[begin, 2], 1e-6)
                dx, dy = focal * fx / fz + cx - xy[i, 0], focal * fy / fz + cy - xy[i, 1]
                widest = max(widest, np.sqrt(dx * dx + dy * dy))
            missed[center] = np.sqrt(total / (end - begin))
            path[center] = widest


@dataclass(frozen=True)
class TrackMotion:
    """Whether each observation of `Tracks` is static or dynamic, in their order.

    Attributes
    ----------
    still, moving : bool [M]
        Both False where too little is known.
    """

    still: NDArray[np.bool_]
    moving: NDArray[np.bool_]


def track_motion(tracks: Tracks, views: Views) -> TrackMotion:
    """Classify tracks as static or dynamic.

    Parameters
    ----------
    tracks : Tracks
        Undistorted.
    views : Views
        At the size of the tracks.
    """
    frames = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    order = np.lexsort((frames, tracks.ids))
    count = int(tracks.ids.max(initial=-1)) + 1
    starts = np.concatenate([[0], np.cumsum(np.bincount(tracks.ids, minlength=count))])
    frames = frames[order]
    xy = tracks.xy[order].astype(np.float64)
    local = np.column_stack([(xy - views.center) / views.focal, np.ones(len(xy))])
    rays = np.einsum("nij,nj->ni", views.to_world[frames], local)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    missed, path = np.zeros(len(xy)), np.zeros(len(xy))
    seen = np.zeros(len(xy), np.int64)
    poses = np.ascontiguousarray(views.world_to_camera)
    lens = (float(views.focal), float(views.center[0]), float(views.center[1]))
    _residuals(starts, frames, rays, views.positions[frames], poses, xy, *lens, _SPAN, missed, path, seen)
    unit = max(views.width, views.height) / 640
    known = seen >= _LEAST
    still, moving = np.empty(len(xy), bool), np.empty(len(xy), bool)
    still[order] = known & (missed < _STILL * unit)
    moving[order] = known & (missed > _MOVING * unit) & (missed > _SHARE * path)
    return TrackMotion(still, moving)


def mask(
    xy: NDArray[np.float32],
    still: NDArray[np.bool_],
    moving: NDArray[np.bool_],
    image: NDArray[np.uint8],
    dense: DenseMotion,
    *,
    matte: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """The mask of dynamic objects in an image.

    Parameters
    ----------
    xy : float32 [K, 2]
        Points in pixels.
    still, moving : bool [K]
        Their votes.
    image : uint8 [H, W, 3]
    dense : DenseMotion
        The votes of the pixels.
    matte : bool [H, W] or None
        Dynamic objects with a known outline, which takes the place of the one that the votes around them have.
    """
    x, y = _pixels(xy, image.shape)
    if matte is not None and matte.any():
        reach = around(matte)
        beyond = DenseMotion(dense.still, dense.moving * ~reach)
        others = mask(xy, still, moving & ~reach[y, x], image, beyond)
        return matte | (others & ~reach)
    height, width = image.shape[:2]
    votes = np.stack([dense.still + np.float32(_DOUBT), dense.moving + np.float32(1e-6)], axis=-1)
    np.add.at(votes[..., 0], (y[still], x[still]), _TRACK)
    np.add.at(votes[..., 1], (y[moving], x[moving]), _TRACK)
    votes = smooth(votes, edge_weights(image, _SIGMA), strength=_STRENGTH)
    seeds = cv2.morphologyEx((dense.moving > _SEED).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    seeds[y[moving], x[moving]] = 1
    near = cv2.distanceTransform(1 - seeds, cv2.DIST_L2, 5) < _NEAR * max(height, width)
    # pixels between two such parts, one above the other, belong to the object: a plain skirt has no texture
    upright = np.ones((round(_GAP * height), 1), np.uint8)
    near = cv2.morphologyEx(near.astype(np.uint8), cv2.MORPH_CLOSE, upright) > 0
    inside = ((votes[..., 1] > votes[..., 0]) & near).astype(np.uint8)
    inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside)
    area = stats[:, cv2.CC_STAT_AREA]
    hits = np.bincount(labels[y[moving], x[moving]], minlength=count)
    seen = np.bincount(labels[seeds > 0], minlength=count)
    kept = (area >= _SMALLEST * height * width) & ((hits >= _VOTES) | (seen >= _SEEN * area))
    kept[0] = False
    return np.asarray(kept[labels], bool)


def of_matte(
    matte: NDArray[np.bool_], xy: NDArray[np.float32], still: NDArray[np.bool_], moving: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The parts of a matte [H, W] that may move: whoever sits still belongs to the scene, whose depth is measured.

    Parameters
    ----------
    matte : bool [H, W]
    xy : float32 [K, 2]
        Points in pixels.
    still, moving : bool [K]
        Their votes.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(matte.astype(np.uint8))
    x, y = _pixels(xy, matte.shape)
    stays, moves = (np.bincount(labels[y[each], x[each]], minlength=count) for each in (still, moving))
    sits = (stays >= _VOTES) & (stays > _SITS * moves)
    kept = (stats[:, cv2.CC_STAT_AREA] >= _SMALLEST * matte.size) & ~sits
    kept[0] = False
    return np.asarray(kept[labels], bool)


def cut_out(values: NDArray[np.float32], matte: NDArray[np.bool_], *, reach: int) -> NDArray[np.float32]:
    """A map [H, W] whose edges around a subject are those of its matte.

    A map enlarged from a smaller one has the subject's edge somewhere within `reach` pixels of the true one. There each
    pixel takes the value of the nearest one that is surely on its side of the matte's edge.

    Parameters
    ----------
    values : float32 [H, W]
    matte : bool [H, W]
        Of the same size.
    reach : int
        Pixels.
    """
    result = values.copy()
    for side in (matte, ~matte):
        inner = cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5)
        band = side & (inner <= reach)
        if not band.any() or not (inner > reach).any():
            continue  # nothing is surely on this side
        _, nearest = cv2.distanceTransformWithLabels(
            (inner <= reach).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        sure = np.zeros(int(nearest.max()) + 1, np.float32)
        sure[nearest[inner > reach]] = values[inner > reach]
        result[band] = sure[nearest[band]]
    return result


def around(matte: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What belongs to a matte's subject [H, W], its shadow and whatever else the votes around it make of it."""
    return cv2.distanceTransform((~matte).astype(np.uint8), cv2.DIST_L2, 5) < _AROUND_MATTE * max(matte.shape)


def _pixels(xy: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows of points [K, 2]."""
    x, y = np.clip(np.rint(xy).astype(np.int64), 0, [shape[1] - 1, shape[0] - 1]).T
    return x, y


def standing(moves: NDArray[np.bool_], shadowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask [H, W] of dynamic objects without the parts that lie on the static scene as their shadows do."""
    lying = cv2.morphologyEx((moves & shadowed).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return _large(moves & (lying == 0))


def lasting(own: NDArray[np.bool_], others: Iterable[tuple[NDArray[np.bool_], PixelPaths]]) -> NDArray[np.bool_]:
    """The mask [H, W] of dynamic objects by the frames around as well, since each finds other parts of them.

    Whoever wears black or walks ahead of the camera is found in parts, and a reflection in few frames. What a pixel
    shows is followed through the frames: it is dynamic where most find it so, and between such parts where some do.

    Parameters
    ----------
    own : bool [H, W]
    others : pairs of bool [H, W] and PixelPaths
        The masks of the frames around, and where this frame's pixels are in them.
    """
    found, counted = own.astype(np.float32), np.ones(own.shape, np.float32)
    for mask_there, path in others:
        seen = cv2.remap(mask_there.astype(np.float32), path.there[..., 0], path.there[..., 1], cv2.INTER_LINEAR)
        found += path.trust * seen
        counted += path.trust
    share = found / counted
    side = 2 * round(_BETWEEN * max(own.shape) / 2) + 1
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    whole = cv2.morphologyEx((share > _OFTEN).astype(np.uint8), cv2.MORPH_CLOSE, window)
    return _large((whole > 0) & (share > _SOMETIMES))


def _large(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask [H, W] without what is too thin or too small for an object."""
    inside = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(inside)
    return (inside > 0) & (stats[parts, cv2.CC_STAT_AREA] >= _SMALLEST * inside.size)


def separate(moves: NDArray[np.bool_], flow: NDArray[np.float32]) -> NDArray[np.int32]:
    """Number the dynamic objects of a mask: parts that touch are one unless they move differently.

    Parameters
    ----------
    moves : bool [H, W]
    flow : float32 [2, H, W, 2]
        To the next frame and back.

    Returns
    -------
    int32 [H, W]
        From 1; 0 elsewhere.
    """
    window = np.ones((3, 3), np.uint8)
    spans = [cv2.dilate(part, window) - cv2.erode(part, window) for part in np.moveaxis(flow[0], -1, 0)]
    core = (moves & (np.hypot(*spans) < _APART)).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(core)
    core &= stats[parts, cv2.CC_STAT_AREA] >= _SMALLEST * moves.size
    _, whole = cv2.connectedComponents(moves.astype(np.uint8))
    core |= moves & ~np.isin(whole, np.unique(whole[core > 0]))  # too thin or too torn to have a core
    _, parts = cv2.connectedComponents(core, ltype=cv2.CV_32S)
    _, nearest = cv2.distanceTransformWithLabels(1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    part_of = np.zeros(int(nearest.max()) + 1, np.int32)
    part_of[nearest[core > 0]] = parts[core > 0]
    return np.where(moves, part_of[nearest], 0).astype(np.int32)
