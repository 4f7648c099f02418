"""Ground truth of a clip: depth, camera path, masks of dynamic objects, flow; and the readers of its files.

The modules beside this one read one layout each and return the `GroundTruth` of this module. Whatever cannot be read,
in any of them, is a `GroundTruthError`, whose message names the file.

Masks of dynamic objects may come from a folder of their own, for ground truth without any: they separate static and
dynamic regions (StereoDiff, Tables 4 and 5). The folder has a subfolder for each clip, of the clip's name, or for a
single clip the images themselves. The images, of any size, are white on dynamic objects and black or transparent
elsewhere. They are matched with the clip's images by name or, where names differ, by order: one for each frame with
ground truth, or one for each image of the clip.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.failures import ClipError
from ...contract.numbering import LARGEST, frame_number
from ...contract.untrusted import RecordError, in_a_line, read_bytes
from ...media import declared
from ...media.mattes import matte
from ...media.stills import cut_short

DepthReader = Callable[[int], NDArray[np.float32]]
MaskReader = Callable[[int], NDArray[np.bool_]]
ImageReader = Callable[[int], "NDArray[np.uint8] | None"]
FlowReader = Callable[[int], "NDArray[np.float32] | None"]
_LARGEST_MATRIX = 1 << 16
PICTURES = (".jpg", ".jpeg", ".png")


class GroundTruthError(ValueError):
    """Ground truth that cannot be read; the message is one sentence with a hint, on one line."""

    def __init__(self, message: str) -> None:
        super().__init__(in_a_line(message, most=1000))


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """Ground truth of a clip, read frame by frame.

    Attributes
    ----------
    name : str
        The clip's name in tables.
    frame_numbers : tuple of int
        Index, from 0, of the image that each frame of the ground truth belongs to. Images may lack ground truth.
    read_depth : callable
        Frame of the ground truth to Z [H, W] in meters, float32, 0 where unknown.
    read_moving : callable or None
        Frame to bool [H, W], True on dynamic objects; None where they are unknown.
    read_flow : callable or None
        Frame to flow to the next frame of the ground truth, float32 [H, W, 2], pixels to the right and downward, NaN
        where unknown; or to None, as for the last.
    matrix : float64 [3, 3] or None
        Calibration in the depth images' pixels, whose centers are at integers.
    poses : tuple of float64 [4, 4] or None
        Camera-to-world per frame, OpenCV's axes, meters; None where unknown.
    rgb_files : tuple of Path
        The image of each frame, or empty where there are none.
    depth_files : tuple of Path
        The file of each frame's depth, by which a reader notices that it has changed; empty where unknown.
    read_image : callable or None
        Frame to its image, where it is not just the file's content; see `image`.
    """

    name: str
    frame_numbers: tuple[int, ...]
    read_depth: DepthReader
    read_moving: MaskReader | None = None
    read_flow: FlowReader | None = None
    matrix: NDArray[np.float64] | None = None
    poses: tuple[NDArray[np.float64] | None, ...] = ()
    rgb_files: tuple[Path, ...] = ()
    depth_files: tuple[Path, ...] = ()
    read_image: ImageReader | None = None

    def __post_init__(self) -> None:
        """Check the numbers of the frames, and fill in unknown poses."""
        for number in self.frame_numbers:
            if not 0 <= number <= LARGEST:
                raise GroundTruthError(
                    f"{self.name} has a frame number {number}; number the frames from 0 to {LARGEST}."
                )
        if not self.poses:
            object.__setattr__(self, "poses", (None,) * len(self.frame_numbers))

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.frame_numbers)

    def depth(self, index: int) -> NDArray[np.float32]:
        """Z [H, W] in meters, 0 where unknown."""
        return self.read_depth(index)

    def moving(self, index: int) -> NDArray[np.bool_] | None:
        """Where dynamic objects are [H, W]; None where they are unknown."""
        return None if self.read_moving is None else self.read_moving(index)

    def flow(self, index: int) -> NDArray[np.float32] | None:
        """Flow [H, W, 2] in pixels to the ground truth's next frame; None where unknown."""
        return None if self.read_flow is None else self.read_flow(index)

    def image(self, index: int) -> NDArray[np.uint8] | None:
        """The frame's image, RGB [H, W, 3]; None where there is none."""
        if self.read_image is not None:
            return self.read_image(index)
        if not self.rgb_files:
            return None
        return np.ascontiguousarray(read_image(self.rgb_files[index], cv2.IMREAD_COLOR)[..., ::-1])

    def selected(self, frames: Sequence[int]) -> GroundTruth:
        """The ground truth of some frames, in this order; flow stays where the next frame is selected as well."""
        chosen = tuple(frames)
        follows = [after == before + 1 for before, after in itertools.pairwise(chosen)] + [False]

        def flow(index: int) -> NDArray[np.float32] | None:
            return self.flow(chosen[index]) if follows[index] else None

        moving, image = self.read_moving, self.read_image
        return replace(
            self,
            frame_numbers=tuple(self.frame_numbers[index] for index in chosen),
            read_depth=lambda index: self.read_depth(chosen[index]),
            read_moving=None if moving is None else lambda index: moving(chosen[index]),
            read_flow=None if self.read_flow is None else flow,
            poses=tuple(self.poses[index] for index in chosen),
            rgb_files=tuple(self.rgb_files[index] for index in chosen) if self.rgb_files else (),
            depth_files=tuple(self.depth_files[index] for index in chosen) if self.depth_files else (),
            read_image=None if image is None else lambda index: image(chosen[index]),
        )


