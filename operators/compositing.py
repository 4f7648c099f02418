"""The operators that put a depth effect into the scene's compositor."""

import bpy

from ..scene import compositing
from .arguments import argument
from .depth_operator import OnDepth


class _Add(OnDepth):
    """One effect for each shot; adding it again finds the one that is there."""

    @classmethod
    def poll(cls, context):
        return context.scene is not None  # any mode will do

    def build(self, context, depth, shot):
        """The effect's node."""
        node = self.add(context.scene, depth, shot)
        return f"{node.label or node.name} of {depth.label('', shot).strip()}"

    def complete(self, context, depth):
        """Say where the clip's chain does not show in the output."""
        sentence = compositing.beside(context.scene, depth)
        if sentence is not None:
            self.report({"WARNING"}, sentence)


class FATHOM_OT_add_compositing_fog(_Add, bpy.types.Operator):
    """Lay fog over the image in the compositor, thicker with distance"""

    bl_idname = "fathom.add_compositing_fog"
    bl_label = "Add Compositing Fog"
    add = staticmethod(compositing.add_fog)


class FATHOM_OT_add_compositing_dof(_Add, bpy.types.Operator):
    """Blur the image in the compositor in front of and behind a distance"""

    bl_idname = "fathom.add_compositing_dof"
    bl_label = "Add Depth of Field"

    max_blur: argument(
        bpy.props.IntProperty,
        "Max Blur",
        "Largest radius of the blur; twice as much takes four times as long. 0: as it is, or, the first time, as much "
        "as suits the render's width",
        subtype="PIXEL",
        min=0,
        soft_max=100,
    )

    def add(self, scene, depth, shot):
        """Add it, and show the limit that it has in the redo panel."""
        node = compositing.add_depth_of_field(scene, depth, shot, max_blur=self.max_blur or None)
        self.max_blur = round(compositing.max_blur_of(node))
        return node


class FATHOM_OT_add_compositing_matte(_Add, bpy.types.Operator):
    """Make a matte in the compositor of what lies at a distance"""

    bl_idname = "fathom.add_compositing_matte"
    bl_label = "Add Depth Matte"
    add = staticmethod(compositing.add_depth_matte)


class FATHOM_OT_add_compositing_z_combine(_Add, bpy.types.Operator):
    """Combine the scene's render with the clip in the compositor, the nearer in front"""

    bl_idname = "fathom.add_compositing_z_combine"
    bl_label = "Add Z Combine"
    add = staticmethod(compositing.add_z_combine)


CLASSES = (
    FATHOM_OT_add_compositing_fog,
    FATHOM_OT_add_compositing_dof,
    FATHOM_OT_add_compositing_matte,
    FATHOM_OT_add_compositing_z_combine,
)
