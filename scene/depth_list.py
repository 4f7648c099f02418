"""The depths that a scene knows, as the panel lists them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import bpy

from . import depth as depth_module
from .depth import Depth, DepthError, portable_path


def remember(scene: bpy.types.Scene, depth: Depth) -> int:
    """Put a depth on the scene's list and make it the active one; one that is there already is brought up to date.

    Returns
    -------
    int
        Its place in the list.
    """
    kept = scene.fathom
    index = next((i for i, item in enumerate(kept.depths) if _same(item.folder, depth.folder)), None)
    if index is None:
        kept.depths.add()
        index = len(kept.depths) - 1
    item = kept.depths[index]
    item.name = f"{depth.name} {depth.folder.name}"
    item.folder = portable_path(depth.folder)
    item.frame_offset = depth.frame_offset
    item.summary = _summary(depth)
    kept.active_depth = index
    return index


def placed(scene: bpy.types.Scene, depth: Depth) -> Depth:
    """A depth with the frame offset that it has on the scene's list; as it is where it is not on it."""
    item = next((item for item in scene.fathom.depths if _same(item.folder, depth.folder)), None)
    return depth if item is None else replace(depth, frame_offset=item.frame_offset)


def load(scene: bpy.types.Scene, index: int | None = None) -> Depth:
    """Load a depth of the scene's list.

    Parameters
    ----------
    scene : Scene
    index : int or None
        Its place; None: the active one.

    Raises
    ------
    DepthError
        There is none at that place, or its folder cannot be loaded.
    """
    kept = scene.fathom
    if not len(kept.depths):
        raise DepthError("This scene has no depth yet: estimate a clip's depth, or load a depth sequence.")
    index = kept.active_depth if index is None else index
    if not 0 <= index < len(kept.depths):
        raise DepthError(f"The scene's list has no depth {index}: it holds {len(kept.depths)}, counted from 0.")
    item = kept.depths[index]
    if not item.folder.strip():
        raise DepthError(f"The depth {item.name} has no folder: choose the one with its depth.json in the panel.")
    depth = depth_module.load(item.folder, frame_offset=item.frame_offset)
    item.summary = _summary(depth)  # the artist may have chosen another folder
    return depth


def rebase(old: str, new: str) -> None:
    """Keep all lists' folders where they are when the .blend file goes from one path to another.

    Blender does so for the paths that it knows, to which an extension's properties do not belong. What the artist
    wrote as an absolute path stays one.

    Parameters
    ----------
    old, new : str
        Paths of .blend files, empty for one that is not saved.
    """
    before, after = str(Path(old).parent), str(Path(new).parent)
    if before == after:
        return
    for item in (item for scene in bpy.data.scenes if scene.library is None for item in scene.fathom.depths):
        if item.folder.startswith("//") or (item.folder and not old):
            absolute = os.path.normpath(bpy.path.abspath(item.folder, start=before))
            item.folder = portable_path(Path(absolute), new)


def _same(stored: str, folder: Path) -> bool:
    return os.path.normpath(bpy.path.abspath(stored)) == os.path.normpath(folder)


def _summary(depth: Depth) -> str:
    """One line on what a depth sequence holds."""
    sequence = depth.sequence
    shots, refused = len(sequence.shots), len(sequence.shots) - len(sequence.done_shots)
    parts = [
        f"frames {sequence.first_frame}-{sequence.last_frame}",
        f"{sequence.width} x {sequence.height}",
        sequence.estimator,
    ]
    if shots > 1:
        parts.append(f"{shots} shots")
    if refused:
        parts.append(f"{refused} without depth")
    return ", ".join(parts)
