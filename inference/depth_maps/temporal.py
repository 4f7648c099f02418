"""Temporal filtering of depth: each pixel's median and mean over the frames around it, along its motion.

The motion is dense optical flow (DIS, Kroeger et al., ECCV 2016), trusted where forward and backward flow agree; depth
is reprojected into the frame by the camera's poses.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.compiled import compiled

_CLOSE = 0.12  # relative to the median: what is averaged
_LEAST = 12  # pixels
_UNLIKE = 30.0  # difference of colors, in levels, at which they count 1/e


def flow(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    start: NDArray[np.float32] | None = None,
    *,
    preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST,
    finest: int | None = None,
) -> NDArray[np.float32]:
    """Dense optical flow [H, W, 2] between two gray images of any size.

    Parameters
    ----------
    before, after : uint8 [H, W]
    start : [H, W, 2] or None
        Initial flow.
    preset : int
        OpenCV's, for the search.
    finest : int or None
        How often the image is halved where the search ends; None: as often as the preset says.
    """
    search = cv2.DISOpticalFlow_create(preset)
    if finest is not None:
        search.setFinestScale(finest)
    # OpenCV crashes where a side is shorter than a patch at the finest scale, and declines fewer than 12 pixels: such
    # images go on beyond their edges.
    least = max(_LEAST, search.getPatchSize() << search.getFinestScale())
    height, width = before.shape
    down, right = max(0, least - height), max(0, least - width)

    def padded(values: NDArray) -> NDArray:
        return cv2.copyMakeBorder(values, 0, down, 0, right, cv2.BORDER_REPLICATE)

    found = search.calc(padded(before), padded(after), None if start is None else padded(start))
    return np.ascontiguousarray(found[:height, :width])


def carry(
    inverse_depth: NDArray[np.float32],
    there: NDArray[np.float32],
    *,
    move: tuple[NDArray[np.float64], NDArray[np.float64]],
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Another frame's depth, reprojected into this frame.

    Parameters
    ----------
    inverse_depth : float32 [H, W]
        The other frame's.
    there : float32 [H, W, 2]
        The places in it, as x and y, that this frame's pixels go to.
    move : rotation [3, 3], shift [3]
        From the other's camera coordinates to this frame's.
    matrix : float64 [3, 3]

    Returns
    -------
    inverse_depth : float32 [H, W]
    valid : bool [H, W]
        False behind this frame's camera.
    """
    u, v = there[..., 0], there[..., 1]
    depth = 1 / cv2.remap(inverse_depth, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    rotation, shift = move
    focal, cx, cy = matrix[0, 0], matrix[0, 2], matrix[1, 2]
    z = depth * (rotation[2, 0] * (u - cx) / focal + rotation[2, 1] * (v - cy) / focal + rotation[2, 2]) + shift[2]
    valid = z > 1e-9
    return (1 / np.where(valid, z, depth)).astype(np.float32), valid


def projected(
    inverse_depth: NDArray[np.float32],
    *,
    move: tuple[NDArray[np.float64], NDArray[np.float64]],
    matrix: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Another frame's depth as this frame's camera sees it, by geometry alone.

    Parameters
    ----------
    inverse_depth : float32 [H, W]
        The other frame's; 0 where there is nothing to see.
    move : rotation [3, 3], shift [3]
        From the other's camera coordinates to this frame's.
    matrix : float64 [3, 3]

    Returns
    -------
    float32 [H, W]
        Of the nearest point at each pixel; 0 where there is none.
    """
    rotation, shift = (np.ascontiguousarray(part, np.float64) for part in move)
    out = np.zeros_like(inverse_depth)
    _project(inverse_depth, rotation, shift, float(matrix[0, 0]), float(matrix[0, 2]), float(matrix[1, 2]), out)
    return out


def splatted(
    inverse_depth: NDArray[np.float32],
    *,
    move: tuple[NDArray[np.float64], NDArray[np.float64]],
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """As `projected`, with each point in all four pixels around it, and the pixel that it comes from.

    Returns
    -------
    inverse_depth : float32 [H, W]
    source : int32 [H, W]
        Index in the other frame's map, flattened; 0 also where there is no point.
    """
    rotation, shift = (np.ascontiguousarray(part, np.float64) for part in move)
    near, source = np.zeros_like(inverse_depth), np.zeros(inverse_depth.shape, np.int32)
    lens = (float(matrix[0, 0]), float(matrix[0, 2]), float(matrix[1, 2]))
    _splat(inverse_depth, rotation, shift, *lens, near, source)
    return near, source


@compiled
def _project(inverse_depth, rotation, shift, focal, cx, cy, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    height, width = inverse_depth.shape
    for y in range(height):
        for x in range(width):
            if inverse_depth[y, x] <= 0:
                continue
            u, v, z = _reprojected(x, y, 1.0 / inverse_depth[y, x], rotation, shift, focal, cx, cy)
            if z <= 1e-9:
                continue
            column, row = int(np.floor(u + 0.5)), int(np.floor(v + 0.5))
            if 0 <= column < width and 0 <= row < height:
                out[row, column] = max(out[row, column], 1.0 / z)


@compiled
def _splat(inverse_depth, rotation, shift, focal, cx, cy, near, source):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    height, width = inverse_depth.shape
    for y in range(height):
        for x in range(width):
            if inverse_depth[y, x] <= 0:
                continue
            at, down, z = _reprojected(x, y, 1.0 / inverse_depth[y, x], rotation, shift, focal, cx, cy)
            if z <= 1e-9:
                continue
            left, top = int(np.floor(at)), int(np.floor(down))
            for v in range(max(top, 0), min(top + 2, height)):
                for u in range(max(left, 0), min(left + 2, width)):
                    if 1.0 / z > near[v, u]:
                        near[v, u] = 1.0 / z
                        source[v, u] = y * width + x


@compiled
def _reprojected(x, y, z, rotation, shift, focal, cx, cy):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Where another camera sees a pixel's point of depth z: column, row and depth, which is above 0 if it does."""
    px, py = (x - cx) / focal * z, (y - cy) / focal * z
    qz = rotation[2, 0] * px + rotation[2, 1] * py + rotation[2, 2] * z + shift[2]
    qx = rotation[0, 0] * px + rotation[0, 1] * py + rotation[0, 2] * z + shift[0]
    qy = rotation[1, 0] * px + rotation[1, 1] * py + rotation[1, 2] * z + shift[1]
    return focal * qx / qz + cx, focal * qy / qz + cy, qz


def similarity(image: NDArray[np.uint8], other: NDArray[np.uint8], there: NDArray[np.float32]) -> NDArray[np.float32]:
    """How alike an image and another frame are at the places [H, W, 2] that its pixels go to there, 0..1 for each.

    Flow that loses a small object among its surroundings is consistent, forward and backward; its colors are not.
    """
    seen = cv2.remap(other, there[..., 0], there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = cv2.absdiff(image, seen).astype(np.float32)
    return np.exp(np.einsum("ijk,ijk->ij", difference, difference) * np.float32(-1 / (3 * _UNLIKE**2)))


def looked_up(
    inverse_depth: NDArray[np.float32],
    theirs: NDArray[np.float32],
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    *,
    move: tuple[NDArray[np.float64], NDArray[np.float64]],
    matrix: NDArray[np.float64],
    beside: float = np.inf,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Another frame's depth of the points that a frame's own depth says its static pixels show.

    Parameters
    ----------
    inverse_depth, theirs : float32 [H, W]
        The frame's and the other's, above 0.
    images : uint8 [H, W, 3]
        Theirs, in this order.
    move : rotation [3, 3], shift [3]
        From the frame's camera coordinates to the other's.
    matrix : float64 [3, 3]
    beside : float
        Pixels beside its own at which what is found counts 1/e: it lies on another line of sight, as what is behind a
        point that has moved does.

    Returns
    -------
    inverse_depth : float32 [H, W]
        The other's, in the frame's camera coordinates.
    weight : float32 [H, W]
        As `similarity`; 0 where the other does not see the point.
    """
    rotation, shift = (np.ascontiguousarray(part, np.float64) for part in move)
    back = np.ascontiguousarray(np.linalg.inv(rotation))
    found, weight = inverse_depth.copy(), np.zeros_like(inverse_depth)
    lens = float(matrix[0, 0]), float(matrix[0, 2]), float(matrix[1, 2])
    _look_up(inverse_depth, theirs, *images, rotation, shift, back, *lens, float(beside), found, weight)
    return found, weight


def shown(
    theirs: NDArray[np.float32],
    static: NDArray[np.bool_],
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    *,
    move: tuple[NDArray[np.float64], NDArray[np.float64]],
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What another frame shows in a frame's pixels, by geometry alone, whatever depth the frame itself has there.

    Parameters
    ----------
    theirs : float32 [H, W]
        The other's inverse depth, above 0.
    static : bool [H, W]
        Its pixels that count.
    images, move, matrix
        As in `looked_up`.

    Returns
    -------
    inverse_depth : float32 [H, W]
        In the frame's camera coordinates; the other's largest where it shows nothing.
    weight : float32 [H, W]
        As in `looked_up`; 0 where it shows nothing.
    """
    back = np.asarray(np.linalg.inv(move[0]), np.float64)
    found = projected(np.where(static, theirs, np.float32(0)), move=(back, -back @ move[1]), matrix=matrix)
    seen = found > 0
    found[~seen] = theirs.max()
    _, weight = looked_up(found, theirs, images, move=move, matrix=matrix)
    return found, weight * seen


@compiled
def _look_up(mine, theirs, image, other, rotation, shift, back, focal, cx, cy, beside, found, weight):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    height, width = mine.shape
    for y in range(height):
        for x in range(width):
            u, v, z = _reprojected(x, y, 1.0 / mine[y, x], rotation, shift, focal, cx, cy)
            # asked so that what is no number is outside: as an index, it would be memory of somebody else
            if not (z > 1e-9 and 0 <= u <= width - 1 and 0 <= v <= height - 1):
                continue
            depth = 1.0 / theirs[int(v + 0.5), int(u + 0.5)]
            qx, qy = (u - cx) / focal * depth - shift[0], (v - cy) / focal * depth - shift[1]
            seen = depth - shift[2]
            own = back[2, 0] * qx + back[2, 1] * qy + back[2, 2] * seen
            if own <= 1e-9:
                continue
            found[y, x] = 1.0 / own
            across = focal * (back[0, 0] * qx + back[0, 1] * qy + back[0, 2] * seen) / own + cx - x
            down = focal * (back[1, 0] * qx + back[1, 1] * qy + back[1, 2] * seen) / own + cy - y
            left, top = int(u), int(v)
            right, below, a, b = min(left + 1, width - 1), min(top + 1, height - 1), u - left, v - top
            difference = 0.0
            for c in range(3):
                upper = (1 - a) * other[top, left, c] + a * other[top, right, c]
                lower = (1 - a) * other[below, left, c] + a * other[below, right, c]
                miss = (1 - b) * upper + b * lower - image[y, x, c]
                difference += miss * miss
            away = (across * across + down * down) / (beside * beside)
            weight[y, x] = np.exp(-away - difference / (3 * _UNLIKE * _UNLIKE))


@compiled
def _settle(values, weights, close, below_share, out):  # type: ignore[no-untyped-def]  # (compiled)
    count, height, width = values.shape
    ordered, counts = np.empty(count, np.float32), np.empty(count, np.float32)  # of one pixel, ascending
    for y in range(height):
        for x in range(width):
            total, used = 0.0, 0
            for i in range(count):
                value, weight = values[i, y, x], weights[i, y, x]
                if weight <= 0:
                    continue
                total += weight
                j = used
                while j > 0 and ordered[j - 1] > value:
                    ordered[j], counts[j] = ordered[j - 1], counts[j - 1]
                    j -= 1
                ordered[j], counts[j] = value, weight
                used += 1
            below, middle = 0.0, values[0, y, x]
            for i in range(used):
                below += counts[i]
                if below >= below_share * total:
                    middle = ordered[i]
                    break
            upper, lower = 0.0, 0.0
            for i in range(used):
                if abs(ordered[i] - middle) <= close * middle:
                    upper += counts[i] * ordered[i]
                    lower += counts[i]
            out[y, x] = upper / lower if lower > 0 else middle


def settle(values: NDArray[np.float32], weights: NDArray[np.float32], *, share: float = 0.5) -> NDArray[np.float32]:
    """Weighted median over the first axis of [K, H, W], or the value with another `share` below it, then the mean
    of the values close to it.
    """
    out = np.empty(values.shape[1:], np.float32)
    _settle(values, weights, _CLOSE, share, out)
    return out


def median(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted median over the first axis of [K, H, W]."""
    out = np.empty(values.shape[1:], np.float32)
    _settle(values, weights, 0.0, 0.5, out)
    return out
