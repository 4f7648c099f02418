"""The similarity that registers one point cloud to another: closed form, weighted, optionally robust.

S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (PAMI 1991); the
symmetric scale is that of B. K. P. Horn, "Closed-form solution of absolute orientation using unit quaternions" (JOSA A
1987), section 2.E. Sums are in float64. Also the focal length of a point map (DUSt3R, section
3.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from torch import Tensor

REWEIGHTINGS = 10
"""Most rounds of the robust fit; five suffice where outliers have halved the scale of the first."""
_SETTLED = 0.01
"""Relative change of the residuals' median below which the fit has converged."""
SAMPLE = 20_000
"""Points that the robust fit's rounds use; the last one uses all."""
_NEAR = 0.1
"""Share of the median distance; points nearer to a camera count no more than those at it."""
_REACH = 3.0
"""Residual, in medians of all residuals, at which a point's weight is a quarter."""
_FLOOR = 1e-4
"""Smallest median residual, as a share of the distance: exact points must not exclude each other."""
_POINTLIKE = 1e-6
"""Points within this share of their distance are one point: float32 is no more precise."""
_LINELIKE = 1e-6
"""Second by first singular value of the correlation, below which points lie on one line."""
ITERATIONS = 10
_WIDEST = math.tan(math.radians(80))
"""Rays further off the axis are ignored: single points beside the camera would dominate otherwise."""
_CLOSEST = 1e-8
"""Pixels; smaller residuals count as this one."""


class NoPoints(Exception):
    """Not one pixel has a finite point in both clouds and a weight."""


