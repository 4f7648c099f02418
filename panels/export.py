"""The panel Export: the active depth for other programs."""

import bpy

from ..inference.contract import export as contract
from ..scene import current_run, export
from . import parts

_ADVICE = {
    "EXR": "Nuke, Natron and Fusion find the channel Z by themselves",
    "CONTROL": "For ControlNet and the like: near is white, in one range for the shot",
    "CHAN": "In Nuke: Camera > Import chan file, rotation order ZXY",
}


class _Export(parts.Sidebar):
    bl_label = "Export"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 2

    @classmethod
    def poll(cls, context):
        return len(context.scene.fathom.depths) > 0

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        run = current_run.current()
        is_shown_above = context.space_data.type in ("SEQUENCE_EDITOR", "CLIP_EDITOR")
        if run is not None and isinstance(run.subject, export.Exporting) and not is_shown_above:
            parts.draw_run(layout, run, width=width)
            return
        chosen = context.scene.fathom.export
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.prop(chosen, "format")
        column.prop(chosen, "directory")
        column.prop(chosen, "frames")
        _FORMATS[chosen.format](layout.column(), context, chosen)
        column = layout.column(align=True)
        column.prop(chosen, "overwrite")
        row = column.row(align=True)
        row.scale_y = 1.4
        row.operator("fathom.export_depth", icon="EXPORT")
        _draw_size(layout, context, chosen, width=width)
        if chosen.format in _ADVICE:
            parts.draw_text(layout, _ADVICE[chosen.format], icon="INFO", width=width)
        last = current_run.last()
        if last is not None and last.outcome == "failed" and isinstance(last.subject, export.Exporting):
            parts.draw_advice(layout.box(), last.message, icon="ERROR", width=width, quotes=True)


def _draw_size(layout, context, chosen, *, width):
    """What it takes of the disk, as far as is known."""
    listed = context.scene.fathom
    item = listed.depths[min(max(listed.active_depth, 0), len(listed.depths) - 1)]
    size = export.known_size(item, {name: getattr(chosen, name) for name in export.NAMES})
    if size is not None:
        parts.draw_text(layout, f"At most {size} on disk", icon="DISK_DRIVE", width=width)


def _draw_exr(column, context, chosen):
    for name in ("channel", "half", "negative", "full_size"):
        column.prop(chosen, name)
    layers = column.column(heading="Layers")
    layers.prop(chosen, "with_confidence")
    layers.prop(chosen, "with_mattes")
    _draw_near_far(column, chosen)


def _draw_png(column, context, chosen):
    column.prop(chosen, "full_size")
    _draw_gray(column, chosen)


def _draw_movie(column, context, chosen):
    _draw_gray(column, chosen)
    column.prop(chosen, "every")
    column.prop(chosen, "fps")


def _draw_control(column, context, chosen):
    column.prop(chosen, "size")
    column.prop(chosen, "multiple")
    _draw_movie(column, context, chosen)


def _draw_ply(column, context, chosen):
    column.prop(chosen, "merged")
    row = column.row()
    row.active = chosen.merged
    row.prop(chosen, "voxel")
    for name in ("with_mattes", "minimum_confidence"):
        column.prop(chosen, name)
    column.row().prop(chosen, "up", expand=True)
    _draw_near_far(column, chosen)


def _draw_chan(column, context, chosen):
    column.row().prop(chosen, "up", expand=True)


def _draw_fog(column, context, chosen):
    column.row().prop(chosen, "space", expand=True)
    column.prop(chosen, "voxel")
    row = column.row()
    row.active = not chosen.voxel
    row.prop(chosen, "voxels")
    column.prop(chosen, "farthest")


def _draw_nothing(column, context, chosen):
    """USD and Alembic say themselves which axis is up."""


def _draw_gray(column, chosen):
    column.row().prop(chosen, "white", expand=True)
    both = column.column(align=True)
    both.prop(chosen, "low", text="Percentiles")
    both.prop(chosen, "high", text=" ")


def _draw_near_far(column, chosen):
    column.prop(chosen, "use_near_far")
    both = column.column(align=True)
    both.active = chosen.use_near_far
    both.prop(chosen, "near")
    both.prop(chosen, "far")


_FORMATS = {
    "EXR": _draw_exr,
    "PNG": _draw_png,
    "MOVIE": _draw_movie,
    "CONTROL": _draw_control,
    "PLY": _draw_ply,
    "CHAN": _draw_chan,
    **dict.fromkeys((kind.upper() for kind in contract.BLENDERS), _draw_nothing),
    "FOG_VDB": _draw_fog,
}


class FATHOM_PT_sequence_editor_export(_Export, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_clip_editor_export(_Export, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_view_3d_export(_Export, bpy.types.Panel):
    bl_space_type = "VIEW_3D"


class FATHOM_PT_node_editor_export(_Export, bpy.types.Panel):
    bl_space_type = "NODE_EDITOR"

    @classmethod
    def poll(cls, context):
        return context.space_data.tree_type == "CompositorNodeTree" and super().poll(context)


CLASSES = (
    FATHOM_PT_sequence_editor_export,
    FATHOM_PT_clip_editor_export,
    FATHOM_PT_view_3d_export,
    FATHOM_PT_node_editor_export,
)
