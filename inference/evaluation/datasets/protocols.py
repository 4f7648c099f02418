"""The published evaluation protocols as data: which frames and pixels of a data set are measured, and how.

``depthcrafter`` is that of DepthCrafter's evaluation (Hu et al. 2024, section 4.2, with the depth caps, crops and
frames of its published benchmark), ``stereodiff`` that of StereoDiff (Li et al. 2025, sections 4.1.2 and 4.1.3),
``plain`` Fathom's own, for any footage. In all of them disparity is aligned with inverse depth (see `alignment`) and
errors are measured in depth.

What the papers leave open, and the choice made here:

* StereoDiff names neither caps nor crops: DepthCrafter's caps are used, and no crop. It names neither its 6 clips of
  Bonn nor its 12 of KITTI: all clips in the folder are used. Its equation 9 divides by the prediction, and its RMSE
  takes the root before the mean; both are treated as typing errors, and the usual definitions are used, since its
  figures agree with DepthCrafter's.
* DepthCrafter's benchmark clips predictions at 0.001 before alignment, in the unit of its own output; this step is
  omitted, since it would make the figures depend on an estimator's unit.
* ScanNet's color images are larger than its depth: they are resized to the depth's size before the crop.

The module also prepares a clip as input for estimators (the protocol's frames, cropped, as a numbered image sequence)
and resizes estimates to the ground truth's size (`fitted`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import unwritable
from ...common.files import make_folder
from ...contract import own_files, records
from ...contract.untrusted import read_text
from .ground_truth import GroundTruth, GroundTruthError

LAYOUTS = ("folder", "sintel", "scannet", "kitti", "bonn", "nyu", "dynamic-replica", "matrix-city")
_NOTE, _FRAMES = "clip.json", "rgb"
_NAMES = own_files.Names((_NOTE, f"{_FRAMES}/#####.png"))
_ASPECT = 0.1
"""How far the aspect ratios of estimate and ground truth may differ: working sizes are multiples of up to 64 pixels."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Rows and columns to crop at each edge; `even`: one more at the end where a side is odd."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    even: bool = False

    def part(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of an image that remain; a `GroundTruthError` if none do."""
        bottom, right = height - self.bottom, width - self.right
        if self.even:
            bottom -= (bottom - self.top) % 2
            right -= (right - self.left) % 2
        if bottom <= self.top or right <= self.left:
            raise GroundTruthError(
                f"Nothing is left of an image of {width} x {height} pixels after the protocol's crop; "
                "use the set at the size in which it is published, or the protocol plain."
            )
        return slice(self.top, bottom), slice(self.left, right)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is measured in a data set's clips.

    Attributes
    ----------
    name : str
    nearest, farthest : float
        Meters; ground truth outside is not measured, estimates are clipped to it.
    crop : Crop or None
        Of the ground truth, and of the estimators' input images.
    first, count, every : int
        Frames of the ground truth: every `every`-th from `first`, at most `count` (0: all).
    resize : 'linear' or 'nearest'
        Interpolation when estimates are resized to the ground truth's size.
    average : 'frames' or 'pixels'
        Whether frames or pixels have equal weight.
    align : 'clip' or 'shot'
        What shares one scale and shift: a whole clip, or each shot that the estimator found.
    clips : tuple of str
        Names of the set's clips that are measured; empty: all.
    most_clips : int
        Largest number of clips, in order of name; 0: all.
    """

    name: str = "plain"
    nearest: float = 1e-3
    farthest: float = 80.0
    crop: Crop | None = None
    first: int = 0
    count: int = 0
    every: int = 1
    resize: Literal["linear", "nearest"] = "linear"
    average: Literal["frames", "pixels"] = "pixels"
    align: Literal["clip", "shot"] = "shot"
    clips: tuple[str, ...] = ()
    most_clips: int = 0


PLAIN = Protocol()
_EVEN = Crop(even=True)
_BONN = tuple(f"rgbd_bonn_{name}" for name in ("balloon2", "crowd2", "crowd3", "person_tracking", "synchronous"))
_SCANNET = ("scene0078_00", "scene0192_01", "scene0348_00", "scene0556_01")
_SCANNET_EDGES, _NYU_EDGES = Crop(top=8, bottom=8, left=11, right=11), Crop(top=45, bottom=9, left=41, right=39)
_OF_PAPERS: dict[str, Any] = {"average": "frames", "align": "clip"}
_FARTHEST = {"sintel": 70.0, "scannet": 10.0, "bonn": 10.0, "nyu": 10.0}
"""Meters, by the layout, under any protocol; 80 elsewhere."""
_PROTOCOLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "depthcrafter": _OF_PAPERS,
    "stereodiff": {**_OF_PAPERS, "resize": "nearest"},
}
_BY_LAYOUT: dict[tuple[str, str], dict[str, Any]] = {
    ("depthcrafter", "sintel"): {"count": 50},
    ("depthcrafter", "scannet"): {"count": 90, "every": 3, "crop": _SCANNET_EDGES, "most_clips": 100},
    ("depthcrafter", "kitti"): {"count": 110, "crop": _EVEN},
    ("depthcrafter", "bonn"): {"first": 30, "count": 110, "crop": _EVEN, "clips": _BONN},
    ("depthcrafter", "nyu"): {"crop": _NYU_EDGES},
    ("stereodiff", "scannet"): {"clips": _SCANNET},
}
NAMES = tuple(_PROTOCOLS)


