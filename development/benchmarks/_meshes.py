"""A frame's depth mesh as a checkout of the project builds it, for the benchmarks that look at it.

Each checkout's is built in a process of its own, since one Python has one extension.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "mesh-views"
ANGLES = (0, 5, 20)
"""Degrees beside the taking camera."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The argument that names another checkout, and those that `run` gives to its process."""
    parser.add_argument("--against", metavar="DIR", help="another checkout, whose mesh is looked at as well")
    for name in ("phase", "folder", "name", "checkout"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)


def run(script: str, phase: str, folder: Path, *, name: str = "new", checkout: str = str(ROOT)) -> None:
    """Run a phase of a benchmark, with the same arguments, in a process of its own; exit where that fails."""
    command = [sys.executable, script, *sys.argv[1:]]
    command += ["--phase", phase, "--folder", str(folder), "--name", name, "--checkout", checkout]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} could not be built:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")


def enable(checkout: str) -> None:
    """Enable a checkout as the extension, in a process of `run`."""
    sys.path.insert(0, str(ROOT / "tests"))
    from development import in_blender

    in_blender.enable_checkout(checkout=Path(checkout).resolve())


@contextmanager
def built(views: dict[str, Any], inverse: Any, *, is_open: bool = False) -> Iterator[tuple[Any, Any, Any]]:
    """The checkout's mesh of a frame: its scene, a camera to render it by, and the place of the taking camera."""
    import bpy
    import depth_maker
    from bl_ext.dev.fathom.inference.contract.camera import Camera, Pose
    from bl_ext.dev.fathom.scene import camera as cameras
    from bl_ext.dev.fathom.scene import depth as depths
    from bl_ext.dev.fathom.scene import mesh as meshes
    from bl_ext.dev.fathom.scene import nodes

    image, lens = views["image"], views["lens"]
    height, width = image.shape[:2]
    camera = Camera(
        width=width,
        height=height,
        focal_length=float(lens[0, 0]),
        principal_point=(float(lens[0, 2]), float(lens[1, 2])),
        poses=(Pose(frame=1, camera_to_world=tuple(map(tuple, views["pose"].tolist()))),),
    )
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    with tempfile.TemporaryDirectory() as made:
        depth = depths.load(
            depth_maker.make(
                Path(made) / "a",
                size=inverse.shape[::-1],
                plate_size=(width, height),
                frames=range(1, 2),
                camera=camera,
                disparity=lambda *_: inverse,
                image=lambda *_: image,
            )
        )
        shot = depth.sequence.shots[0]
        eye = cameras.build_camera(depth, shot, scene=scene)
        mesh = meshes.build_mesh(depth, shot, eye, detail=1.0)
        if is_open:
            nodes.set_modifier_input(mesh.modifiers[0], "Background", 0.0)
        scene.frame_set(1)
        set_up(scene, width, height)
        scene.cycles.samples = 4
        second = bpy.data.objects.new("Second", eye.data.copy())
        second.data.clip_end = 1e6
        scene.collection.objects.link(second)
        yield scene, second, eye.matrix_world.copy()


def set_up(scene: Any, width: int, height: int) -> None:
    """Let a scene render the plate as it is."""
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.use_compositing = render.use_sequencer = False
    scene.cycles.device = "CPU"
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.view_settings.view_transform = "Standard"
    scene.view_layers[0].use_pass_z = True


def inside(z: Any) -> Any:
    """Pixels that have a surface to the left and to the right: beyond the outermost ones nothing was filmed."""
    there = z < 1e6
    return np.logical_or.accumulate(there, axis=1) & np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]


def save(path: Path, image: Any) -> None:
    """Write an image uint8 [H, W, 3] as a PNG."""
    from development.benchmark_scenes import images

    images.write_png(path, image)
