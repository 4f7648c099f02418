"""Ground truth of a clip, wherever it was read from: depth, camera path, masks of moving objects, flow.

The modules beside this one open the folders in which truth lies, each kind to the `Truth` of this module, and share
what reads its files.

Masks of what moves may come from elsewhere, for truth that has none: static and dynamic regions apart (StereoDiff,
Tables 4 and 5). They are a folder with one folder a clip, of the clip's name, or for a single clip the pictures
themselves. The pictures are white where something moves on its own, of any size, and black or transparent elsewhere.
They belong to the clip's pictures of the same name, or, where names differ, in their order: either one for each frame
with truth, or one for each picture of the clip.
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
PictureReader = Callable[[int], "NDArray[np.uint8] | None"]
FlowReader = Callable[[int], "NDArray[np.float32] | None"]
_LARGEST_MATRIX = 1 << 16
PICTURES = (".jpg", ".jpeg", ".png")


class TruthError(ValueError):
    """Ground truth that cannot be read; the message is one sentence with the cure, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(in_a_line(message, most=1000))


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Ground truth of a clip, read frame by frame.

    Attributes
    ----------
    name : str
        Of the clip, as tables show it.
    frame_numbers : tuple of int
        Which picture of the clip each frame of the truth belongs to, counted from 0. Not every picture need have one.
    read_depth : callable
        Frame of the truth to Z [H, W] in metres, float32, 0 where it is not known.
    read_moving : callable or None
        Frame to bool [H, W], True where an object moves on its own; None where nobody says.
    read_flow : callable or None
        Frame to flow to the next frame of the truth, float32 [H, W, 2], pixels to the right and downward, NaN where it
        is not known; or to None, as for the last.
    matrix : float64 [3, 3] or None
        Calibration in the depth pictures' pixels, whose centres are at integers.
    poses : tuple of float64 [4, 4] or None
        Camera-to-world per frame, OpenCV's axes, metres; None where it is not known.
    rgb_files : tuple of Path
        The picture of each frame, or empty where there are none.
    read_picture : callable or None
        Frame to its picture, where that is not simply what the file holds; see `picture`.
    """

    name: str
    frame_numbers: tuple[int, ...]
    read_depth: DepthReader
    read_moving: MaskReader | None = None
    read_flow: FlowReader | None = None
    matrix: NDArray[np.float64] | None = None
    poses: tuple[NDArray[np.float64] | None, ...] = ()
    rgb_files: tuple[Path, ...] = ()
    read_picture: PictureReader | None = None

    def __post_init__(self) -> None:
        """Fill in poses that nobody knows.

        Raises
        ------
        TruthError
            A frame has a number that no clip's picture has.
        """
        for number in self.frame_numbers:
            if not 0 <= number <= LARGEST:
                raise TruthError(f"{self.name} has a frame {number}; number the frames from 0 to {LARGEST}.")
        if not self.poses:
            object.__setattr__(self, "poses", (None,) * len(self.frame_numbers))

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.frame_numbers)

    def depth(self, index: int) -> NDArray[np.float32]:
        """Z [H, W] in metres, 0 where it is not known."""
        return self.read_depth(index)

    def moving(self, index: int) -> NDArray[np.bool_] | None:
        """Where an object moves on its own [H, W]; None where nobody says."""
        return None if self.read_moving is None else self.read_moving(index)

    def flow(self, index: int) -> NDArray[np.float32] | None:
        """Flow [H, W, 2] in pixels to the truth's next frame; None where it is not known."""
        return None if self.read_flow is None else self.read_flow(index)

    def picture(self, index: int) -> NDArray[np.uint8] | None:
        """The frame's picture itself, RGB [H, W, 3]; None where there is none."""
        if self.read_picture is not None:
            return self.read_picture(index)
        if not self.rgb_files:
            return None
        return np.ascontiguousarray(read_image(self.rgb_files[index], cv2.IMREAD_COLOR)[..., ::-1])

    def selected(self, frames: Sequence[int]) -> Truth:
        """The truth of some frames only, in this order; flow stays where the next frame is the next one kept."""
        chosen = tuple(frames)
        follows = [after == before + 1 for before, after in itertools.pairwise(chosen)] + [False]

        def flow(index: int) -> NDArray[np.float32] | None:
            return self.flow(chosen[index]) if follows[index] else None

        moving, picture = self.read_moving, self.read_picture
        return replace(
            self,
            frame_numbers=tuple(self.frame_numbers[index] for index in chosen),
            read_depth=lambda index: self.read_depth(chosen[index]),
            read_moving=None if moving is None else lambda index: moving(chosen[index]),
            read_flow=None if self.read_flow is None else flow,
            poses=tuple(self.poses[index] for index in chosen),
            rgb_files=tuple(self.rgb_files[index] for index in chosen) if self.rgb_files else (),
            read_picture=None if picture is None else lambda index: picture(chosen[index]),
        )


LARGEST_TEXT, LARGEST_PICTURE = 1 << 24, 1 << 30
"""Bytes of a text and of a picture or flow of truth."""


