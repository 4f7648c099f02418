"""Fathom in Blender's preferences: the worker's Python, the data folder, the environment."""

import bpy

from ..inference.contract import environment
from ..scene import current_run, preferences
from . import parts


class FATHOM_AP_preferences(bpy.types.AddonPreferences):
    """Settings that hold for all files."""

    bl_idname = preferences.ADDON

    python: bpy.props.StringProperty(
        name="Python Executable",
        description="A Python, or the folder of a virtual environment, to estimate with instead of the one that Fathom "
        "installs",
        subtype="FILE_PATH",
    )
    data_folder: bpy.props.StringProperty(
        name="Data Folder",
        description="Where Fathom saves what it downloads, for all Blender versions; empty: the system's usual place",
        subtype="DIR_PATH",
    )

    packages: bpy.props.EnumProperty(
        name="Packages",
        description="Which estimators the dependencies are for",
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
        known = preferences.known()
        if known is not None:
            _draw_state(box, known, width=width)
        parts.draw_failed_install(box, known, width=width)
        box.row().prop(self, "packages", expand=True)
        chosen = next(text for name, _label, text in preferences.PACKAGES if name == self.packages)
        parts.draw_text(box, chosen, icon="INFO", width=width)
        if known is not None and known.has(self.packages.lower()):
            parts.draw_text(box, preferences.INSTALLED, icon="CHECKMARK", width=width)
        else:
            if self.packages == "FULL":
                box.prop(self, "torch_index")
            parts.draw_offline(box, preferences.install_offline_reason(known), width=width)
            install = box.operator("fathom.install_dependencies", text="Install Dependencies", icon="IMPORT")
            install.packages = self.packages
        if known is not None and known.can_be_removed:
            box.operator("fathom.remove_environment", text="Remove", icon="TRASH")
        pages = layout.operator("wm.path_open", text="Documentation", icon="HELP")
        pages.filepath = str(preferences.DOCUMENTATION)


def _draw_state(layout: bpy.types.UILayout, known: preferences.Environment, *, width: float) -> None:
    """Say which Python the worker has."""
    if known.problem is not None:
        parts.draw_text(layout, preferences.here(str(known.problem)), icon="ERROR", width=width)
        return
    parts.draw_text(layout, f"{_READY[known.own]}: {known.python}", icon="CHECKMARK", width=width)
    state = known.states["full"]
    if known.own == "light" and state != "missing":
        problem = f"{environment.PROBLEMS[state]}, with the packages of all estimators: press Install Dependencies"
        parts.draw_text(layout, problem, icon="ERROR", width=width)


_READY = {
    "full": "The inference environment is ready for all estimators",
    "light": "The inference environment is ready, with the basic packages",
    None: "The worker runs in another Python than Fathom's own",
}

CLASSES = (FATHOM_AP_preferences,)
