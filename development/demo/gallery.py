"""All images of a demo run, and the contact sheet."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from development.benchmark_scenes import images, sheet
from development.benchmark_scenes.sheet import Cell

from . import stage

_ROW = 0.62  # of the image's height: the row of the temporal profile


def make(folder: Path, *, truth: Path | None, focal_length: float) -> tuple[Path, Path]:
    """Build from the scene's depth, render each result, and arrange the images on one sheet.

    The folder gets the images, ``scene.blend`` and ``contact_sheet.png``; `truth` is the clip's evaluation set, and
    `focal_length` as for `stage.build`. Returns the sheet, and the folder of the depth.
    """
    from bl_ext.dev.fathom.inference.contract.depth_sequence import confidence_name, disparity_name
    from bl_ext.dev.fathom.scene import depth_list

    scene = bpy.context.scene
    depth = depth_list.load(scene)
    sequence = depth.sequence
    shot = max(sequence.done_shots, key=lambda s: s.last_frame - s.first_frame)
    numbers = range(shot.first_frame, shot.last_frame + 1)
    middle = numbers[len(numbers) // 2]
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))  # first, so that paths become relative to it

    print("Building camera, depth mesh, fog and compositing, and rendering images of them", flush=True)
    built = stage.build(scene, frame=middle + depth.frame_offset, focal_length=focal_length)
    stage.render_mesh(built, folder / "mesh.png")
    stage.render_mesh(built, folder / "points.png", points=True)
    stage.render_fog(built, folder / "fog_volume.png")
    effects = stage.compose(built)
    bpy.ops.wm.save_as_mainfile()
    stage.render_compositing(built, effects, folder)

    low, high = shot.range.p1, shot.range.p99

    def colored(number: int) -> NDArray[np.uint8]:
        return images.color_depth((_map(depth.folder / disparity_name(number)) - low) / (high - low))

    plate = stage.plate_at(built, effects, middle + depth.frame_offset)
    images.write_png(folder / "plate.png", plate)
    images.write_png(folder / "depth.png", colored(middle))
    height, width = plate.shape[0] // 2, plate.shape[1]
    shown = [numbers[i * len(numbers) // min(height, len(numbers))] for i in range(min(height, len(numbers)))]
    of_plate = [_row(stage.plate_at(built, effects, n + depth.frame_offset)) for n in shown]
    of_depth = [_row(images.resize(colored(n), width)) for n in shown]
    slices = [sheet.over_time(rows, height=height) for rows in (of_plate, of_depth)]
    images.write_png(folder / "over_time.png", np.concatenate(slices))

    cells = [
        Cell(plate, f"The plate, frame {middle}"),
        Cell(colored(middle), "Its depth, near is bright"),
    ]
    if truth is not None:
        true = images.read_gray16(truth / "depth" / f"{middle:05d}.png")
        with np.errstate(divide="ignore"):
            inverse = np.where(true > 0, 1000.0 / true, np.nan)
        span = np.nanpercentile(inverse, (1, 99))
        cells.append(Cell(images.color_depth((inverse - span[0]) / (span[1] - span[0])), "Ground truth"))
    elif sequence.confidence is not None:
        gray = np.clip(_map(depth.folder / confidence_name(middle)) * 255, 0, 255).astype(np.uint8)
        cells.append(Cell(np.repeat(gray[..., None], 3, axis=2), "Confidence"))
    for name, text in (
        ("mesh", "Depth mesh, from another viewpoint"),
        ("fog_volume", "Fog volume, ending at the depth"),
        ("fog_compositing", "Fog in the compositor"),
        ("defocus", "Depth of field"),
        ("matte", "Matte of the middle distance"),
        ("over_time", "One row over time: plate and depth"),
    ):
        cells.append(Cell(images.read_png(folder / f"{name}.png"), text))
    title = f"Fathom    {depth.name if truth is None else 'courtyard'}    {sequence.estimator}    "
    title += f"{len(numbers)} frames"
    path = folder / "contact_sheet.png"
    sheet.write(path, cells, title=title)
    return path, depth.folder


def write_pictures(folder: Path, pictures: Path) -> None:
    """Write the documentation's images of what `make` has left in a folder."""
    pictures.mkdir(parents=True, exist_ok=True)
    images.write_jpg(pictures / "demo.jpg", images.read_png(folder / "contact_sheet.png"), quality=80)
    row = [images.read_png(folder / f"{name}.png") for name in ("plate", "mesh", "points")]
    images.write_jpg(pictures / "mesh.jpg", np.concatenate(row, axis=1), width=1212)


def _map(path: Path) -> NDArray[np.float32]:
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return np.array(file.channels()["Y"].pixels)


def _row(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image[round(_ROW * (image.shape[0] - 1))]
