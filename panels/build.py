"""The depths that a scene knows, and what can be built from them."""

import bpy

from ..scene import missing
from ..scene.build import renders_strips
from ..scene.camera import SCALE_PATH, rig_above
from . import parts


class FATHOM_UL_depths(bpy.types.UIList):
    """Depths by name."""

    def draw_item(self, _context, layout, _data, item, _icon, _active_data, _active_property, _index):
        layout.prop(item, "name", text="", emboss=False, icon="IMAGE_ZDEPTH", translate=False)


class _Depths:
    bl_label = "Depth"
    bl_region_type = "UI"
    bl_category = "Fathom"

    @classmethod
    def poll(cls, context):
        return cls.is_place(context)

    @staticmethod
    def is_place(_context):
        """Whether this editor is one to build from."""
        return True

    def draw(self, context):
        layout = self.layout
        kept = context.scene.fathom
        row = layout.row()
        row.template_list("FATHOM_UL_depths", "", kept, "depths", kept, "active_depth", rows=2)
        column = row.column(align=True)
        column.operator("fathom.load_depth", text="", icon="ADD")
        column.operator("fathom.forget_depth", text="", icon="REMOVE")
        if not len(kept.depths):
            parts.draw_text(layout, "Estimate a clip's depth, or load a depth sequence", width=context.region.width)
            return
        item = kept.depths[min(max(kept.active_depth, 0), len(kept.depths) - 1)]
        parts.draw_text(layout, item.summary, width=context.region.width)
        lacks = missing.of_entry(item)
        _draw_missing(layout, lacks.depth, "fathom.relink_depth", width=context.region.width)
        _draw_missing(layout, lacks.plate, "fathom.find_plate", width=context.region.width)
        if lacks.unseen is not None:
            parts.draw_text(layout, lacks.unseen, icon="INFO", width=context.region.width)
            layout.operator("fathom.check_files", icon="VIEWZOOM")
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(item, "folder")
        column.prop(item, "frame_offset")
        if item.plate:
            row = column.row(align=True)
            shown = row.row()
            shown.enabled = False  # another one goes through the operator, which looks whether it is that plate
            shown.prop(item, "plate")
            row.operator("fathom.find_plate", text="", icon="FILE_FOLDER")


def _draw_missing(layout, sentence, operator, *, width):
    """In red what is missing, and the button that says where it lies now."""
    if sentence is None:
        return
    box = layout.box()
    text = box.column()
    text.alert = True
    parts.draw_text(text, sentence, icon="ERROR", width=width)
    box.operator(operator, icon="FILE_FOLDER")


class _Build:
    bl_region_type = "UI"
    bl_category = "Fathom"

    @classmethod
    def poll(cls, context):
        return cls.is_place(context) and len(context.scene.fathom.depths) > 0

    @staticmethod
    def is_place(_context):
        """Whether this editor is one to build from."""
        return True

    def draw(self, context):
        layout = self.layout
        layout.prop(context.scene.fathom, "all_shots")
        column = layout.column(align=True)
        for name, text, icon in self.buttons:
            column.operator(f"fathom.{name}", text=text, icon=icon).all_shots = context.scene.fathom.all_shots
        if self.buttons is _IN_COMPOSITOR:
            parts.draw_text(layout, _BLUR_NOTE, icon="INFO", width=context.region.width)
        if self.buttons is _IN_3D:
            layout.operator("fathom.fit_scene", icon="RENDER_RESULT")
        is_first = self.buttons is _IN_3D or self.bl_space_type == "NODE_EDITOR"  # of the panels in its sidebar
        if is_first and renders_strips(context.scene):
            parts.draw_text(layout, _STRIPS_NOTE, icon="INFO", width=context.region.width)
        rig = rig_above(context.object) if self.buttons is _IN_3D else None
        if rig is not None:
            layout.prop(rig, SCALE_PATH, text="Scale of Depth and Camera")


_STRIPS_NOTE = (
    "A render of this scene shows its strips: switch off Sequencer under Output > Post Processing to render what is "
    "built"
)
_BLUR_NOTE = (
    "Depth of Field takes a few seconds a frame at 1920x1080 and Max Blur 16; twice the blur takes four times as long"
)


def _is_compositor(context):
    return context.space_data.tree_type == "CompositorNodeTree"


_IN_3D = (
    ("build_camera", "Camera", "CAMERA_DATA"),
    ("build_depth_mesh", "Depth Mesh", "MESH_GRID"),
    ("build_fog", "Fog Volume", "VOLUME_DATA"),
)
_IN_COMPOSITOR = (
    ("add_compositing_fog", "Fog", "FILE_VOLUME"),
    ("add_compositing_dof", "Depth of Field", "CAMERA_DATA"),
    ("add_compositing_matte", "Depth Matte", "IMAGE_ALPHA"),
    ("add_compositing_z_merge", "Z Merge", "SELECT_INTERSECT"),
)


def _panels(space: str, **buttons: tuple[tuple[str, str, str], ...]) -> tuple[type[bpy.types.Panel], ...]:
    """The panels in one kind of editor: the list, and one for each group of buttons."""
    shared = {"bl_space_type": space}
    if space == "NODE_EDITOR":
        shared |= {"is_place": staticmethod(_is_compositor)}
    classes = [type(f"FATHOM_PT_{space.lower()}_depths", (_Depths, bpy.types.Panel), shared)]
    for label, group in buttons.items():
        name = f"FATHOM_PT_{space.lower()}_{label.lower()}"
        classes.append(type(name, (_Build, bpy.types.Panel), shared | {"bl_label": label, "buttons": group}))
    return tuple(classes)


CLASSES = (
    FATHOM_UL_depths,
    *_panels("SEQUENCE_EDITOR", Build=_IN_3D, Compositing=_IN_COMPOSITOR),
    *_panels("CLIP_EDITOR", Build=_IN_3D, Compositing=_IN_COMPOSITOR),
    *_panels("VIEW_3D", Build=_IN_3D),
    *_panels("NODE_EDITOR", Compositing=_IN_COMPOSITOR),
)