def of(name: str, layout: str) -> Protocol:
    """The protocol of that name for a data set's layout."""
    farthest = _FARTHEST.get(layout, PLAIN.farthest)
    return Protocol(name=name, farthest=farthest, **_PROTOCOLS[name], **_BY_LAYOUT.get((name, layout), {}))


def chosen(clips: Sequence[GroundTruth], protocol: Protocol) -> tuple[list[GroundTruth], list[str]]:
    """The clips of a set that a protocol measures, and the names of its clips that are missing, if not all are.

    A single clip is always measured, whatever its name.
    """
    if len(clips) == 1:
        return list(clips), []
    kept = [clip for clip in clips if not protocol.clips or clip.name in protocol.clips]
    if not kept:
        raise GroundTruthError(
            f"All clips of the protocol {protocol.name} are missing ({', '.join(protocol.clips)}); "
            "download them, or use the protocol plain."
        )
    missing = sorted(set(protocol.clips) - {clip.name for clip in kept})
    return kept[: protocol.most_clips or None], missing


def applied(ground_truth: GroundTruth, protocol: Protocol) -> GroundTruth:
    """The ground truth that a protocol measures: its frames, of which there must be one, cropped."""
    frames = range(protocol.first, len(ground_truth), protocol.every)
    frames = frames[: protocol.count] if protocol.count else frames
    if not frames:
        raise GroundTruthError(
            f"{ground_truth.name} has {len(ground_truth)} frames with ground truth and the protocol {protocol.name} "
            f"begins at frame {protocol.first}; use the whole clip, or the protocol plain."
        )
    kept = ground_truth if frames == range(len(ground_truth)) else ground_truth.selected(frames)
    return kept if protocol.crop is None else _cropped(kept, protocol.crop)


def _cropped(ground_truth: GroundTruth, crop: Crop) -> GroundTruth:
    def part(array: NDArray) -> NDArray:
        return array[crop.part(*array.shape[:2])]

    moving, flow, matrix = ground_truth.read_moving, ground_truth.read_flow, ground_truth.matrix
    if matrix is not None:
        matrix = matrix.copy()
        matrix[:2, 2] -= crop.left, crop.top

    def cropped_flow(index: int) -> NDArray[np.float32] | None:
        found = flow(index) if flow else None
        return None if found is None else part(found)

    def image(index: int) -> NDArray[np.uint8] | None:
        found = ground_truth.image(index)
        if found is None:
            return None
        height, width = ground_truth.depth(index).shape
        return part(to_size(found, width, height))

    return replace(
        ground_truth,
        read_depth=lambda index: part(ground_truth.depth(index)),
        read_moving=None if moving is None else lambda index: part(moving(index)),
        read_flow=None if flow is None else cropped_flow,
        read_image=image,
        matrix=matrix,
    )