LARGEST_TEXT, LARGEST_PICTURE = 1 << 24, 1 << 30
"""Largest text file, and largest image or flow, in bytes."""


def content(path: Path, *, again: str, most: int = LARGEST_TEXT) -> bytes:
    """The content of a file of at most `most` bytes; a pipe or a device is not opened. `again` is the error's hint."""
    try:
        return read_bytes(path, most=most)
    except OSError as error:
        raise GroundTruthError(f"{path} cannot be read ({error.strerror}); {again}.") from error
    except RecordError as error:
        raise GroundTruthError(f"{error}; {again}.") from error


def read_image(path: Path, flags: int = cv2.IMREAD_UNCHANGED) -> NDArray[Any]:
    """An image of the ground truth as OpenCV reads it, if it is whole and its declared size fits into memory."""
    data = content(path, again="restore the file", most=LARGEST_PICTURE)
    size = declared.of_image(data)
    if cut_short(data) or (size is not None and len(data) < size.least):
        raise GroundTruthError(f"{path} is truncated; restore the file.")
    if size is None:
        raise GroundTruthError(f"{path} is no readable image; restore the file.")
    try:
        declared.require_memory(path, size)
    except ClipError as error:
        raise GroundTruthError(f"{error}.") from error
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # larger than the library allows
        image = None
    if image is None:
        raise GroundTruthError(f"{path} is no readable image; restore the file.")
    return image


def with_masks(ground_truth: GroundTruth, folder: Path) -> GroundTruth:
    """The ground truth with masks from a folder; to be called before a protocol selects frames."""
    own = folder / ground_truth.name
    files = images(own if own.is_dir() else folder)
    if not files:
        raise GroundTruthError(
            f"{folder} has no masks of {ground_truth.name}; add a folder of that name, with images white on dynamic "
            "objects."
        )
    chosen = _matched(ground_truth, files)

    def moving(index: int) -> NDArray[np.bool_]:
        height, width = ground_truth.depth(index).shape
        return matte(chosen[index], (width, height))

    return replace(ground_truth, read_moving=moving)


def _matched(ground_truth: GroundTruth, files: list[Path]) -> list[Path]:
    named = by_stem(files)
    stems = [path.stem for path in ground_truth.rgb_files]
    if stems and all(stem in named for stem in stems):
        return [named[stem] for stem in stems]
    if len(files) == len(ground_truth):
        return files
    if len(files) > max(ground_truth.frame_numbers):
        return [files[number] for number in ground_truth.frame_numbers]
    raise GroundTruthError(
        f"{files[0].parent} has {len(files)} masks, which do not match the {len(ground_truth)} frames of "
        f"{ground_truth.name}; make one for each image, of the same name."
    )


def depth_png(path: Path, per_meter: float) -> NDArray[np.float32]:
    """Depth in meters of a 16-bit image, 0 where it is 0."""
    values = read_image(path)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise GroundTruthError(
            f"{path} is not a 16-bit grayscale image ({values.dtype}, {' x '.join(map(str, values.shape))}); "
            "export the depth again."
        )
    return values.astype(np.float32) / np.float32(per_meter)


def images(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by their number."""
    return numbered(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)


def numbered(paths: Iterable[Path]) -> list[Path]:
    """Files sorted by the number in their name (2 before 10)."""
    return sorted(paths, key=lambda path: (frame_number(path.name), path.name))


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without its ending."""
    return {path.stem: path for path in paths}


def number_of(path: Path) -> int:
    """The number that a file's name is."""
    if not (path.stem.isascii() and path.stem.isdecimal()):
        raise GroundTruthError(f"The name of {path} is not a number; extract the set's files again.")
    return int(path.stem)


def lines_of(path: Path, *, again: str, most: int = LARGEST_TEXT) -> list[str]:
    """The lines of a text file."""
    try:
        return content(path, again=again, most=most).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise GroundTruthError(f"{path} is not text; {again}.") from error


def inside(folder: Path, name: str, *, where: Path) -> Path:
    """A file in a folder, by the name that another file gives, which must not lead elsewhere."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or any(letter in name for letter in "\\:\0"):
        raise GroundTruthError(f"{where} names a file outside of its folder ({name}); extract the clip again.")
    return folder / parts


def matrix_file(path: Path) -> NDArray[np.float64] | None:
    """A 4 x 4 matrix in a text file; None where it is not finite, as for frames without a pose."""
    lines = lines_of(path, again="export it again", most=_LARGEST_MATRIX)
    try:
        matrix = np.loadtxt(io.StringIO("\n".join(lines or ["0"])), dtype=np.float64, max_rows=5)
    except ValueError as error:
        raise GroundTruthError(f"{path} cannot be read as a matrix ({error}); export it again.") from error
    if matrix.shape != (4, 4):
        raise GroundTruthError(f"{path} is not a 4 x 4 matrix but {list(matrix.shape)}; export it again.")
    return matrix if np.isfinite(matrix).all() else None
