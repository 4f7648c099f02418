"""The operators that put a depth effect into the scene's compositor, and the effects into an asset library."""

import bpy

from ..scene import compositing, depth_list, versions
from ..scene.compositing import library, strip_effects
from ..scene.problems import Problem
from .arguments import argument, depth_argument
from .depth_operator import OnDepth
from .orientation import ByPoints
from .reporting import reporting


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
        """Say where the clip's chain does not show in the output, or shows the clip at other frames than its depth."""
        for sentence in (compositing.beside(context.scene, depth), compositing.out_of_step(context.scene, depth)):
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
        "Largest radius of the blur. 0: as it is, or, the first time, as much as suits the render's width",
        subtype="PIXEL",
        min=0,
        soft_max=100,
    )

    def add(self, scene, depth, shot):
        """Add it, and show the limit that it has in the redo panel."""
        node = compositing.add_depth_of_field(scene, depth, shot, max_blur=self.max_blur or None)
        self.max_blur = round(compositing.max_blur_of(node))
        return node


class FATHOM_OT_pick_focus(ByPoints, bpy.types.Operator):
    """Focus depth of field on what is clicked in the image, or on the selected track"""

    bl_idname = "fathom.pick_focus"
    bl_label = "Pick Focus"

    def apply(self, context, depth, shot, places):
        """Focus on it."""
        _, distance = compositing.focus_at(context.scene, depth, shot, tuple(places[0]))
        self.report({"INFO"}, f"The focus is at {distance:.3g}")


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


class FATHOM_OT_add_compositing_grade(_Add, bpy.types.Operator):
    """Grade near, middle and far distances of the image apart in the compositor"""

    bl_idname = "fathom.add_compositing_grade"
    bl_label = "Add Depth Grade"
    add = staticmethod(compositing.add_depth_grade)


class FATHOM_OT_add_compositing_relight(_Add, bpy.types.Operator):
    """Light the surfaces of the image anew in the compositor, by the active lamp or the scene's only one"""

    bl_idname = "fathom.add_compositing_relight"
    bl_label = "Add Relight"

    lamp: argument(
        bpy.props.StringProperty,
        "Lamp",
        "Name of the lamp; empty: the active one, or the scene's only one",
    )

    def add(self, scene, depth, shot):
        """Add it."""
        if not self.lamp:
            return compositing.add_relight(scene, depth, shot, lamp=compositing.lamp_of(scene, bpy.context.object))
        lamp = scene.objects.get(self.lamp)
        if lamp is None:
            raise Problem(f"There is no object {self.lamp} in the scene.")
        return compositing.add_relight(scene, depth, shot, lamp=lamp)


class FATHOM_OT_add_compositing_normals(_Add, bpy.types.Operator):
    """Make normals of the surfaces in the compositor"""

    bl_idname = "fathom.add_compositing_normals"
    bl_label = "Add Normals"
    add = staticmethod(compositing.add_normals)


class FATHOM_OT_add_compositing_stereo(_Add, bpy.types.Operator):
    """Make a left and a right image in the compositor, and fill what the camera did not see"""

    bl_idname = "fathom.add_compositing_stereo"
    bl_label = "Add Stereo Pair"
    add = staticmethod(compositing.add_stereo)


class FATHOM_OT_add_compositing_isolate(_Add, bpy.types.Operator):
    """Cut a subject out of the image in the compositor by a matte, and fill its place"""

    bl_idname = "fathom.add_compositing_isolate"
    bl_label = "Add Isolate by Matte"

    matte: argument(
        bpy.props.StringProperty, "Matte", "Name of the image that is the matte; empty: link one to the node"
    )

    def add(self, scene, depth, shot):
        """Add it."""
        image = bpy.data.images.get(self.matte) if self.matte else None
        if self.matte and image is None:
            raise Problem(f"There is no image {self.matte} in this file.")
        return compositing.add_isolate(scene, depth, shot, matte=image)


class FATHOM_OT_add_strip_effect(bpy.types.Operator):
    """Give the active strip a compositor modifier with an effect by its depth, whose inputs are the strip's own"""

    bl_idname = "fathom.add_strip_effect"
    bl_label = "Add Effect to Strip"
    bl_options = {"REGISTER", "UNDO"}

    depth: depth_argument(options=frozenset({"HIDDEN"}))
    effect: bpy.props.EnumProperty(
        name="Effect", description="The effect", items=strip_effects.ITEMS, default=strip_effects.ITEMS[0][0]
    )

    @reporting
    def execute(self, context):
        """Add it, or find the one that the strip has."""
        scene = versions.sequencer_scene(context)
        strip = None if scene.sequence_editor is None else scene.sequence_editor.active_strip
        if strip is None:
            raise Problem("No strip is active: select the clip's strip first.")
        depth = depth_list.load(context.scene, self.depth)
        modifier = strip_effects.add(strip, scene, depth, depth.done_shot_at(scene.frame_current), self.effect)
        self.report({"INFO"}, f"{modifier.name} is a modifier of the strip")
        return {"FINISHED"}


class FATHOM_OT_install_assets(bpy.types.Operator):
    """Put the effects into an asset library, so that they lie in the compositor's asset shelf and Add menu"""

    bl_idname = "fathom.install_assets"
    bl_label = "Install Asset Library"

    @reporting
    def execute(self, context):
        """Make it anew where it is there."""
        folder = library.install()
        self.report({"INFO"}, f"The asset library {library.NAME} is in {folder}")
        return {"FINISHED"}


class FATHOM_OT_remove_assets(bpy.types.Operator):
    """Take Fathom's asset library out of Blender's preferences, and its files away"""

    bl_idname = "fathom.remove_assets"
    bl_label = "Remove Asset Library"

    @reporting
    def execute(self, context):
        """Remove it; groups that are in use stay where they were appended."""
        library.remove()
        self.report({"INFO"}, "The asset library is removed")
        return {"FINISHED"}


CLASSES = (
    FATHOM_OT_add_compositing_fog,
    FATHOM_OT_add_compositing_dof,
    FATHOM_OT_pick_focus,
    FATHOM_OT_add_compositing_matte,
    FATHOM_OT_add_compositing_z_combine,
    FATHOM_OT_add_compositing_relight,
    FATHOM_OT_add_compositing_grade,
    FATHOM_OT_add_compositing_normals,
    FATHOM_OT_add_compositing_stereo,
    FATHOM_OT_add_compositing_isolate,
    FATHOM_OT_add_strip_effect,
    FATHOM_OT_install_assets,
    FATHOM_OT_remove_assets,
)
