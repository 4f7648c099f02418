"""The operators of the scene's list of depths."""

import bpy

from ..inference.contract.records import readable
from ..scene import build, depth_list, missing, plate
from ..scene import depth as depth_module
from ..scene.depth import DepthError
from ..scene.plate import PlateError
from ..scene.versions import PATH_OPTIONS
from .reporting import report_error


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
    filter_glob: bpy.props.StringProperty(default="*depth.json", options={"HIDDEN", "SKIP_SAVE"})
    filename: bpy.props.StringProperty(subtype="FILE_NAME", options={"HIDDEN", "SKIP_SAVE"})  # or no files are shown

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        if not self.directory:
            report_error(self, "No folder is chosen: choose the folder with the depth.json.")
            return {"CANCELLED"}
        try:
            depth = depth_module.load(self.directory, frame_offset=self.frame_offset)
        except DepthError as problem:
            report_error(self, problem)
            return {"CANCELLED"}
        if not self.properties.is_property_set("frame_offset"):
            depth = depth_list.placed(context.scene, depth)
        try:
            depth_list.remember(context.scene, depth)
        except DepthError as problem:
            report_error(self, problem)
            return {"CANCELLED"}
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

    def execute(self, context):
        kept = context.scene.fathom
        index = kept.active_depth if self.depth < 0 else self.depth
        if index >= len(kept.depths):
            report_error(self, f"The list has no depth {index}: it holds {len(kept.depths)}, counted from 0.")
            return {"CANCELLED"}
        kept.depths.remove(index)
        kept.active_depth = max(0, min(kept.active_depth, len(kept.depths) - 1))
        return {"FINISHED"}


class FATHOM_OT_check_files(_OnEntry, bpy.types.Operator):
    """Look whether the depth and its plate lie where this file says"""

    bl_idname = "fathom.check_files"
    bl_label = "Check Files"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        try:
            depth = depth_list.load(context.scene, self.index)
            plate.ask(depth)
            plate.require_plate(depth)
        except (DepthError, PlateError) as problem:
            report_error(self, problem)
            return {"CANCELLED"}
        finally:
            missing.forget()
        self.report({"INFO"}, f"The depth of {depth.name} and its plate are there")
        return {"FINISHED"}


class _Relink(_OnEntry):
    """Mix-in: the operator gives `place`, `nothing_chosen` and `relink`, which returns what it reports."""

    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    nothing_chosen = ""

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        if not self.place:
            report_error(self, self.nothing_chosen)
            return {"CANCELLED"}
        try:
            done = self.relink(context.scene)
        except (DepthError, PlateError) as problem:
            report_error(self, problem)
            return {"CANCELLED"}
        missing.reload()
        self.report({"INFO"}, readable(done))
        return {"FINISHED"}


class FATHOM_OT_relink_depth(_Relink, bpy.types.Operator):
    """Choose where the depth lies now that its folder was moved; what was built from it goes with it"""

    bl_idname = "fathom.relink_depth"
    bl_label = "Relink Depth"
    bl_options = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(
        name="Folder",
        description="The folder with the depth.json",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"} | PATH_OPTIONS,
    )
    filter_glob: bpy.props.StringProperty(default="*depth.json", options={"HIDDEN", "SKIP_SAVE"})
    filename: bpy.props.StringProperty(subtype="FILE_NAME", options={"HIDDEN", "SKIP_SAVE"})  # or no files are shown
    nothing_chosen = "No folder is chosen: choose the folder with the depth.json."

    @property
    def place(self):
        """What was chosen."""
        return self.directory

    def relink(self, scene):
        """Show the depth of that folder."""
        depth = depth_list.relink(scene, self.directory, self.index)
        return f"{depth.name} shows the depth in {depth.folder}"


class FATHOM_OT_find_plate(_Relink, bpy.types.Operator):
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
    nothing_chosen = "No clip is chosen: choose the movie, or a frame of the sequence."

    def invoke(self, context, event):
        """Begin beside the .blend file; without a path Blender would suggest the file itself."""
        self.filepath = self.filepath or bpy.path.abspath("//")
        return super().invoke(context, event)

    @property
    def place(self):
        """What was chosen."""
        return self.filepath

    def relink(self, scene):
        """Show the plate that lies there."""
        depth = depth_list.find_plate(scene, self.filepath, self.index)
        return f"{depth.name} shows the plate {depth.source.path}"


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

    def execute(self, context):
        try:
            depth = depth_list.load(context.scene, self.index)
        except DepthError as problem:
            report_error(self, problem)
            return {"CANCELLED"}
        build.fit_scene(
            context.scene,
            depth,
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
