"""Which places may be looked at: those that the artist asked for.

A path that stands in a .blend file or in a ``depth.json`` may be somebody else's. Looking at a place on a server, even
only whether it is there, greets that server, and on Windows with the artist's login. So what Fathom does by itself,
while a panel is drawn, a file is opened or another depth is built from, looks only at paths that are relative to the
file that they stand in, and at places that the artist chose in this session: a folder that was loaded, built from or
searched for, and what lies in it. Nothing here touches a disk unless it says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import bpy
from idprop.types import IDPropertyGroup

from ..inference.contract import depth_sequence
from . import versions

_PATHS = ("DIR_PATH", "FILE_PATH")
_asked: set[str] = set()
_known: set[int] = set()
"""Session numbers of libraries, scenes and clips whose paths were taken in."""
_stood: set[str] = set()
"""Absolute paths of strips, clips, settings and listed depths that stood in the file when it was opened; others are the
artist's."""


def ask(path: str | Path) -> None:
    """The artist asked for a place: it may be looked at, with all that lies in it. No file can ask for a whole disk."""
    place = PurePath(_plain(path))
    if str(path) and place != place.parent:
        _asked.add(str(place))


def expanded(stored: str, *, library: bpy.types.Library | None = None, start: str | None = None) -> str:
    """A path of Blender's without ``//``, as Blender itself reads it: one that a .blend file of Windows names relative
    to itself has backslashes, which are no separators for Python elsewhere.

    `start` : the folder that ``//`` stands for, where that is not the one of the .blend file or of the library.
    """
    if library is not None and start is None:
        start = str(Path(expanded(library.filepath)).parent)
    return bpy.path.abspath(stored.replace("\\", "/") if stored.startswith("//") else stored, start=start)


def is_relative(stored: str, *, library: bpy.types.Library | None = None) -> bool:
    """Whether a path of Blender's is relative to the .blend file, or the library, also when it is joined to its folder.

    One that leads to the root of the disk, and from there elsewhere, is as good as an absolute one.
    """
    rest = stored[2:].replace("\\", "/") if stored.startswith("//") else None
    if rest is None or PureWindowsPath(rest).drive or rest.startswith("/"):
        return False
    blend = bpy.data.filepath if library is None else expanded(library.filepath)
    if not blend or PurePosixPath(os.path.normpath(rest)).parts[:1] != ("..",):
        return True
    folder = Path(blend).parent
    return depth_sequence.lies_near(folder / rest, folder)


def may_look(stored: str | Path, *, library: bpy.types.Library | None = None) -> bool:
    """Whether a path may be looked at without being asked for once more.

    A text is a path of Blender's, where ``//`` is the folder of the .blend file; a `Path` is one of this system, where
    ``//`` begins the name of a server.
    """
    if isinstance(stored, PurePath):
        place = PurePath(_plain(stored))
    elif is_relative(stored, library=library):
        return library is None or may_look(library.filepath)
    else:
        place = PurePath(_plain(expanded(stored, library=library)))
    return any(str(each) in _asked for each in (place, *place.parents))


def is_artists(stored: str) -> bool:
    """As `may_look`, for what a strip, a clip or a setting names: also what was chosen since the file was opened."""
    if not versions.HEARS_IMPORTS:
        _look_for_appended()
    return is_relative(stored) or _plain(stored) not in _stood or may_look(stored)


def resolved(stored: str, *, library: bpy.types.Library | None = None) -> str:
    """A path of Blender's as an absolute one, without links where it may be looked at."""
    path = expanded(stored, library=library)
    return os.path.realpath(path) if may_look(stored, library=library) else os.path.normpath(path)


def is_gone(stored: str, *, library: bpy.types.Library | None = None) -> bool:
    """Whether it is known that there is nothing at a path of Blender's: it was looked for, or cannot be on this system.

    What may not be looked at is not gone: another depth of the same job must not take the place of one that is there.
    """
    if not may_look(stored, library=library):
        return not stored.startswith("//") and depth_sequence.is_foreign(stored)
    return not os.path.lexists(expanded(stored, library=library))


def file_opened() -> None:
    """Take in which paths stand in the file that was opened; a new one has none but the artist's own."""
    _stood.clear()
    if bpy.data.filepath:
        file_joined()


def file_joined() -> None:
    """Take in which paths stand in the file now that another was opened or appended to it."""
    for path in _stored_paths():
        stood(path)


def stood(path: str) -> None:
    """A file of somebody else's names a path that goes into a setting: it is not the artist's until it is asked for."""
    if path and not is_relative(path):
        _stood.add(_plain(path))


def written_otherwise(before: str, after: str) -> None:
    """A path in the file is written otherwise, since the file goes elsewhere: that makes it no more the artist's."""
    if not is_artists(before):
        _stood.add(_plain(after))


def _look_for_appended() -> None:
    """As `file_joined`, where Blender does not tell: what was appended is new, and its library is there."""
    if not bpy.data.libraries:
        return
    seen = {each.session_uid for each in (*bpy.data.libraries, *bpy.data.scenes, *bpy.data.movieclips)}
    if not seen <= _known:
        _known.update(seen)
        file_joined()


def read_by(scene: bpy.types.Scene) -> Iterator[tuple[Any, str]]:
    """The settings of a scene that name files or folders to be read: mattes, camera file, depth and weights that an
    estimator takes; as the group and the name that `setting` takes.
    """
    for group in (scene.fathom, scene.fathom.refine):
        texts = (each for each in group.bl_rna.properties if each.type == "STRING")
        yield from ((group, t.identifier) for t in texts if t.subtype in _PATHS and t.identifier != "output")
    for kept in _estimators(scene):
        yield from ((kept, name) for name, _ in kept.items() if setting(kept, name).startswith("//"))


def setting(group: Any, name: str) -> str:
    """A setting that is a text, of a group of properties or of what the file keeps of one; empty where it is none."""
    value = group.get(name) if isinstance(group, IDPropertyGroup) else getattr(group, name)
    return value if isinstance(value, str) else ""


def set_setting(group: Any, name: str, value: str) -> None:
    """Set what `setting` reads."""
    if isinstance(group, IDPropertyGroup):
        group[name] = value
    else:
        setattr(group, name, value)


def _stored_paths() -> Iterator[str]:
    for scene in bpy.data.scenes:
        yield scene.fathom.output
        yield from (item.folder for item in scene.fathom.depths)
        yield from (setting(group, name) for group, name in read_by(scene))
        for kept in _estimators(scene):
            yield from (value for _, value in kept.items() if isinstance(value, str))
        if scene.sequence_editor is not None:
            for strip in versions.strips_of(scene.sequence_editor, nested=True):
                yield from (getattr(strip, name, "") for name in ("filepath", "directory"))
    yield from (clip.filepath for clip in bpy.data.movieclips)


def _estimators(scene: bpy.types.Scene) -> Iterator[IDPropertyGroup]:
    """The estimators' parameters as the file keeps them: those are registered only once the worker has listed them."""
    for name, kept in versions.stored_properties(scene).items():
        if name.startswith("fathom_") and isinstance(kept, IDPropertyGroup):
            yield kept


def _plain(path: str | Path) -> str:
    return os.path.normcase(os.path.normpath(str(path)))
