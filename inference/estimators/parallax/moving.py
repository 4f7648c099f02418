"""Dynamic objects: found by tracks that no static point explains, and placed at the depth of the ground below them.

A point that moves while the camera does cannot be triangulated. Over a window of frames, its track fits no static
point; a track of a static point fits one. The votes of both are smoothed over the image within the surfaces that the
plate shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.compiled import compiled
from ...depth_maps.edge_smoothing import edge_weights, smooth
from .tracks import Tracks
from .view import Views

_SPAN = 8  # observations to either side
_LEAST = 4  # fewest observations for a vote
_STILL, _MOVING = 1.5, 3.0  # pixels at 640: smaller errors are static, larger ones dynamic
_SHARE = (
    0.08  # the error of a dynamic point also exceeds this share of its path, as near points show errors of the solve
)
_STRENGTH, _SIGMA = 300.0, 6.0
_DOUBT = 1e-4  # each pixel's own vote for static, so that an object does not spread over a blank sky
_NEAR = 0.035  # of the long side: largest distance of an object's pixels from its tracks
_GAP = 0.2  # of the height: largest part of an object without tracks, between parts with tracks
_VOTES = 6  # fewest dynamic tracks of an object
_FOOTING = 0.35  # of an object's height, to either side of its lowest point: the part that shares its depth
_SMALLEST = 1e-3  # share of the image
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
        for centre in range(first, last):
            begin, end = max(first, centre - span), min(last, centre + span + 1)
            seen[centre] = end - begin
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
            missed[centre] = np.sqrt(total / (end - begin))
            path[centre] = widest


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
    local = np.column_stack([(xy - views.centre) / views.focal, np.ones(len(xy))])
    rays = np.einsum("nji,nj->ni", views.world_to_camera[frames, :, :3], local)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    missed, path = np.zeros(len(xy)), np.zeros(len(xy))
    seen = np.zeros(len(xy), np.int64)
    poses = np.ascontiguousarray(views.world_to_camera)
    lens = (float(views.focal), float(views.centre[0]), float(views.centre[1]))
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
    matte : bool [H, W] or None
        Dynamic objects with a known outline, which takes the place of the one that the votes around them have.
    """
    if matte is not None and matte.any():
        reach = _around(matte, _NEAR)
        x, y = _pixels(xy, matte.shape)
        others = mask(xy, still, moving & ~reach[y, x], image)
        return matte | (others & ~reach)
    height, width = image.shape[:2]
    result = np.zeros((height, width), bool)
    if moving.sum() < _VOTES:
        return result
    votes = np.full((height, width, 2), 1e-6, np.float32)
    votes[..., 0] = _DOUBT
    x, y = _pixels(xy, (height, width))
    np.add.at(votes[..., 0], (y[still], x[still]), 1)
    np.add.at(votes[..., 1], (y[moving], x[moving]), 1)
    votes = smooth(votes, edge_weights(image, _SIGMA), strength=_STRENGTH)
    far = np.ones((height, width), np.uint8)
    far[y[moving], x[moving]] = 0
    near = cv2.distanceTransform(far, cv2.DIST_L2, 5) < _NEAR * max(height, width)
    # pixels between two such parts, one above the other, belong to the object: a plain skirt has no tracks
    upright = np.ones((round(_GAP * height), 1), np.uint8)
    near = cv2.morphologyEx(near.astype(np.uint8), cv2.MORPH_CLOSE, upright) > 0
    inside = (votes[..., 1] > votes[..., 0]) & near
    inside = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside)
    hits = np.bincount(labels[y[moving], x[moving]], minlength=count)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] >= _SMALLEST * height * width and hits[label] >= _VOTES:
            result |= labels == label
    return result


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


def _around(matte: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """What lies within a share of the long side of a mask, the mask included."""
    return cv2.distanceTransform((~matte).astype(np.uint8), cv2.DIST_L2, 5) < share * max(matte.shape)


def _pixels(xy: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows of points [K, 2]."""
    x, y = np.clip(np.rint(xy).astype(np.int64), 0, [shape[1] - 1, shape[0] - 1]).T
    return x, y


def stand(
    inverse_depth: NDArray[np.float32], moves: NDArray[np.bool_], *, most: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Place each dynamic object at the depth of the ground below it.

    Parameters
    ----------
    inverse_depth : float32 [H, W]
        Of the static scene, completed behind the objects.
    moves : bool [H, W]
    most : float
        Largest inverse depth.

    Returns
    -------
    inverse_depth : float32 [H, W]
    subjects : int32 [H, W]
        The objects' numbers from 1; 0 elsewhere.
    """
    height = moves.shape[0]
    result = inverse_depth.copy()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(moves.astype(np.uint8))
    below = max(2, round(0.015 * height))
    for label in range(1, count):
        left, top, wide, tall = (int(v) for v in stats[label, :4])
        inside = labels[top : top + tall, left : left + wide] == label
        lowest = top + tall - 1 - np.argmax(inside[::-1], axis=0)
        ground = inverse_depth[np.minimum(lowest + below, height - 1), left + np.arange(wide)]
        # The nearest ground below an object counts for columns within a reach that grows with its height, so that a
        # flat, long shadow follows the ground column by column.
        reach = 2 * max(1, round(_FOOTING * tall)) + 1
        ground = cv2.dilate(ground.reshape(1, -1), np.ones((1, reach), np.uint8))
        patch = result[top : top + tall, left : left + wide]
        patch[inside] = np.minimum(np.maximum(patch, ground), most)[inside]
    return result, labels
