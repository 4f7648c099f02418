"""The ground that a camera moves over, and mirror images in it.

In a wet road, a lake or a polished floor other frames confirm the depth of what is mirrored: its image lies below the
ground, as far as the thing itself stands above. Nothing is seen below the ground, unless it has a hole or ends. So
where measured depth lies well below the plane of the ground, a second witness decides, a learned network, which sees
surfaces: if to it the ground goes on, that is the depth; if it sees a pit, stairs, or the street below a balcony, what
was measured stays.

A mirror image is of something: as high above the ground as the image lies below it. Where a frame sees through that
place to something farther, nothing is there to be mirrored, and what was measured stays, whatever the network sees.

Where it goes on farther away in the image, no second witness is needed: of ground that nothing hangs over, what is seen
lower in the image is nearer, whatever pits and slopes it has. What contradicts that is a mirror image, or it moves: a
shadow that keeps pace with the camera has no parallax, and comes out as a hole down to the horizon.

The plane of a shot is drawn from its confident static points (RANSAC: Fischler and Bolles, Communications of the ACM
1981) and refined by least squares with weights that fall with the residual (Cauchy). What is mirrored bends it as
little as what stands on it: the ground is a plane, mirror images are not.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .view import Views

_FRAMES, _EVERY = 24, 4  # frames, at most, and pixels of each whose points are taken
_DRAWS, _POINTS = 500, 6000  # planes through three points, and points that vote for them
_LEVEL = np.cos(np.radians(45))  # of the largest angle between the ground and what the camera holds level
_ON = 0.05  # relative difference of inverse depth within which a point lies on the plane
_FAR_FROM = 0.3  # beyond which it has no weight in the refined one
_ROUNDS = 12
_LEAST = 0.2  # share of the points below the horizon that lie on the ground, where there is one
_FEWEST = 100  # of those points
_GRAZING = 0.035  # what a ray falls on its way, for each unit along the view, below which ground is too oblique
_BELOW, _CLOSELY = 0.75, 0.85  # inverse depth, as a share of the ground's, of what is below it; next to other such
_BESIDE = 5  # pixels: window of what is next to such
_SEEN = 0.8  # of the way up from measured depth to the ground, in logarithms: where a network sees the ground go on
_BEYOND, _THERE = 0.75, 0.2  # inverse depth, as a share of a place's, of what is behind it; difference of what is there
_VOTES, _NOTHING, _TWICE = 0.3, 0.25, 2.0  # confidence that votes; share of votes, and times others, that decide
_AROUND = 0.2  # of the image's width: the surroundings judged together, as a network blurs the edges of a hole
_RIM = 0.2  # relative difference of inverse depth within which what is seen is the ground, farther on
_RIM_ROWS, _RIM_LEAST = 4, 3  # rows above what lies below the ground, and how many of them are ground
_CONFIRMED, _WINDOW = 0.15, 9  # confidence, over so many pixels, from which on other frames confirm it nevertheless
_SMALLEST = np.ones((3, 3), np.uint8)  # what is no noise
_RUNS_OVER, _SPREADS = 0.015, 0.05  # of the long side: rim of what is no ground, and how far ground beside that tells
_IS_GROUND = np.log(1.5)  # what the network may have that ground too near or too far
_ENOUGH = 1e-3  # share of such ground around a pixel, from which on it is known
_LIES, _RISES = 0.05, np.log(1.06)  # relative difference of inverse depth, and how much nearer than around, of ground


def find(
    views: Views,
    read: Callable[[int], tuple[NDArray[np.float32], NDArray[np.float32]]],
    *,
    check: Callable[[], None],
) -> NDArray[np.float64]:
    """The plane of the ground of a shot.

    Parameters
    ----------
    views : Views
        At the size of the maps.
    read : callable
        Frame to inverse depth and weight, both [H, W]; dynamic objects have no weight.
    check : callable
        Called for each frame that is read; may raise to end the work.

    Returns
    -------
    float64 [4]
        A unit vector n that points down, and h: the points X with ``n X = h``, in the world's axes. Zeros where most of
        what is seen below the horizon lies on no plane.
    """
    axes, positions = views.to_world, views.positions
    down, origin = _unit(axes[:, :, 1].mean(axis=0)), positions.mean(axis=0)
    sparse = np.s_[_EVERY // 2 :: _EVERY, _EVERY // 2 :: _EVERY]
    y, x = (each[sparse].ravel() for each in np.mgrid[: views.height, : views.width])
    local = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(views.matrix).T
    parts = []
    for frame in np.unique(np.linspace(0, len(views) - 1, min(len(views), _FRAMES)).astype(int)):
        check()
        seen, sure = (each[sparse].ravel() for each in read(int(frame)))
        rays = local @ axes[frame].T
        used = (sure > 0) & (rays @ down > 0)
        center = np.broadcast_to(positions[frame] - origin, rays.shape)
        parts.append(np.column_stack([rays, center, seen, sure])[used])
    points = np.concatenate(parts).astype(np.float64)
    if len(points) < _FEWEST:
        return np.zeros(4)
    random = np.random.default_rng(0)
    points = points[np.sort(random.choice(len(points), min(len(points), _POINTS), replace=False))]
    found = _plane(points, down, random.integers(0, len(points), (_DRAWS, 3)))
    if found is None:
        return np.zeros(4)
    normal = _unit(found)
    return np.append(normal, 1 / np.linalg.norm(found) + normal @ origin)


def _plane(
    points: NDArray[np.float64], down: NDArray[np.float64], drawn: NDArray[np.integer]
) -> NDArray[np.float64] | None:
    """The plane m, of the points X with ``m X = 1``, on which most points lie, below all cameras; None for too few.

    Along a ray r from C it is seen at the inverse depth ``d = m r / (1 - m C)``: an equation ``m (r + d C) = d`` for
    each of the points [K, 8], that are r, C, d and a weight.
    """
    ray, center, depth, weight = points[:, :3], points[:, 3:6], points[:, 6], points[:, 7]
    equations = ray + depth[:, None] * center

    def missed(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        return depth * (1 - center @ plane) / np.maximum(ray @ plane, 1e-12) - 1

    def votes(plane: NDArray[np.float64]) -> float:
        if plane @ down < _LEVEL * np.linalg.norm(plane) or np.any(center @ plane >= 1):
            return 0.0
        return float(weight[np.abs(missed(plane)) < _ON].sum())

    planes = np.linalg.solve(equations[drawn] + 1e-12 * np.eye(3), depth[drawn][..., None])[..., 0]
    found = np.asarray(max(planes, key=votes), np.float64)
    for _ in range(_ROUNDS):
        if votes(found) < _LEAST * weight.sum():
            return None
        off, seen = missed(found), ray @ found / (1 - center @ found)
        share = weight * (np.abs(off) < _FAR_FROM) / (1 + (off / _ON) ** 2) / np.maximum(seen, 1e-12) ** 2
        weighted = equations * share[:, None]
        found = np.asarray(np.linalg.solve(weighted.T @ equations, weighted.T @ depth), np.float64)
    return found


def inverse_depth(plane: NDArray[np.float64], views: Views, frame: int) -> NDArray[np.float32]:
    """The inverse depth [H, W] of the ground as a frame sees it; 0 from about the horizon on, and without a ground."""
    height = float(plane[3] - plane[:3] @ views.positions[frame])
    if height <= 0:
        return np.zeros((views.height, views.width), np.float32)
    falls = _falls(plane, views, frame)
    return np.where(falls < _GRAZING, np.float32(0), falls / np.float32(height))


def above_horizon(plane: NDArray[np.float64], views: Views, frame: int) -> NDArray[np.bool_]:
    """Where a frame sees what no ground reaches [H, W]; nowhere without a ground."""
    return (_falls(plane, views, frame) < 0) & bool(plane.any())


def climbs(plane: NDArray[np.float64], views: Views, frame: int) -> NDArray[np.float32]:
    """How much higher than the camera each pixel's ray [H, W] comes, for each unit along the view."""
    return -_falls(plane, views, frame)


