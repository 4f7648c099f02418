"""The panel Refine Depth: the active depth written again with better edges."""

import bpy

from ..scene import current_run, refine
from . import parts


class _Refine(parts.Sidebar):
    bl_label = "Refine Depth"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 1  # before what is built from it

    @classmethod
    def poll(cls, context):
        return len(context.scene.fathom.depths) > 0

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        run = current_run.current()
        is_shown_above = context.space_data.type in ("SEQUENCE_EDITOR", "CLIP_EDITOR")
        if run is not None and isinstance(run.subject, refine.Refining) and not is_shown_above:
            parts.draw_run(layout, run, width=width)
            return
        chosen = context.scene.fathom.refine
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        for name in ("sharpen", "fringe", "edge", "smooth"):
            column.prop(chosen, name)
        column = layout.column()
        column.prop(chosen, "sky")
        column.prop(chosen, "sky_mattes")
        layout.column().prop(chosen, "long_side")
        row = layout.row(align=True)
        row.scale_y = 1.4
        row.operator("fathom.refine_depth", icon="MOD_SMOOTH")
        last = current_run.last()
        if last is not None and last.outcome == "failed" and isinstance(last.subject, refine.Refining):
            parts.draw_advice(layout.box(), last.message, icon="ERROR", width=width, quotes=True)


class FATHOM_PT_sequence_editor_refine(_Refine, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_clip_editor_refine(_Refine, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_view_3d_refine(_Refine, bpy.types.Panel):
    bl_space_type = "VIEW_3D"


class FATHOM_PT_node_editor_refine(_Refine, bpy.types.Panel):
    bl_space_type = "NODE_EDITOR"

    @classmethod
    def poll(cls, context):
        return context.space_data.tree_type == "CompositorNodeTree" and super().poll(context)


CLASSES = (
    FATHOM_PT_sequence_editor_refine,
    FATHOM_PT_clip_editor_refine,
    FATHOM_PT_view_3d_refine,
    FATHOM_PT_node_editor_refine,
)
