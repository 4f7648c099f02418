"""The operators of the scene's list of depths."""

import bpy

from ..inference.contract.records import readable
from ..scene import build, depth_list, missing, plate
from ..scene import depth as depth_module
from ..scene.depth import DepthError
from ..scene.plate import PlateError
from ..scene.versions import PATH_OPTIONS
from .reporting import reporting


class _InFileBrowser:
    """Mix-in: an operator that has the artist choose something first."""

    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}


class _ChoosesFolder(_InFileBrowser):
    """Mix-in: that is the folder of a depth sequence."""

    directory: bpy.props.StringProperty(
        name="Folder",
        description="The folder with the depth.json",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"} | PATH_OPTIONS,
    )
    filter_glob: bpy.props.StringProperty(default="*depth.json", options={"HIDDEN", "SKIP_SAVE"})
    filename: bpy.props.StringProperty(subtype="FILE_NAME", options={"HIDDEN", "SKIP_SAVE"})  # or no files are shown


def _chosen(directory):
    """The folder itself, or DepthError where none was chosen."""
    if not directory:
        raise DepthError("No folder is chosen: choose the folder with the depth.json.")
    return directory


class FATHOM_OT_load_depth(_ChoosesFolder, bpy.types.Operator):
    """Load a depth sequence that was estimated before, here or on another machine"""

    bl_idname = "fathom.load_depth"
    bl_label = "Load Depth"
    bl_options = {"REGISTER", "UNDO"}

    frame_offset: bpy.props.IntProperty(
        name="Frame Offset",
        description="What is added to the clip's frame numbers to give the scene's",
        default=0,
        options={"SKIP_SAVE"},
    )

    @reporting(DepthError)
    def execute(self, context):
        depth = depth_module.load(_chosen(self.directory), frame_offset=self.frame_offset)
        if not self.properties.is_property_set("frame_offset"):
            depth = depth_list.placed(context.scene, depth)
        depth_list.remember(context.scene, depth)
        self.report({"INFO"}, f"Loaded the depth of {depth.name}")
        return {"FINISHED"}


class _OnEntry:
    """Mix-in: an operator for a depth of the scene's list."""

    depth: bpy.props.IntProperty(
        name="Depth",
        description="Place in the list, from 0; -1: the active one",
        default=-1,
        min=-1,
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @property
    def index(self):
        """The place in the list, None for the active one."""
        return None if self.depth < 0 else self.depth

    @classmethod
    def poll(cls, context):
        if not len(context.scene.fathom.depths):
            cls.poll_message_set("The list is empty")
            return False
        return True


class FATHOM_OT_forget_depth(_OnEntry, bpy.types.Operator):
    """Take the depth off the list; its files and what was built from it stay"""

    bl_idname = "fathom.forget_depth"
    bl_label = "Remove Depth from List"
    bl_options = {"REGISTER", "UNDO"}

    @reporting(DepthError)
    def execute(self, context):
        depth_list.remove(context.scene, self.index)
        return {"FINISHED"}


class FATHOM_OT_check_files(_OnEntry, bpy.types.Operator):
    """Look whether the depth and its plate lie where this file says"""

    bl_idname = "fathom.check_files"
    bl_label = "Check Files"
    bl_options = {"REGISTER", "UNDO"}

    @reporting(DepthError, PlateError)
    def execute(self, context):
        try:
            depth = depth_list.load(context.scene, self.index)
            plate.ask(depth)
            plate.require_plate(depth)
        finally:
            missing.forget()
        self.report({"INFO"}, f"The depth of {depth.name} and its plate are there")
        return {"FINISHED"}


class FATHOM_OT_relink_depth(_OnEntry, _ChoosesFolder, bpy.types.Operator):
    """Choose where the depth lies now that its folder was moved; what was built from it goes with it"""

    bl_idname = "fathom.relink_depth"
    bl_label = "Relink Depth"
    bl_options = {"REGISTER", "UNDO"}

    @reporting(DepthError)
    def execute(self, context):
        depth = depth_list.relink(context.scene, _chosen(self.directory), self.index)
        missing.reload()
        self.report({"INFO"}, readable(f"{depth.name} shows the depth in {depth.folder}"))
        return {"FINISHED"}


class FATHOM_OT_find_plate(_OnEntry, _InFileBrowser, bpy.types.Operator):
    """Choose where the clip of the depth lies: the movie, or a frame of the sequence"""

    bl_idname = "fathom.find_plate"
    bl_label = "Find Plate"
    bl_options = {"REGISTER", "UNDO"}

    filepath: bpy.props.StringProperty(
        name="Plate",
        description="The movie, a frame of the sequence, or its folder",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"} | PATH_OPTIONS,
    )
    filter_movie: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context, event):
        """Begin beside the .blend file; without a path Blender would suggest the file itself."""
        self.filepath = self.filepath or bpy.path.abspath("//")
        return super().invoke(context, event)

    @reporting(DepthError, PlateError)
    def execute(self, context):
        if not self.filepath:
            raise PlateError("No clip is chosen: choose the movie, or a frame of the sequence.")
        depth = depth_list.find_plate(context.scene, self.filepath, self.index)
        missing.reload()
        self.report({"INFO"}, readable(f"{depth.name} shows the plate {depth.source.path}"))
        return {"FINISHED"}


class FATHOM_OT_fit_scene(_OnEntry, bpy.types.Operator):
    """Give the scene the clip's frame range, render size and frame rate"""

    bl_idname = "fathom.fit_scene"
    bl_label = "Fit Scene to Clip"
    bl_options = {"REGISTER", "UNDO"}

    frame_range: bpy.props.BoolProperty(
        name="Frame Range", description="Set the scene's start and end to those of the clip", default=True
    )
    render_size: bpy.props.BoolProperty(
        name="Render Size", description="Set the scene's render size to the clip's", default=True
    )
    frame_rate: bpy.props.BoolProperty(
        name="Frame Rate", description="Set the scene's frame rate to the clip's, where it is known", default=True
    )

    @reporting(DepthError)
    def execute(self, context):
        build.fit_scene(
            context.scene,
            depth_list.load(context.scene, self.index),
            frame_range=self.frame_range,
            render_size=self.render_size,
            frame_rate=self.frame_rate,
        )
        return {"FINISHED"}


CLASSES = (
    FATHOM_OT_load_depth,
    FATHOM_OT_forget_depth,
    FATHOM_OT_check_files,
    FATHOM_OT_relink_depth,
    FATHOM_OT_find_plate,
    FATHOM_OT_fit_scene,
)