def content(path: Path, *, again: str, most: int = LARGEST_TEXT) -> bytes:
    """What a file of the truth holds; a pipe or a device is not opened.

    Parameters
    ----------
    path : path
    again : str
        What to do where it cannot be read, for the sentence.
    most : int
        Bytes that it may have.

    Raises
    ------
    TruthError
    """
    try:
        return read_bytes(path, most=most)
    except OSError as error:
        raise TruthError(f"{path} cannot be read ({error.strerror}); {again}.") from error
    except RecordError as error:
        raise TruthError(f"{error}; {again}.") from error


def read_image(path: Path, flags: int = cv2.IMREAD_UNCHANGED) -> NDArray[Any]:
    """A picture of the truth as OpenCV reads it.

    Raises
    ------
    TruthError
        It is missing or broken, or declares more than memory suffices for.
    """
    data = content(path, again="restore the file", most=LARGEST_PICTURE)
    size = declared.of_picture(data)
    if cut_short(data) or (size is not None and len(data) < size.least):
        raise TruthError(f"{path} is cut short; restore the file.")
    if size is None:
        raise TruthError(f"{path} is no readable picture; restore the file.")
    try:
        declared.refuse_beyond_memory(path, size)
    except ClipError as error:
        raise TruthError(f"{error}.") from error
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # larger than the library allows
        picture = None
    if picture is None:
        raise TruthError(f"{path} is no readable picture; restore the file.")
    return picture


def with_masks(truth: Truth, folder: Path) -> Truth:
    """The truth with masks from a folder; to be called before a protocol takes its frames.

    Raises
    ------
    TruthError
        The folder has no masks, or some frames have none.
    """
    own = folder / truth.name
    files = pictures(own if own.is_dir() else folder)
    if not files:
        raise TruthError(
            f"{folder} has no masks of {truth.name}; put a folder of that name with white where something moves there."
        )
    chosen = _matched(truth, files)

    def moving(index: int) -> NDArray[np.bool_]:
        height, width = truth.depth(index).shape
        return matte(chosen[index], (width, height))

    return replace(truth, read_moving=moving)


def _matched(truth: Truth, files: list[Path]) -> list[Path]:
    named = by_stem(files)
    stems = [path.stem for path in truth.rgb_files]
    if stems and all(stem in named for stem in stems):
        return [named[stem] for stem in stems]
    if len(files) == len(truth):
        return files
    if len(files) > max(truth.frame_numbers):
        return [files[number] for number in truth.frame_numbers]
    raise TruthError(
        f"{files[0].parent} has {len(files)} masks and {truth.name} {len(truth)} frames with truth, to which they "
        "cannot be told to belong; make one for each picture, of the same name."
    )


def depth_png(path: Path, per_metre: float) -> NDArray[np.float32]:
    """Depth in metres of a picture of 16 bits, 0 where it is 0.

    Raises
    ------
    TruthError
        It is missing, broken or of another kind.
    """
    values = read_image(path)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise TruthError(
            f"{path} is no grey picture of 16 bits ({values.dtype}, {' x '.join(map(str, values.shape))}); "
            "export the depth again."
        )
    return values.astype(np.float32) / np.float32(per_metre)


def pictures(folder: Path) -> list[Path]:
    """Picture files of a folder, sorted by their number."""
    return numbered(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)


def numbered(paths: Iterable[Path]) -> list[Path]:
    """Files sorted by the number in their name (2 before 10)."""
    return sorted(paths, key=lambda path: (frame_number(path.name), path.name))


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without its ending."""
    return {path.stem: path for path in paths}


def number_of(path: Path) -> int:
    """The number that a file's name is.

    Raises
    ------
    TruthError
        It is none.
    """
    if not (path.stem.isascii() and path.stem.isdecimal()):
        raise TruthError(f"{path} has no number for its name; extract the files again as the set has them.")
    return int(path.stem)


def lines_of(path: Path, *, again: str, most: int = LARGEST_TEXT) -> list[str]:
    """The lines of a text file.

    Raises
    ------
    TruthError
    """
    try:
        return content(path, again=again, most=most).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise TruthError(f"{path} is no text; {again}.") from error


def inside(folder: Path, name: str, *, where: Path) -> Path:
    """A file in a folder, by the name that another file has for it.

    Raises
    ------
    TruthError
        The name leads elsewhere.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or any(letter in name for letter in "\\:\0"):
        raise TruthError(f"{where} names a file outside of its folder ({name}); extract the clip again.")
    return folder / parts


def matrix_file(path: Path) -> NDArray[np.float64] | None:
    """A 4 x 4 matrix of numbers in a text file; None where it is not finite, as of frames without a pose.

    Raises
    ------
    TruthError
    """
    lines = lines_of(path, again="export it again", most=_LARGEST_MATRIX)
    try:
        matrix = np.loadtxt(io.StringIO("\n".join(lines or ["0"])), dtype=np.float64, max_rows=5)
    except ValueError as error:
        raise TruthError(f"{path} cannot be read as a matrix ({error}); export it again.") from error
    if matrix.shape != (4, 4):
        raise TruthError(f"{path} holds no 4 x 4 matrix but {list(matrix.shape)}; export it again.")
    return matrix if np.isfinite(matrix).all() else None
