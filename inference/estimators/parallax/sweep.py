"""Plane sweep: how well neighboring frames match a frame at each of many depths (Collins, CVPR 1996).

The planes are parallel to the image and evenly spaced in inverse depth; on each plane the neighbors are warped onto
the frame and compared by zero-mean normalized cross-correlation (ZNCC), which ignores brightness and contrast. A
window's pixels count by how much their brightness is like its middle's (Yoon and Kweon, PAMI 2006), so that a thin bar
is not matched by what is behind it, nor that by the bar. Neighbors are chosen far enough apart for parallax, near
enough to see the same surfaces; what is near needs others than what is far, and where bars repeat, neighbors at many
distances agree on the right depth alone (Okutomi and Kanade, PAMI 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.compiled import compiled
from .view import Views

PLANES = 64
_RADIUS = 2  # of a window, in pixels
_ALIKE = 10.0  # gray levels over which the weight in a window falls by e
_NEAR_MIDDLE = 2.0  # pixels: standard deviation of the weight over a window
_SOFTENING = 1.0  # gray levels squared added to a window's variance, so that noise on blank walls does not correlate
_HALF_WEIGHT = 0.5  # of the comparison at half size, whose window is larger on weak texture
OUTSIDE = 0.5  # cost of a pixel that no neighbor sees: that of no correlation
_LIT = 0.999  # share of a window that must lie inside the neighbor
_BASELINES = (0.04, 0.12)
"""Wanted distances between the cameras, as shares of the median depth of what a frame sees, and of its near depth."""
_NEAR = 10  # percentile of the depths
_LEAST_OVERLAP = 0.4
_GOOD_OVERLAP = 0.85
_MOST_TURN = np.cos(np.radians(35.0))
_REACH = 60  # frames to either side that are considered
_COUNT = 4


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


def plane_homography(
    matrix: NDArray[np.float64], rotation: NDArray[np.float64], shift: NDArray[np.float64], inverse_depth: float
) -> NDArray[np.float64]:
    """The homography [3, 3] from the reference's pixels to the neighbor's that a plane Z = 1/inverse_depth induces.

    H = K (R + t n^T / Z) K^-1 with n the viewing axis (Hartley and Zisserman, Multiple View Geometry, 13.1).
    """
    induced = rotation.copy()
    induced[:, 2] += shift * inverse_depth
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
        Called for each plane; may raise to end the work.

    Returns
    -------
    float32 [H, W, D]
        (1 - ZNCC) / 2, averaged over the better half of the neighbors that see the point, so that neighbors in which
        it is occluded do not count. Neighbors in which it is outside the image are left out: at a shot's ends only the
        nearest neighbor may see what the camera is about to pass.
    """
    height, width = gray.shape
    cost = np.empty((len(inverse_depths), height, width), np.float32)
    reference = [_Scale(gray), _Scale(_halved(gray))]
    each = np.empty((len(neighbors), height, width), np.float32)
    ones = np.ones((height, width), np.float32)
    for index, inverse_depth in enumerate(inverse_depths):
        check()
        for number, neighbor in enumerate(neighbors):
            warp = plane_homography(matrix, neighbor.rotation, neighbor.shift, float(inverse_depth))
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpPerspective(neighbor.gray, warp, (width, height), flags=flags)
            inside = cv2.warpPerspective(ones, warp, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
            score = reference[0].compare(moved)
            half = reference[1].compare(_halved(moved))
            score += _HALF_WEIGHT * cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
            score *= -0.5 / (1 + _HALF_WEIGHT)
            score += 0.5
            each[number] = np.where(inside >= _LIT, score, np.inf)
        cost[index] = _better_half(each)
    return np.ascontiguousarray(cost.transpose(1, 2, 0))


def _better_half(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean [H, W] of the lower half of scores [N, H, W], infinite where a pixel is not seen; sorts `scores`."""
    scores.sort(axis=0)
    seeing = np.count_nonzero(np.isfinite(scores), axis=0)
    counted = (seeing + 1) // 2
    total = np.zeros(seeing.shape, np.float32)
    for number in range((len(scores) + 1) // 2):
        total += np.where(number < counted, scores[number], np.float32(0))
    mean = total / np.maximum(counted, 1).astype(np.float32)
    return np.where(seeing > 0, mean, np.float32(OUTSIDE))


class _Scale:
    """Windows of the reference at one size, computed once for all planes."""

    def __init__(self, gray: NDArray[np.float32]) -> None:
        height, width = gray.shape
        around = _bordered(gray)
        offsets = range(-_RADIUS, _RADIUS + 1)
        taps = [(dy, dx) for dy in offsets for dx in offsets]
        values = np.stack([around[_RADIUS + dy :, _RADIUS + dx :][:height, :width] for dy, dx in taps])  # [taps, H, W]
        distance = np.array([dy * dy + dx * dx for dy, dx in taps], np.float32)[:, None, None]
        weights = np.exp(-np.abs(values - gray) / _ALIKE - distance / (2 * _NEAR_MIDDLE**2))
        self.weights = (weights / weights.sum(axis=0)).astype(np.float32)
        self.weighted = self.weights * values
        self.mean = self.weighted.sum(axis=0)
        variance = np.maximum((self.weighted * values).sum(axis=0) - self.mean**2, 0)
        self.scale = (1 / np.sqrt(variance + _SOFTENING)).astype(np.float32)

    def compare(self, other: NDArray[np.float32]) -> NDArray[np.float32]:
        """ZNCC [H, W] with another image."""
        score = np.empty_like(self.mean)
        _correlate(
            self.weights, self.weighted, self.mean, self.scale, _bordered(other), _RADIUS, np.float32(_SOFTENING), score
        )
        return score


@compiled
def _correlate(weights, weighted, mean, scale, other, radius, softening, score):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Weighted correlation at every pixel; sums go along rows, which the compiler turns into vector instructions."""
    _, height, width = weights.shape
    side = 2 * radius + 1
    sums = np.empty((3, width), np.float32)
    total, square, product = sums[0], sums[1], sums[2]
    for y in range(height):
        sums[:] = 0
        for tap in range(side * side):
            row = other[y + tap // side, tap % side :]
            weight, own = weights[tap, y], weighted[tap, y]
            for x in range(width):
                part = weight[x] * row[x]
                total[x] += part
                square[x] += part * row[x]
                product[x] += own[x] * row[x]
        for x in range(width):
            variance = max(square[x] - total[x] * total[x], np.float32(0)) + softening
            score[y, x] = (product[x] - mean[y, x] * total[x]) * scale[y, x] / np.sqrt(variance)


def _bordered(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image with a border of a window's radius, in which its outermost pixels repeat."""
    return cv2.copyMakeBorder(image, _RADIUS, _RADIUS, _RADIUS, _RADIUS, cv2.BORDER_REPLICATE)


def _halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


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
    overlap = _overlap(views, frame, rotation, shift)
    if overlap < _LEAST_OVERLAP:
        return [np.inf] * len(wanted)
    baseline = max(float(np.linalg.norm(shift)), 1e-9 * max(wanted))
    lost = 6 * max(_GOOD_OVERLAP - overlap, 0)
    return [abs(np.log(baseline / each)) + lost for each in wanted]


def _overlap(views: Views, frame: int, rotation: np.ndarray, shift: np.ndarray) -> float:
    """Share of the frame's points that are inside the other image."""
    _, points = views.sparse(frame)
    if not len(points):
        return 1.0
    moved = points @ rotation.T + shift
    front = moved[:, 2] > 0
    pixels = views.project(moved[front])
    inside = np.all((pixels >= 0) & (pixels <= [views.width - 1, views.height - 1]), axis=1)
    return float(inside.sum()) / len(points)
