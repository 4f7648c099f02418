"""The depth mesh of true depth, seen from beside its camera: ``dev.py benchmark mesh_views [--against CHECKOUT]``.

A frame of a rendered scene is built from its exact depth (``--soft``: averaged to half the size, as an estimator's
edges are), and rendered through the camera that took it and from 5 and 20 degrees aside. The scene itself is rendered
from there too. Printed are the shares of the image where the mesh has a hole, and where it has a surface that is off by
more than 5 % of the distance: shards, and what is made up. Images go to ``build/mesh-views/``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = "blender"
ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "mesh-views"
ANGLES = (0, 5, 20)
OFF = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py benchmark mesh_views", description=__doc__.split(":")[0] + ".")
    parser.add_argument("--scene", default="courtyard", help="of the rendered clips (default: courtyard)")
    parser.add_argument("--at", type=float, default=0.5, metavar="SHARE", help="of the clip's length")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--soft", action="store_true", help="depth maps of half the size, averaged")
    parser.add_argument("--against", metavar="DIR", help="another checkout, whose mesh is rendered as well")
    parser.add_argument("--picture", metavar="JPG", type=Path, help="a sheet of the views, also with Background 0")
    parser.add_argument("--phase", choices=["truth", "mesh"], help=argparse.SUPPRESS)
    parser.add_argument("--checkout", default=str(ROOT), help=argparse.SUPPRESS)
    parser.add_argument("--name", default="new", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = OUTPUT / f"{options.scene}-{options.width}-{round(100 * options.at)}"
    if options.phase:
        sys.path[:0] = [options.checkout, str(Path(options.checkout) / "tests")]
        from development import in_blender

        in_blender.enable_checkout()
        (_truth if options.phase == "truth" else _mesh)(options, folder)
        return
    if not (folder / "views.npz").exists():
        _run("truth", str(ROOT), "truth", options)
    checkouts = {"new": str(ROOT), **({"old": options.against} if options.against else {})}
    if options.picture:
        checkouts["open"] = str(ROOT)
    for name, checkout in checkouts.items():
        _run("mesh", checkout, name, options)
    _report(folder, list(checkouts), options)
    if options.picture:
        end = "-soft" if options.soft else ""
        rows = [dict(np.load(folder / f"{name}{end}.npz")) for name in ("open", "new")]
        sheet = np.vstack([np.hstack([row[f"image{angle}"] for angle in ANGLES]) for row in rows])
        _save_jpeg(options.picture, sheet)


def _run(phase: str, checkout: str, name: str, options: argparse.Namespace) -> None:
    command = [sys.executable, __file__, "--phase", phase, "--checkout", checkout, "--name", name]
    command += ["--scene", options.scene, "--at", str(options.at), "--width", str(options.width)]
    command += ["--soft"] if options.soft else []
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} could not be rendered:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")


def _truth(options: argparse.Namespace, folder: Path) -> None:
    """Render the scene from its camera and from beside it: images, and planar Z of both."""
    from development.benchmark_scenes import clips, render

    clip = clips.CLIPS[options.scene]
    shot = clip.shots[0]
    scene = shot.build(frames=shot.length)
    width, height = options.width, options.width * clip.height // clip.width // 2 * 2
    _set_up(scene, width, height)
    scene.cycles.samples, scene.cycles.max_bounces, scene.cycles.use_denoising = 6, 2, True
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - Medium High Contrast"
    scene.frame_set(shot.first + round(options.at * (shot.frames - 1)))
    camera = scene.camera
    lens = render.calibration(camera.data, width, height)
    place = camera.matrix_world.copy()
    pose = render.camera_to_world(camera)
    camera.animation_data_clear()
    camera.constraints.clear()
    camera.parent = None
    folder.mkdir(parents=True, exist_ok=True)
    image, z = _render(scene, camera, place, folder)
    near = float(np.quantile(z[z < 1e6], 0.3))
    views = {"image": image, "z": z, "near": near, "lens": lens, "pose": pose}
    for angle in ANGLES[1:]:
        views[f"image{angle}"], views[f"z{angle}"] = _render(scene, camera, place @ _beside(angle, near), folder)
    np.savez_compressed(folder / "views.npz", **views)


def _mesh(options: argparse.Namespace, folder: Path) -> None:
    """Build the mesh of the true depth, and render it from the same places."""
    import bpy
    import depth_maker
    from bl_ext.dev.fathom.inference.contract.camera import Camera, Pose
    from bl_ext.dev.fathom.scene import camera as cameras
    from bl_ext.dev.fathom.scene import depth as depths
    from bl_ext.dev.fathom.scene import mesh as meshes
    from bl_ext.dev.fathom.scene import nodes

    views = dict(np.load(folder / "views.npz"))
    image, z = views["image"], views["z"]
    height, width = z.shape
    inverse = np.where(z < 1e6, 1 / z, 0.0)
    if options.soft:
        inverse = inverse.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    lens = views["lens"]
    camera = Camera(
        width=width,
        height=height,
        focal_length=float(lens[0, 0]),
        principal_point=(float(lens[0, 2]), float(lens[1, 2])),
        poses=(Pose(frame=1, camera_to_world=tuple(map(tuple, views["pose"].tolist()))),),
    )
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    import tempfile

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
        if options.name == "open":
            nodes.set_modifier_input(mesh.modifiers[0], "Background", 0.0)
        scene.frame_set(1)
        _set_up(scene, width, height)
        scene.cycles.samples = 4
        place = eye.matrix_world.copy()
        second = bpy.data.objects.new("Second", eye.data.copy())
        second.data.clip_end = 1e6
        scene.collection.objects.link(second)
        found = {}
        for angle in ANGLES:
            found[f"image{angle}"], found[f"z{angle}"] = _render(
                scene, second, place @ _beside(angle, float(views["near"])), folder
            )
    np.savez_compressed(folder / f"{options.name}{'-soft' if options.soft else ''}.npz", **found)


def _report(folder: Path, names: list[str], options: argparse.Namespace) -> None:
    truth = dict(np.load(folder / "views.npz"))
    print(f"{options.scene} {truth['z'].shape[1]}x{truth['z'].shape[0]}{', soft' if options.soft else ''}")
    print(f"{'mesh':>6} {'degrees':>8} {'holes':>8} {'shards':>8}   (percent of the image)")
    rows = {}
    for name in names:
        seen = dict(np.load(folder / f"{name}{'-soft' if options.soft else ''}.npz"))
        for angle in ANGLES:
            real = truth["z"] if angle == 0 else truth[f"z{angle}"]
            mine = seen[f"z{angle}"]
            known = real < 1e6
            hole = (mine > 1e6) & _inside(mine) & known
            off = known & (mine < 1e6) & (np.abs(mine - real) > OFF * real)
            rows[name, angle] = [float(hole.mean()), float(off.mean())]
            print(f"{name:>6} {angle:>8} {100 * hole.mean():8.2f} {100 * off.mean():8.2f}")
            _save(folder / f"{name}{'-soft' if options.soft else ''}-{angle}.png", seen[f"image{angle}"])
    for angle in ANGLES:
        _save(folder / f"truth-{angle}.png", truth["image" if angle == 0 else f"image{angle}"])
    print(json.dumps({f"{name} {angle}": values for (name, angle), values in rows.items()}))
    print(f"Images are in {os.path.relpath(folder)}.")


def _inside(z: Any) -> Any:
    """Pixels that have a surface to the left and to the right: beyond the outermost ones nothing was filmed."""
    there = z < 1e6
    return np.logical_or.accumulate(there, axis=1) & np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]


def _beside(degrees: float, distance: float) -> Any:
    """From a camera to the one turned about a point ahead of it."""
    from mathutils import Matrix

    ahead = Matrix.Translation((0.0, 0.0, -distance))
    return ahead @ Matrix.Rotation(np.radians(degrees), 4, "Y") @ ahead.inverted()


def _set_up(scene: Any, width: int, height: int) -> None:
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.use_compositing = render.use_sequencer = False
    scene.cycles.device = "CPU"
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.view_settings.view_transform = "Standard"
    scene.view_layers[0].use_pass_z = True


def _render(scene: Any, camera: Any, place: Any, folder: Path) -> tuple[Any, Any]:
    """Image uint8 [H, W, 3] and planar Z [H, W] from a place."""
    import bpy
    import OpenEXR

    from development.benchmark_scenes import images
    from development.benchmark_scenes.render import quiet

    camera.matrix_world = place
    scene.camera = camera
    with quiet():
        bpy.ops.render.render()
        result, settings = bpy.data.images["Render Result"], scene.render.image_settings
        settings.media_type, settings.file_format = "MULTI_LAYER_IMAGE", "OPEN_EXR_MULTILAYER"
        settings.color_depth = "32"
        result.save_render(str(folder / "scratch.exr"), scene=scene)
        settings.media_type, settings.file_format, settings.color_mode = "IMAGE", "PNG", "RGB"
        settings.color_depth = "8"
        result.save_render(str(folder / "scratch.png"), scene=scene)
    with OpenEXR.File(str(folder / "scratch.exr"), separate_channels=True) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
        z = np.array(next(pixels for name, pixels in channels.items() if name.endswith("Depth.Z")))
    image = images.read_png(folder / "scratch.png")
    for name in ("scratch.exr", "scratch.png"):
        (folder / name).unlink()
    return image, z


def _save(path: Path, image: Any) -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from development.benchmark_scenes import images

    images.write_png(path, image)


def _save_jpeg(path: Path, image: Any) -> None:
    import bpy

    height, width, _ = image.shape
    made = bpy.data.images.new("sheet", width, height)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = image[::-1] / 255
    made.pixels.foreach_set(pixels.ravel())
    made.filepath_raw, made.file_format = str(path.absolute()), "JPEG"
    made.save(quality=80)


if __name__ == "__main__":
    main()
