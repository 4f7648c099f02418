"""The depths that a scene knows, and what can be built from them."""

import bpy

from ..scene import farm, mesh, missing_files
from ..scene.build import renders_strips
from ..scene.camera import SCALE_PATH, rig_above
from ..scene.compositing import library, strip_effects
from . import catalogue, parts

_ESTIMATES = ("SEQUENCE_EDITOR", "CLIP_EDITOR")
"""The editors whose tab Fathom has the panel that estimates."""


_PICKS = ("CLIP_EDITOR", "IMAGE_EDITOR")
"""The editors in whose image the focus is picked."""


class FATHOM_UL_depths(bpy.types.UIList):
    """Depths by name."""

    def draw_item(self, _context, layout, _data, item, _icon, _active_data, _active_property, _index):
        icon = "SORTTIME" if item.is_pending else "IMAGE_ZDEPTH"
        layout.prop(item, "name", text="", emboss=False, icon=icon, translate=False)


class Depths(parts.Sidebar):
    """The list of depths, and where the active one lies."""

    bl_label = "Depth"

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        listed = context.scene.fathom
        row = layout.row()
        row.template_list("FATHOM_UL_depths", "", listed, "depths", listed, "active_depth", rows=2)
        column = row.column(align=True)
        column.operator("fathom.load_depth", text="", icon="ADD")
        column.operator("fathom.forget_depth", text="", icon="REMOVE")
        if not len(listed.depths):
            where = "" if context.space_data.type in _ESTIMATES else " in the Sequencer or the Movie Clip Editor"
            parts.draw_text(layout, f"Estimate a clip's depth{where}, or load a depth sequence", width=width)
            return
        item = listed.depths[min(max(listed.active_depth, 0), len(listed.depths) - 1)]
        if item.is_pending:
            _draw_pending(layout, item, width=width)
            return
        by = f"{catalogue.label(item.estimator)}, " if item.estimator else ""
        parts.draw_text(layout, f"{by}{item.summary}", width=width)
        found = missing_files.of_entry(item)
        _draw_missing(layout, found.depth, "fathom.relink_depth", width=width)
        _draw_missing(layout, found.plate, "fathom.find_plate", width=width)
        if found.changed is not None:
            box = layout.box()
            box.alert = True
            parts.draw_text(box, found.changed, icon="ERROR", width=width)
        if found.unseen is not None:
            parts.draw_text(layout, found.unseen, icon="INFO", width=width)
            layout.operator("fathom.check_files", icon="VIEWZOOM")
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(item, "folder")
        column.prop(item, "frame_offset")
        layout.operator("fathom.use_settings", icon="PASTEDOWN")
        if item.plate:
            row = column.row(align=True)
            shown = row.row()
            shown.enabled = False  # another one goes through the operator, which looks whether it is that plate
            shown.prop(item, "plate")
            row.operator("fathom.find_plate", text="", icon="FILE_FOLDER")


def _draw_pending(layout, item, *, width):
    """How far the farm is with a depth that is not there yet."""
    state = farm.known_state(item)
    far = f", which has done {state.done} of its {state.chunks} chunks" if state.done else ""
    parts.draw_text(layout, f"For the render farm{far}. It is loaded once it is merged", icon="SORTTIME", width=width)
    layout.operator("fathom.check_farm", icon="FILE_REFRESH")
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    column.prop(item, "folder")


def _draw_missing(layout, sentence, operator, *, width):
    """In red what is missing, and the button that says where it lies now."""
    if sentence is None:
        return
    box = layout.box()
    text = box.column()
    text.alert = True
    parts.draw_text(text, sentence, icon="ERROR", width=width)
    box.operator(operator, icon="FILE_FOLDER")


class _OfDepth(parts.Sidebar):
    bl_order = 1  # below View

    @classmethod
    def poll(cls, context):
        return len(context.scene.fathom.depths) > 0


class _Build(_OfDepth):
    bl_label = "Build"

    def draw(self, context):
        layout = self.layout
        scene = context.scene
        layout.prop(scene.fathom, "all_shots")
        column = layout.column(align=True)
        _draw_button(column, scene, "fathom.build_camera", "Camera", "CAMERA_DATA")
        row = column.row(align=True)
        _draw_button(row, scene, "fathom.build_depth_mesh", "Depth Mesh", "MESH_GRID")
        if scene.fathom.mattes:
            parts = row.operator_menu_enum("fathom.build_depth_mesh", "subject", text="", icon="COMMUNITY")
            parts.all_shots = scene.fathom.all_shots
        if context.object is not None and mesh.modifier_of(context.object) is not None:
            column.operator("fathom.apply_depth_mesh", icon="MESH_DATA")
        _draw_button(column, scene, "fathom.build_fog", "Fog Volume", "VOLUME_DATA")
        layout.operator("fathom.fit_scene", icon="RENDER_RESULT")
        _draw_strips_note(layout, context)
        rig = rig_above(context.object)
        if rig is not None:
            layout.prop(rig, SCALE_PATH, text="Scene Scale")


