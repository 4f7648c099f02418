"""The operators of the scene's list of depths."""

import bpy

from ..scene import depth as depth_module
from ..scene import depth_list
from ..scene.depth import DepthError
from ..scene.versions import PATH_OPTIONS


class FATHOM_OT_load_depth(bpy.types.Operator):
    """Load a depth sequence that was estimated before, here or on another machine"""

    bl_idname = "fathom.load_depth"
    bl_label = "Load Depth"
    bl_options = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(
        name="Folder",
        description="The folder with the depth.json",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"} | PATH_OPTIONS,
    )
    frame_offset: bpy.props.IntProperty(
        name="Frame Offset",
        description="What is added to the clip's frame numbers to give the scene's",
        default=0,
        options={"SKIP_SAVE"},
    )
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: bpy.props.StringProperty(default="depth.json", options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        if not self.directory:
            self.report({"ERROR"}, "No folder is chosen: choose the folder with the depth.json.")
            return {"CANCELLED"}
        try:
            depth = depth_module.load(self.directory, frame_offset=self.frame_offset)
        except DepthError as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        if not self.properties.is_property_set("frame_offset"):
            depth = depth_list.placed(context.scene, depth)
        depth_list.remember(context.scene, depth)
        self.report({"INFO"}, f"Loaded the depth of {depth.name}")
        return {"FINISHED"}


class FATHOM_OT_forget_depth(bpy.types.Operator):
    """Take the depth off the list; its files and what was built from it stay"""

    bl_idname = "fathom.forget_depth"
    bl_label = "Remove Depth from List"
    bl_options = {"REGISTER", "UNDO"}

    depth: bpy.props.IntProperty(
        name="Depth",
        description="Place in the list, from 0; -1: the active one",
        default=-1,
        min=-1,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        if not len(context.scene.fathom.depths):
            cls.poll_message_set("The list is empty")
            return False
        return True

    def execute(self, context):
        kept = context.scene.fathom
        index = kept.active_depth if self.depth < 0 else self.depth
        if index >= len(kept.depths):
            self.report({"ERROR"}, f"The list has no depth {index}: it holds {len(kept.depths)}, counted from 0.")
            return {"CANCELLED"}
        kept.depths.remove(index)
        kept.active_depth = max(0, min(kept.active_depth, len(kept.depths) - 1))
        return {"FINISHED"}


CLASSES = (FATHOM_OT_load_depth, FATHOM_OT_forget_depth)
