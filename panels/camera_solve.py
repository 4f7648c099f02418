"""How the depth agrees with the clip's camera solve; and its scale and level without one."""

import bpy

from ..scene import camera_fit, fit_plot
from . import parts

_PLOT = 9.0
"""Size of the plot in lines of text."""


class _CameraSolve(parts.Sidebar):
    bl_label = "Camera Solve"
    bl_order = 1  # below View, as Build

    @classmethod
    def poll(cls, context):
        return len(context.scene.fathom.depths) > 0

    def draw(self, context):
        layout = self.layout
        scene, width = context.scene, context.region.width
        layout.prop(scene.fathom, "all_shots")
        row = layout.row()
        row.scale_y = 1.2
        fit = row.operator("fathom.fit_to_camera_solve", icon="CON_CAMERASOLVER")
        fit.all_shots = scene.fathom.all_shots
        item = camera_fit.entry_at(scene)
        if item is None:
            parts.draw_text(layout, "Depth has its own distances", icon="INFO", width=width)
            return
        wild, count = camera_fit.wild_tracks(item), len(item.tracks)
        text = f"{count - len(wild)} of {count} tracks fit, to {100 * item.residual:.1f} % of their distance"
        parts.draw_text(layout, f"Frames {item.first_frame}-{item.last_frame}: {text}", icon="CHECKMARK", width=width)
        if len(item.keys) > 1:
            parts.draw_text(layout, f"Scale and shift change over {len(item.keys)} keys", width=width)
        if item.notes:
            parts.draw_text(layout, f"Left out: {item.notes}", icon="INFO", width=width)
        layout.template_icon(icon_value=fit_plot.icon_of(item), scale=_PLOT)
        parts.draw_text(layout, "Across: distance by the solve; up: by the depth; red is not used", width=width)
        _draw_worst(layout, item, wild)
        layout.operator("fathom.remove_fit", icon="X").all_shots = scene.fathom.all_shots


def _draw_worst(layout, item, wild):
    """The tracks that agree least, each a button that selects it."""
    if item.clip is None:
        return
    column = layout.column(align=True)
    if wild:
        every = column.operator("fathom.select_fit_tracks", text=f"Select {len(wild)} Tracks That Do Not Fit")
        every.clip, every.tracks = item.clip.name, "\n".join(wild)
    for track in camera_fit.worst_tracks(item):
        amount = f"{100 * track.error:.0f} %" if track.error < 10 else "far off"
        text = f"{track.name}: {amount}"
        one = column.operator("fathom.select_fit_tracks", text=text, icon="TRACKER", translate=False)
        one.clip, one.tracks = item.clip.name, track.name


class _Orientation(parts.Sidebar):
    bl_label = "Orientation"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 1

    @classmethod
    def poll(cls, context):
        return len(context.scene.fathom.depths) > 0

    def draw(self, context):
        layout = self.layout
        parts.draw_text(
            layout, "By selected tracks, or by clicks in the image where none is", width=context.region.width
        )
        layout.operator("fathom.set_floor")
        column = layout.column(align=True)
        column.prop(context.scene.fathom, "known_distance")
        for name in ("fathom.set_scale", "fathom.set_distance"):
            column.operator(name).distance = context.scene.fathom.known_distance


class FATHOM_PT_sequence_editor_camera_solve(_CameraSolve, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_clip_editor_camera_solve(_CameraSolve, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_view_3d_camera_solve(_CameraSolve, bpy.types.Panel):
    bl_space_type = "VIEW_3D"


class FATHOM_PT_clip_editor_orientation(_Orientation, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


class FATHOM_PT_image_editor_orientation(_Orientation, bpy.types.Panel):
    bl_space_type = "IMAGE_EDITOR"


CLASSES = (
    FATHOM_PT_sequence_editor_camera_solve,
    FATHOM_PT_clip_editor_camera_solve,
    FATHOM_PT_view_3d_camera_solve,
    FATHOM_PT_clip_editor_orientation,
    FATHOM_PT_image_editor_orientation,
)
