"""From a strip to depth to a mesh in the real program, which the bpy wheel cannot show. Not part of the test run.

    blender -b --python-exit-code 1 -P tests/real/strip_to_mesh.py -- PLATES OUTPUT [ZIP]

PLATES is a folder of frames filmed by a moving camera, OUTPUT a folder for what comes out, ZIP the built extension,
which is installed where it is not. The worker's Python is found as always: by the preference, FATHOM_PYTHON, or the
environment that Fathom set up. Ends with exit code 0 and a last line beginning with OK.
"""

import math
import sys
from pathlib import Path

import bpy


def strip_of(plates: Path, scene: bpy.types.Scene):
    """An image strip of the folder's frames but the first and the last two, from scene frame 11 on, active."""
    files = sorted(path.name for path in plates.iterdir())
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_image(name="street", filepath=str(plates / files[0]), channel=1, frame_start=10)
    for name in files[1:]:
        strip.elements.append(name)
    strip.frame_offset_start, strip.frame_offset_end = 1, 2
    editor.active_strip = strip
    return len(files) - 3


def main(plates: Path, output: Path, package: str | None) -> None:
    if not hasattr(bpy.types, "FATHOM_OT_estimate_video_depth"):
        bpy.ops.extensions.package_install_files(filepath=package, repo="user_default", enable_on_install=True)
    bpy.ops.wm.read_homefile(use_empty=True)
    output.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(output / "strip_to_mesh.blend"))
    scene = bpy.context.scene
    count = strip_of(plates, scene)

    assert bpy.ops.fathom.estimate_video_depth() == {"FINISHED"}
    item = scene.fathom.depths[0]
    folder = Path(bpy.path.abspath(item.folder))
    maps = sorted(folder.glob("disparity.*.exr"))
    assert len(maps) == count, f"{len(maps)} maps for {count} frames"
    assert item.folder.startswith("//depth"), item.folder

    scene.frame_set(11 + count // 2)
    assert bpy.ops.fathom.build_depth_mesh() == {"FINISHED"}
    mesh = next(o for o in bpy.data.objects if o.get("fathom_kind") == "mesh")
    for frame in (11, 11 + count // 2, 10 + count):
        scene.frame_set(frame)
        vertices = len(mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices)
        assert vertices > 1000, f"{vertices} vertices at frame {frame}"

    scene.frame_set(11 + count // 2)
    image = output / "mesh.png"
    _render_from_the_side(scene, mesh, image)
    bpy.ops.wm.save_mainfile()
    print(f"OK: {count} frames of depth in {folder}, {vertices} vertices, image {image}", flush=True)


def _render_from_the_side(scene: bpy.types.Scene, mesh: bpy.types.Object, image: Path) -> None:
    """The mesh as a camera a little to the right of the shot's own sees it."""
    own = scene.camera
    scene.camera = own.copy()
    scene.camera.animation_data_clear()
    scene.collection.objects.link(scene.camera)
    corners = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).bound_box
    near = -max(corner[2] for corner in corners)
    scene.camera.matrix_local = own.matrix_local @ scene.camera.matrix_basis.Translation((0.2 * near, 0.1 * near, 0))
    scene.camera.rotation_euler.y += math.radians(2)
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 16
    scene.render.use_sequencer = False
    scene.render.resolution_percentage = 50
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(image)
    bpy.ops.render.render(write_still=True)
    bpy.data.objects.remove(scene.camera)
    scene.camera = own


arguments = sys.argv[sys.argv.index("--") + 1 :]
main(Path(arguments[0]).absolute(), Path(arguments[1]).absolute(), arguments[2] if len(arguments) > 2 else None)
