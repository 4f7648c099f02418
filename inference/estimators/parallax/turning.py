"""A camera that only rotates and zooms, fitted to a shot's tracks: the baseline that a camera solve has to beat.

Such a camera moves every point by the infinite homography ``K_j R_ij K_i^-1``, whatever its distance (Hartley and
Zisserman, "Multiple View Geometry", 2004, section 8.4), so a shot that it explains has no parallax. A zoom must be
measured over the whole shot: a solve with one focal length mistakes it for a camera moving towards a flat image.

All frames are adjusted together: a rotation and a focal length for each, a direction for each track (bundle adjustment
without positions; Szeliski and Shum, "Creating Full View Panoramic Image Mosaics", SIGGRAPH 1997), by robust
Levenberg-Marquardt with the directions eliminated (section A6.3 of the former).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .tracks import Tracks

_SHORTEST = 3  # fewest observations of a track
_MOST = 200  # tracks used per frame: the longest ones in each of
_CELLS = 8  # cells along the image's longer side, so that not all are far away
_OUTLIER = 1.0  # pixels at 640: the scale of Cauchy's weights
_STARTS = (0.9, 2.0)  # initial focal lengths, in image widths
_PRIOR = 0.5  # deviation of log f from the start; it matters only without rotation, where f is undetermined
_ROUNDS, _LINK_ROUNDS = 10, 8
_SETTLED = 1e-3  # smallest relative gain of a round
_ZOOMS = 1.03
_TURNS = 0.5  # degrees


@dataclass(frozen=True)
class Turning:
    """A fitted camera, and its reprojection errors.

    Attributes
    ----------
    zoom : float
        The greatest focal length over the smallest.
    turn : float
        Degrees between the first view and the one farthest from it.
    ids, frames : int64 [M]
        For each observation used: its track, renumbered, and its frame.
    xy : float64 [M, 2]
        Its position in pixels.
    missed : float64 [M]
        Its reprojection error in pixels at 640.
    """

    zoom: float
    turn: float
    ids: NDArray[np.int64]
    frames: NDArray[np.int64]
    xy: NDArray[np.float64]
    missed: NDArray[np.float64]

    @property
    def zooms(self) -> bool:
        """Whether the lens zooms."""
        return self.zoom > _ZOOMS

    def words(self) -> str:
        """What a lens that zooms and its camera do, as a part of a sentence."""
        what = "only turns" if self.turn > _TURNS else "stands still"
        return f"the lens zooms by a factor of {self.zoom:.2f} and the camera {what}"


@dataclass(frozen=True)
class _Seen:
    """Observations: track [M], index of the frame among the fitted ones [M], offset from the image center [M, 2]."""

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    xy: NDArray[np.float64]


@dataclass(frozen=True)
class _State:
    """The adjusted variables: rotations [N, 3, 3], logarithms of focal lengths [N], directions [P, 3]."""

    rotation: NDArray[np.float64]
    log_focal: NDArray[np.float64]
    points: NDArray[np.float64]


def fit(tracks: Tracks, frames: list[int], *, width: int, height: int) -> Turning | None:
    """Fit a rotating and zooming camera to some of a shot's frames; None where too few tracks link them.

    Parameters
    ----------
    tracks : Tracks
        Undistorted.
    frames : list of int
        Ascending; tracks must last from one to the next.
    width, height : int
    """
    chosen = _chosen(tracks, frames)
    if chosen is None:
        return None
    ids, frame, xy = chosen
    unit = max(width, height) / 640
    seen = _Seen(ids, frame, (xy - [(width - 1) / 2, (height - 1) / 2]) / unit)
    state, _ = min((_adjusted(seen, 640 * start, len(frames)) for start in _STARTS), key=lambda fitted: fitted[1])
    cosine = (np.trace(state.rotation @ state.rotation[0].T, axis1=1, axis2=2) - 1) / 2
    return Turning(
        zoom=float(np.exp(np.ptp(state.log_focal))),
        turn=float(np.degrees(np.arccos(np.clip(cosine, -1, 1)).max())),
        ids=ids,
        frames=np.array(frames)[frame],
        xy=xy,
        missed=np.linalg.norm(_error(state, seen), axis=1),
    )


def _chosen(
    tracks: Tracks, frames: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None:
    """Track, frame and position of the observations used."""
    parts = [tracks.at(frame) for frame in frames]
    ids = np.concatenate([ids for ids, _ in parts]).astype(np.int64)
    frame = np.repeat(np.arange(len(frames)), [len(ids) for ids, _ in parts])
    xy = np.concatenate([xy for _, xy in parts]).astype(np.float64)
    if not len(ids):
        return None
    length = np.bincount(ids)
    kept = np.zeros(len(length), bool)
    cell = (xy // (np.ptp(xy, axis=0).max() / _CELLS + 1e-9)).astype(np.int64) @ [1, 2 * _CELLS]
    for index in range(len(frames)):
        here = np.flatnonzero(frame == index)
        here = here[np.lexsort((-length[ids[here]], cell[here]))]
        place = np.arange(len(here)) - np.searchsorted(
            cell[here], cell[here]
        )  # rank within its cell, the longest first
        longest = ids[here[np.argsort(place, kind="stable")[:_MOST]]]
        kept[longest] |= length[longest] >= _SHORTEST
    part = kept[ids]
    if len(np.unique(frame[part])) < len(frames):
        return None
    return np.unique(ids[part], return_inverse=True)[1], frame[part], xy[part]


def _adjusted(seen: _Seen, start: float, count: int) -> tuple[_State, float]:
    """The state adjusted from an initial focal length, and its misfit."""
    state = _chained(seen, start, count)
    error, damping = _error(state, seen), 1e-3
    misfit = _misfit(error, state, start)
    for _ in range(_ROUNDS):
        changed = _step(state, seen, error, start=start, damping=damping)
        error_then = _error(changed, seen)
        then = _misfit(error_then, changed, start)
        if then >= misfit:
            damping *= 10
            continue
        gained, damping = misfit - then, damping / 5
        state, error, misfit = changed, error_then, then
        if gained < _SETTLED * misfit:
            break
    return state, misfit


def _misfit(error: NDArray[np.float64], state: _State, start: float) -> float:
    """Cauchy loss of all observations, plus the prior."""
    prior = np.mean((state.log_focal - np.log(start)) ** 2) / _PRIOR**2
    return float(np.sum(np.log1p(np.sum(error**2, axis=1) / _OUTLIER**2)) + prior)


def _error(state: _State, seen: _Seen) -> NDArray[np.float64]:
    """Reprojection errors [M, 2]; large behind the camera."""
    local = np.einsum("nij,nj->ni", state.rotation[seen.frame], state.points[seen.track])
    ahead = np.maximum(local[:, 2:], 1e-3)
    return np.asarray(np.exp(state.log_focal)[seen.frame, None] * local[:, :2] / ahead - seen.xy)


def _step(state: _State, seen: _Seen, error: NDArray[np.float64], *, start: float, damping: float) -> _State:
    """One step of Levenberg-Marquardt."""
    count, many, total = len(state.rotation), len(state.points), len(seen.track)
    rotation = state.rotation[seen.frame]
    local = np.einsum("nij,nj->ni", rotation, state.points[seen.track])
    of_camera, of_local = _derivatives(local, np.exp(state.log_focal)[seen.frame])
    # a direction moves in its tangent plane
    aside = np.cross(state.points, np.eye(3)[np.argmin(np.abs(state.points), axis=1)])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    plane = np.stack([aside, np.cross(state.points, aside)], axis=2)
    of_point = of_local @ rotation @ plane[seen.track]
    weight = 1 / np.sqrt(_OUTLIER**2 + np.sum(error**2, axis=1))
    of_camera, of_point = of_camera * weight[:, None, None], of_point * weight[:, None, None]
    residual = (error * weight[:, None]).ravel()
    left = _sparse(of_camera, seen.frame, (2 * total, 4 * count))
    right = _sparse(of_point, seen.track, (2 * total, 2 * many))
    prior = np.tile([0, 0, 0, 1 / (_PRIOR**2 * count)], count)
    cameras = left.T @ left + sparse.diags(prior)
    cameras += sparse.diags(damping * cameras.diagonal() + 1e-9)
    pull = left.T @ residual + prior * np.repeat(state.log_focal - np.log(start), 4)
    blocks = np.empty((many, 2, 2))
    for a, b in np.ndindex(2, 2):
        blocks[:, a, b] = np.bincount(seen.track, np.sum(of_point[:, :, a] * of_point[:, :, b], axis=1), many)
    blocks += np.eye(2) * (damping * blocks + 1e-9)
    inverse = sparse.bsr_matrix((np.linalg.inv(blocks), np.arange(many), np.arange(many + 1)))
    push = right.T @ residual
    between = left.T @ right
    across = between @ inverse
    reduced = (cameras - across @ between.T).toarray()
    wanted = across @ push - pull
    reduced[:3], reduced[:, :3], wanted[:3] = 0, 0, 0  # the first frame's rotation stays
    reduced[:3, :3] = np.eye(3)
    change = np.linalg.solve(reduced, wanted)
    moved = -(inverse @ (push + between.T @ change))
    points = state.points + np.einsum("nij,nj->ni", plane, moved.reshape(many, 2))
    change = change.reshape(count, 4)
    return _State(
        np.array([cv2.Rodrigues(turn)[0] @ before for turn, before in zip(change[:, :3], state.rotation, strict=True)]),
        state.log_focal + change[:, 3],
        points / np.linalg.norm(points, axis=1, keepdims=True),
    )


def _sparse(parts: NDArray[np.float64], block: NDArray[np.int64], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Derivatives [M, 2, k] as one matrix; `block` [M] has the index of each one's k columns."""
    total, _, width = parts.shape
    column = np.repeat(width * block[:, None] + np.arange(width), 2, axis=0).reshape(total, 2, width)
    return sparse.csr_matrix((parts.ravel(), column.ravel(), np.arange(0, parts.size + 1, width)), shape)


