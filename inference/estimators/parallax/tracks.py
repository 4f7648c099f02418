"""Point tracks through a shot: corners followed from frame to frame.

Tracks are used by the parallax test, the camera solve and the depth range. They are flat arrays (16 bytes per
observation, about 20 MB for a thousand frames), so memory stays small for any clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...media import light

POINTS = 1200
"""The number of tracks in a frame; lost ones are replaced in each frame."""
_POINTS_ASIDE = 300  # besides, on what a matte covers
_CORNER_QUALITY = 0.002
_CORNER_DISTANCE = 9.0  # pixels where the long side is 640, as all lengths here
_ROUND_TRIP = 0.6  # largest forward-backward error of a track
_WINDOW = (17, 17)
_LEVELS = 4
_LEAPS = 0.75  # share of points followed by flow, below which the motion may be too large for it
_LARGE_STEP = 0.03  # of the long side
_LEVELS_GUESSED = 1
_FEATURE = 5e-4
_DISTINCT = 0.8  # ratio test: of the distance to the second best match (Lowe 2004, section 7.1)
_MATCHED = 2.0  # pixels from the epipolar line
_LEAST_MATCHES = 30
_AROUND_POINT = 5  # nearest matches that predict a point's motion
_LIT = 2.0, 4.0  # gray levels by which the median and the mean of an image change where the light does

_STEP = 0.02  # motion of tracks between key frames, as a share of the long side
_SPARSEST = 8  # largest distance of key frames
_MOST_KEYS = 150  # key frames in a shot; the mapper's time grows faster than their number
_FEWEST_KEYS = 16  # key frames wanted of a short shot


@dataclass(frozen=True)
class Tracks:
    """Observations in the order of their frames.

    Attributes
    ----------
    starts : int64 [N + 1]
        Frame i's observations are ``starts[i]:starts[i + 1]``.
    ids : int32 [M]
        The track that an observation belongs to; ascending within a frame.
    xy : float32 [M, 2]
        Pixels, centers at integers.
    """

    starts: NDArray[np.int64]
    ids: NDArray[np.int32]
    xy: NDArray[np.float32]

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.starts) - 1

    def at(self, frame: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ids [K] and positions [K, 2] of the tracks seen in a frame."""
        part = slice(self.starts[frame], self.starts[frame + 1])
        return self.ids[part], self.xy[part]

    def shared(self, first: int, second: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices into ``at(first)`` and ``at(second)`` of the tracks that both frames see."""
        _, a, b = np.intersect1d(self.at(first)[0], self.at(second)[0], assume_unique=True, return_indices=True)
        return a, b

    def moved(self, first: int, second: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Positions [K, 2] of the shared tracks in both frames."""
        a, b = self.shared(first, second)
        return self.at(first)[1][a], self.at(second)[1][b]


def without(tracks: Tracks, aside: Callable[[int], NDArray[np.bool_]]) -> Tracks:
    """The observations outside a mask: ``aside(i)`` [H, W] is that of frame i."""
    kept = [_inside(tracks.at(frame)[1], ~aside(frame)) for frame in range(len(tracks))]
    return selected(tracks, np.concatenate(kept))


def selected(tracks: Tracks, kept: NDArray[np.bool_]) -> Tracks:
    """Some of the observations [M]."""
    starts = np.concatenate([[0], np.cumsum(kept)])[tracks.starts]
    return Tracks(starts.astype(np.int64), tracks.ids[kept], tracks.xy[kept])


def key_frames(tracks: Tracks, *, long_side: int) -> list[int]:
    """Choose the frames for the mapper: wherever tracks have moved noticeably, and the first and last.

    Their number is bounded, to limit the mapper's time; in a long or fast shot they are further apart.
    """
    step = _STEP * long_side
    count = len(tracks)
    while True:
        sparsest = max(_SPARSEST if count >= _FEWEST_KEYS * _SPARSEST else count // _FEWEST_KEYS, 1)
        chosen = [0]
        for frame in range(1, count):
            before, after = tracks.moved(chosen[-1], frame)
            few = len(before) < 0.5 * len(tracks.at(chosen[-1])[0])
            far = few or (len(before) > 0 and float(np.median(np.linalg.norm(after - before, axis=1))) > step)
            if far or frame - chosen[-1] >= sparsest:
                chosen.append(frame)
        if chosen[-1] != count - 1:
            chosen.append(count - 1)
        if len(chosen) <= _MOST_KEYS:
            return chosen
        if step > long_side:
            return [int(f) for f in np.unique(np.linspace(0, count - 1, _MOST_KEYS).round())]
        step *= 1.5


def follow(
    image: Callable[[int], NDArray[np.uint8]],
    count: int,
    *,
    aside: Callable[[int], NDArray[np.bool_]] | None = None,
    step: Callable[[int], None] = lambda done: None,
) -> Tracks:
    """Track corners through a shot with pyramidal Lucas-Kanade (Bouguet 2001), guided by features where it loses many.

    Parameters
    ----------
    image : callable
        Frame index to an RGB image [H, W, 3].
    count : int
        Number of frames.
    aside : callable or None
        Frame index to a mask [H, W], True on what has tracks of its own besides: see `without`.
    step : callable
        Called with the number of frames done after each frame; may raise to end the work.
    """
    ids: list[NDArray[np.int32]] = []
    points: list[NDArray[np.float32]] = []
    live_ids, live = np.empty(0, np.int32), np.empty((0, 2), np.float32)
    before: NDArray[np.uint8] | None = None
    fresh = 0
    for index in range(count):
        gray = cv2.cvtColor(image(index), cv2.COLOR_RGB2GRAY)
        free = ~aside(index) if aside is not None else np.ones(gray.shape, bool)
        whole = np.ones(gray.shape, bool)
        if before is not None:
            kept, moved = _advance(before, gray, live)
            kept &= _inside(moved, whole)
            live_ids, live = live_ids[kept], moved[kept]
        born = _corners(gray, live, free, POINTS)
        if not free.all():
            born = np.concatenate([born, _corners(gray, live, ~free, _POINTS_ASIDE)])
        live = np.concatenate([live, born])
        live_ids = np.concatenate([live_ids, np.arange(fresh, fresh + len(born), dtype=np.int32)])
        fresh += len(born)
        ids.append(live_ids)
        points.append(live)
        before = gray
        step(index + 1)
    starts = np.concatenate([[0], np.cumsum([len(i) for i in ids])]).astype(np.int64)
    return Tracks(starts, np.concatenate(ids), np.concatenate(points))


def _advance(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Follow points by one frame, forward and backward; which of them were followed, and their new positions."""
    if not len(points):
        return np.zeros(0, bool), points
    if _light_changes(before, after):
        before, after = light.normalized_brightness(before), light.normalized_brightness(after)
    kept, there = _flow(before, after, points)
    if kept.mean() < _LEAPS:
        lost = np.flatnonzero(~kept)
        guess = _leap(before, after, points[lost])
        if guess is not None:
            kept[lost], there[lost] = _flow(before, after, points[lost], guess)
    return kept, there


def _flow(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    points: NDArray[np.float32],
    guess: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """`_advance` by Lucas-Kanade, starting from guessed positions or else from the old ones."""
    start: Any = points if guess is None else guess  # Any: OpenCV's stubs require all arguments
    flags = cv2.OPTFLOW_USE_INITIAL_FLOW
    options: dict[str, Any] = {"winSize": _WINDOW, "maxLevel": _LEVELS if guess is None else _LEVELS_GUESSED}
    there, ok, _ = cv2.calcOpticalFlowPyrLK(before, after, points, start.copy(), flags=flags, **options)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, there - (start - points), flags=flags, **options)
    missed = np.linalg.norm(back - points, axis=1)
    limit = _ROUND_TRIP * max(before.shape) / 640
    return (ok.ravel() == 1) & (ok_back.ravel() == 1) & (missed < limit), there


def _leap(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Positions of points after a motion too large for flow; None for a small motion, or too few matches.

    Features (AKAZE; Alcantarilla et al., BMVC 2013) are matched over the whole image. Matches that agree on one
    fundamental matrix predict the motion around each point.
    """
    detector = cv2.AKAZE_create(threshold=_FEATURE, max_points=POINTS)
    (here, described), (there, described_there) = (detector.detectAndCompute(p, None) for p in (before, after))
    if min(len(here), len(there)) < _LEAST_MATCHES:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(described, described_there, k=2)
    good = [best for best, second in pairs if best.distance < _DISTINCT * second.distance]
    if len(good) < _LEAST_MATCHES:
        return None
    first = np.array([here[match.queryIdx].pt for match in good], np.float32)
    second = np.array([there[match.trainIdx].pt for match in good], np.float32)
    limit = _MATCHED * max(before.shape) / 640
    _, agree = cv2.findFundamentalMat(first, second, cv2.FM_RANSAC, limit, 0.999)
    if agree is None or np.count_nonzero(agree) < _LEAST_MATCHES:
        return None
    agree = agree.ravel() == 1
    first, moved = first[agree], (second - first)[agree]
    if np.median(np.linalg.norm(moved, axis=1)) < _LARGE_STEP * max(before.shape):
        return None  # flow lost them for another reason: grain, blur, occlusion
    nearest = cKDTree(first).query(points, k=_AROUND_POINT)[1]
    return points + np.median(moved[nearest], axis=1).astype(np.float32)


def _light_changes(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    """Whether brightness changes, which Lucas-Kanade assumes to be constant.

    A fade or an automatic exposure would end tracks or, worse, shift them by the same error forward and backward.
    """
    change = cv2.subtract(after, before, dtype=cv2.CV_16S)
    return bool(abs(np.median(change)) > _LIT[0] or abs(float(change.mean())) > _LIT[1])


def _inside(points: NDArray[np.float32], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    height, width = free.shape
    x, y = np.rint(points).astype(np.int64).T
    inside = (x >= 1) & (x < width - 1) & (y >= 1) & (y < height - 1)
    inside[inside] = free[y[inside], x[inside]]
    return inside


def _corners(
    gray: NDArray[np.uint8], taken: NDArray[np.float32], free: NDArray[np.bool_], most: int
) -> NDArray[np.float32]:
    """New corners in a part of the image, away from the points that are already tracked, up to `most` in that part."""
    wanted = most - int(np.count_nonzero(_inside(taken, free)))
    distance = max(_CORNER_DISTANCE * max(gray.shape) / 640, 3.0)
    if wanted <= 0:
        return np.empty((0, 2), np.float32)
    mask = free.astype(np.uint8) * 255
    for x, y in np.rint(taken).astype(int):
        cv2.circle(mask, (int(x), int(y)), round(distance), 0, -1)
    found = cv2.goodFeaturesToTrack(gray, wanted, _CORNER_QUALITY, distance, mask=mask)
    if found is None:
        return np.empty((0, 2), np.float32)
    corners = found.reshape(-1, 2)
    return corners[_inside(corners, free)]
