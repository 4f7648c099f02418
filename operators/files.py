"""What Fathom does when Blender saves, opens or renders a file: its paths stay right, and what is missing is said."""

import bpy

from ..inference.contract.untrusted import readable
from ..scene import current_run, depth_list, farm, missing_files, places, preview, queue, versions
from ..scene.viewing import drawing
from . import modal_run


@bpy.app.handlers.persistent
def _before_save(path: str, *_arguments) -> None:
    """What is written is read beside the new file."""
    depth_list.rebase(bpy.data.filepath, path)


@bpy.app.handlers.persistent
def _after_save(path: str, *_arguments) -> None:
    """Where only a copy was written, or saving failed, the open file is still the old one."""
    depth_list.rebase(path, bpy.data.filepath)
    preview.file_saved()


@bpy.app.handlers.persistent
def _before_load(*_arguments) -> None:
    """Another file is opened: what is running belonged to this one, but for the queue."""
    if not queue.is_running(current_run.current()):
        modal_run.end()


@bpy.app.handlers.persistent
def _after_load(*_arguments) -> None:
    """Another file: what was seen of the last one's is of no use."""
    places.file_opened()
    preview.file_opened()
    queue.file_opened()
    farm.watch()
    missing_files.forget()
    drawing.forget()
    _warn(missing_files.of_file())


@bpy.app.handlers.persistent
def _after_import(imported, *_arguments) -> None:
    """What was appended brings paths of its file's along."""
    for item in imported.import_items:
        is_appended = item.id_type == "SCENE" and item.id is not None and item.id.library is None
        if is_appended and item.source_library is not None:
            depth_list.appended(item.id, bpy.path.abspath(item.source_library.filepath))
    places.file_joined()


@bpy.app.handlers.persistent
def _before_render(*_arguments) -> None:
    """Once a render, not once a frame."""
    _warn(missing_files.of_file(only_built=True))


def _warn(sentences: list[str]) -> None:
    for sentence in sentences:
        print(readable(f"Fathom: Warning: {sentence}"), flush=True)


_HANDLERS = (
    ("save_pre", _before_save),
    ("save_post", _after_save),
    ("save_post_fail", _after_save),
    ("load_pre", _before_load),
    ("load_post", _after_load),
    ("render_init", _before_render),
    *((("blend_import_post", _after_import),) if versions.HEARS_IMPORTS else ()),
)


def register() -> None:
    """Hear of every file that is saved, opened or rendered."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Hear of none any more."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
