"""Tracks of features between key frames where flow is torn: tracks end at blur, at what passes before the lens, or at a
step that is too large to follow, while the scene on the other side is the same.

SIFT (Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004), compared as in Arandjelovic and
Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012. Wrong matches are left to the
verification of two views that all tracks pass (`solve`).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .tracks import Tracks

_GAPS = (1, 2, 3, 4, 6, 8)  # distances of key frames that are compared
_TORN = 0.2  # share of the tracks that both see, below which flow is torn between two key frames
_MOST = 1500  # features of an image
_DISTINCT = 0.8  # ratio of the distances to the best and the second best match (Lowe, section 7.1)


def with_features(
    tracks: Tracks,
    keys: list[int],
    image: Callable[[int], NDArray[np.uint8]],
    *,
    aside: Callable[[int], NDArray[np.bool_]] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Tracks:
    """The tracks, and those of features between key frames that few tracks link; the tracks themselves if none are.

    Parameters
    ----------
    tracks : Tracks
    keys : list of int
        Key frames, ascending.
    image : callable
        Frame index to an RGB image [H, W, 3].
    aside : callable or None
        Frame index to a mask [H, W], True where features do not count.
    check : callable
        Called for each image and pair; may raise to end the work.
    """
    pairs = _torn_pairs(tracks, keys)
    if not pairs:
        return tracks
    frames = sorted({frame for pair in pairs for frame in pair})
    places, descriptors = [], []
    for frame in frames:
        check()
        where, what = _described(image(frame), None if aside is None else ~aside(frame))
        places.append(where)
        descriptors.append(what)
    starts = np.cumsum([0, *map(len, places)])
    index = {frame: at for at, frame in enumerate(frames)}
    links = []
    for one, other in pairs:
        check()
        a, b = index[one], index[other]
        links.append(_matched(descriptors[a], descriptors[b]) + np.array([starts[a], starts[b]]))
    return _joined(tracks, np.repeat(frames, np.diff(starts)), np.concatenate(places), np.concatenate(links))


def _torn_pairs(tracks: Tracks, keys: list[int]) -> list[tuple[int, int]]:
    """Pairs of key frames that few tracks link."""
    pairs = []
    for at, one in enumerate(keys):
        for other in (keys[at + gap] for gap in _GAPS if at + gap < len(keys)):
            seen = min(len(tracks.at(one)[0]), len(tracks.at(other)[0]))
            if len(tracks.shared(one, other)[0]) < _TORN * seen:
                pairs.append((one, other))
    return pairs


def _described(
    image: NDArray[np.uint8], free: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Positions [K, 2], pixels, and descriptors [K, 128] of unit length of an image's features."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mask = None if free is None else free.astype(np.uint8) * np.uint8(255)
    found, descriptors = cv2.SIFT_create(_MOST).detectAndCompute(gray, mask)
    if descriptors is None:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    places = np.array([point.pt for point in found], np.float32)
    _, first = np.unique(places, axis=0, return_index=True)  # one for each of its directions
    share = descriptors[first] / np.maximum(descriptors[first].sum(axis=1, keepdims=True), 1e-6)
    return places[first], np.sqrt(share)


def _matched(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.int64]:
    """Indices [M, 2] of descriptors [K, 128] that are each other's best match, by far."""
    if min(len(one), len(other)) < 2:
        return np.empty((0, 2), np.int64)
    likeness = one @ other.T
    rows, best = np.arange(len(one)), likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[best] == rows
    nearest = 1 - likeness[rows, best]  # half the squared distance of unit vectors
    likeness[rows, best] = -1
    kept = mutual & (nearest < _DISTINCT**2 * (1 - likeness.max(axis=1)))
    return np.stack([rows[kept], best[kept]], axis=1)


def _joined(tracks: Tracks, frames: NDArray[np.int64], places: NDArray[np.float32], links: NDArray[np.int64]) -> Tracks:
    """The tracks, and those that links [M, 2] between features [K] make; one that meets a frame twice is dropped."""
    count = len(frames)
    graph = sparse.coo_matrix((np.ones(len(links), bool), tuple(links.T)), shape=(count, count))
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    size = np.bincount(label)
    _, meets = np.unique(np.stack([label, frames], axis=1), axis=0, return_counts=True)
    single = np.ones(len(size), bool)
    twice = np.unique(np.stack([label, frames], axis=1), axis=0)[meets > 1, 0]
    single[twice] = False
    kept = np.flatnonzero((size > 1)[label] & single[label])
    fresh = np.unique(label[kept], return_inverse=True)[1] + int(tracks.ids.max(initial=-1)) + 1
    when = np.concatenate([np.repeat(np.arange(len(tracks)), np.diff(tracks.starts)), frames[kept]])
    ids = np.concatenate([tracks.ids, fresh.astype(np.int32)])
    order = np.lexsort((ids, when))
    starts = np.concatenate([[0], np.cumsum(np.bincount(when, minlength=len(tracks)))]).astype(np.int64)
    return Tracks(starts, ids[order], np.concatenate([tracks.xy, places[kept]])[order])
