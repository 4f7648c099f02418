"""The two views of a clip that tests hold side by side: what Blender renders and what the worker reads."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import bpy
import numpy as np

READ_CLIP = Path(__file__).parent / "read_clip.py"


def fresh_sequencer(scene: bpy.types.Scene) -> Any:
    """The strips of a scene that renders its sequencer plainly: no view transform, no dither."""
    from bl_ext.dev.fathom.scene import versions

    scene.view_settings.view_transform = "Standard"
    scene.render.dither_intensity = 0
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_depth = "16"
    return versions.strips_of(scene.sequence_editor_create())


def trim(strip: Any, *, start: int, end: int) -> None:
    """Move a strip's handles inwards, in frames from the ends of its content; negative: outwards, which holds."""
    names = ("left_handle_offset", "right_handle_offset")
    if not hasattr(strip, names[0]):
        names = ("frame_offset_start", "frame_offset_end")
    for name, value in zip(names, (start, end)):
        setattr(strip, name, value)


def in_sequencer(scene: bpy.types.Scene) -> Any:
    """A context in which the sequencer's operators run, in background too."""
    window = bpy.context.window_manager.windows[0]
    if hasattr(window.workspace, "sequencer_scene"):
        window.workspace.sequencer_scene = scene
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    region = next(region for region in area.regions if region.type == "WINDOW")
    return bpy.context.temp_override(window=window, area=area, region=region, scene=scene)


def rendered(scene: bpy.types.Scene, frame: int, size: tuple[int, int], folder: Path) -> np.ndarray:
    """What the sequencer shows at a frame, [H, W, 3] float, display-referred."""
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.frame_set(frame)
    scene.render.filepath = str(folder / f"rendered_{frame}.png")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath, check_existing=False)
    image.colorspace_settings.name = "Non-Color"  # 16-bit images would come back linear
    pixels = np.array(image.pixels[:]).reshape(image.size[1], image.size[0], 4)[::-1, :, :3]
    bpy.data.images.remove(image)
    return pixels


def worker_reads(plate: Any, python: Path, folder: Path) -> np.ndarray:
    """The plate's frames as the worker reads them, [frames, H, W, 3] float32."""
    result = run_reader(plate.source, python, folder, first=plate.first_frame, last=plate.last_frame)
    assert result.returncode == 0, result.stdout + result.stderr
    return np.load(folder / "read.npy")


def run_reader(source: Any, python: Path, folder: Path, *, first: int, last: int) -> subprocess.CompletedProcess:
    """Run the worker's reading of a source; its frames land in ``read.npy``."""
    from bl_ext.dev.fathom.inference.contract import records

    (folder / "source.json").write_text(records.dumps(source), encoding="utf-8")
    command = [python, READ_CLIP, folder / "source.json", str(first), str(last), folder / "read.npy"]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
