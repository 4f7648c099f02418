"""Render the benchmark's clips with Cycles, with ground truth.

A clip's folder has the layout `folder` of evaluation sets, with additional files:

``rgb/%05d.png``
    The images, numbered from 1.
``depth/%05d.png``
    16 bits, planar Z in millimeters; 0 in the sky.
``depth_exact/%05d.exr``
    The same unrounded: channel ``Z``, float32, meters; infinite in the sky.
``flow/%05d.exr``
    Channels ``X`` and ``Y``, float32: pixels to the right and down from this frame to the next, see `motion.flow`; NaN
    before a cut. None for the last frame.
``dynamic/%05d.png``
    255 on objects that move on their own at some time in the shot. Without their shadows.
``camera.json``
    ``width``, ``height``, ``fx``, ``fy``, ``cx``, ``cy`` (pixel centers at integers), ``fps``; ``frames``, each with
    ``frame`` and ``c2w_opencv``, the camera-to-world matrix in meters, OpenCV axes; ``shots``, the first and last frame
    of each. After a cut the scene may be another one.

Images are averaged over each pixel; ground truth is the ray's hit through the pixel's center. There is no motion blur,
which would blur the ground truth too.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from mathutils import Matrix
from numpy.typing import NDArray

from inference.evaluation.datasets.flow_file import write_flow

from . import motion
from .clips import Clip, Shot
from .film import with_grain
from .images import read_png, write_png

OUTPUT = Path(__file__).resolve().parents[2] / "build" / "benchmark"
OUTPUT_QUICK = OUTPUT.with_name("benchmark-quick")
FARTHEST = 65.535
"""What 16 bits of millimeters hold, in meters."""
_MADE_FROM = "fingerprint.txt"


def rendered(clip: Clip, folder: Path, report: Callable[[str], None] = print, *, threads: int = 0) -> Path:
    """Folder of the rendered clip below `folder`, which is rendered unless an earlier run did so from the same scene.

    Parameters
    ----------
    clip : Clip
    folder : Path
    report : callable
        Called with lines about the progress.
    threads : int
        Of the CPU; 0: all. The files do not depend on it.
    """
    clip_folder = folder / clip.name
    if is_rendered(clip, folder):
        return clip_folder
    fingerprint = _fingerprint(clip)  # before rendering, in case the sources change meanwhile
    unfinished = folder / f".{clip.name}.{os.getpid()}.tmp"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _render(clip, unfinished, report, threads)
        (unfinished / _MADE_FROM).write_text(fingerprint, encoding="utf-8")
        if not is_rendered(clip, folder):  # by another process that was faster
            shutil.rmtree(clip_folder, ignore_errors=True)
            unfinished.rename(clip_folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return clip_folder


def is_rendered(clip: Clip, folder: Path) -> bool:
    """Whether a clip below `folder` is rendered from the current scenes."""
    file = folder / clip.name / _MADE_FROM
    return file.exists() and file.read_text(encoding="utf-8") == _fingerprint(clip)


@dataclass(frozen=True)
class _Progress:
    """Reports the time left every few frames."""

    clip: Clip
    report: Callable[[str], None]
    started: float

    def __call__(self, frame: int) -> None:
        step = max(1, self.clip.frames // 10)
        if frame % step == 0 or frame == self.clip.frames:
            left = (time.monotonic() - self.started) / frame * (self.clip.frames - frame)
            self.report(f"rendering {self.clip.name}: frame {frame} of {self.clip.frames}, {left:.0f} s left")


def _render(clip: Clip, folder: Path, report: Callable[[str], None], threads: int) -> None:
    for name in ("rgb", "depth", "depth_exact", "flow", "dynamic"):
        (folder / name).mkdir(parents=True)
    progress = _Progress(clip, report, time.monotonic())
    frames, shots, matrix, first = [], [], None, 1
    for shot in clip.shots:
        scene = shot.build(frames=shot.length)
        _cycles(scene, clip, threads)
        lens = calibration(scene.camera.data, clip.width, clip.height)
        if matrix is not None and not np.array_equal(matrix, lens):
            raise ValueError(f"the shot of {clip.name} that begins at frame {first} has another lens; a clip has one")
        matrix = lens
        poses = _film(scene, shot, folder, first=first, matrix=matrix, progress=progress)
        frames += [{"frame": first + i, "c2w_opencv": pose.tolist()} for i, pose in enumerate(poses)]
        shots.append([first, first + shot.frames - 1])
        first += shot.frames
    focal, (cx, cy) = matrix[0, 0], matrix[:2, 2]
    camera = {"width": clip.width, "height": clip.height, "fx": focal, "fy": focal, "cx": cx, "cy": cy}
    camera |= {"fps": scene.render.fps, "shots": shots, "frames": frames}
    (folder / "camera.json").write_text(json.dumps(camera), encoding="utf-8")


def _film(
    scene: bpy.types.Scene, shot: Shot, folder: Path, *, first: int, matrix: motion.Matrix, progress: _Progress
) -> list[motion.Matrix]:
    """Render a shot, whose first frame is the clip's `first`; return the camera's poses."""
    poses, moving = _movements(scene, shot)
    is_locked = all(np.array_equal(pose, poses[0]) for pose in poses)
    scene.cycles.use_animated_seed = not is_locked  # edges that stand still must not shimmer
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    for i in range(shot.frames):
        name = f"{first + i:05d}"
        scene.frame_set(shot.first + i)
        image, depth, index = _image(scene, scratch)
        image = with_grain(image, strength=progress.clip.grain, seed=first + i)
        write_png(folder / "rgb" / f"{name}.png", image)  # Blender's own files contain the render time
        write_png(folder / "depth" / f"{name}.png", _millimeters(depth))
        _write_depth(folder / "depth_exact" / f"{name}.exr", depth)
        write_png(folder / "dynamic" / f"{name}.png", np.where(index > 0, 255, 0).astype(np.uint8))
        if first + i < progress.clip.frames:
            flow = np.full((*depth.shape, 2), np.nan)
            if i + 1 < shot.frames:
                moves = {n: path[i + 1] @ np.linalg.inv(path[i]) for n, path in moving.items()}
                cameras = {"camera": poses[i], "next_camera": poses[i + 1]}
                flow = motion.flow(depth, index, calibration=matrix, moves=moves, **cameras)
            write_flow(folder / "flow" / f"{name}.exr", flow)
        progress(first + i)
    shutil.rmtree(scratch)
    return poses


def camera_to_world(camera: bpy.types.Object) -> motion.Matrix:
    """Camera-to-world matrix [4, 4] with OpenCV axes (x right, y down, z into the scene) of a Blender camera."""
    return np.array(camera.matrix_world @ Matrix.Diagonal((1.0, -1.0, -1.0, 1.0)), np.float64)


def calibration(camera: bpy.types.Camera, width: int, height: int) -> motion.Matrix:
    """Pinhole calibration [3, 3] in pixels of a landscape image, pixel centers at integers."""
    focal = camera.lens / camera.sensor_width * width
    return np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])


def _movements(scene: bpy.types.Scene, shot: Shot) -> tuple[list[motion.Matrix], dict[int, list[motion.Matrix]]]:
    """The camera's poses, and by number the places of all objects that move; renders know them by that number."""
    objects = [obj for obj in scene.objects if obj.type == "MESH"]
    poses, matrices = [], {obj.name: [] for obj in objects}
    for frame in range(shot.first, shot.first + shot.frames):
        scene.frame_set(frame)
        poses.append(camera_to_world(scene.camera))
        for obj in objects:
            matrices[obj.name].append(np.array(obj.matrix_world, np.float64))
    moving = {}
    for obj in objects:
        path = matrices[obj.name]
        obj.pass_index = 0
        if any(not np.array_equal(clip_folder, path[0]) for clip_folder in path):
            obj.pass_index = len(moving) + 1
            moving[obj.pass_index] = path
    return poses, moving


