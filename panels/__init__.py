"""What the artist sees: sidebars, preferences, and the properties that hold settings."""

import bpy

from ..scene import beside, disk_status, fit_plot
from ..scene import weights as known_weights
from . import (
    build,
    camera_solve,
    catalogue,
    estimate,
    export,
    fog,
    preferences,
    properties,
    queue,
    refine,
    shots,
    status,
    view,
)

CLASSES = (
    *properties.CLASSES,
    *preferences.CLASSES,
    *estimate.CLASSES,
    *queue.CLASSES,
    *camera_solve.CLASSES,
    *refine.CLASSES,
    *build.CLASSES,
    *fog.CLASSES,
    *export.CLASSES,
    *shots.CLASSES,
    *view.CLASSES,
)


def register() -> None:
    """Make the classes known and hang the settings on the scene."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.register()
    status.register()


def unregister() -> None:
    """Take everything back."""
    catalogue.forget()
    known_weights.forget()
    beside.stop()
    disk_status.stop()
    fit_plot.stop()
    status.unregister()
    properties.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
