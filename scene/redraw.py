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

    Nothing is touched while there is no window that Blender works in, as when it is started with a file, or has just
    opened one: it would crash. What is drawn next draws the status bar as well.
    """
    windows = () if bpy.app.background else tuple(bpy.context.window_manager.windows)
    if bpy.context.window not in windows:
        return
    for workspace in bpy.data.workspaces:
        workspace.status_text_set_internal(None)
