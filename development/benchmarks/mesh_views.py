"""The depth mesh of true depth, seen from beside its camera: ``dev.py benchmark mesh_views [--against CHECKOUT]``.

A frame of a rendered scene is built from its exact depth (``--soft``: averaged to half the size, as an estimator's
edges are), and rendered through the camera that took it and from 5 and 20 degrees aside. The scene itself is rendered
from there too. Printed are the shares of the image where the mesh has a hole, and where it has a surface that is off by
more than 5 % of the distance: shards, and what is made up. Images go to ``build/mesh-views/``. For estimated depth,
whose surfaces are off by themselves, see `mesh_shards`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development.benchmarks import _meshes

PACKAGES = "blender"
OFF = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py benchmark mesh_views", description=__doc__.split(":")[0] + ".")
    parser.add_argument("--scene", default="courtyard", help="of the rendered clips (default: courtyard)")
    parser.add_argument("--at", type=float, default=0.5, metavar="SHARE", help="of the clip's length")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--soft", action="store_true", help="depth maps of half the size, averaged")
    parser.add_argument("--picture", metavar="JPG", type=Path, help="a sheet of the views, also with Background 0")
    _meshes.add_arguments(parser)
    options = parser.parse_args()
    if options.phase:
        _meshes.enable(options.checkout)
        {"truth": _truth, "mesh": _mesh}[options.phase](options, Path(options.folder))
        return
    folder = _meshes.OUTPUT / f"{options.scene}-{options.width}-{round(100 * options.at)}"
    if not (folder / "views.npz").exists():
        _meshes.run(__file__, "truth", folder)
    checkouts = {"new": str(_meshes.ROOT), **({"old": options.against} if options.against else {})}
    if options.picture:
        checkouts["open"] = str(_meshes.ROOT)
    for name, checkout in checkouts.items():
        _meshes.run(__file__, "mesh", folder, name=name, checkout=checkout)
    _report(folder, list(checkouts), options)
    if options.picture:
        end = "-soft" if options.soft else ""
        rows = [dict(np.load(folder / f"{name}{end}.npz")) for name in ("open", "new")]
        from development.benchmark_scenes import images

        sheet = np.vstack([np.hstack([row[f"image{angle}"] for angle in _meshes.ANGLES]) for row in rows])
        images.write_jpg(options.picture, sheet, quality=80)


def _truth(options: argparse.Namespace, folder: Path) -> None:
    """Render the scene from its camera and from beside it: images, and planar Z of both."""
    from development.benchmark_scenes import clips, render

    clip = clips.CLIPS[options.scene]
    shot = clip.shots[0]
    scene = shot.build(frames=shot.length)
    width, height = options.width, options.width * clip.height // clip.width // 2 * 2
    _meshes.set_up(scene, width, height)
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
    for angle in _meshes.ANGLES[1:]:
        views[f"image{angle}"], views[f"z{angle}"] = _render(scene, camera, place @ _beside(angle, near), folder)
    np.savez_compressed(folder / "views.npz", **views)


def _mesh(options: argparse.Namespace, folder: Path) -> None:
    """Build the mesh of the true depth, and render it from the same places."""
    views = dict(np.load(folder / "views.npz"))
    inverse = np.where(views["z"] < 1e6, 1 / views["z"], 0.0)
    if options.soft:
        height, width = inverse.shape
        inverse = inverse.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    found = {}
    with _meshes.built(views, inverse, is_open=options.name == "open") as (scene, second, place):
        for angle in _meshes.ANGLES:
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
        for angle in _meshes.ANGLES:
            real = truth["z"] if angle == 0 else truth[f"z{angle}"]
            mine = seen[f"z{angle}"]
            known = real < 1e6
            hole = (mine > 1e6) & _meshes.inside(mine) & known
            off = known & (mine < 1e6) & (np.abs(mine - real) > OFF * real)
            rows[name, angle] = [float(hole.mean()), float(off.mean())]
            print(f"{name:>6} {angle:>8} {100 * hole.mean():8.2f} {100 * off.mean():8.2f}")
            _meshes.save(folder / f"{name}{'-soft' if options.soft else ''}-{angle}.png", seen[f"image{angle}"])
    for angle in _meshes.ANGLES:
        _meshes.save(folder / f"truth-{angle}.png", truth["image" if angle == 0 else f"image{angle}"])
    print(json.dumps({f"{name} {angle}": values for (name, angle), values in rows.items()}))
    print(f"Images are in {os.path.relpath(folder)}.")


def _beside(degrees: float, distance: float) -> Any:
    """From a camera to the one turned about a point ahead of it."""
    from mathutils import Matrix

    ahead = Matrix.Translation((0.0, 0.0, -distance))
    return ahead @ Matrix.Rotation(np.radians(degrees), 4, "Y") @ ahead.inverted()


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


if __name__ == "__main__":
    main()
