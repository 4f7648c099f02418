"""Rendering the demo's clip with Cycles, and its true depth, camera and moving object beside it.

A clip's folder is laid out as an evaluation set: ``rgb/%05d.png``, ``depth/%05d.png`` (16-bit, planar Z in
millimetres, 0 where there is none, such as the sky), ``dynamic/%05d.png`` (255 on the moving object) and
``camera.json`` (intrinsics with pixel centres at integers, and each frame's camera-to-world matrix, OpenCV axes).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from mathutils import Matrix

from . import scene as courtyard
from .pictures import write_png

CACHE = Path(__file__).resolve().parent.parent / "build" / "clips"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """How the scene is filmed."""

    frames: int
    width: int
    height: int
    samples: int


DEMO = Clip(frames=40, width=512, height=288, samples=5)
SMALL = Clip(frames=24, width=320, height=180, samples=4)
"""For tests: the same path in fewer, smaller frames."""


def rendered(clip: Clip, report: Callable[[str], None] = print) -> Path:
    """Folder of the rendered clip, which is rendered unless an earlier run has done so from the same scene."""
    folder = CACHE / _fingerprint(clip)
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
        _render(clip, unfinished, report)
        if folder.exists():  # another process was faster
            shutil.rmtree(unfinished)
        else:
            unfinished.rename(folder)
    return folder


def _render(clip: Clip, folder: Path, report: Callable[[str], None]) -> None:
    scene = courtyard.build(frames=clip.frames)
    _cycles(scene, clip)
    for name in ("rgb", "depth", "dynamic"):
        (folder / name).mkdir(parents=True)
    raw = folder / "raw.exr"
    poses = []
    started = time.monotonic()
    for frame in range(1, clip.frames + 1):
        scene.frame_set(frame)
        bpy.ops.render.render()
        result = bpy.data.images["Render Result"]
        settings = scene.render.image_settings
        settings.media_type, settings.file_format, settings.color_depth = (
            "MULTI_LAYER_IMAGE",
            "OPEN_EXR_MULTILAYER",
            "32",
        )
        result.save_render(str(raw), scene=scene)
        settings.media_type, settings.file_format, settings.color_mode = "IMAGE", "PNG", "RGB"
        settings.color_depth = "8"
        result.save_render(str(folder / "rgb" / f"{frame:05d}.png"), scene=scene)
        depth, moving = _passes(raw)
        millimetres = np.round(depth * 1000.0)
        write_png(
            folder / "depth" / f"{frame:05d}.png", np.where(millimetres > 65535, 0, millimetres).astype(np.uint16)
        )
        write_png(folder / "dynamic" / f"{frame:05d}.png", (moving * 255).astype(np.uint8))
        poses.append({"frame": frame, "c2w_opencv": [list(row) for row in camera_to_world(scene.camera)]})
        left = (time.monotonic() - started) / frame * (clip.frames - frame)
        report(f"rendering the clip: frame {frame} of {clip.frames}, {left:.0f} s left")
    raw.unlink()
    focal = courtyard.LENS / courtyard.SENSOR * clip.width
    camera = {
        "width": clip.width,
        "height": clip.height,
        "fx": focal,
        "fy": focal,
        "cx": (clip.width - 1) / 2,
        "cy": (clip.height - 1) / 2,
        "fps": scene.render.fps,
        "frames": poses,
    }
    (folder / "camera.json").write_text(json.dumps(camera), encoding="utf-8")


def camera_to_world(camera: bpy.types.Object) -> Matrix:
    """Camera-to-world matrix with OpenCV axes (x right, y down, z into the scene) of a Blender camera."""
    return camera.matrix_world @ Matrix.Diagonal((1.0, -1.0, -1.0, 1.0))


def _cycles(scene: bpy.types.Scene, clip: Clip) -> None:
    """A clean picture from few samples: short paths, and the denoiser guided by colour and normals."""
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = clip.width, clip.height, 100
    render.use_persistent_data = True
    scene.cycles.device = "CPU"
    scene.cycles.samples = clip.samples
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_animated_seed = True
    scene.cycles.max_bounces = 2
    scene.cycles.use_denoising = True
    scene.cycles.denoising_prefilter = "FAST"
    scene.cycles.denoising_quality = "BALANCED"
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.view_settings.exposure = 0.55
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_object_index = True


def _passes(raw: Path) -> tuple[np.ndarray, np.ndarray]:
    """Planar Z in metres [H, W] and where the moving object is, bool [H, W], of a multilayer EXR."""
    with OpenEXR.File(str(raw), separate_channels=True) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
    depth = next(pixels for name, pixels in channels.items() if name.endswith("Depth.Z"))
    index = next(pixels for name, pixels in channels.items() if name.endswith("Object Index.X"))
    return depth, index > 0.5


def _fingerprint(clip: Clip) -> str:
    """Hash of everything that the pictures depend on."""
    digest = hashlib.sha256(json.dumps(asdict(clip)).encode())
    for module in ("scene", "shapes", "materials", "render"):
        digest.update((Path(__file__).parent / f"{module}.py").read_bytes())
    return digest.hexdigest()[:12]
