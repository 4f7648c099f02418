"""Layouts of ground truth on disk: one module each, with ``open_clips(root)``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ground_truth import GroundTruth


def open_clips(root: str | Path, layout: str, *, rendering: str = "clean") -> list[GroundTruth]:
    """Every clip of a data set by name: of the set's folder, or of one clip's.

    `layout` is one of `protocols.LAYOUTS`, `rendering` the images of Sintel: 'clean' or 'final'.

    Raises
    ------
    GroundTruthError
        The folder is not in that layout; the message says what it should hold.
    """
    from . import bonn, dynamic_replica, folder, kitti, matrix_city, nyu, scannet, sintel

    path = Path(root)
    if layout == "sintel":
        return sintel.open_clips(path, rendering=rendering)
    readers = {
        "folder": folder.open_clips,
        "scannet": scannet.open_clips,
        "kitti": kitti.open_clips,
        "bonn": bonn.open_clips,
        "nyu": nyu.open_clips,
        "dynamic-replica": dynamic_replica.open_clips,
        "matrix-city": matrix_city.open_clips,
    }
    return readers[layout](path)
