"""The panel View: depth in front of the artist, in the Sequencer, the Movie Clip Editor and the Image Editor."""

import bpy

from . import build, parts


class _View(parts.Sidebar):
    bl_label = "View"

    def draw(self, context):
        layout = self.layout
        view = context.scene.fathom.view
        row = layout.row()
        row.scale_y = 1.2
        row.operator("fathom.view_depth", text="View Depth", icon="IMAGE_ZDEPTH", depress=view.show)
        if context.space_data.type == "SEQUENCE_EDITOR":
            layout.operator("fathom.add_depth_strip", icon="SEQ_SEQUENCER")
        column = layout.column()
        column.active = view.show
        column.row().prop(view, "colors", expand=True)
        column.row().prop(view, "arrangement", expand=True)
        column = layout.column()
        column.active = view.show
        column.use_property_split = True
        column.use_property_decorate = False
        if view.arrangement == "OVER":
            column.prop(view, "opacity", slider=True)
        else:
            column.prop_search(view, "other", context.scene.fathom, "depths", icon="IMAGE_ZDEPTH")
        if view.arrangement == "WIPE":
            column.prop(view, "wipe", slider=True)
        levels = column.column(align=True)
        for name in ("near", "far", "gamma"):
            levels.prop(view, name, slider=name != "gamma")
        column.prop(view, "follow_run")


class FATHOM_PT_sequence_editor_view(_View, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_clip_editor_view(_View, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_image_editor_depths(build.Depths, bpy.types.Panel):
    bl_space_type = "IMAGE_EDITOR"


class FATHOM_PT_image_editor_view(_View, bpy.types.Panel):
    bl_space_type = "IMAGE_EDITOR"


CLASSES = (
    FATHOM_PT_sequence_editor_view,
    FATHOM_PT_clip_editor_view,
    FATHOM_PT_image_editor_depths,
    FATHOM_PT_image_editor_view,
)