def _cycles(scene: bpy.types.Scene, clip: Clip, threads: int) -> None:
    """A clean image from few samples: short paths, and the denoiser guided by color and normals."""
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = clip.width, clip.height, 100
    render.use_persistent_data = True
    render.threads_mode, render.threads = ("FIXED", threads) if threads else ("AUTO", 1)
    scene.cycles.device = "CPU"
    scene.cycles.samples, scene.cycles.max_bounces = clip.samples, 2
    scene.cycles.use_denoising = True
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.denoising_prefilter = "FAST"
    scene.cycles.denoising_quality = "BALANCED"
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_object_index = True


def _image(scene: bpy.types.Scene, scratch: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
    """Render the scene's frame, by way of files in a folder.

    Cycles takes depth and object from a pixel's first sample, which goes through the pixel's center.

    Returns
    -------
    image : uint8 [H, W, 3]
    depth : float32 [H, W]
        Planar Z in meters, infinite in the sky.
    index : int32 [H, W]
        Number of the moving object.
    """
    settings = scene.render.image_settings
    with quiet():
        bpy.ops.render.render()
        result = bpy.data.images["Render Result"]
        settings.media_type, settings.file_format = "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER"
        settings.color_depth = "32"
        result.save_render(str(scratch / "passes.exr"), scene=scene)
        settings.media_type, settings.file_format, settings.color_mode = "IMAGE", "PNG", "RGB"
        settings.color_depth = "8"
        result.save_render(str(scratch / "image.png"), scene=scene)
    with OpenEXR.File(str(scratch / "passes.exr"), separate_channels=True) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
        depth = next(pixels for name, pixels in channels.items() if name.endswith("Depth.Z"))
        index = next(pixels for name, pixels in channels.items() if name.endswith("Object Index.X"))
        depth = np.where(depth > 1e9, np.float32(np.inf), depth)
        return read_png(scratch / "image.png"), depth, np.round(index).astype(np.int32)


def _millimeters(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    near = np.isfinite(depth)
    if np.any(depth[near] > FARTHEST):
        raise ValueError(f"a surface is {depth[near].max():.1f} m away; 16 bits of millimeters hold {FARTHEST} m")
    return np.where(near, np.round(np.where(near, depth, 0.0) * 1000.0), 0).astype(np.uint16)


def _write_depth(path: Path, depth: NDArray[np.float32]) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": np.ascontiguousarray(depth)}) as file:
        file.write(str(path))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what Blender prints while it renders from the terminal."""
    sys.stdout.flush()
    previous = os.dup(1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(previous, 1)
        os.close(previous)


def _fingerprint(clip: Clip) -> str:
    """Hash of everything that the files depend on; comments and layout of the sources are no part of it."""
    takes = [(shot.build.__qualname__, shot.frames, shot.span) for shot in clip.shots]
    digest = hashlib.sha256(
        repr((clip.width, clip.height, clip.samples, clip.grain, takes, bpy.app.version_string)).encode()
    )
    files = _sources(Path(__file__))
    for shot in clip.shots:
        files |= _sources(Path(sys.modules[shot.build.__module__].__file__))
    for file in sorted(files):
        digest.update(ast.dump(ast.parse(file.read_bytes())).encode())
    return digest.hexdigest()[:12]


def _sources(file: Path) -> set[Path]:
    """A source of this package and those that it imports of it, but for the list of clips."""
    found, waiting = set(), {file}
    while waiting:
        here = waiting.pop()
        found.add(here)
        for node in ast.walk(ast.parse(here.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                waiting |= {here.with_name(f"{name}.py") for name in names if name != "clips"} - found
    return found
