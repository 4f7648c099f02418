"""Align the point maps of pairs: one depth, pose and focal length for every frame, without optimization.

Closed form, as in StereoDiff (section 3.2) after DUSt3R and MonST3R: the pairs' maximum spanning tree is walked from
its strongest pair on, and each further pair is registered to an aligned one by the frame that both share. Camera poses
are by-products: the points of a pair are in the axes of its first frame's camera, so the pair's similarity is that
camera's pose (Procrustes; no projection, no random sampling).

Each frame is aligned by one view of one pair. Views are read as they are needed, a few for every frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....common.failures import UnsupportedShot
from ....common.files import load_arrays, save_arrays
from ....contract.camera import Camera, Pose
from .pairs import Pair, PointMap, known, placements, spanning_tree, strongest_starts
from .registration import NoPoints, Similarity, focal_length, register

Read = Callable[[Pair, int], PointMap]
"""Returns the view of a frame in a pair; called only for views that `pairs.may_join` or `pairs.may_pose` allow."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """The alignment of a shot's frames.

    Attributes
    ----------
    pairs : [T, 2] ints
        For each frame the pair whose view its depth is read from.
    scales, rotations, translations : [T], [T, 3, 3], [T, 3]
        The similarity from that pair's own axes and unit to the frame's camera, in the shot's unit of length,
        which is that of its strongest pair.
    poses : [T, 4, 4]
        Camera to world, OpenCV axes, in that unit; the world is the first frame's camera.
    focal_lengths : [T]
        In pixels of the views, estimated from each frame alone; NaN where none follows. The principal point is the
        middle of the image.
    """

    pairs: NDArray[np.int64]
    scales: NDArray[np.float64]
    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    poses: NDArray[np.float64]
    focal_lengths: NDArray[np.float64]

    @property
    def focal_length(self) -> float:
        """The whole shot's focal length in pixels: the mean over its frames."""
        return float(np.nanmean(self.focal_lengths))

    def camera(self, numbers: range, *, width: int, height: int) -> Camera:
        """The contract's camera, for views of this size; `numbers` are the frames' source numbers."""
        poses = []
        for number, pose in zip(numbers, self.poses, strict=True):
            rows = tuple(tuple(float(value) for value in row) for row in pose)
            poses.append(Pose(frame=number, camera_to_world=rows))  # type: ignore[arg-type]
        return Camera(
            width=width,
            height=height,
            focal_length=self.focal_length,
            principal_point=((width - 1) / 2, (height - 1) / 2),
            poses=tuple(poses),
        )

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file in one step."""
        save_arrays(path, **{field.name: getattr(self, field.name) for field in fields(self)})


def load(path: Path) -> Alignment:
    """Read what `Alignment.save` wrote, to the same bits."""
    return Alignment(**load_arrays(path, *(field.name for field in fields(Alignment))))


def align(
    count: int,
    scores: Mapping[Pair, float],
    read: Read,
    *,
    robust: bool = True,
    device: torch.device | str = "cpu",
    numbers: Sequence[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Alignment:
    """Align all frames of a shot in one space.

    Parameters
    ----------
    scores : mapping of Pair to float
        Of all pairs, see `pairs.scores`; their order does not matter.
    robust : bool
        False: the paper's registration, weighted by the source's confidence. True: see `registration.register`;
        confidences are never below 1, so they alone do not remove outliers.
    device : torch.device or str
        Device to compute on. Apple's GPUs, without float64, leave it to the CPU.
    numbers : sequence of int or None
        The frames' source numbers, for messages; None: counted from 0.
    progress : callable
        Called with the number of finished registrations and focal lengths, and of all; may raise to cancel.

    Raises
    ------
    UnsupportedShot
        The network found no finite points in a frame, or no focal length follows from any frame.
    ValueError
        The pairs do not join all frames.
    """
    pairs = spanning_tree(count, scores)
    numbers = range(count) if numbers is None else numbers
    walk = Walk(_on(read, torch.device(device)), robust, numbers)
    starts = strongest_starts(scores, scores) | strongest_starts(scores, pairs)
    placed = max(count - 2, 0)  # all frames but the strongest pair's two, which need no registration
    for done, _ in enumerate(walk.place(pairs, scores), start=1):
        progress(done, placed + count)
    posing, focals = [], []
    for frame in range(count):
        pair = walk.used[frame] if walk.used[frame][0] == frame else starts[frame]
        walk.place_pair(pair, frame)
        posing.append(pair)
        focals.append(walk.focal_length(pair))
        progress(placed + frame + 1, placed + count)
    if np.isnan(focals).all():
        raise UnsupportedShot(
            f"No focal length follows from the points of frames {numbers[0]} to {numbers[-1]}.",
            "Choose another estimator for this shot.",
        )
    poses = [walk.to_world[pair].rigid() for pair in posing]
    cameras = [pose.inverse().after(walk.to_world[walk.used[frame]]) for frame, pose in enumerate(poses)]
    origin = poses[0].inverse()
    return Alignment(
        pairs=np.array([walk.used[frame] for frame in range(count)], np.int64),
        scales=np.array([camera.scale for camera in cameras]),
        rotations=np.stack([camera.rotation.numpy() for camera in cameras]),
        translations=np.stack([camera.translation.numpy() for camera in cameras]),
        poses=np.stack([_matrix(origin.after(pose)) for pose in poses]),
        focal_lengths=np.array(focals),
    )


@dataclass(frozen=True)
class DepthMap:
    """A frame's depth in the shot's unit of length.

    Attributes
    ----------
    depth : Tensor [H, W]
        z in the frame's camera; NaN where it is not valid.
    valid : Tensor [H, W], bool
        False where the point is not finite or not in front of the camera.
    confidence : Tensor [H, W]
        0 to 1: 1 - 1 / C, C the network's confidence in the points that the depth is read from; 0 where the depth
        is not valid.
    """

    depth: Tensor
    valid: Tensor
    confidence: Tensor


def depth_map(alignment: Alignment, read: Read, frame: int) -> DepthMap:
    """The depth of one frame; `frame` counts from the shot's first. In the precision of the views."""
    first, second = (int(number) for number in alignment.pairs[frame])
    view = read((first, second), frame)
    # only z of the similarity: maps are read often
    along = (alignment.scales[frame] * alignment.rotations[frame][2]).tolist()
    x, y, z = (axis.double() * share for axis, share in zip(view.points.unbind(-1), along))
    depth = (x + y + z + float(alignment.translations[frame][2])).to(view.points.dtype)
    valid = torch.isfinite(depth) & (depth > 0)
    confidence = torch.where(valid & (view.confidence >= 1), 1 - 1 / view.confidence, 0)
    return DepthMap(torch.where(valid, depth, torch.nan), valid, confidence)


