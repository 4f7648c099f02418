"""The image of the panel *Fog Volume*: haze over a plate of known distances, in a window of a real Blender.

`make` renders the plate and builds the fog; the Blender that it starts runs this file, which lays the window out, takes
the image of it by ImageMagick's `import`, and quits. So it needs X11; a virtual display will do.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from development import in_blender

    in_blender.enable_checkout()

import bpy

_WINDOW = (1280, 730)
_WIDTH = 960
_PILLAR, _TALL = (1.9, -0.25, -7.0), 2.7
"""Middle of a pillar in the fog, in the camera's axes, and its height: it stands on the floor. In meters."""
_PANEL = "FATHOM_PT_view_3d_fog"
"""The one of Fathom's panels for which there is room."""
_SECONDS = 5.0
"""That a window takes to be drawn in software."""


def make(blender: str, path: Path, scratch: Path) -> None:
    """Write the image as a JPG; `blender` is a program that opens windows, and `scratch` a folder for files."""
    from bl_ext.dev.fathom.scene import camera, depth_list
    from mathutils import Vector

    from . import fogs, images

    filmed, _ = fogs.film(scratch, "courtyard", 640, samples=12, real=1)
    depth_list.remember(filmed.scene, filmed.depth)
    eye = camera.build_camera(filmed.depth, filmed.shot, scene=filmed.scene)
    for thing in filmed.scene.objects:
        thing.hide_viewport = thing not in (filmed.fog, eye, eye.parent)
    bpy.ops.mesh.primitive_cylinder_add(radius=0.25, depth=_TALL, vertices=64)
    bpy.ops.object.shade_smooth()
    bpy.context.object.location = eye.matrix_world @ Vector(_PILLAR)
    bpy.ops.object.select_all(action="DESELECT")
    file, window = scratch / "fog-panel.blend", scratch / "fog-panel.png"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    geometry = ["--window-geometry", "0", "0", *map(str, _WINDOW)]
    subprocess.run(
        [blender, "--factory-startup", *geometry, str(file), "--python", __file__, "--", str(window)], check=True
    )
    images.write_jpg(path, images.read_png(window), width=_WIDTH, quality=72)


def _steps() -> Generator[None]:
    """Show the plate through the shot's camera, and Fathom's tab with the panel alone; save the image.

    The window is drawn between the steps.
    """
    window = bpy.context.window_manager.windows[0]
    bpy.context.preferences.system.use_region_overlap = False
    others = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("FATHOM_PT_view_3d_")]
    others = [panel for panel in others if panel.__name__ != _PANEL]
    for panel in others:
        bpy.utils.unregister_class(panel)
    area = next(each for each in window.screen.areas if each.type == "VIEW_3D")
    with bpy.context.temp_override(window=window, area=area):
        bpy.ops.screen.screen_full_area(use_hide_panels=True)
    yield
    area = next(each for each in window.screen.areas if each.type == "VIEW_3D")
    view, regions = area.spaces.active, {region.type: region for region in area.regions}
    view.shading.type, view.region_3d.view_perspective = "SOLID", "CAMERA"
    view.show_region_ui, view.show_region_toolbar, view.show_region_header = True, False, False
    for name in ("floor", "axis_x", "axis_y", "cursor", "relationship_lines", "object_origins"):
        setattr(view.overlay, f"show_{name}", False)
    yield
    regions["UI"].active_panel_category = "Fathom"
    with bpy.context.temp_override(window=window, area=area, region=regions["WINDOW"]):
        bpy.ops.view3d.view_center_camera()
    yield
    # Blender's own screenshot is black on a virtual display that draws in software
    crop = f"{window.width}x{window.height}+{window.x}+{window.y}"
    program = shutil.which("import") or "import"  # which is missing then, and said so
    subprocess.run(
        [program, "-window", "root", "-gravity", "SouthWest", "-crop", crop, "+repage", sys.argv[-1]], check=True
    )
    for panel in others:  # the extension takes them out when Blender quits
        bpy.utils.register_class(panel)


def _run(steps: Generator[None]) -> float | None:
    """Go on to the next step, as a timer, and quit after the last one or where one fails."""
    try:
        next(steps)
        return _SECONDS
    except StopIteration:
        return None
    finally:
        if steps.gi_frame is None:
            bpy.context.preferences.use_preferences_save = False
            bpy.ops.wm.quit_blender()


if __name__ == "__main__":
    bpy.app.timers.register(functools.partial(_run, _steps()), first_interval=_SECONDS)
