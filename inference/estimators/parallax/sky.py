"""The sky: it has no texture to match, so that its depth would be guessed from what bounds it, and it lies behind that.

A region of the image is sky where all of this says so: it is even, reaches the image's upper edge and lies above the
horizon of the ground that the camera moves over, as no wall does that stands on that ground, unless something hides its
lower part. And it is blue or bright, and behind things that are many camera heights away, as no ceiling or wall of a
room is that a camera at eye level sees; where it is blue, some of them are enough. A ceiling above a camera near the
floor, or of a hall, is as many heights away, but ends at one height all around, as roofs and trees do not: what ends so
is sky only if it is clearly blue. The frames of a shot decide together, so that sky does not come and go. Without a
ground there is no horizon, and nothing is taken for sky.

`depth_maps.refining.find_sky` asks for less, since there somebody has said that the shot shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from . import ground
from .view import Views

_FRAMES = 12  # frames, at most, that decide
_BLUR, _EVEN = 1.2, 2.0  # pixels; largest change of a color, in levels a pixel
_LEAST = 0.005  # of the image
_BELOW = 0.1  # of a region that may lie below the horizon, as what is known of it is not exact
_BLUE, _STILL_BLUE = 0.04, 0.02  # blue beyond red, of the mean: what decides, and what is sky where there is one
_BRIGHT, _STILL_BRIGHT = 215, 200  # level of the darkest color, likewise: above that of most ceilings
_DARK = 40  # mean level below which a color says little, as at night
_BLUE_AWAY, _BRIGHT_AWAY = 5.5, 8.0  # camera heights to what sky ends behind; rooms have 2 to 5
_BLUE_SHARE, _BRIGHT_SHARE = 0.25, 0.5  # of what it ends behind that is at least so far away
_CLEARLY = 0.2  # blue beyond red, of the mean, that no ceiling has in cool light
_LEVEL, _LEVEL_SHARE = 0.15, 0.4  # relative difference of heights that are one, and share of a rim at one height
_RIM = 9  # pixels around a region: what it ends behind
_LIKE = 9.0  # levels by which each color of other regions, and of the edge pixels, differs from the sky's at most
_EDGE, _NEAR = 3, 31  # pixels: width of the edge, and of the window whose sky its colors are compared to


def find(
    views: Views,
    plane: NDArray[np.float64],
    color: Callable[[int], NDArray[np.uint8]],
    matched: Callable[[int], NDArray[np.float32]],
    *,
    check: Callable[[], None],
) -> NDArray[np.float64]:
    """How sky looks in a shot.

    Parameters
    ----------
    views : Views
        At the size of the images.
    plane : float64 [4]
        Of `ground.find`.
    color : callable
        Frame to its image [H, W, 3].
    matched : callable
        Frame to its inverse depth [H, W].
    check : callable
        Called for each frame that is read; may raise to end the work.

    Returns
    -------
    float64 [2]
        How blue, and how bright, a region is at least that is sky; see `_is_sky`. Infinite where that makes none.
    """
    verdicts = []
    for frame in np.unique(np.linspace(0, len(views) - 1, min(len(views), _FRAMES)).astype(int)):
        check()
        height = float(plane[3] - plane[:3] @ views.positions[frame])
        above, image = ground.above_horizon(plane, views, frame), color(frame)
        regions = [each for each in _even(image) if each[0].any() and _mostly(above, each)]
        if height > 0 and regions:
            distance = 1 / np.maximum(matched(frame) * height, 1e-6)  # in camera heights
            rise = distance * ground.climbs(plane, views, frame)
            verdicts.append(np.any([_decides(image, each, distance, rise) for each in regions], axis=0))
    agreed = np.mean(verdicts, axis=0) > 0.5 if verdicts else np.zeros(2, bool)
    agreed[1] &= not agreed[0]  # beside blue sky, what is bright may be a house
    return np.where(agreed, (_STILL_BLUE, _STILL_BRIGHT), np.inf)


def mask(
    image: NDArray[np.uint8], look: NDArray[np.float64], plane: NDArray[np.float64], views: Views, frame: int
) -> NDArray[np.bool_]:
    """The sky [H, W] of a frame, up to the edges of what stands before it.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    look : float64 [2]
        Of `find`.
    plane : float64 [4]
        Of `ground.find`.
    views : Views
        At the size of the image.
    frame : int
    """
    above, colors = ground.above_horizon(plane, views, frame), image.astype(np.float32)
    found = np.zeros(above.shape, bool)
    if np.all(np.isinf(look)):
        return found
    regions = [each for each in _even(image) if _mostly(above, each)]
    for each in regions:
        if each[0].any() and any(_is_sky(colors[each].mean(axis=0), look)):
            found |= each
    if not found.any():
        return found
    usual = colors[found].mean(axis=0)
    for each in regions:  # what is seen through branches
        if np.all(np.abs(colors[each].mean(axis=0) - usual) < _LIKE):
            found |= each
    share = cv2.blur(found.astype(np.float32), (_NEAR, _NEAR))
    around = cv2.blur(colors * found[..., None], (_NEAR, _NEAR)) / np.maximum(share, 1e-6)[..., None]
    alike = np.all(np.abs(colors - around) < _LIKE, axis=-1) & (share > 0)
    edge = cv2.dilate(found.astype(np.uint8), np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8)) > 0
    return found | (edge & alike & above)


def _even(image: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """The even regions [H, W] of an image that are not too small."""
    blurred = cv2.GaussianBlur(image, (0, 0), _BLUR).astype(np.float32)
    across, down = (cv2.Sobel(blurred, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    even = np.max(across**2 + down**2, axis=-1) < _EVEN**2
    _, labels, found, _ = cv2.connectedComponentsWithStats(even.astype(np.uint8), connectivity=4)
    large = np.flatnonzero(found[:, cv2.CC_STAT_AREA] >= _LEAST * even.size)
    return [labels == label for label in large if label]


def _mostly(above: NDArray[np.bool_], region: NDArray[np.bool_]) -> bool:
    """Whether a region lies above the horizon."""
    return bool(np.mean(above[region]) >= 1 - _BELOW)


def _decides(
    image: NDArray[np.uint8], region: NDArray[np.bool_], distance: NDArray[np.float32], rise: NDArray[np.float32]
) -> tuple[bool, bool]:
    """Whether a region is blue, and whether it is bright, and behind what is far away and no room's walls.

    `distance` and `rise`, how much higher it is than the camera, are of what is seen, in camera heights.
    """
    outside = [cv2.dilate(region.astype(np.uint8), np.ones((side, side), np.uint8)) > 0 for side in (3, _RIM)]
    rim = outside[1] & ~outside[0]
    mean = image[region].mean(axis=0)
    blue, bright = _is_sky(mean, (_BLUE, _BRIGHT))
    if not (rim.any() and (blue or bright)):
        return False, False
    ends = distance[rim]
    behind_some, behind_most = np.mean(ends > _BLUE_AWAY) > _BLUE_SHARE, np.mean(ends > _BRIGHT_AWAY) > _BRIGHT_SHARE
    if not _is_sky(mean, (_CLEARLY, np.inf))[0] and _share_level(rise[rim]) > _LEVEL_SHARE:
        return False, False
    return bool(blue and behind_some), bool(bright and behind_most)


def _share_level(rise: NDArray[np.float32]) -> float:
    """The largest share of some heights above the camera that are about one."""
    ordered = np.sort(rise[rise > 0])
    if not len(ordered):
        return 0.0
    ends = np.searchsorted(ordered, ordered * np.float32((1 + _LEVEL) / (1 - _LEVEL)), side="right")
    return float(np.max(ends - np.arange(len(ordered))) / len(rise))


def _is_sky(mean: NDArray[np.floating], look: Sequence[float] | NDArray[np.float64]) -> tuple[bool, bool]:
    """Whether a mean color [3] is blue enough: blue beyond red, of the mean; and bright enough: its darkest color."""
    blue = mean.mean() >= _DARK and mean[2] - mean[0] >= look[0] * mean.mean()
    return bool(blue), bool(mean.min() >= look[1])
