"""What the artist clicks and scripts call: thin operators over `scene` and the worker's client."""

import atexit

import bpy

from ..scene import current_run
from ..scene import farm as scene_farm
from ..scene import queue as scene_queue
from ..scene.viewing import drawing, fog_preview
from . import (
    build,
    camera_fit,
    command_line,
    compositing,
    depths,
    environment,
    estimate,
    export,
    farm,
    files,
    fog,
    mattes,
    modal_run,
    orientation,
    queue,
    refine,
    view,
    weights,
)

CLASSES = (
    *estimate.CLASSES,
    *mattes.CLASSES,
    *environment.CLASSES,
    *weights.CLASSES,
    *queue.CLASSES,
    *farm.CLASSES,
    *depths.CLASSES,
    *view.CLASSES,
    *build.CLASSES,
    *fog.CLASSES,
    *compositing.CLASSES,
    *refine.CLASSES,
    *export.CLASSES,
    *camera_fit.CLASSES,
    *orientation.CLASSES,
)

_command = None


def register() -> None:
    """Make the operators, the command and the handlers known."""
    global _command  # noqa: PLW0603 -- Blender's handle of the command, needed to take it back
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    files.register()
    drawing.register()
    fog_preview.register()
    atexit.register(current_run.end_current)
    _command = bpy.utils.register_cli_command("fathom", command_line.main)


def unregister() -> None:
    """End what is running and take everything back."""
    scene_farm.stop()
    scene_queue.stop()
    modal_run.end()
    bpy.utils.unregister_cli_command(_command)
    atexit.unregister(current_run.end_current)
    fog_preview.unregister()
    drawing.unregister()
    files.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
