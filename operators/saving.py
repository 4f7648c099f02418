"""What Fathom does when Blender saves a file: its paths stay right in another folder."""

import bpy

from ..scene import depth_list


@bpy.app.handlers.persistent
def _before_save(path: str, *_arguments) -> None:
    """What is written is read beside the new file."""
    depth_list.rebase(bpy.data.filepath, path)


@bpy.app.handlers.persistent
def _after_save(path: str, *_arguments) -> None:
    """Where only a copy was written, or saving failed, the open file is still the old one."""
    depth_list.rebase(path, bpy.data.filepath)


_HANDLERS = (("save_pre", _before_save), ("save_post", _after_save), ("save_post_fail", _after_save))


def register() -> None:
    """Hear of every file that is saved."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Hear of none any more."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
