"""The shots of the active depth: a press goes to the first frame of one."""

import bpy

from ..scene import shot_list
from . import parts

_MOST = 60
"""Shots that are listed; the number of the others stands below."""
_QUANTITIES = {"inverse_depth": "measured", "relative_disparity": "relative"}


class _Shots(parts.Sidebar):
    bl_label = "Shots"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return len(shot_list.known(context.scene)) > 1

    def draw(self, context):
        layout = self.layout
        shots = shot_list.known(context.scene)
        column = layout.column(align=True)
        for number, shot in enumerate(shots[:_MOST], start=1):
            which = _QUANTITIES.get(shot.quantity, "") if shot.is_done else "no depth"
            text = ", ".join(filter(None, [f"Shot {number}: {shot.first_frame}-{shot.last_frame}", which]))
            go = column.operator("fathom.show_shot", text=text, icon="CHECKMARK" if shot.is_done else "CANCEL")
            go.frame, go.reason = shot.scene_frame, shot.reason if shot.is_done else f"It has no depth. {shot.reason}"
        if len(shots) > _MOST:
            column.label(text=f"and {len(shots) - _MOST} more shots")


class FATHOM_PT_sequence_editor_shots(_Shots, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"
    bl_parent_id = "FATHOM_PT_sequence_editor_depths"


class FATHOM_PT_clip_editor_shots(_Shots, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"
    bl_parent_id = "FATHOM_PT_clip_editor_depths"


class FATHOM_PT_view_3d_shots(_Shots, bpy.types.Panel):
    bl_space_type = "VIEW_3D"
    bl_parent_id = "FATHOM_PT_view_3d_depths"


CLASSES = (FATHOM_PT_sequence_editor_shots, FATHOM_PT_clip_editor_shots, FATHOM_PT_view_3d_shots)
