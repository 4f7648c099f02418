"""A contact sheet of a rendered benchmark: plate, depth, flow and moving objects of every clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from inference.evaluation.datasets.flow_file import read_flow

from . import images, sheet
from .clips import Clip


def write(path: Path, clips: list[tuple[Clip, Path]]) -> None:
    """Write the sheet.

    Parameters
    ----------
    path : Path
        PNG.
    clips : list of pairs of Clip and Path
        Each with its folder.
    """
    cells = []
    for clip, folder in clips:
        number = (2 * clip.frames) // 5
        plate = images.read_png(folder / "rgb" / f"{number:05d}.png")
        with OpenEXR.File(str(folder / "depth_exact" / f"{number:05d}.exr"), separate_channels=True) as file:
            depth = np.array(file.channels()["Z"].pixels)
        flow = read_flow(folder / "flow" / f"{number:05d}.exr")
        moving = images.read_png(folder / "dynamic" / f"{number:05d}.png")[..., 0] > 127
        cells.append(sheet.Cell(plate, f"{clip.name}: {clip.about}"))
        cells.append(sheet.Cell(_colored(depth), f"true depth, from {depth.min():.1f} m; the sky is black"))
        cells.append(sheet.Cell(color_flow(flow, moving), "true flow, moving objects outlined"))
    sheet.write(path, cells, title="Rendered benchmark")


def _colored(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Inverse depth in colors; the sky is black."""
    with np.errstate(divide="ignore"):
        near = np.where(np.isfinite(depth), 1.0 / depth, np.nan)
    low, high = np.nanpercentile(near, (1, 99))
    return images.color_depth((near - low) / (high - low))


def color_flow(flow: NDArray[np.float32], moving: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Flow [H, W, 2] as uint8 [H, W, 3]: the hue is the direction, the saturation the distance.

    Moving objects are outlined in black.
    """
    length = np.hypot(flow[..., 0], flow[..., 1])
    strength = np.clip(length / max(float(np.nanpercentile(length, 98)), 1e-6), 0.0, 1.0)[..., None]
    angle = np.arctan2(flow[..., 1], flow[..., 0])[..., None] - np.array((0.0, 2.0, 4.0)) * np.pi / 3.0
    colors = 1.0 - strength * (0.5 - 0.5 * np.cos(angle)) * 0.95
    image = np.where(np.isnan(colors), 0.0, colors * 255.0 + 0.5).astype(np.uint8)
    edge = np.zeros_like(moving)
    for axis in (0, 1):
        edge |= np.diff(moving, axis=axis, append=np.take(moving, [-1], axis=axis))
    image[edge] = 0
    return image