def _derivatives(
    local: NDArray[np.float64], focal: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the projections of points [M, 3]: by the camera's rotation and log f [M, 2, 4], and by the point [M, 2, 3]."""
    x, y, z = local[:, 0], local[:, 1], np.maximum(local[:, 2], 1e-3)
    of_local = np.zeros((len(local), 2, 3))
    of_local[:, 0, 0] = of_local[:, 1, 1] = focal / z
    of_local[:, 0, 2], of_local[:, 1, 2] = -focal * x / z**2, -focal * y / z**2
    turn = np.zeros((len(local), 3, 3))  # of exp(w) X at w = 0: minus the cross product's matrix
    turn[:, 0, 1], turn[:, 0, 2], turn[:, 1, 2] = local[:, 2], -y, x
    turn -= turn.transpose(0, 2, 1)
    of_camera = np.empty((len(local), 2, 4))
    of_camera[:, :, :3] = of_local @ turn
    of_camera[:, 0, 3], of_camera[:, 1, 3] = focal * x / z, focal * y / z
    return of_camera, of_local


def _chained(seen: _Seen, start: float, count: int) -> _State:
    """The initial state: each frame aligned to the one before it, and each track's mean direction."""
    rotation, log_focal = np.tile(np.eye(3), (count, 1, 1)), np.full(count, np.log(start))
    parts = np.split(np.arange(len(seen.track)), np.searchsorted(seen.frame, np.arange(1, count)))
    for index in range(1, count):
        past, here = parts[index - 1], parts[index]
        _, a, b = np.intersect1d(seen.track[past], seen.track[here], return_indices=True)
        turn, log_focal[index] = _link(seen.xy[past[a]], seen.xy[here[b]], log_focal[index - 1])
        rotation[index] = turn @ rotation[index - 1]
    rays = np.column_stack([seen.xy / np.exp(log_focal)[seen.frame, None], np.ones(len(seen.xy))])
    rays = np.einsum("nji,nj->ni", rotation[seen.frame], rays / np.linalg.norm(rays, axis=1, keepdims=True))
    points = np.column_stack([np.bincount(seen.track, rays[:, axis]) for axis in range(3)])
    return _State(rotation, log_focal, points / np.linalg.norm(points, axis=1, keepdims=True))


def _link(
    before: NDArray[np.float64], after: NDArray[np.float64], log_focal: float
) -> tuple[NDArray[np.float64], float]:
    """The rotation between two frames and the logarithm of the second's focal length."""
    rays = np.column_stack([before / np.exp(log_focal), np.ones(len(before))])
    turn, log_now = np.eye(3), log_focal
    for _ in range(_LINK_ROUNDS if len(rays) >= 4 else 0):
        local = rays @ turn.T
        error = np.exp(log_now) * local[:, :2] / np.maximum(local[:, 2:], 1e-3) - after
        scale = max(float(np.median(np.linalg.norm(error, axis=1))), _OUTLIER)
        weight = 1 / (scale**2 + np.sum(error**2, axis=1))
        by, _ = _derivatives(local, np.full(len(local), np.exp(log_now)))
        matrix = np.einsum("n,nki,nkj->ij", weight, by, by) + 1e-9 * np.eye(4)
        change = np.linalg.solve(matrix, -np.einsum("n,nki,nk->i", weight, by, error))
        turn, log_now = cv2.Rodrigues(change[:3])[0] @ turn, log_now + float(change[3])
    return turn, log_now
