"""Edge-aware smoothing: the fast global smoother (Min et al., IEEE Transactions on Image Processing 2014).

It minimizes sum (u - f)^2 + lambda sum w_pq (u_p - u_q)^2 with w_pq = exp(-|guide_p - guide_q| / sigma) by solving
one tridiagonal system for each row and each column, a few times with decreasing lambda.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.compiled import compiled

_ROUNDS = 3
_ATTENUATION = 4.0


@compiled
def _along_rows(values, weights, strength):  # type: ignore[no-untyped-def]  # (compiled)
    """Solve each row of ``values`` [H, W, C] in place; ``weights`` [H, W - 1] between horizontal neighbors."""
    height, width, channels = values.shape
    upper = np.empty(width, np.float32)
    for y in range(height):
        # Thomas' algorithm on  -l w_(x-1) u_(x-1) + (1 + l w_(x-1) + l w_x) u_x - l w_x u_(x+1) = f_x
        before = np.float32(0)
        for x in range(width):
            after = strength * weights[y, x] if x < width - 1 else np.float32(0)
            pivot = 1 + before + after
            if x > 0:
                pivot -= before * upper[x - 1]
            inverse = np.float32(1) / pivot
            upper[x] = after * inverse
            for c in range(channels):
                value = values[y, x, c]
                if x > 0:
                    value += before * values[y, x - 1, c]
                values[y, x, c] = value * inverse
            before = after
        for x in range(width - 2, -1, -1):
            for c in range(channels):
                values[y, x, c] += upper[x] * values[y, x + 1, c]


@compiled
def _along_columns(values, weights, strength):  # type: ignore[no-untyped-def]  # (compiled)
    """As `_along_rows` for columns; ``weights`` [H - 1, W]. Rows are walked in the order that memory has them."""
    height, width, channels = values.shape
    upper = np.empty((height, width), np.float32)
    before = np.zeros(width, np.float32)
    for y in range(height):
        for x in range(width):
            after = strength * weights[y, x] if y < height - 1 else np.float32(0)
            pivot = 1 + before[x] + after
            if y > 0:
                pivot -= before[x] * upper[y - 1, x]
            inverse = np.float32(1) / pivot
            upper[y, x] = after * inverse
            for c in range(channels):
                value = values[y, x, c]
                if y > 0:
                    value += before[x] * values[y - 1, x, c]
                values[y, x, c] = value * inverse
            before[x] = after
    for y in range(height - 2, -1, -1):
        for x in range(width):
            for c in range(channels):
                values[y, x, c] += upper[y, x] * values[y + 1, x, c]


def edge_weights(guide: NDArray[np.uint8], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Affinities of horizontal [H, W - 1] and vertical [H - 1, W] neighbors in an image [H, W, 3], 0..1."""
    image = guide.astype(np.float32)
    across = np.sqrt(np.sum(np.diff(image, axis=1) ** 2, axis=2) / 3)
    down = np.sqrt(np.sum(np.diff(image, axis=0) ** 2, axis=2) / 3)
    return np.exp(-across / np.float32(sigma)), np.exp(-down / np.float32(sigma))


def smooth(
    values: NDArray[np.float32], weights: tuple[NDArray[np.float32], NDArray[np.float32]], *, strength: float
) -> NDArray[np.float32]:
    """Smooth values [H, W, C] where the weights of `edge_weights` connect pixels.

    `strength` is lambda; the reach in flat areas is about its square root, in pixels.
    """
    result = np.array(values, np.float32, order="C")
    for step in range(1, _ROUNDS + 1):
        share = 1.5 * _ATTENUATION ** (_ROUNDS - step) / (_ATTENUATION**_ROUNDS - 1)
        _along_rows(result, weights[0], np.float32(share * strength))
        _along_columns(result, weights[1], np.float32(share * strength))
    return result