class _Compositing(_OfDepth):
    bl_label = "Compositing"

    def draw(self, context):
        layout = self.layout
        scene = context.scene
        layout.prop(scene.fathom, "all_shots")
        column = layout.column(align=True)
        _draw_button(column, scene, "fathom.add_compositing_z_combine", "Z Combine", "SELECT_INTERSECT")
        _draw_button(column, scene, "fathom.add_compositing_relight", "Relight", "LIGHT")
        _draw_button(column, scene, "fathom.add_compositing_fog", "Fog", "FILE_VOLUME")
        _draw_button(column, scene, "fathom.add_compositing_grade", "Depth Grade", "COLOR")
        row = column.row(align=True)
        _draw_button(row, scene, "fathom.add_compositing_dof", "Depth of Field", "CAMERA_DATA")
        if context.space_data.type in _PICKS:
            row.operator("fathom.pick_focus", text="", icon="EYEDROPPER")
        column = layout.column(align=True)
        _draw_button(column, scene, "fathom.add_compositing_matte", "Depth Matte", "IMAGE_ALPHA")
        _draw_button(column, scene, "fathom.add_compositing_isolate", "Isolate by Matte", "MOD_MASK")
        _draw_button(column, scene, "fathom.add_compositing_normals", "Normals", "NORMALS_FACE")
        _draw_button(column, scene, "fathom.add_compositing_stereo", "Stereo Pair", "CAMERA_STEREO")
        if context.space_data.type in _ESTIMATES:
            parts.draw_text(layout, _RENDER_NOTE, icon="INFO", width=context.region.width)
            layout.operator("render.render", text="Render Image", icon="RENDER_STILL")
        if context.space_data.type == "SEQUENCE_EDITOR" and strip_effects.IS_THERE:
            layout.operator_menu_enum("fathom.add_strip_effect", "effect", icon="MODIFIER")
        if library.is_installed():
            layout.operator("fathom.remove_assets", icon="TRASH")
        else:
            layout.operator("fathom.install_assets", icon="ASSET_MANAGER")


def _draw_button(column, scene, operator, text, icon):
    column.operator(operator, text=text, icon=icon).all_shots = scene.fathom.all_shots


def _draw_strips_note(layout, context):
    if renders_strips(context.scene):
        parts.draw_text(layout, _STRIPS_NOTE, icon="INFO", width=context.region.width)
        layout.prop(context.scene.render, "use_sequencer", text="Render the Strips")


_STRIPS_NOTE = "A render of this scene shows its strips: switch that off to render what is built"
_RENDER_NOTE = "These are in the Compositor: render the image to see them (F12 over the Sequencer renders strips alone)"


class FATHOM_PT_sequence_editor_depths(Depths, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_sequence_editor_build(_Build, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_sequence_editor_compositing(_Compositing, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_clip_editor_depths(Depths, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_clip_editor_build(_Build, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_clip_editor_compositing(_Compositing, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_image_editor_compositing(_Compositing, bpy.types.Panel):
    bl_space_type = "IMAGE_EDITOR"


class FATHOM_PT_view_3d_depths(Depths, bpy.types.Panel):
    bl_space_type = "VIEW_3D"


class FATHOM_PT_view_3d_build(_Build, bpy.types.Panel):
    bl_space_type = "VIEW_3D"


class FATHOM_PT_node_editor_depths(Depths, bpy.types.Panel):
    bl_space_type = "NODE_EDITOR"

    @classmethod
    def poll(cls, context):
        return context.space_data.tree_type == "CompositorNodeTree"


class FATHOM_PT_node_editor_compositing(_Compositing, bpy.types.Panel):
    bl_space_type = "NODE_EDITOR"

    @classmethod
    def poll(cls, context):
        return context.space_data.tree_type == "CompositorNodeTree" and super().poll(context)

    def draw(self, context):
        _Compositing.draw(self, context)
        _draw_strips_note(self.layout, context)  # no panel before it says so


CLASSES = (
    FATHOM_UL_depths,
    FATHOM_PT_sequence_editor_depths,
    FATHOM_PT_sequence_editor_build,
    FATHOM_PT_sequence_editor_compositing,
    FATHOM_PT_clip_editor_depths,
    FATHOM_PT_clip_editor_build,
    FATHOM_PT_clip_editor_compositing,
    FATHOM_PT_image_editor_compositing,
    FATHOM_PT_view_3d_depths,
    FATHOM_PT_view_3d_build,
    FATHOM_PT_node_editor_depths,
    FATHOM_PT_node_editor_compositing,
)
