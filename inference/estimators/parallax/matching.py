"""The matching cost of a plane sweep: compiled loops over tiles of the image.

For each plane and neighbor, the neighbor's part of a tile is warped, reduced and correlated while it is in the
processor's cache, and so are the tile's windows, which all planes and neighbors share. Loops run along rows of fixed
length, which the compiler turns into vector instructions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...common.compiled import compiled

ROWS, COLUMNS = 32, 64
"""Pixels of a tile; even, so that its half size has whole pixels."""
OUTSIDE = np.float32(0.5)
"""Cost of a pixel that no neighbor sees: that of no correlation."""
_RADIUS = 2  # of a window, in pixels
_SIDE = 2 * _RADIUS + 1
_ALIKE = np.float32(10.0)  # gray levels over which the weight in a window falls by e
_LIKENESS = np.float32(1 / 10.0**2)  # the same in a neighbor's window: 10 gray levels leave a quarter at most
_SHADE, _SHADES = 0.1, np.float32(20.0)  # cost of middles that differ by so many gray levels, or more
_NEAR_MIDDLE = 2.0  # pixels: standard deviation of the weight over a window
_SOFTENING = np.float32(1.0)  # gray levels squared added to a variance, so that noise on blank walls does not correlate
_HALF_WEIGHT = 0.5  # of the comparison at half size, whose window is larger on weak texture
_HALO = 2 * (_RADIUS + 1)  # pixels around a tile, for windows and interpolation at half size
_PATCH_ROWS, _PATCH = ROWS + 2 * _HALO, COLUMNS + 16  # rows of a tile with its halo; distance in memory from row to row
_HALF_ROWS, _HALF_COLUMNS = ROWS // 2 + 2, COLUMNS // 2 + 8  # scores at half size; two columns of them count, beside
_SCALE = np.float32(-0.5 / (1 + _HALF_WEIGHT))  # from the sum of both correlations to a cost
_SHADE_SCALE = np.float32(_SHADE / _SHADES)


def bordered(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """A neighbor's image [H, W] with the zeros around it [H + 3, W + 3] that `tile_cost` reads outside of it."""
    return np.pad(image, ((1, 2), (1, 2)))


