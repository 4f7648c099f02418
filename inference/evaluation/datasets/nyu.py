"""NYU Depth v2 (Silberman et al. 2012), single images: its labeled .mat, or images exported from it.

* ``nyu_depth_v2_labeled.mat`` (MATLAB 7.3, which is HDF5): ``images`` and ``depths`` (meters, holes filled). Beside it
  the set's ``splits.mat``, whose ``testNdxs`` name the 654 test images; without it all 1449 are used.
* exported: ``*/rgb_00045.jpg`` (or .png) with ``*/sync_depth_00045.png`` (16 bits, millimeters) in the same folder, the
  usual form of the test split.

Each image is a clip of one frame.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .ground_truth import GroundTruth, GroundTruthError, content, depth_png

if TYPE_CHECKING:
    from collections.abc import Callable

LABELED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
_MOST_IMAGES, _MOST_PIXELS, _LARGEST_SPLITS = 100_000, 1 << 26, 1 << 20
"""Limits far above the real set's sizes: a file that declares more is not read."""


def open_clips(root: Path) -> list[GroundTruth]:
    """Every image of the test split, of the .mat file, the folder it is in, or a folder of exported images."""
    file = root if root.suffix == ".mat" else root / LABELED
    if file.is_file():
        return _of_mat(file)
    depth = sorted(root.rglob("sync_depth_*.png"))
    if not depth:
        raise GroundTruthError(
            f"{root} has neither {LABELED} nor images sync_depth_*.png; download the labeled set, or export it."
        )
    return [_of_images(path, root) for path in depth]


def _of_images(depth: Path, root: Path) -> GroundTruth:
    number = depth.stem.removeprefix("sync_depth_")
    rgb = next((p for ending in (".jpg", ".png") if (p := depth.with_name(f"rgb_{number}{ending}")).is_file()), None)
    return GroundTruth(
        name="_".join([*depth.parent.relative_to(root).parts, number]),
        frame_numbers=(0,),
        read_depth=lambda _: depth_png(depth, 1000),
        rgb_files=(rgb,) if rgb else (),
    )


def _of_mat(file: Path) -> list[GroundTruth]:
    count = _read(file, lambda data: _images(data, "depths", 3).shape[0])
    splits = file.with_name(SPLITS)
    chosen = _test_images(splits, count) if splits.is_file() else range(count)
    return [_of_image(file, index) for index in chosen]


def _of_image(file: Path, index: int) -> GroundTruth:
    """MATLAB stores columns first: [H, W, N] there is [N, W, H] here."""

    def depth(_: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(_read(file, lambda data: _images(data, "depths", 3)[index]).T.astype(np.float32))

    def image(_: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(_read(file, lambda data: _images(data, "images", 4)[index]).transpose(2, 1, 0))

    return GroundTruth(name=f"{index + 1:04d}", frame_numbers=(0,), read_depth=depth, read_image=image)


def _images(data: Any, name: str, dimensions: int) -> Any:
    """A data set stored in the file itself, not in external ones, of a plausible size; else a ValueError."""
    import h5py

    if not isinstance(data.get(name, getlink=True), h5py.HardLink) or not isinstance(data[name], h5py.Dataset):
        raise ValueError(f"it has no {name} of its own")
    found = data[name]
    if found.is_virtual or found.external:
        raise ValueError(f"its {name} are stored in other files")
    whole: tuple[int, ...] = found.shape or ()
    kinds = "u" if name == "images" else "f"
    pixels = math.prod(whole[1:])
    if len(whole) != dimensions or found.dtype.kind not in kinds or (name == "images" and whole[1] != 3):
        raise ValueError(f"its {name} are not images")
    if not 0 < whole[0] <= _MOST_IMAGES or not 0 < pixels <= _MOST_PIXELS:
        raise ValueError(f"its {name} are {' x '.join(map(str, whole))} large")
    if math.prod(found.chunks or ()) > _MOST_PIXELS:  # each is unpacked as a whole
        raise ValueError(f"its {name} are stored in chunks of {' x '.join(map(str, found.chunks))}")
    return found


def _read(file: Path, what: Callable[[Any], Any]) -> Any:
    import h5py

    try:
        with h5py.File(file, "r") as data:
            return what(data)
    except (OSError, KeyError, ValueError, IndexError, RuntimeError, TypeError) as error:
        raise GroundTruthError(f"{file} cannot be read as NYUv2's labeled set ({error}); download it again.") from error


def _test_images(splits: Path, count: int) -> list[int]:
    """Indices of the test split, from 0; the file, in MATLAB's older format, counts from 1."""
    from scipy.io import loadmat, whosmat

    data = content(splits, again="download it again", most=_LARGEST_SPLITS)
    try:
        declared = {name: shape for name, shape, _ in whosmat(io.BytesIO(data))}
        if math.prod(declared["testNdxs"]) > _MOST_IMAGES:
            raise ValueError(f"it names {math.prod(declared['testNdxs'])} images")
        found = np.asarray(loadmat(io.BytesIO(data), variable_names=["testNdxs"])["testNdxs"]).ravel()
        if found.dtype.kind not in "iuf" or not (np.abs(found) < _MOST_IMAGES).all() or (found % 1).any():
            raise ValueError("its testNdxs are not whole numbers of images")
        numbers = found.astype(int)
    except Exception as error:  # SciPy raises errors of many types for broken files
        raise GroundTruthError(f"{splits} cannot be read as NYUv2's splits ({error}); download it again.") from error
    if not len(numbers) or numbers.min() < 1 or numbers.max() > count:
        raise GroundTruthError(f"{splits} names images that {LABELED} does not have ({count}); download both again.")
    return sorted(int(number) - 1 for number in numbers)
