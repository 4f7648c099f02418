"""Fathom in Blender's preferences: the worker's Python, the data folder, the environment."""

import bpy

from ..inference.contract import environment, environment_setup
from ..inference.contract.environment import MissingEnvironment
from ..scene import current_run, preferences
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
    torch_index: bpy.props.StringProperty(
        name="PyTorch Index",
        description="Address of the package index that PyTorch comes from, as the selector on PyTorch's site names it: "
        "for a build that fits the GPU. Empty: where pip's settings have all packages come from",
    )

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        layout.use_property_split = True
        layout.prop(self, "python")
        layout.prop(self, "data_folder")
        box = layout.box()
        run = current_run.current()
        if run is not None:
            parts.draw_run(box, run, width=width)
            return
        _draw_state(box, width=width)
        parts.draw_failed_set_up(box, width=width)
        box.row().prop(self, "packages", expand=True)
        chosen = next(text for name, _label, text in preferences.PACKAGES if name == self.packages)
        parts.draw_text(box, chosen, icon="INFO", width=width)
        if not preferences.is_set_up(self.packages.lower()):
            if self.packages == "FULL":
                box.prop(self, "torch_index")
            parts.draw_offline(box, preferences.set_up_offline_reason(), width=width)
            box.operator("fathom.set_up_environment", text="Set Up", icon="IMPORT").packages = self.packages
        else:
            parts.draw_text(box, preferences.SET_UP, icon="CHECKMARK", width=width)
        if environment_setup.are_there(preferences.data_folder()):
            box.operator("fathom.remove_environment", text="Remove", icon="TRASH")
        pages = preferences.documentation()
        if pages.is_file():
            layout.operator("wm.path_open", text="Documentation", icon="HELP").filepath = str(pages)


def _draw_state(layout: bpy.types.UILayout, *, width: float) -> None:
    """Say which Python the worker has."""
    try:
        python = preferences.worker_python()
    except MissingEnvironment as problem:
        parts.draw_text(layout, preferences.here(str(problem)), icon="ERROR", width=width)
        return
    own = preferences.own_packages(python)
    parts.draw_text(layout, f"{_READY[own]}: {python}", icon="CHECKMARK", width=width)
    if own == "light":
        state = environment.states(preferences.data_folder())["full"]
        if state != "missing":
            problem = f"{environment.PROBLEMS[state]}, with the packages of all estimators: press Set Up"
            parts.draw_text(layout, problem, icon="ERROR", width=width)


_READY = {
    "full": "The inference environment is ready for all estimators",
    "light": "The inference environment is ready, with the basic packages",
    None: "The worker runs in another Python than Fathom's own",
}

CLASSES = (FATHOM_AP_preferences,)