@compiled
def tile_cost(gray, neighbors, homographies, compared, top, left, cost):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Fill one tile of a cost volume.

    Parameters
    ----------
    gray : float32 [H, W]
        The reference, 0..255.
    neighbors : float32 [N, H + 3, W + 3]
        From `bordered`.
    homographies : float64 [D, N, 3, 3]
        From the reference's pixels to each neighbor's, for each plane.
    compared : bool [D, N]
        Which planes to compare with which neighbor, first and last among them; the others' costs lie between theirs.
    top, left : int
        The tile's first pixel, multiples of `ROWS` and `COLUMNS`.
    cost : float32 [H, W, D]
        (1 - ZNCC) / 2 of both sizes, and for the difference of brightness, averaged over the better half of the
        neighbors that see the pixel.
    """
    height, width = gray.shape
    planes, count = homographies.shape[:2]
    own, own_half = np.empty(_PATCH_ROWS * _PATCH, np.float32), np.zeros(_PATCH_ROWS // 2 * _PATCH, np.float32)
    for y in range(_PATCH_ROWS):
        for x in range(_PATCH):
            own[y * _PATCH + x] = gray[_clamped(top - _HALO + y, height), _clamped(left - _HALO + x, width)]
    level = own.mean()
    own -= level
    _halve(own, top, left, height, width, own_half)
    size, half_size = ROWS * COLUMNS, _HALF_ROWS * COLUMNS
    weights, half_weights = np.empty(_SIDE**2 * size, np.float32), np.empty(_SIDE**2 * half_size, np.float32)
    inner = (_HALO - _RADIUS) * (_PATCH + 1)  # where the first pixel's window begins
    _weigh(own, inner, ROWS, COLUMNS, weights)
    _weigh(own_half, 0, _HALF_ROWS, _HALF_COLUMNS, half_weights)

    other, other_half = np.empty_like(own), np.zeros_like(own_half)
    half_score = np.empty(half_size, np.float32)
    lit = np.empty(size, np.bool_)
    scores = np.empty((count, planes, size), np.float32)
    for n in range(count):
        for plane in range(planes):
            if not compared[plane, n]:
                continue
            score = scores[n, plane]
            if not _warp(neighbors[n], homographies[plane, n], level, top, left, height, width, other, lit):
                score[:] = np.inf
                continue
            _halve(other, top, left, height, width, other_half)
            _correlate(own, other, inner, ROWS, COLUMNS, weights, score)
            _correlate(own_half, other_half, 0, _HALF_ROWS, _HALF_COLUMNS, half_weights, half_score)
            _add_half(half_score, top, left, height, width, score)
            for y in range(ROWS):
                for x in range(COLUMNS):
                    k, at = y * COLUMNS + x, (y + _HALO) * _PATCH + x + _HALO
                    shade = _SHADE_SCALE * min(abs(own[at] - other[at]), _SHADES)
                    score[k] = _SCALE * score[k] + OUTSIDE + shade if lit[k] else np.float32(np.inf)
        _interpolate(scores[n], compared[:, n])

    each, mean = np.empty((count, size), np.float32), np.empty(size, np.float32)
    for plane in range(planes):
        for n in range(count):
            each[n] = scores[n, plane]
        _better_half(each, mean)
        for y in range(min(ROWS, height - top)):
            for x in range(min(COLUMNS, width - left)):
                cost[top + y, left + x, plane] = mean[y * COLUMNS + x]


@compiled
def _interpolate(scores, compared):  # type: ignore[no-untyped-def]
    """Fill the scores [D, K] of planes that were not compared: linearly between those that were."""
    before = 0
    for after in range(1, len(scores)):
        if not compared[after]:
            continue
        for plane in range(before + 1, after):
            share = np.float32((plane - before) / (after - before))
            lower, upper, row = scores[before], scores[after], scores[plane]
            for k in range(len(row)):
                row[k] = lower[k] * (np.float32(1) - share) + upper[k] * share
        before = after


@compiled
def _clamped(place, size):  # type: ignore[no-untyped-def]
    return min(max(place, 0), size - 1)


@compiled
def _warp(image, homography, level, top, left, height, width, patch, lit):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Warp a bordered neighbor onto a tile with its halo, bilinearly; whether it sees a pixel, and which (``lit``).

    ``level`` is subtracted, as from the reference: correlation does not depend on it, its rounding does. Pixels of the
    halo that are outside of the reference repeat its outermost ones.
    """
    flat, stride = image.ravel(), image.shape[1]
    corners = flat, flat[1:], flat[stride:], flat[stride + 1 :]
    h = homography.ravel()
    u, v = np.empty(_PATCH), np.empty(_PATCH)
    at = np.empty(_PATCH, np.uint64)  # without a sign, as an index below 0 would have to be looked for
    across, down = np.empty(_PATCH, np.float32), np.empty(_PATCH, np.float32)
    sees = False
    for j in range(_PATCH_ROWS):
        y = _clamped(top - _HALO + j, height)
        a, b, c = h[1] * y + h[2], h[4] * y + h[5], h[7] * y + h[8]
        for i in range(_PATCH):
            x = _clamped(left - _HALO + i, width)
            z = h[6] * x + c
            inverse = 1 / z
            # beside the border all is alike; so is what is behind the neighbor's camera
            u[i] = min(max((h[0] * x + a) * inverse, -1.0), float(width)) + 1 if z > 0 else 0.0
            v[i] = min(max((h[3] * x + b) * inverse, -1.0), float(height)) + 1 if z > 0 else 0.0
        for i in range(_PATCH):
            column, row = int(u[i]), int(v[i])
            at[i] = row * stride + column
            across[i], down[i] = u[i] - column, v[i] - row
        for i in range(_PATCH):
            k = at[i]
            above = corners[0][k] + across[i] * (corners[1][k] - corners[0][k])
            below = corners[2][k] + across[i] * (corners[3][k] - corners[2][k])
            patch[j * _PATCH + i] = above + down[i] * (below - above) - level
        if _HALO <= j < _HALO + ROWS:
            for i in range(COLUMNS):
                place, line = u[_HALO + i], v[_HALO + i]
                inside = (place >= 1) & (place <= width) & (line >= 1) & (line <= height)
                lit[(j - _HALO) * COLUMNS + i] = inside
                sees |= inside
    return sees


