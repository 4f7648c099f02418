"""What is to be pasted elsewhere."""

import bpy


class FATHOM_OT_copy_command(bpy.types.Operator):
    """Copy a command, to paste it in a terminal"""

    bl_idname = "fathom.copy_command"
    bl_label = "Copy Command"
    bl_options = {"INTERNAL"}  # without a command, so in the search, it would do nothing

    command: bpy.props.StringProperty(name="Command", description="What is copied", options={"SKIP_SAVE"})

    @classmethod
    def description(cls, context, properties):
        """The tooltip: the command in full, which no sidebar is wide enough for."""
        return f"{cls.__doc__}:\n{properties.command}"

    def execute(self, context):
        context.window_manager.clipboard = self.command
        self.report({"INFO"}, "The command is copied: paste it in a terminal")
        return {"FINISHED"}


CLASSES = (FATHOM_OT_copy_command,)
