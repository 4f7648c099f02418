"""NYU Depth v2 (Silberman et al. 2012), single images: its labelled .mat, or pictures exported from it.

* ``nyu_depth_v2_labeled.mat`` (MATLAB 7.3, which is HDF5): ``images`` and ``depths`` (metres, holes filled). Beside it
  the set's ``splits.mat``, whose ``testNdxs`` name the 654 test images; without it all 1449 are taken.
* exported: ``*/rgb_00045.jpg`` (or .png) with ``*/sync_depth_00045.png`` (16 bits, millimetres) in the same folder, as
  the test split is usually passed on.

Each image is a clip of one frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..truth import Truth, TruthError
from .files import depth_png

if TYPE_CHECKING:
    from collections.abc import Callable

LABELLED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"


def open_clips(root: Path) -> list[Truth]:
    """Every image of the test split.

    Parameters
    ----------
    root : path
        The .mat file, the folder it is in, or a folder of exported pictures.

    Raises
    ------
    TruthError
    """
    file = root if root.suffix == ".mat" else root / LABELLED
    if file.is_file():
        return _of_mat(file)
    depth = sorted(root.rglob("sync_depth_*.png"))
    if not depth:
        raise TruthError(
            f"{root} has neither {LABELLED} nor pictures sync_depth_*.png; download the labelled set, or export it."
        )
    return [_of_pictures(path, root) for path in depth]


def _of_pictures(depth: Path, root: Path) -> Truth:
    number = depth.stem.removeprefix("sync_depth_")
    rgb = next((p for ending in (".jpg", ".png") if (p := depth.with_name(f"rgb_{number}{ending}")).is_file()), None)
    return Truth(
        name="_".join([*depth.parent.relative_to(root).parts, number]),
        frame_numbers=(0,),
        read_depth=lambda _: depth_png(depth, 1000),
        rgb_files=(rgb,) if rgb else (),
    )


def _of_mat(file: Path) -> list[Truth]:
    count = _read(file, lambda data: data["depths"].shape[0])
    splits = file.with_name(SPLITS)
    chosen = _test_images(splits, count) if splits.is_file() else range(count)
    return [_of_image(file, index) for index in chosen]


def _of_image(file: Path, index: int) -> Truth:
    """MATLAB stores columns first: [H, W, N] there is [N, W, H] here."""

    def depth(_: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(_read(file, lambda data: data["depths"][index]).T.astype(np.float32))

    def picture(_: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(_read(file, lambda data: data["images"][index]).transpose(2, 1, 0))

    return Truth(name=f"{index + 1:04d}", frame_numbers=(0,), read_depth=depth, read_picture=picture)


def _read(file: Path, what: Callable[[Any], Any]) -> Any:
    import h5py

    try:
        with h5py.File(file, "r") as data:
            return what(data)
    except (OSError, KeyError, ValueError) as error:
        raise TruthError(f"{file} cannot be read as NYUv2's labelled set ({error}); download it again.") from error


def _test_images(splits: Path, count: int) -> list[int]:
    """Indices of the test split, from 0; the file counts from 1 and is of MATLAB's older format."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        numbers = np.asarray(loadmat(splits)["testNdxs"]).ravel().astype(int)
    except (OSError, KeyError, ValueError, NotImplementedError, MatReadError) as error:
        raise TruthError(f"{splits} cannot be read as NYUv2's splits ({error}); download it again.") from error
    if not len(numbers) or numbers.min() < 1 or numbers.max() > count:
        raise TruthError(f"{splits} names images that {LABELLED} does not have ({count}); download both again.")
    return sorted(int(number) - 1 for number in numbers)