@compiled
def _halve(patch, top, left, height, width, half):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """A patch at half size: means of two by two pixels, the outermost ones repeated beyond the image's border."""
    for j in range(_PATCH_ROWS // 2):
        row = 2 * _clamped(top // 2 - _HALO // 2 + j, (height + 1) // 2) - top + _HALO
        for i in range(COLUMNS // 2 + _HALO):
            column = 2 * _clamped(left // 2 - _HALO // 2 + i, (width + 1) // 2) - left + _HALO
            at = row * _PATCH + column
            total = patch[at] + patch[at + 1] + patch[at + _PATCH] + patch[at + _PATCH + 1]
            half[j * _PATCH + i] = np.float32(0.25) * total


@compiled
def _weigh(values, first, rows, columns, weights):  # type: ignore[no-untyped-def]
    """The weights [rows, taps, COLUMNS] of the pixels of the reference's windows."""
    near = np.empty(_SIDE**2, np.float32)
    for tap in range(_SIDE**2):
        near[tap] = ((tap // _SIDE - _RADIUS) ** 2 + (tap % _SIDE - _RADIUS) ** 2) / (2 * _NEAR_MIDDLE**2)
    for y in range(rows):
        for x in range(columns):
            at = first + y * _PATCH + x
            middle = values[at + _RADIUS * (_PATCH + 1)]
            for tap in range(_SIDE**2):
                value = values[at + tap // _SIDE * _PATCH + tap % _SIDE]
                weights[(y * _SIDE**2 + tap) * COLUMNS + x] = np.exp(-abs(value - middle) / _ALIKE - near[tap])


@compiled
def _correlate(values, others, first, rows, columns, weights, score):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Weighted ZNCC of the windows that begin at ``first`` with the same windows of another image.

    A pixel counts by how much it is like the middle, in the image where it is less so: at the right depth of what is
    seen between bars, the bars are somewhere else in the other image, and would pass for a difference.
    """
    sums = np.empty(6 * COLUMNS, np.float32)  # of each pixel of a row: weights, both values, their squares, products
    for y in range(rows):
        sums[:] = 0
        middle = first + (y + _RADIUS) * _PATCH + _RADIUS
        here, there = values[middle:], others[middle:]
        for dy in range(_SIDE):
            line = first + (y + dy) * _PATCH
            value, seen = values[line:], others[line:]  # parts that begin at 0: those are known to have no index below
            weight = weights[(y * _SIDE**2 + dy * _SIDE) * COLUMNS :]
            for x in range(columns):
                whole = mine = theirs = mine_square = their_square = product = np.float32(0)
                for dx in range(_SIDE):
                    one, other = value[x + dx] - here[x], seen[x + dx] - there[x]
                    like = np.float32(1) / (np.float32(1) + other * other * _LIKENESS)
                    part = min(weight[dx * COLUMNS + x], like * like)
                    whole += part
                    mine += part * one
                    theirs += part * other
                    mine_square += part * one * one
                    their_square += part * other * other
                    product += part * one * other
                sums[x] += whole
                sums[COLUMNS + x] += mine
                sums[2 * COLUMNS + x] += theirs
                sums[3 * COLUMNS + x] += mine_square
                sums[4 * COLUMNS + x] += their_square
                sums[5 * COLUMNS + x] += product
        for x in range(columns):
            share = 1 / sums[x]
            mine, theirs = sums[COLUMNS + x] * share, sums[2 * COLUMNS + x] * share
            own = max(sums[3 * COLUMNS + x] * share - mine * mine, np.float32(0)) + _SOFTENING
            other = max(sums[4 * COLUMNS + x] * share - theirs * theirs, np.float32(0)) + _SOFTENING
            score[y * COLUMNS + x] = (sums[5 * COLUMNS + x] * share - mine * theirs) / np.sqrt(own * other)


@compiled
def _add_half(half, top, left, height, width, score):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Add the weighted scores at half size to a tile's, bilinearly; they begin one pixel before the tile."""
    quarter, rest = np.float32(0.25 * _HALF_WEIGHT), np.float32(0.75 * _HALF_WEIGHT)
    line = np.empty(COLUMNS // 2 + 2, np.float32)
    last_row, last_column = (height + 1) // 2 - top // 2, (width + 1) // 2 - left // 2
    for y in range(ROWS):
        # scores beyond the image's border are those at it
        near, far = min(1 + y // 2, last_row), min(y // 2 + 2 * (y % 2), last_row)
        if top == 0:
            far = max(far, 1)
        for x in range(COLUMNS // 2 + 2):
            line[x] = rest * half[near * COLUMNS + x] + quarter * half[far * COLUMNS + x]
        if left == 0:
            line[0] = line[1]
        if last_column < COLUMNS // 2 + 1:
            line[last_column + 1] = line[last_column]
        for x in range(COLUMNS // 2):
            score[y * COLUMNS + 2 * x] += np.float32(0.75) * line[x + 1] + np.float32(0.25) * line[x]
            score[y * COLUMNS + 2 * x + 1] += np.float32(0.75) * line[x + 1] + np.float32(0.25) * line[x + 2]


@compiled
def _better_half(scores, mean):  # type: ignore[no-untyped-def]
    """The mean of the lower half of the finite scores [N, K]; sorts as many of them as count."""
    count, size = scores.shape
    seen = np.zeros(size, np.int32)
    mean[:] = 0
    for n in range(count):
        row = scores[n]
        for k in range(size):
            seen[k] += row[k] < np.float32(np.inf)
    for place in range((count + 1) // 2):
        for n in range(count - 1, place, -1):
            lower, upper = scores[n - 1], scores[n]
            for k in range(size):
                one, other = lower[k], upper[k]
                lower[k] = one if one < other else other
                upper[k] = other if one < other else one
        row = scores[place]
        for k in range(size):
            mean[k] += row[k] if 2 * place < seen[k] else np.float32(0)
    for k in range(size):
        mean[k] = mean[k] / np.float32((seen[k] + 1) // 2) if seen[k] > 0 else OUTSIDE
