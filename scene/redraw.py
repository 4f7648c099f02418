"""What all windows have to show again."""

import bpy


def redraw() -> None:
    """Have the sidebars and the preferences drawn again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if region.type == "UI" or area.type == "PREFERENCES":
                    region.tag_redraw()


def clear_status() -> None:
    """Take back what was written into the status bar, in whatever workspace, which draws it again.

    Nothing is touched before there is a window, as when Blender is started with a file: it would crash.
    """
    if bpy.app.background or not bpy.context.window_manager.windows:
        return
    for workspace in bpy.data.workspaces:
        workspace.status_text_set_internal(None)