@dataclass(frozen=True)
class Similarity:
    """``x`` to ``scale * rotation @ x + translation``; float64, in host memory."""

    scale: float
    rotation: Tensor
    translation: Tensor

    @staticmethod
    def identity() -> Similarity:
        """Leaves points where they are."""
        return Similarity(1.0, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))

    def __call__(self, points: Tensor) -> Tensor:
        """Points [..., 3] moved, on their device, in float64."""
        matrix = (self.scale * self.rotation).to(points.device)
        return points.double() @ matrix.T + self.translation.to(points.device)

    def after(self, first: Similarity) -> Similarity:
        """The composition: `first`, then this one."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * self.rotation @ first.translation + self.translation,
        )

    def inverse(self) -> Similarity:
        """The inverse."""
        back = self.rotation.T
        return Similarity(1 / self.scale, back, -back @ self.translation / self.scale)

    def rigid(self) -> Similarity:
        """Without its scale: the pose of a camera in the origin, whose position the scale does not change."""
        return Similarity(1.0, self.rotation, self.translation)


def register(
    source: Tensor, target: Tensor, weights: Tensor, target_weights: Tensor | None = None, *, robust: bool = False
) -> Similarity:
    """The similarity that takes one cloud of points to another.

    Parameters
    ----------
    source, target : Tensor [..., 3]
        The same pixels' points in either axes, on any device that computes in float64.
    weights : Tensor [...]
        Of the source's points, 0 or more.
    target_weights : Tensor [...] or None
        Of the target's points, for the robust fit.
    robust : bool
        False: weighted least squares, the paper's. True: points with outlying residuals, relative to their
        distance, lose their weight (Geman and McClure's function, reweighted until it converges); a pixel's weight is
        the joint weight of two measurements whose error grows with the distance; and the scale is the ratio of both
        clouds' standard deviations, so that noise, which makes the least-squares scale too small, cancels.

    Returns
    -------
    Similarity
        For points on a line, the rotation about it is undetermined: the smallest rotation is taken. If all points
        coincide, there is no rotation, and the scale is the ratio of the distances from both origins.

    Raises
    ------
    NoPoints
    """
    x, y = source.reshape(-1, 3).T.double(), target.reshape(-1, 3).T.double()
    w = weights.reshape(-1).double()
    if robust and target_weights is not None:
        other = target_weights.reshape(-1).double()
        w = w * other / (w + other).clamp_min(torch.finfo(w.dtype).tiny)  # inverse variances of a difference
    usable = torch.isfinite(x).all(0) & torch.isfinite(y).all(0) & torch.isfinite(w) & (w > 0)
    if not usable.any():
        raise NoPoints
    if not usable.all():
        x, y, w = x[:, usable], y[:, usable], w[usable]
    x, y = x.contiguous(), y.contiguous()
    return _robust(x, y, w) if robust else _fit(x, y, w, symmetric=False)


def _robust(x: Tensor, y: Tensor, w: Tensor) -> Similarity:
    few = slice(None, None, -(-len(w) // SAMPLE))
    # The network's error is relative to the distance: without this, the farthest points would dominate.
    apart = (x.square().sum(0) * y.square().sum(0)).sqrt()
    near = _NEAR * weighted_median(apart[few], w[few])
    w = w / apart.clamp_min(near) if near > 0 else w
    xs, ys, ws = x[:, few].contiguous(), y[:, few].contiguous(), w[few].contiguous()
    fit = _fit(xs, ys, ws, symmetric=True)
    reach = torch.inf
    for _ in range(REWEIGHTINGS):
        before, off = reach, _residuals(fit, xs, ys)
        reach = _REACH * max(weighted_median(off, ws), _FLOOR)
        fit = _fit(xs, ys, ws * _trust(off, reach), symmetric=True)
        if abs(before - reach) <= _SETTLED * reach:
            break
    return _fit(x, y, w * _trust(_residuals(fit, x, y), reach), symmetric=True)


def _residuals(fit: Similarity, x: Tensor, y: Tensor) -> Tensor:
    """Residuals of points [3, N], relative to the smaller of their distances from the target's origin."""
    moved = fit(x.T).T
    distance = torch.minimum((y * y).sum(0), (moved * moved).sum(0)).sqrt()
    return (moved - y).square().sum(0).sqrt() / distance.clamp_min(torch.finfo(x.dtype).tiny)


def _trust(off: Tensor, reach: float) -> Tensor:
    return (1 + (off / reach).square()).square().reciprocal()


def weighted_median(values: Tensor, weights: Tensor) -> float:
    """The value [N] at which half of the weight [N] is reached.

    Weights count in millionths of the largest: sums of integers are the same on every device and in every run.
    """
    ordered, positions = values.sort(stable=True)
    counts = (weights[positions] * (1e6 / weights.max())).ceil().long().cumsum(0)
    half = torch.searchsorted(counts, (counts[-1:] + 1) // 2)
    return float(ordered[half])


def _fit(x: Tensor, y: Tensor, w: Tensor, *, symmetric: bool) -> Similarity:
    """Umeyama's closed form for points [3, N] and weights [N] that are not all 0."""
    share = w / w.sum()
    middle_x, middle_y = (x * share).sum(1), (y * share).sum(1)
    x, y = x - middle_x[:, None], y - middle_y[:, None]
    weighted = x * share
    variance_x, variance_y = (weighted * x).sum(), (y * y * share).sum()
    facts = torch.cat([(y @ weighted.T).reshape(9), middle_x, middle_y, variance_x[None], variance_y[None]]).cpu()
    correlation, middle_x, middle_y = facts[:9].reshape(3, 3), facts[9:12], facts[12:15]
    variance_x, variance_y = facts[15], facts[16]
    if _one_point(middle_x, variance_x) or _one_point(middle_y, variance_y):
        return _by_distance(middle_x, middle_y)
    rotation = _rotation(correlation)
    scale = float((variance_y / variance_x).sqrt() if symmetric else (rotation * correlation).sum() / variance_x)
    if scale <= 0:  # the clouds do not correspond
        return _by_distance(middle_x, middle_y)
    return Similarity(scale, rotation, middle_y - scale * rotation @ middle_x)


def _one_point(middle: Tensor, percentiles: Tensor) -> bool:
    return bool(percentiles <= _POINTLIKE**2 * (middle @ middle))


def _by_distance(x: Tensor, y: Tensor) -> Similarity:
    near, far = float(x.norm()), float(y.norm())
    scale = far / near if near > 0 and far > 0 else 1.0
    return Similarity(scale, torch.eye(3, dtype=torch.float64), y - scale * x)


def _rotation(correlation: Tensor) -> Tensor:
    values = torch.linalg.svdvals(correlation)
    if values[0] == 0:
        return torch.eye(3, dtype=correlation.dtype)
    correlation, values = correlation / values[0], values / values[0]
    if values[1] <= _LINELIKE:
        # A slight bias towards the identity determines the free rotation, and changes the rest by a millionth at most.
        correlation = correlation + _LINELIKE * torch.eye(3, dtype=correlation.dtype)
    return roma.special_procrustes(correlation, method="svd")


def focal_length(points: Tensor) -> float | None:
    """The focal length at which points project to their pixels, by Weiszfeld's iteration.

    Minimizes the sum over pixels of ‖p - f (x, y) / z‖, with p relative to the image's center.

    Parameters
    ----------
    points : Tensor [H, W, 3]
        Of each pixel, in the axes of the camera that filmed it; those that are not finite, or not in front of the
        camera, do not count. On any device that computes in float64.

    Returns
    -------
    float or None
        In pixels; None where none follows from the points.
    """
    height, width = points.shape[:2]
    down = torch.arange(height, device=points.device, dtype=torch.float64) - (height - 1) / 2
    right = torch.arange(width, device=points.device, dtype=torch.float64) - (width - 1) / 2
    x, y, z = points.double().unbind(-1)
    u, v = x / z, y / z
    square = u * u + v * v
    usable = (z > 0) & (square <= _WIDEST**2)  # False for what is not finite
    u, v, square = (torch.where(usable, values, 0) for values in (u, v, square))
    along = u * right + v * down[:, None]
    focal = _ratio(along, square)
    from_middle = torch.where(usable, right.square() + down.square()[:, None], 0)
    for _ in range(ITERATIONS):
        # ‖p - f q‖², expanded; rounding may make it negative
        off = (from_middle - 2 * focal * along + focal * focal * square).clamp_min(_CLOSEST**2)
        weight = off.rsqrt()
        focal = _ratio(weight * along, weight * square)
    return focal if math.isfinite(focal) and focal > 0 else None


def _ratio(above: Tensor, below: Tensor) -> float:
    top, bottom = torch.stack([above.sum(), below.sum()]).tolist()
    return top / bottom if bottom > 0 else math.nan
