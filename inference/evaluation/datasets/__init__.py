"""Layouts of ground truth on disk: one module each, with ``open_clips(root)``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ground_truth import GroundTruth


def open_clips(root: str | Path, layout: str, *, rendering: str = "clean") -> list[GroundTruth]:
    """Every clip of a data set, by name.

    Parameters
    ----------
    root : path
        The set's folder, or that of one clip.
    layout : str
        One of `protocols.LAYOUTS`.
    rendering : 'clean' or 'final'
        Which images of Sintel; ignored for other layouts.

    Raises
    ------
    GroundTruthError
        The folder is not in that layout; the message says what it should hold.
    """
    from . import bonn, folder, kitti, nyu, scannet, sintel

    path = Path(root)
    if layout == "sintel":
        return sintel.open_clips(path, rendering=rendering)
    readers = {
        "folder": folder.open_clips,
        "scannet": scannet.open_clips,
        "kitti": kitti.open_clips,
        "bonn": bonn.open_clips,
        "nyu": nyu.open_clips,
    }
    return readers[layout](path)
