"""Masks of what moves, for truth that comes without: static and dynamic regions apart (StereoDiff, Tables 4 and 5).

A folder with one folder a clip, of the clip's name, or for a single clip the pictures themselves. The pictures are
white where something moves on its own, of any size, and black or transparent elsewhere. They belong to the clip's
pictures of the same name, or, where names differ, in their order: either one for each frame with truth, or one for each
picture of the clip.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..media.mattes import matte
from .layouts.files import by_stem, pictures
from .truth import Truth, TruthError


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
