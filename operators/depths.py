"""The operators of the scene's list of depths."""

import bpy

from ..inference.contract.untrusted import readable
from ..scene import build, depth_list, missing_files, plate
from ..scene import depth as depth_module
from ..scene.depth import DepthError
from ..scene.plate import PlateError
from ..scene.versions import sequencer_scene
from ..scene.wording import shown
from .arguments import argument, depth_argument, path_argument
from .reporting import reporting


class _InFileBrowser:
    """Mix-in: an operator that has the artist choose something first."""

    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}


class _ChoosesFolder(_InFileBrowser):
    """Mix-in: that is the folder of a depth sequence."""

    directory: path_argument("Folder", "The folder with the depth.json", "DIR_PATH")
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

    frame_offset: argument(
        bpy.props.IntProperty, "Frame Offset", "What is added to the clip's frame numbers to give the scene's"
    )

    @reporting
    def execute(self, context):
        depth = depth_module.load(_chosen(self.directory), frame_offset=self.frame_offset)
        if not self.properties.is_property_set("frame_offset"):
            depth = depth_list.placed(context.scene, depth)
        depth_list.remember(context.scene, depth)
        missing_files.reload()  # as it lies there now, which may not be what Blender has read
        self.report({"INFO"}, f"Loaded the depth of {depth.name}")
        return {"FINISHED"}


class OnEntry:
    """Mix-in: an operator for a depth of the scene's list."""

    bl_options = {"REGISTER", "UNDO"}

    depth: depth_argument(options=frozenset({"HIDDEN"}))

    @classmethod
    def poll(cls, context):
        if not len(context.scene.fathom.depths):
            cls.poll_message_set("The list is empty")
            return False
        return True


class FATHOM_OT_forget_depth(OnEntry, bpy.types.Operator):
    """Take the depth off the list; its files and what was built from it stay"""

    bl_idname = "fathom.forget_depth"
    bl_label = "Remove Depth from List"

    @reporting
    def execute(self, context):
        depth_list.remove(context.scene, self.depth)
        return {"FINISHED"}


class FATHOM_OT_check_files(OnEntry, bpy.types.Operator):
    """Look whether the depth and its plate lie where this file says"""

    bl_idname = "fathom.check_files"
    bl_label = "Check Files"

    @reporting
    def execute(self, context):
        try:
            depth = depth_list.load(context.scene, self.depth)
            plate.ask(depth)
            plate.require_plate(depth)
        finally:
            missing_files.forget()
        other = plate.of_other_files(depth)
        if other is not None:
            self.report({"WARNING"}, readable(other))
        else:
            self.report({"INFO"}, f"The depth of {depth.name} and its plate are there")
        return {"FINISHED"}


class FATHOM_OT_relink_depth(OnEntry, _ChoosesFolder, bpy.types.Operator):
    """Choose where the depth lies now that its folder was moved; what was built from it goes with it"""

    bl_idname = "fathom.relink_depth"
    bl_label = "Relink Depth"

    @reporting
    def execute(self, context):
        depth = depth_list.relink(context.scene, _chosen(self.directory), self.depth)
        missing_files.reload()
        self.report({"INFO"}, readable(f"{depth.name} shows the depth in {depth.folder}"))
        return {"FINISHED"}


class FATHOM_OT_find_plate(OnEntry, _InFileBrowser, bpy.types.Operator):
    """Choose where the clip of the depth lies: the movie, or a frame of the sequence"""

    bl_idname = "fathom.find_plate"
    bl_label = "Find Plate"

    filepath: path_argument("Plate", "The movie, a frame of the sequence, or its folder", "FILE_PATH")
    filter_movie: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context, event):
        """Begin beside the .blend file; without a path Blender would suggest the file itself."""
        self.filepath = self.filepath or bpy.path.abspath("//")
        return super().invoke(context, event)

    @reporting
    def execute(self, context):
        if not self.filepath:
            raise PlateError("No clip is chosen: choose the movie, or a frame of the sequence.")
        depth = depth_list.find_plate(context.scene, self.filepath, self.depth)
        missing_files.reload()
        self.report({"INFO"}, readable(f"{depth.name} shows the plate {depth.source.path}"))
        return {"FINISHED"}


class FATHOM_OT_fit_scene(OnEntry, bpy.types.Operator):
    """Give the scene the clip's frame range, render size and frame rate"""

    bl_idname = "fathom.fit_scene"
    bl_label = "Fit Scene to Clip"

    frame_range: bpy.props.BoolProperty(
        name="Frame Range", description="Set the scene's start and end to those of the clip", default=True
    )
    render_size: bpy.props.BoolProperty(
        name="Render Size", description="Set the scene's render size to the clip's", default=True
    )
    frame_rate: bpy.props.BoolProperty(
        name="Frame Rate", description="Set the scene's frame rate to the clip's, where it is known", default=True
    )

    @reporting
    def execute(self, context):
        build.fit_scene(
            context.scene,
            depth_list.load(context.scene, self.depth),
            frame_range=self.frame_range,
            render_size=self.render_size,
            frame_rate=self.frame_rate,
        )
        return {"FINISHED"}


class FATHOM_OT_show_shot(bpy.types.Operator):
    """Go to the first frame of this shot"""

    bl_idname = "fathom.show_shot"
    bl_label = "Go to Shot"
    bl_options = {"REGISTER", "UNDO"}

    frame: argument(bpy.props.IntProperty, "Frame", "First frame of the shot on the timeline")
    reason: argument(bpy.props.StringProperty, "Reason", "Why its depth is what it is", options=frozenset({"HIDDEN"}))

    @classmethod
    def description(cls, context, properties):
        """The tooltip: why the shot's depth is what it is, or why it has none."""
        return f"{cls.__doc__}.\n{shown(properties.reason, 500)}" if properties.reason else cls.__doc__

    def execute(self, context):
        in_sequencer = context.area is not None and context.area.type == "SEQUENCE_EDITOR"
        scene = sequencer_scene(context) if in_sequencer else context.scene
        scene.frame_set(self.frame)
        return {"FINISHED"}


CLASSES = (
    FATHOM_OT_load_depth,
    FATHOM_OT_forget_depth,
    FATHOM_OT_check_files,
    FATHOM_OT_relink_depth,
    FATHOM_OT_find_plate,
    FATHOM_OT_fit_scene,
    FATHOM_OT_show_shot,
)