def below(measured: NDArray[np.float32], ground: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where measured inverse depth [H, W] is well below the ground's, which is 0 where there is none."""
    return (measured < np.float32(_BELOW) * ground) & (ground > 0)


def sunken(
    measured: NDArray[np.float32],
    confidence: NDArray[np.float32],
    plane: NDArray[np.float64],
    views: Views,
    frame: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Inverse depth with the ground's where it lies below the ground and beyond ground that is seen above it.

    Parameters
    ----------
    measured, confidence : float32 [H, W]
        A frame's completed inverse depth, and how sure it is, 0..1.
    plane : float64 [4]
        Of `find`.
    views : Views
        At the size of the maps.
    frame : int

    Returns
    -------
    inverse_depth : float32 [H, W]
    sunken : bool [H, W]

    Notes
    -----
    Ground that nothing hangs over is a height over a plane: along a column of the image, its distance on that plane
    grows upwards, also through pits. What overhanging ground lets through, such as the floor seen under another table
    of the same height, stays where other frames confirm it.
    """
    level = inverse_depth(plane, views, frame)
    low = measured < np.float32(_CLOSELY) * level
    if not low.any():
        return measured, low
    y, x = np.mgrid[: views.height, : views.width]
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(views.matrix).T @ views.to_world[frame].T
    falls = np.maximum(rays @ plane[:3], 1e-6)
    away = np.sqrt(np.maximum(np.sum(rays**2, axis=-1) / falls**2 - 1, 1e-6)).astype(np.float32)  # of the ground
    there = away * level / np.maximum(measured, np.float32(1e-9))  # of what is seen
    on = (level > 0) & (np.abs(measured - level) < np.float32(_RIM) * level)
    rows = [np.roll(on, by, axis=0) * (y >= by) for by in range(_RIM_ROWS)]
    is_rim = np.sum(rows, axis=0) >= _RIM_LEAST
    ends = np.where(is_rim, np.maximum(away, there), np.float32(np.inf))
    rim = np.full(level.shape, np.inf, np.float32)  # distance of the nearest ground above
    for row in range(1, len(rim)):
        rim[row] = np.where(low[row - 1], rim[row - 1], ends[row - 1])
    unsure = cv2.blur(confidence, (_WINDOW, _WINDOW)) < _CONFIRMED
    beyond = low & unsure & (there * np.float32(_CLOSELY) > rim)
    found = cv2.morphologyEx(beyond.astype(np.uint8), cv2.MORPH_OPEN, _SMALLEST)
    around = cv2.dilate(found, np.ones((_BESIDE, _BESIDE), np.uint8)) > 0
    sinks = (found > 0) | (around & low & unsure)
    return np.where(sinks, level, measured), sinks


def mirrors_nothing(
    measured: NDArray[np.float32],
    confidence: NDArray[np.float32],
    plane: NDArray[np.float64],
    views: Views,
    frame: int,
) -> NDArray[np.bool_]:
    """Where what lies below the ground is no mirror image, as nothing is above it that could be mirrored.

    Parameters
    ----------
    measured, confidence : float32 [H, W]
        A frame's inverse depth, and how sure it is, 0..1.
    plane : float64 [4]
        Of `find`.
    views : Views
        At the size of the maps.
    frame : int

    Returns
    -------
    bool [H, W]
        False where it is not known, as where that place is out of the image or hidden. The surroundings are judged
        together.
    """
    votes = np.zeros((3, *measured.shape), np.float32)  # for nothing, for something, and how many could be
    low = below(measured, inverse_depth(plane, views, frame))
    if not low.any():
        return low
    y, x = np.nonzero(low & (measured > 0))
    axes, position = views.to_world[frame], views.positions[frame]
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(views.matrix).T @ axes.T
    points = position + rays / measured[y, x, None]
    points -= 2 * (points @ plane[:3] - plane[3])[:, None] * plane[:3]
    image = (points - position) @ axes @ views.matrix.T
    depth = np.maximum(image[:, 2], 1e-9)
    size = np.array([views.width, views.height])
    place = np.round(np.clip(image[:, :2] / depth[:, None], -1, size)).astype(int)
    is_inside = (image[:, 2] > 0) & np.all((place >= 0) & (place < size), axis=1)
    column, row = np.where(is_inside[:, None], place, 0).T
    share = measured[row, column] * depth
    sure = is_inside & (np.minimum(confidence[y, x], confidence[row, column]) > _VOTES)
    votes[:, y, x] = sure & (share < _BEYOND), sure & (np.abs(share - 1) < _THERE), np.ones_like(sure)
    side = 2 * round(_AROUND * measured.shape[1] / 2) + 1
    nothing, something, all_of = (cv2.blur(each, (side, side), borderType=cv2.BORDER_CONSTANT) for each in votes)
    return (nothing > _NOTHING * all_of) & (nothing > _TWICE * something)


def without_mirrored(
    measured: NDArray[np.float32],
    ground: NDArray[np.float32],
    seen: NDArray[np.float32],
    real: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Inverse depth with the ground's where it is that of a mirror image.

    Parameters
    ----------
    measured, ground : float32 [H, W]
        Inverse depth; the ground's is 0 where there is none.
    seen : float32 [H, W]
        What a learned network sees there, in the same unit.
    real : bool [H, W] or None
        Where there is no mirror image, see `mirrors_nothing`.

    Returns
    -------
    inverse_depth : float32 [H, W]
    mirrored : bool [H, W]

    Notes
    -----
    A network may have all of a wet road too far away. So what it sees counts relative to the measured ground around,
    as it sees that.
    """
    candidates = below(measured, ground)
    if not candidates.any():
        return measured, candidates
    least = np.float32(1e-3) * ground.max()
    lowest, level = (np.log(np.maximum(each, least)) for each in (measured, ground))
    sinks = (measured < np.float32(_CLOSELY) * ground) & (ground > 0)
    off, around = _off(ground, seen, ~sinks & (lowest - level < _RIM), sinks)
    falls = np.where(candidates, level - lowest, 0)
    shown = level + off - np.where(np.isnan(around), 0, around)
    rises = np.clip(np.where(candidates, shown - lowest, 0), -falls, falls)
    side = 2 * round(_AROUND * measured.shape[1] / 2) + 1
    risen, fallen = (cv2.blur(each, (side, side), borderType=cv2.BORDER_CONSTANT) for each in (rises, falls))
    if real is not None:
        candidates, sinks = candidates & ~real, sinks & ~real
    sure = candidates & (risen > _SEEN * fallen)
    mirrored = sure | (sinks & (cv2.dilate(sure.astype(np.uint8), np.ones((_BESIDE, _BESIDE), np.uint8)) > 0))
    return np.where(mirrored, ground, measured), mirrored


def lies(
    measured: NDArray[np.float32], ground: NDArray[np.float32], seen: NDArray[np.float32], objects: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Where a frame shows nothing but the ground, by what was measured and by a network.

    Parameters
    ----------
    measured, ground, seen : float32 [H, W]
        As of `without_mirrored`; what is measured may be no more than completed.
    objects : bool [H, W]
        Dynamic objects.

    Returns
    -------
    bool [H, W]
        A network may have a wet road too far away, but nothing is seen below the ground.
    """
    level = np.abs(measured - ground) < _LIES * ground
    off, around = _off(ground, seen, level & ~objects, below(measured, ground) | objects)
    return level & ~objects & ~np.isnan(around) & (np.abs(off) < _IS_GROUND) & (off - np.nan_to_num(around) < _RISES)


def rises(ground: NDArray[np.float32], seen: NDArray[np.float32], objects: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much nearer a network sees what moves than the ground around it, at the same place.

    Parameters
    ----------
    ground, seen : float32 [H, W]
        As of `without_mirrored`.
    objects : bool [H, W]
        What moves.

    Returns
    -------
    float32 [H, W]
        Difference of the logarithms of inverse depth; infinite where no ground is known.
    """
    off, around = _off(ground, seen, ~objects, objects)
    return np.where(np.isnan(around), np.float32(np.inf), off - around)


def _off(
    ground: NDArray[np.float32], seen: NDArray[np.float32], level: NDArray[np.bool_], other: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much nearer than the ground a network sees each pixel [H, W], and how much so the ground around it.

    Both are differences of logarithms of inverse depth; the second is NaN where there is none. That ground is what is
    `level`, but for the rim of what is `other`, whose depth runs over into it.
    """
    long_side = max(ground.shape)
    least = np.float32(max(1e-3 * float(ground.max()), 1e-12))
    off = np.log(np.maximum(seen, least)) - np.log(np.maximum(ground, least))
    side = 2 * round(_RUNS_OVER * long_side) + 1
    beside = level & (cv2.dilate(other.astype(np.uint8), np.ones((side, side), np.uint8)) == 0)
    used = (beside & (ground > 0) & (np.abs(off) < _IS_GROUND)).astype(np.float32)
    total, weight = (cv2.GaussianBlur(each, (0, 0), _SPREADS * long_side) for each in (used * off, used))
    around = total / np.maximum(weight, np.float32(_ENOUGH))
    return off, np.where((ground > 0) & (weight > _ENOUGH), around, np.float32(np.nan))


def _falls(plane: NDArray[np.float64], views: Views, frame: int) -> NDArray[np.float32]:
    """What the ray of each pixel [H, W] falls on its way towards the ground, for each unit along the view."""
    across, down, ahead = plane[:3] @ views.to_world[frame] @ np.linalg.inv(views.matrix)
    x, y = np.arange(views.width), np.arange(views.height)
    return np.asarray(across * x + down * y[:, None] + ahead, np.float32)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector), np.float64)
