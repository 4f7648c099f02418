"""Fathom in Blender's preferences: the worker's Python, the data folder, the environment."""

import bpy

from ..inference.contract import environment
from ..scene import current_run, data_size, farm, preferences
from ..scene.current_run import describe_bytes
from . import parts, weights


class FATHOM_PG_farm(bpy.types.PropertyGroup):
    """Where clips go that are sent to a render farm; a .blend file must not name what runs on its computers."""

    target: bpy.props.EnumProperty(
        name="Farm", description="The kind of render farm that depth is estimated on", items=farm.TARGETS
    )
    submits: bpy.props.BoolProperty(
        name="Submit",
        description="Submit the job by the farm's client where it is installed, or to the Manager; off: only write it",
        default=True,
    )
    manager: bpy.props.StringProperty(
        name="Manager",
        description="Address of the Flamenco Manager, such as http://manager:8080; empty: the job is only written",
    )
    chunk_minutes: bpy.props.FloatProperty(
        name="Chunk Length",
        description="What one task takes, about, in minutes: shorter ones keep more computers busy, and each costs the "
        "start of a process; 0 leaves the choice to Fathom",
        default=0.0,
        min=0.0,
        soft_max=60.0,
        max=1440.0,
        precision=1,
    )
    folder: bpy.props.StringProperty(
        name="Job Folder",
        description="Folder of what the farm gets; empty: the folder farm in that of the depth sequences",
        subtype="DIR_PATH",
    )
    python: bpy.props.StringProperty(
        name="Python on the Farm",
        description="Python of the environment with Fathom's packages, as the farm's computers know it; empty: as on "
        "this one",
    )
    fathom: bpy.props.StringProperty(
        name="Fathom on the Farm",
        description="Fathom's folder inference, as the farm's computers know it; empty: as on this one",
    )


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
        "for another build than the one that Fathom chooses",
    )
    finds_torch: bpy.props.BoolProperty(
        name="Choose PyTorch for this Computer",
        description="Take the build of PyTorch that fits the GPU and its driver, from PyTorch's own package index, "
        "unless pip's settings name where packages come from. Off: all packages come from where pip's settings say",
        default=True,
    )

    farm: bpy.props.PointerProperty(type=FATHOM_PG_farm, name="Render Farm")

    show_weights: bpy.props.BoolProperty(
        name="Weights of Networks", description="What networks have learned: licenses, sizes, downloads", default=False
    )

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        layout.use_property_split = True
        box = layout.box()
        run = current_run.current()
        if run is not None:
            parts.draw_run(box, run, width=width)
            return
        known = preferences.known()
        _draw_environment(box, self, known, width=width)
        layout.prop(self, "python")
        layout.prop(self, "data_folder")
        _draw_size(layout, width=width)
        box = layout.box()
        box.use_property_split = False
        row = box.row()
        row.alignment = "LEFT"
        row.prop(self, "show_weights", icon="DOWNARROW_HLT" if self.show_weights else "RIGHTARROW", emboss=False)
        if self.show_weights:
            weights.draw(box, width=width)
        pages = layout.operator("wm.path_open", text="Documentation", icon="HELP")
        pages.filepath = str(preferences.DOCUMENTATION)


def _draw_environment(box, chosen, known, *, width):
    """The packages: which are there, which are chosen, and what installs or removes them."""
    if known is not None:
        _draw_state(box, known, width=width)
    parts.draw_failed_install(box, known, width=width)
    box.row().prop(chosen, "packages", expand=True)
    parts.draw_text(box, preferences.describe_packages(chosen.packages.lower()), icon="INFO", width=width)
    if known is not None and known.has(chosen.packages.lower()):
        parts.draw_text(box, preferences.INSTALLED, icon="CHECKMARK", width=width)
    else:
        if chosen.packages == "FULL":
            box.prop(chosen, "finds_torch")
            box.prop(chosen, "torch_index")
            parts.draw_torch_build(box, width=width)
        parts.draw_offline(box, preferences.install_offline_reason(known), width=width)
        install = box.operator("fathom.install_dependencies", text="Install Dependencies", icon="IMPORT")
        install.packages = chosen.packages
    if known is not None and known.can_be_removed:
        row = box.row(align=True)
        row.operator("fathom.repair_environment", text="Repair", icon="FILE_REFRESH")
        row.operator("fathom.remove_environment", text="Remove", icon="TRASH")


def _draw_size(layout, *, width):
    """What the data folder takes of the disk, as far as it is counted."""
    sizes = data_size.known()
    if sizes is not None and sizes.total:
        parts_of_it = [f"{name} {describe_bytes(size)}" for name, size in sizes.parts.items() if size]
        of_it = f" ({', '.join(parts_of_it)})" if parts_of_it else ""
        text = f"The data folder takes {describe_bytes(sizes.total)}{of_it}: {preferences.data_folder()}"
        parts.draw_text(layout, text, icon="DISK_DRIVE", width=width)


def _draw_state(layout: bpy.types.UILayout, known: preferences.Environment, *, width: float) -> None:
    """Say which Python the worker has."""
    if known.problem is not None:
        parts.draw_text(layout, preferences.here(str(known.problem)), icon="ERROR", width=width)
        return
    parts.draw_text(layout, f"{_READY[known.own]}: {known.python}", icon="CHECKMARK", width=width)
    parts.draw_text(layout, _NEXT, icon="FORWARD", width=width)
    state = known.states["full"]
    if known.own == "light" and state != "missing":
        problem = f"{environment.PROBLEMS[state]}, with the packages of all estimators: press Install Dependencies"
        parts.draw_text(layout, problem, icon="ERROR", width=width)


_NEXT = (
    "Fathom is the tab of that name in the sidebar (N) of the Sequencer, the Movie Clip Editor, the 3D Viewport, the "
    "Image Editor and the Compositor: begin with a strip or a clip"
)
_READY = {
    "full": "The inference environment is ready for all estimators",
    "light": "The inference environment is ready, with the basic packages",
    None: "The worker runs in another Python than Fathom's own",
}

CLASSES = (FATHOM_PG_farm, FATHOM_AP_preferences)
