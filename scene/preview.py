"""Previews: depth of a few frames around the playhead, in Fathom's data folder.

Each replaces the one before that this Blender made for the file that is open. Others stay: another .blend file may show
them, or another Blender be estimating there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import bpy

from ..inference.contract import leftovers, own_files
from ..inference.contract.depth_sequence import SIDECAR
from ..inference.contract.leftovers import LOG, MAPS
from ..inference.contract.own_files import Names
from . import depth_list, places, preferences, tags, versions
from .depth import Depth, place_of
from .settings import Settings
from .source import Plate, in_range

SIZE = 384
"""Processing resolution of a preview, long side in pixels, where the artist has chosen no smaller one."""
_made: set[Path] = set()
"""Folders of the previews that were made for the file that is open."""
_kept: set[Path] = set()
"""Those of them that a saved file shows."""


def root() -> Path:
    """The folder of all previews."""
    return preferences.data_folder() / "previews"


def count_of(seconds: float, plate: Plate, scene: bpy.types.Scene) -> int:
    """How many frames a preview of so many seconds has, by the clip's rate, else the scene's; 0 for 0 seconds."""
    rate = plate.source.fps or scene.render.fps / scene.render.fps_base
    return max(1, round(seconds * rate)) if seconds > 0 else 0


def settings_for(settings: Settings, plate: Plate, *, scene_frame: int, count: int) -> Settings:
    """The settings of a preview: those for the whole clip at a small size, for so many frames around the playhead.

    Near the ends of the plate, or of the range that is to be estimated, the frames are moved to lie inside.
    """
    part = in_range(plate, settings.frames)
    middle = min(max(scene_frame - part.frame_offset, part.first_frame), part.last_frame)
    first = max(part.first_frame, min(middle - count // 2, part.last_frame - count + 1))
    last = min(part.last_frame, first + count - 1)
    size = min(settings.size or SIZE, SIZE)
    frames = (first + part.frame_offset, last + part.frame_offset)
    return replace(settings, size=size, full_size=False, frames=frames)


def show(scene: bpy.types.Scene, depth: Depth) -> None:
    """List a preview, show it in the editors, and take earlier previews of its clip off the scene's list.

    The files of those that were made for this file are deleted, unless something in it shows them, or another scene
    lists them.
    """
    index = depth_list.remember(scene, depth)
    scene.fathom.depths[index].name = f"{depth.name} preview"
    scene.fathom.view.show = True
    for other in sorted(depth.folder.parent.iterdir()):
        if other != depth.folder and other.is_dir() and not other.is_symlink():
            _forget(scene, other)


def take(folder: Path) -> None:
    """A preview is made for the file that is open, in a folder that nobody else has."""
    _made.add(Path(os.path.normpath(folder)))


def is_own(folder: Path) -> bool:
    """Whether a preview was made for the file that is open: another may be deleted by whoever made it."""
    return Path(os.path.normpath(folder)) in _made


def file_saved() -> None:
    """What the file shows is shown by what was written as well, whatever becomes of the file that is open."""
    _kept.update(_made & _shown())


def file_opened() -> None:
    """Another file is open: what was made for the last one may be shown by it, or by what it was saved as."""
    _made.clear()
    _kept.clear()


def is_preview(item: bpy.types.PropertyGroup) -> bool:
    """Whether an entry of a list is a preview."""
    place = place_of(item.folder)
    return place is not None and root() in place.parents


def _forget(scene: bpy.types.Scene, folder: Path) -> None:
    for index in reversed(range(len(scene.fathom.depths))):
        if place_of(scene.fathom.depths[index].folder) == folder:
            keep = scene.fathom.active_depth
            depth_list.remove(scene, index)
            scene.fathom.active_depth = keep - 1 if index < keep else keep
    is_listed = any(place_of(item.folder) == folder for item in depth_list.entries())
    if is_listed or folder not in _made - _kept or folder in _shown():
        return
    _made.discard(folder)
    own_files.clear(folder, Names((SIDECAR, LOG, *MAPS)), last=LOG)
    leftovers.remove_empty((folder,))


def _shown() -> set[Path]:
    """The folders of depth that images and strips of this file show."""
    stored = [image.filepath for image in tags.images("disparity")]
    for scene in bpy.data.scenes:
        strips = versions.strips_of(scene.sequence_editor, nested=True) if scene.sequence_editor else ()
        stored += [f"{strip.directory}/map" for strip in strips if strip.type == "IMAGE"]
    return {Path(os.path.normpath(places.expanded(path))).parent for path in stored}
