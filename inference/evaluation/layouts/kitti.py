"""KITTI (Geiger et al. 2012) with its annotated depth (Uhrig et al. 2017), as extracted from their archives.

Depth is in ``val/<drive>/proj_depth/groundtruth/image_02/0000000005.png`` (16 bits, 256 a metre, sparse; 0: none),
``<drive>`` such as ``2011_09_26_drive_0002_sync``. Pictures are the raw recordings',
``<date>/<drive>/image_02/data/0000000005.png``, beside ``val`` or in a folder ``raw`` beside it, or in the drive's own
folder among the depth. Calibration and the camera's path come from the raw recording where it has them (`kitti_path`).

The first and last five frames of each drive have no depth.
"""

from __future__ import annotations

from pathlib import Path

from ..truth import Truth, TruthError
from . import kitti_path
from .files import by_stem, depth_png, number_of, numbered, pictures

_DEPTH = Path("proj_depth") / "groundtruth" / "image_02"
_PICTURES = Path("image_02") / "data"
_DATE = len("2011_09_26")


def open_clips(root: Path) -> list[Truth]:
    """Every drive with depth, by name, or the one that `root` is.

    Parameters
    ----------
    root : path
        The folder with ``val``, that folder itself, or a drive's in it. Of a folder with ``val`` and ``train`` the
        former is taken.

    Raises
    ------
    TruthError
    """
    if (root / _DEPTH).is_dir():
        return [_open(root)]
    for base in (root / "val", root / "data_depth_annotated" / "val", root):
        drives = sorted(path.parents[2] for path in base.glob(f"*/{_DEPTH.as_posix()}"))
        if drives:
            return [_open(drive) for drive in drives]
    raise TruthError(
        f"{root} has no val/<drive>/{_DEPTH.as_posix()}; extract KITTI's annotated depth maps, and the raw recordings "
        "of its drives beside them."
    )


def _open(drive: Path) -> Truth:
    depth = numbered((drive / _DEPTH).glob("*.png"))
    if not depth:
        raise TruthError(f"{drive / _DEPTH} has no *.png in it; extract KITTI's annotated depth maps again.")
    name = drive.resolve().name
    raw = _recording(drive, name)
    rgb = by_stem(pictures(raw / _PICTURES)) if raw else {}
    lacking = [path.stem for path in depth if path.stem not in rgb]
    if raw and lacking:
        raise TruthError(f"{raw / _PICTURES} lacks the picture {lacking[0]}; extract the drive's recording again.")
    numbers = tuple(map(number_of, depth))
    matrix, poses = kitti_path.camera(raw, numbers) if raw else (None, ())
    return Truth(
        name=name,
        frame_numbers=numbers,
        read_depth=lambda index: depth_png(depth[index], 256),
        matrix=matrix,
        poses=poses,
        rgb_files=tuple(rgb[path.stem] for path in depth) if raw else (),
    )


def _recording(drive: Path, name: str) -> Path | None:
    """The drive's raw recording."""
    around = drive.resolve()
    places = [around, *(base / name[:_DATE] / name for top in around.parents[:3] for base in (top, top / "raw"))]
    return next((place for place in places if (place / _PICTURES).is_dir()), None)