def to_size(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """An image, resized; shrinking averages."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] > height
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def of_whole_image(disparity: NDArray[np.floating], whole: tuple[int, ...], protocol: Protocol) -> NDArray:
    """The protocol's crop of a disparity that was estimated from the set's uncropped images.

    `whole` is the height and width of the set's depth before the crop.
    """
    return fitted(disparity, whole, protocol)[protocol.crop.part(*whole) if protocol.crop else ...]


def prepared_clip(
    ground_truth: GroundTruth, protocol: Protocol, folder: Path, *, before_writing: Callable[[], None] = lambda: None
) -> Path:
    """Write the images of a clip that a protocol was `applied` to, unless an earlier run did; returns the folder.

    Images are lossless, ``00000.png`` and so on. `before_writing` is called before any is written: estimates of
    earlier images are invalid then.

    Raises
    ------
    GroundTruthError
        The ground truth has no images, or one cannot be read.
    Failure
        The folder cannot be written.
    """
    note = json.dumps(
        {
            "clip": ground_truth.name,
            "protocol": protocol.name,
            "frames": ground_truth.frame_numbers,
            "images": [[str(path), path.stat().st_mtime_ns] for path in ground_truth.rgb_files if path.is_file()],
        }
    )
    frames = folder / _FRAMES
    try:
        if (folder / _NOTE).read_text(encoding="utf-8") == note and len(list(frames.glob("*.png"))) == len(
            ground_truth
        ):
            return frames
    except OSError:
        pass  # missing, or interrupted before it was complete
    make_folder(folder)
    try:
        own_files.make_folder(frames)
        own_files.clear(folder, _NAMES)
        own_files.make_folder(frames)
    except OSError as error:
        raise unwritable(error, folder) from error
    before_writing()
    try:
        for index in range(len(ground_truth)):
            own_files.create(frames / f"{index:05d}.png")
            (frames / f"{index:05d}.png").write_bytes(_png(ground_truth, index))
        own_files.save_text(folder / _NOTE, note)
    except OSError as error:
        raise unwritable(error, error.filename or folder) from error
    return frames


def protocol_of(images: str | Path) -> str | None:
    """Name of the protocol that `prepared_clip` wrote a folder of images for; None for other folders."""
    folder = Path(images)
    try:
        note = records.parse(read_text(folder.parent / _NOTE), where=_NOTE)
    except (OSError, records.RecordError):
        return None
    known = folder.name == _FRAMES and isinstance(note, dict) and isinstance(note.get("protocol"), str)
    return note["protocol"] if known else None


def _png(ground_truth: GroundTruth, index: int) -> bytes:
    image = ground_truth.image(index)
    if image is None:
        raise GroundTruthError(
            f"{ground_truth.name} has ground truth and no images to estimate depth from; add them as its layout says."
        )
    return cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()


class MetricsError(ValueError):
    """Nothing can be measured; the message is one sentence with a hint."""


class NothingMeasuredError(MetricsError):
    """These frames have no pixel with both ground truth and an estimate, but others may."""


def fitted(disparity: NDArray[np.floating], shape: tuple[int, ...], protocol: Protocol = PLAIN) -> NDArray[np.float64]:
    """Disparity at the ground truth's size, float64 [H, W].

    Raises
    ------
    MetricsError
        The aspect ratio differs so much that the estimate must be of another image.
    """
    values = np.asarray(disparity, np.float64)
    if values.shape == shape:
        return values
    ours, theirs = values.shape[1] / values.shape[0], shape[1] / shape[0]
    if abs(ours / theirs - 1) > _ASPECT:
        raise MetricsError(
            f"The estimate is {values.shape[1]} x {values.shape[0]} pixels and the ground truth {shape[1]} x "
            f"{shape[0]}, another aspect ratio; use the ground truth of this clip."
        )
    how = cv2.INTER_NEAREST if protocol.resize == "nearest" else cv2.INTER_LINEAR
    return cv2.resize(values, (shape[1], shape[0]), interpolation=how)
