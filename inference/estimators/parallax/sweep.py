"""Plane sweep: how well neighboring frames match a frame at each of many depths (Collins, CVPR 1996).

The planes are parallel to the image and evenly spaced in inverse depth; on each plane the neighbors are warped onto
the frame and compared by zero-mean normalized cross-correlation (ZNCC), which ignores brightness and contrast, and by a
little for brightness. A window's pixels count by how much their brightness is like its middle's in both images (Yoon
and Kweon, PAMI 2006), so that a thin bar is not matched by what is behind it, nor that by the bar. Neighbors are chosen
far enough apart for parallax, near enough to see the same surfaces; what is near needs others than what is far, and
where bars repeat, neighbors at many distances agree on the right depth alone (Okutomi and Kanade, PAMI 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...common.files import load_arrays, save_arrays
from . import matching
from .view import Views

PLANES = 64
OUTSIDE = float(matching.OUTSIDE)
"""Cost of a pixel that no neighbor sees."""
_BASELINES = (0.04, 0.12)
"""Wanted distances between the cameras, as shares of the median depth of what a frame sees, and of its near depth."""
_NEAR = 10  # percentile of the depths
_LEAST_OVERLAP = 0.4
_GOOD_OVERLAP = 0.85
_MOST_TURN = np.cos(np.radians(35.0))
_REACH = 60  # frames to either side that are considered
_COUNT = 4
_APART = 1.0  # pixels of a neighbor's image between compared planes; half of that changes no figure, but takes longer


@dataclass(frozen=True)
class Neighbor:
    """A neighboring frame.

    Attributes
    ----------
    gray : float32 [H, W]
        Its undistorted image, 0..255.
    rotation, shift : float64 [3, 3], [3]
        From the reference's camera coordinates to its own.
    """

    gray: NDArray[np.float32]
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]


def planes(nearest: float, farthest: float, count: int = PLANES) -> NDArray[np.float64]:
    """Inverse depths [count], ascending, evenly spaced."""
    return np.linspace(farthest, nearest, count)


def half_pixel(views: Views, frame: int, neighbors: Sequence[int]) -> float:
    """The change of inverse depth that moves a point by half a pixel (of 320) at the widest baseline of a frame."""
    baseline = max(float(np.linalg.norm(views.positions[frame] - views.positions[each])) for each in neighbors)
    return 0.5 * max(views.width, views.height) / (320 * views.focal * max(baseline, 1e-9))


def plane_homography(
    matrix: NDArray[np.float64],
    rotation: NDArray[np.float64],
    shift: NDArray[np.float64],
    inverse_depth: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """The homography [..., 3, 3] from the reference's pixels to the neighbor's of the plane Z = 1/inverse_depth [...].

    H = K (R + t n^T / Z) K^-1 with n the viewing axis (Hartley and Zisserman, Multiple View Geometry, 13.1).
    """
    normal = np.array([0.0, 0.0, 1.0])
    induced = rotation + np.asarray(inverse_depth)[..., None, None] * np.outer(shift, normal)
    return matrix @ induced @ np.linalg.inv(matrix)


def matching_cost(
    gray: NDArray[np.float32],
    neighbors: Sequence[Neighbor],
    matrix: NDArray[np.float64],
    inverse_depths: NDArray[np.float64],
    *,
    check: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """The cost volume.

    Parameters
    ----------
    gray : float32 [H, W]
        The reference, 0..255.
    neighbors : sequence of Neighbor
        At least one.
    matrix : float64 [3, 3]
        Calibration of all of them.
    inverse_depths : float64 [D]
    check : callable
        Called for each tile; may raise to end the work.

    Returns
    -------
    float32 [H, W, D]
        (1 - ZNCC) / 2, and up to .1 for another brightness, averaged over the better half of the neighbors that see
        the point, so that neighbors in which it is occluded do not count. Neighbors in which it is outside the image
        are left out: at a shot's ends only the nearest neighbor may see what the camera is about to pass. Where planes
        hardly move a neighbor's image, it is compared on fewer of them, and those between get the cost between.
    """
    height, width = gray.shape
    warps = [plane_homography(matrix, each.rotation, each.shift, inverse_depths) for each in neighbors]
    homographies = np.stack(warps, axis=1)
    compared = np.stack([_compared(each, width, height) for each in warps], axis=1)
    images = np.stack([matching.bordered(each.gray) for each in neighbors])
    cost = np.empty((height, width, len(inverse_depths)), np.float32)
    for top in range(0, height, matching.ROWS):
        for left in range(0, width, matching.COLUMNS):
            check()
            matching.tile_cost(gray, images, homographies, compared, top, left, cost)
    return cost


def _compared(warps: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """Which planes to compare, of those with the homographies [D, 3, 3] onto a neighbor: no more than tell anything."""
    x, y = np.meshgrid(np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5))
    places = warps @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.where(places[:, 2:] > 0, places[:, :2] / places[:, 2:], np.nan)
    chosen = [0]
    for plane in range(1, len(warps) - 1):
        # beyond the image's plane there is no distance; the planes on both sides are compared
        if not np.all(np.linalg.norm(places[plane + 1] - places[chosen[-1]], axis=0) < _APART):
            chosen.append(plane)
    return np.isin(np.arange(len(warps)), [*chosen, len(warps) - 1])


def neighbors(kept: Path, views: Views, *, check: Callable[[], None]) -> tuple[tuple[int, ...], ...]:
    """The frames that each frame is matched with; saved in a file, as every process needs all.

    `check` is called for each frame; it may raise to end the work.
    """
    if kept.exists():
        frames, counts = load_arrays(kept, "frames", "counts").values()
        found = np.split(frames, np.cumsum(counts)[:-1])
        if len(found) != len(views) or not np.all((frames >= 0) & (frames < len(views))):
            raise ValueError(f"{kept.name} is of another shot")
        return tuple(tuple(map(int, each)) for each in found)
    depths = [views.sparse(frame)[1][:, 2] for frame in range(len(views))]
    everywhere = np.concatenate(depths)
    chosen: list[tuple[int, ...]] = []
    for frame, own in enumerate(depths):
        check()
        chosen.append(tuple(choose_neighbors(views, frame, own if len(own) else everywhere)))
    counts = np.array([len(each) for each in chosen])
    save_arrays(kept, frames=np.array([other for each in chosen for other in each], np.int32), counts=counts)
    return tuple(chosen)


def choose_neighbors(views: Views, frame: int, depths: NDArray[np.floating]) -> list[int]:
    """Neighbors of a frame, one on each side for each wanted baseline, others where a side has none.

    Parameters
    ----------
    views : Views
    frame : int
    depths : float [K]
        Of what the frame sees; at least one.
    """
    candidates = [f for f in range(max(0, frame - _REACH), min(len(views), frame + _REACH + 1)) if f != frame]
    middle, near = float(np.median(depths)), float(np.percentile(depths, _NEAR))
    wanted = [share * depth for depth in (middle, near) for share in _BASELINES]
    costs = {f: _costs(views, frame, f, wanted) for f in candidates}
    chosen: list[int] = []
    for index in range(len(wanted)):
        for side in (-1, 1):
            # Those for the near depth may be among the others, and are where all is equally far.
            taken = chosen if index < len(_BASELINES) else ()
            on_side = [f for f in candidates if (f - frame) * side > 0 and f not in taken]
            best = min(on_side, key=lambda f: costs[f][index], default=None)
            if best is not None and costs[best][index] < 1.5 and best not in chosen:
                chosen.append(best)
    rest = sorted((f for f in candidates if f not in chosen), key=lambda f: min(costs[f]))
    while len(chosen) < _COUNT and rest and min(costs[rest[0]]) < 4:
        chosen.append(rest.pop(0))
    return sorted(chosen)


def _costs(views: Views, frame: int, other: int, wanted: Sequence[float]) -> list[float]:
    """The cost of `other` as a neighbor for each wanted baseline; infinite where the overlap is too small."""
    rotation, shift = views.relative(frame, other)
    if rotation[2, 2] < _MOST_TURN:
        return [np.inf] * len(wanted)
    overlap, baseline = _common(views, frame, rotation, shift)
    if overlap < _LEAST_OVERLAP:
        return [np.inf] * len(wanted)
    lost = 6 * max(_GOOD_OVERLAP - overlap, 0)
    return [abs(np.log(max(baseline, 1e-9 * max(wanted)) / each)) + lost for each in wanted]


def _common(views: Views, frame: int, rotation: NDArray[np.float64], shift: NDArray[np.float64]) -> tuple[float, float]:
    """Share of a frame's points that are inside another image, and the baseline between both.

    That is the cameras' distance, for cameras that go sideways. What lies ahead of one that goes forwards hardly moves
    in its image, as if it had gone sideways much less; but the farther apart frames are, the less they look alike. So
    it is the geometric mean of the distance and of the one sideways that would move half of the points as much.
    """
    distance = float(np.linalg.norm(shift))
    _, points = views.sparse(frame)
    if not len(points):
        return 1.0, distance
    turned = points @ rotation.T
    moved = turned + shift
    front = (moved[:, 2] > 0) & (turned[:, 2] > 0)
    if not front.any():
        return 0.0, 0.0
    pixels, still = views.project(moved[front]), views.project(turned[front])
    inside = np.all((pixels >= 0) & (pixels <= [views.width - 1, views.height - 1]), axis=1)
    sideways = float(np.median(np.linalg.norm(pixels - still, axis=1) * turned[front, 2])) / views.focal
    return float(inside.sum()) / len(points), float(np.sqrt(distance * sideways))
