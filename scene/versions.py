"""Where Blender's versions differ in the sequencer and in properties (for node trees see `nodes`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

_NEW_TIMES = bpy.app.version >= (5, 1, 0)
"""From 5.1 the times of a strip have new names, and the old ones warn that they will go."""

APPLIES_ROTATION = bpy.app.version >= (4, 3, 0)
"""Whether Blender turns a movie by the rotation in its metadata."""


PATH_OPTIONS = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
"""Options of a path property that takes paths beginning with ``//``, which later versions want to know of."""


HEARS_CHANGES = bpy.app.version >= (4, 5, 0)
"""Whether properties may have update functions: with one, Blender 4.2 crashes when it is closed after the extension was
uninstalled."""


HEARS_IMPORTS = hasattr(bpy.app.handlers, "blend_import_post")
"""Whether Blender tells that something was linked or appended (from 4.3)."""

VOLUME_CUBE_SHIFT = 0.0 if bpy.app.version >= (5, 0, 0) else 0.5
"""Voxels by which a grid of the node *Volume Cube* lies lower on each axis than where its values were evaluated."""


@dataclass(frozen=True, kw_only=True)
class StripTimes:
    """Where a strip lies on the timeline, in scene frames.

    Attributes
    ----------
    left, right : int
        First frame of the strip, and the frame after its last.
    content_start, content_end : float
        Where the first frame of its content lies, and the frame after its last, trimmed away or not.
    trim_start, trim_end : int
        Frames of the file that are cut off for good (Hold Offset) before the content and after it.
    """

    left: int
    right: int
    content_start: float
    content_end: float
    trim_start: int
    trim_end: int


def stored_properties(block: bpy.types.ID) -> Any:
    """What a file keeps of the properties that extensions register, whether they are registered now or not."""
    if hasattr(block, "bl_system_properties_get"):  # from 5.0
        return block.bl_system_properties_get() or {}
    return block


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene that the Sequencer shows: from 5.0 on it may be another than the window's."""
    return getattr(context, "sequencer_scene", None) or context.scene


def lacks_sequencer_scene(context: bpy.types.Context) -> bool:
    """Whether the Sequencer shows no scene at all, as from 5.0 on where the artist has not chosen one."""
    workspace = getattr(context, "workspace", None)
    return getattr(workspace, "sequencer_scene", workspace) is None and workspace is not None


def strips_of(editor: bpy.types.SequenceEditor, *, nested: bool = False) -> Any:
    """The strips of a sequence editor; `nested`: those in meta strips as well."""
    name = "strips" if hasattr(editor, "strips") else "sequences"
    return getattr(editor, f"{name}_all" if nested else name)


def with_metas(strip: Any) -> list[Any]:
    """A strip and the meta strips that it lies in, from the inside: reversed ones, for example, reverse it as well."""
    found = [strip]
    while (around := found[-1].parent_meta()) is not None:
        found.append(around)
    return found


def times_of(strip: Any) -> StripTimes:
    """Where a strip lies."""
    if _NEW_TIMES:
        return StripTimes(
            left=strip.left_handle,
            right=strip.right_handle,
            content_start=strip.content_start,
            content_end=strip.content_end,
            trim_start=strip.content_trim_start,
            trim_end=strip.content_trim_end,
        )
    return StripTimes(
        left=strip.frame_final_start,
        right=strip.frame_final_end,
        content_start=strip.frame_start,
        content_end=strip.frame_final_end + strip.frame_offset_end,
        trim_start=strip.animation_offset_start,
        trim_end=strip.animation_offset_end,
    )


def length_of(strip: Any) -> int:
    """How many frames of its file a strip that is not trimmed has."""
    times = times_of(strip)
    return round(times.content_end - times.content_start)


def add_strip_modifier(strip: Any, scene: bpy.types.Scene, name: str, kind: str) -> Any:
    """Give a strip a modifier.

    Blender 5.0 crashes over that where the workspace shows no scene's strips, so it shows this one's meanwhile.
    """
    workspace = bpy.context.workspace
    if not hasattr(workspace, "sequencer_scene"):
        return strip.modifiers.new(name, kind)
    before = workspace.sequencer_scene
    workspace.sequencer_scene = before or scene
    try:
        return strip.modifiers.new(name, kind)
    finally:
        workspace.sequencer_scene = before


def clip_of(strip: Any) -> bpy.types.MovieClip | None:
    """The movie clip of a MOVIECLIP strip; None where Blender does not tell (4.2)."""
    return getattr(strip, "clip", None)


def as_render_path(path: Path) -> str:
    """A path as a render's, in which Blender from 4.5 on replaces what stands in braces; doubled ones stay."""
    text = str(path)
    return text.replace("{", "{{").replace("}", "}}") if bpy.app.version >= (4, 5, 0) else text
