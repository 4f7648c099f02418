"""The operators that install the worker's environment, remove it, and copy commands to be pasted elsewhere."""

import bpy

from ..inference.contract import environment_setup
from ..scene import disk_status, preferences
from ..scene.problems import Problem
from ..scene.redraw import redraw
from .arguments import argument
from .modal_run import Follows, is_idle
from .reporting import report_error, reporting


class FATHOM_OT_install_dependencies(Follows, bpy.types.Operator):
    """Download the packages that estimating needs into Fathom's own environment; Blender itself is left alone"""

    bl_idname = "fathom.install_dependencies"
    bl_label = "Install Dependencies"

    packages: argument(
        bpy.props.EnumProperty, "Packages", "Which estimators to install for", items=preferences.PACKAGES
    )

    @classmethod
    def description(cls, context, properties):
        """The tooltip: what it takes."""
        size = preferences.describe_size(properties.packages.lower())
        return f"{cls.__doc__}.\n{size[:1].upper()}{size[1:]}"

    @classmethod
    def poll(cls, context):
        if not is_idle(cls):
            return False
        reason = preferences.install_offline_reason(preferences.at_hand())
        if reason is not None:
            cls.poll_message_set(reason.rstrip("."))
            return False
        return True

    def begin(self, context):
        """The steps that make the environment with Blender's own Python; none where a larger one serves."""
        packages = self.packages.lower()
        if preferences.look().has(packages):
            self.report({"INFO"}, preferences.INSTALLED)
            return None
        return "Installing the dependencies", preferences.install(packages), packages

    def finish(self, context):
        self.report({"INFO"}, "The inference environment is ready")


class FATHOM_OT_repair_environment(Follows, bpy.types.Operator):
    """Check that every package of Fathom's environment is there and loads, and install them again where one does not"""

    bl_idname = "fathom.repair_environment"
    bl_label = "Repair Inference Environment"

    def begin(self, context):
        states = preferences.look().states
        packages = "light" if states["full"] == "missing" and states["light"] != "missing" else "full"
        if states[packages] == "missing":
            raise Problem("There is no environment of Fathom's to repair: press Install Dependencies.")
        return "Repairing the environment", preferences.repair(packages), packages

    def finish(self, context):
        self.report({"INFO"}, "Every package of the inference environment is there and loads")


class FATHOM_OT_remove_environment(bpy.types.Operator):
    """Delete the environment that Fathom installed; depth that was estimated stays"""

    bl_idname = "fathom.remove_environment"
    bl_label = "Remove Inference Environment"

    @classmethod
    def poll(cls, context):
        if not is_idle(cls):
            return False
        state = preferences.at_hand()
        if state is not None and not state.can_be_removed:
            cls.poll_message_set("Fathom has installed no environment that could be removed")
            return False
        return True

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    @reporting
    def execute(self, context):
        try:
            environment_setup.remove(preferences.data_folder())
        except OSError as error:
            return report_error(self, f"The environment cannot be removed: {error}. End what still runs from it.")
        disk_status.outdate()
        redraw()
        self.report({"INFO"}, "The inference environment was removed")
        return {"FINISHED"}


class FATHOM_OT_copy_command(bpy.types.Operator):
    """Copy a command, to paste it in a terminal"""

    bl_idname = "fathom.copy_command"
    bl_label = "Copy Command"
    bl_options = {"INTERNAL"}  # without a command, so in the search, it would do nothing

    command: argument(bpy.props.StringProperty, "Command", "What is copied")

    @classmethod
    def description(cls, context, properties):
        """The tooltip: the command in full, which no sidebar is wide enough for."""
        return f"{cls.__doc__}:\n{properties.command}"

    def execute(self, context):
        context.window_manager.clipboard = self.command
        self.report({"INFO"}, "The command is copied: paste it in a terminal")
        return {"FINISHED"}


CLASSES = (
    FATHOM_OT_install_dependencies,
    FATHOM_OT_repair_environment,
    FATHOM_OT_remove_environment,
    FATHOM_OT_copy_command,
)
