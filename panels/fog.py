"""The panel Fog Volume: the look and the shape of a built fog, both drawn from where they are kept."""

import bpy

from ..scene import fog_light, fog_look, nodes
from ..scene.fog import fog_shown
from ..scene.fog_look import LOOK, PRESETS
from ..scene.lattice import VIEWPORT_DETAIL
from . import parts

_SHAPE = ("Start", "Near", "Far", "Near Limit", "Far Limit", "Detail", VIEWPORT_DETAIL)
_OWN = "The fog has a material of your own: its look is in the Shader Editor"


class _Fog(parts.Sidebar):
    bl_label = "Fog Volume"
    bl_order = 1  # below Build

    @classmethod
    def poll(cls, context):
        return _shown(context.scene) is not None

    def draw(self, context):
        layout, scene = self.layout, context.scene
        fog = _shown(scene)
        look = fog_look.look_of(fog)
        layout.use_property_split = True
        layout.use_property_decorate = False
        if look is None:
            parts.draw_text(layout, _OWN, icon="INFO", width=context.region.width)
        else:
            _draw_presets(layout, scene)
            if fog_light.light_of(fog) is None:
                layout.operator("fathom.light_fog", icon="LIGHT_SUN").all_shots = scene.fathom.all_shots
            else:
                _draw_lamp(layout, fog_light.light_of(fog), scene)
            for title, rows in LOOK.items():
                _draw_look(_titled(layout, title), look, [row[0] for row in rows])
        if scene.render.engine == "CYCLES" and hasattr(scene.cycles, "volume_biased"):
            layout.prop(scene.cycles, "volume_biased", text="Biased, Fast")
        if context.space_data.type == "VIEW_3D":
            layout.prop(scene.fathom, "fog_preview")
        _draw_shape(_titled(layout, "Shape"), fog_look.modifier_of(fog))


def _shown(scene):
    """The fog of the active depth's shot at this frame, or None."""
    listed = scene.fathom
    if not len(listed.depths):
        return None
    item = listed.depths[min(max(listed.active_depth, 0), len(listed.depths) - 1)]
    return None if item.is_pending else fog_shown(scene, item.job)


def _titled(layout, title):
    column = layout.column()
    if title:
        column.label(text=title)
    return column


def _draw_presets(layout, scene):
    row = layout.row(align=True)
    for name, label, _ in PRESETS:
        button = row.operator("fathom.fog_preset", text=label)
        button.preset, button.all_shots = name, scene.fathom.all_shots


def _draw_lamp(layout, lamp, scene):
    layout.operator("fathom.unlight_fog", icon="X").all_shots = scene.fathom.all_shots
    column = layout.column()
    column.prop(lamp.data, "energy", text="Sun Strength")
    column.prop(lamp.data, "color", text="Sun Color")


def _draw_look(column, look, names):
    """Inputs of the look by their names; what is linked has its value from a node."""
    for name in names:
        socket = look.inputs.get(name)
        if socket is None:  # a group that is not as Fathom makes it
            continue
        if socket.is_linked:
            column.label(text=f"{name}: by a node", icon="NODETREE")
        else:
            column.prop(socket, "default_value", text=name)


def _draw_shape(column, modifier):
    names = nodes.interface_identifiers(modifier.node_group)
    for name in _SHAPE:
        if name in names:
            holder, path = nodes.modifier_input_holder(modifier, name)
            column.prop(holder, path, text=name)


class FATHOM_PT_sequence_editor_fog(_Fog, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_clip_editor_fog(_Fog, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_view_3d_fog(_Fog, bpy.types.Panel):
    bl_space_type = "VIEW_3D"


CLASSES = (FATHOM_PT_sequence_editor_fog, FATHOM_PT_clip_editor_fog, FATHOM_PT_view_3d_fog)
