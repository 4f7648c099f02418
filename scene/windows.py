"""What all windows have to show anew."""

import bpy


def redraw() -> None:
    """Have the sidebars and the preferences drawn again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if region.type == "UI" or area.type == "PREFERENCES":
                    region.tag_redraw()