def _on(read: Read, device: torch.device) -> Read:
    where = torch.device("cpu") if device.type == "mps" else device

    def moved(pair: Pair, frame: int) -> PointMap:
        view = read(pair, frame)
        return PointMap(view.points.to(where), view.confidence.to(where))

    return moved


def _matrix(pose: Similarity) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = pose.rotation.numpy(), pose.translation.numpy()
    return matrix


class Walk:
    """A walk through a shot's pairs.

    Attributes
    ----------
    to_world : SimilarityTable
        For each aligned pair the similarity from its own axes and unit to the strongest pair's.
    used : dict
        For each aligned frame the pair that aligned it.
    """

    def __init__(self, read: Read, robust: bool, numbers: Sequence[int]) -> None:
        self._read, self._robust, self._numbers = read, robust, numbers
        self.to_world = SimilarityTable(2 * len(numbers))
        self.used: dict[int, Pair] = {}

    def place(self, pairs: list[Pair], scores: Mapping[Pair, float]) -> Iterator[int]:
        """Align all frames of a tree; yields each once it is aligned, except the strongest pair's two."""
        root = pairs[0]
        self.to_world[root] = Similarity.identity()
        self.used = dict.fromkeys(root, root)
        for step in placements(pairs, scores):
            self.place_pair(step.pair, step.anchor)
            self.used[step.frame] = step.pair
            yield step.frame

    def place_pair(self, pair: Pair, frame: int) -> None:
        """Align a pair, unless it is, by one of its frames that is aligned."""
        if pair in self.to_world:
            return
        used = self.used[frame]
        source, target = self._read(pair, frame), self._read(used, frame)
        try:
            # registering to the view that aligned the frame, then applying that view's similarity, equals
            # registering to the aligned points
            found = register(source.points, target.points, source.confidence, target.confidence, robust=self._robust)
        except NoPoints:
            raise self._without_points(frame) from None
        self.to_world[pair] = self.to_world[used].after(found)

    def focal_length(self, pair: Pair) -> float:
        """Of the first frame of a pair; NaN where none follows."""
        view = self._read(pair, pair[0])
        if not (known(view.points, view.confidence) > 0).any():
            raise self._without_points(pair[0])
        return focal_length(view.points) or np.nan

    def _without_points(self, frame: int) -> UnsupportedShot:
        return UnsupportedShot(
            f"The network found no usable points in frame {self._numbers[frame]}.",
            "Leave this frame out, or choose another estimator for this shot.",
        )


class SimilarityTable:
    """At most so many similarities by pair, all in one block of memory.

    Small arrays that live on between the large temporary ones of each pair would fragment the heap: memory would grow
    by about one large array for each pair.
    """

    def __init__(self, most: int) -> None:
        self._rows: dict[Pair, int] = {}
        self._table = torch.empty(most, 13, dtype=torch.float64)

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._rows

    def __getitem__(self, pair: Pair) -> Similarity:
        row = self._table[self._rows[pair]]
        return Similarity(float(row[0]), row[1:10].reshape(3, 3), row[10:])

    def __setitem__(self, pair: Pair, similarity: Similarity) -> None:
        row = self._table[self._rows.setdefault(pair, len(self._rows))]
        row[0] = similarity.scale
        row[1:10], row[10:] = similarity.rotation.reshape(9), similarity.translation
