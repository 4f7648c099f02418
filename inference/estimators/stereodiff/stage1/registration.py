"""The similarity that lays one cloud of points onto another: closed form, weighted, and robust where asked for.

S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (PAMI 1991); the
symmetric scale is that of B. K. P. Horn, "Closed-form solution of absolute orientation using unit quaternions" (JOSA A
1987), section 2.E. Sums are in float64. Beside it, the focal length that a map of points implies (DUSt3R, section
3.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from torch import Tensor

REWEIGHTINGS = 10
"""Rounds of the robust fit at the most; five settle it where outliers have halved the scale of the first."""
_SETTLED = 0.01
"""Share by which the residuals' median may still change in the last round."""
SAMPLE = 20_000
"""Points that the robust fit's rounds look at; the last one looks at all."""
_NEAR = 0.1
"""Share of the median distance; points nearer to a camera do not count for more than those at it."""
_REACH = 3.0
"""Residual, in medians of all residuals, at which a point counts a quarter."""
_FLOOR = 1e-4
"""Smallest median that is believed, as a share of the distance: exact points must not throw each other out."""
_POINTLIKE = 1e-6
"""Points within this share of their distance of each other are one point: float32 knows no better."""
_LINELIKE = 1e-6
"""Second by first singular value of the correlation, below which points lie on one line."""
ITERATIONS = 10
_WIDEST = math.tan(math.radians(80))
"""Rays further off the axis are no pinhole camera's: single points beside the camera would otherwise decide."""
_CLOSEST = 1e-8
"""Pixels; a residual below it counts as much as this one."""


class NoPoints(Exception):
    """Not one pixel has a finite point in both clouds and a weight."""


@dataclass(frozen=True)
class Similarity:
    """``x`` to ``scale * rotation @ x + translation``; float64, in the computer's memory."""

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
        """What `first` gives, moved by this one."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * self.rotation @ first.translation + self.translation,
        )

    def inverse(self) -> Similarity:
        """Takes points back."""
        back = self.rotation.T
        return Similarity(1 / self.scale, back, -back @ self.translation / self.scale)

    def rigid(self) -> Similarity:
        """Without its scale: the pose of a camera in the origin, which stands at the same place either way."""
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
        False: weighted least squares, the paper's. True: points whose residual, by their distance, stands out lose
        their weight (Geman and McClure's function, reweighted until it settles); a pixel counts as what two
        measurements of those weights are worth together, whose error grows with the distance; and the scale is the
        ratio of both clouds' spreads, so that noise, which makes the least-squares scale too small, cancels.

    Returns
    -------
    Similarity
        Points that lie on a line leave a turn about it open: the smallest rotation is taken. If all lie in one point,
        nothing is turned, and the scale is the ratio of its distances from both origins.

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
    # A network errs by a share of the distance: without this, the farthest points would decide by their leverage.
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
    """How far points [3, N] miss each other, by the smaller of their distances from the target's origin."""
    moved = fit(x.T).T
    distance = torch.minimum((y * y).sum(0), (moved * moved).sum(0)).sqrt()
    return (moved - y).square().sum(0).sqrt() / distance.clamp_min(torch.finfo(x.dtype).tiny)


def _trust(off: Tensor, reach: float) -> Tensor:
    return (1 + (off / reach).square()).square().reciprocal()


def weighted_median(values: Tensor, weights: Tensor) -> float:
    """The value [N] at which half of the weight [N] is reached.

    Weights count in millionths of the largest: sums of whole numbers are the same on every device and in every run.
    """
    ordered, places = values.sort(stable=True)
    counts = (weights[places] * (1e6 / weights.max())).ceil().long().cumsum(0)
    half = torch.searchsorted(counts, (counts[-1:] + 1) // 2)
    return float(ordered[half])


def _fit(x: Tensor, y: Tensor, w: Tensor, *, symmetric: bool) -> Similarity:
    """Umeyama's closed form for points [3, N] and weights [N] that are not all 0."""
    share = w / w.sum()
    middle_x, middle_y = (x * share).sum(1), (y * share).sum(1)
    x, y = x - middle_x[:, None], y - middle_y[:, None]
    weighted = x * share
    spread_x, spread_y = (weighted * x).sum(), (y * y * share).sum()
    facts = torch.cat([(y @ weighted.T).reshape(9), middle_x, middle_y, spread_x[None], spread_y[None]]).cpu()
    correlation, middle_x, middle_y = facts[:9].reshape(3, 3), facts[9:12], facts[12:15]
    spread_x, spread_y = facts[15], facts[16]
    if _one_point(middle_x, spread_x) or _one_point(middle_y, spread_y):
        return _by_distance(middle_x, middle_y)
    rotation = _rotation(correlation)
    scale = float((spread_y / spread_x).sqrt() if symmetric else (rotation * correlation).sum() / spread_x)
    if scale <= 0:  # the clouds have nothing to do with each other
        return _by_distance(middle_x, middle_y)
    return Similarity(scale, rotation, middle_y - scale * rotation @ middle_x)


def _one_point(middle: Tensor, spread: Tensor) -> bool:
    return bool(spread <= _POINTLIKE**2 * (middle @ middle))


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
        # A slight pull towards no turn at all decides what is open, and bends the rest by a millionth at most.
        correlation = correlation + _LINELIKE * torch.eye(3, dtype=correlation.dtype)
    return roma.special_procrustes(correlation, method="svd")


def focal_length(points: Tensor) -> float | None:
    """The focal length for which points fall onto their pixels, by Weiszfeld's iteration.

    Minimises the sum over pixels of ‖p - f (x, y) / z‖, p from the middle of the picture.

    Parameters
    ----------
    points : Tensor [H, W, 3]
        Of each pixel, in the axes of the camera that filmed it; those that are not finite, or not before the camera,
        do not count. On any device that computes in float64.

    Returns
    -------
    float or None
        In pixels; None where the points imply none.
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
        # ‖p - f q‖² from what is at hand; rounding may leave it below 0
        off = (from_middle - 2 * focal * along + focal * focal * square).clamp_min(_CLOSEST**2)
        weight = off.rsqrt()
        focal = _ratio(weight * along, weight * square)
    return focal if math.isfinite(focal) and focal > 0 else None


def _ratio(above: Tensor, below: Tensor) -> float:
    top, bottom = torch.stack([above.sum(), below.sum()]).tolist()
    return top / bottom if bottom > 0 else math.nan
