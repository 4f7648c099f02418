"""The operators that show depth in the editors, and put it beside its plate in the Sequencer."""

import bpy

from ..inference.contract.untrusted import readable
from ..scene import depth_list, depth_strip, versions
from ..scene.redraw import redraw
from ..scene.viewing import drawing, image_editor
from .depths import OnEntry
from .reporting import reporting


class FATHOM_OT_view_depth(bpy.types.Operator):
    """Show the active depth in the Sequencer, the Movie Clip Editor and the Image Editor, or stop showing it"""

    bl_idname = "fathom.view_depth"
    bl_label = "View Depth"

    @classmethod
    def poll(cls, context):
        return context.scene is not None

    @reporting
    def execute(self, context):
        view = context.scene.fathom.view
        space = context.space_data
        in_image_editor = space is not None and space.type == "IMAGE_EDITOR"
        if in_image_editor and len(context.scene.fathom.depths):
            depth = depth_list.load(context.scene)
            has_changed = image_editor.show(space, depth)
            view.show = has_changed or not view.show
        else:
            view.show = not view.show
        drawing.redraw()
        redraw()
        return {"FINISHED"}


class FATHOM_OT_add_depth_strip(OnEntry, bpy.types.Operator):
    """Add a strip of the active depth above its plate in the Sequencer, gray, one range for each shot"""

    bl_idname = "fathom.add_depth_strip"
    bl_label = "Add Depth Strip"

    @reporting
    def execute(self, context):
        depth = depth_list.load(context.scene, self.depth)
        strips = depth_strip.add(depth, versions.sequencer_scene(context))
        self.report({"INFO"}, readable(f"Added {', '.join(strip.name for strip in strips[:3])}"))
        return {"FINISHED"}


CLASSES = (FATHOM_OT_view_depth, FATHOM_OT_add_depth_strip)
