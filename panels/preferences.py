"""Fathom in Blender's preferences: the worker's Python, the data folder, the environment."""

import bpy

from ..inference import environment
from ..inference.environment import MissingEnvironment
from ..scene import preferences, running
from . import parts


class FATHOM_AP_preferences(bpy.types.AddonPreferences):
    """Settings that hold for all files."""

    bl_idname = preferences.ADDON

    python: bpy.props.StringProperty(
        name="Worker Python",
        description="A Python, or the folder of a virtual environment, to work with instead of the one that Fathom "
        "sets up",
        subtype="FILE_PATH",
    )
    data_folder: bpy.props.StringProperty(
        name="Data Folder",
        description="Where Fathom keeps what it downloads, for all Blender versions; empty: the system's usual place",
        subtype="DIR_PATH",
    )

    packages: bpy.props.EnumProperty(
        name="Packages",
        description="Which estimators Set Up is for",
        items=preferences.PACKAGES,
        default="LIGHT",
    )

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        layout.use_property_split = True
        layout.prop(self, "python")
        layout.prop(self, "data_folder")
        box = layout.box()
        run = running.current()
        if run is not None:
            parts.draw_run(box, run, width=width)
            return
        parts.draw_last(box, width=width)
        is_ready = _draw_state(box, width=width)
        box.row().prop(self, "packages", expand=True)
        chosen = next(text for name, _label, text in preferences.PACKAGES if name == self.packages)
        parts.draw_text(box, chosen, icon="INFO", width=width)
        row = box.row()
        row.operator("fathom.set_up_environment", text="Set Up", icon="IMPORT").packages = self.packages
        row.operator("fathom.remove_environment", text="Remove", icon="TRASH")
        reason = preferences.offline_reason()
        if reason is not None and not is_ready:
            parts.draw_text(box, reason, icon="INTERNET_OFFLINE", width=width)


def _draw_state(layout: bpy.types.UILayout, *, width: float) -> bool:
    """Say which Python the worker has; return whether it has one."""
    try:
        python = preferences.worker_python()
    except MissingEnvironment as problem:
        parts.draw_text(layout, str(problem), icon="ERROR", width=width)
        return False
    own = preferences.own_packages(python)
    parts.draw_text(layout, f"{_READY[own]}: {python}", icon="CHECKMARK", width=width)
    if own == "light":
        standing = environment.states(preferences.data_folder())["full"]
        if standing != "missing":
            problem = f"{environment.PROBLEMS[standing]}, with the packages of all estimators: press Set Up"
            parts.draw_text(layout, problem, icon="ERROR", width=width)
    return True


_READY = {
    "full": "The inference environment is ready for all estimators",
    "light": "The inference environment is ready, with the basic packages",
    None: "The worker runs in another Python than Fathom's own",
}

CLASSES = (FATHOM_AP_preferences,)
