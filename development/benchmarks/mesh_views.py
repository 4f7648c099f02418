r"""The depth mesh of true depth, seen from beside its camera: ``dev.py benchmark mesh_views [--against CHECKOUT]``.

A frame of a rendered scene is built from its exact depth (``--soft``: averaged to half the size, as an estimator's
edges are), and rendered through the camera that took it and from 5 and 20 degrees aside. The scene itself is rendered
from there too. Printed are the shares of the image where the mesh has a hole, and where it has a surface that is off by
more than 5 % of the distance: shards, and what is made up. Images go to ``build/mesh-views/``.

With ``--depth DIR`` (repeatable; also ``true``, and ``half`` for true depth at half the size) the meshes are those of
estimates of a rendered clip, on some of its frames. Of an estimate, a surface that is off may be the depth's error. So
shards are faces that are drawn out from beside the camera where the scene's surface is not, see `_shards`. Faces like
that which the camera itself does not see, as of the background that is made up, are counted apart:

    python3 dev.py benchmark mesh_views --clip build/benchmark/courtyard --depth true --depth depth/v001 \
        --depth depth/v001_refined --against ../an-earlier-checkout
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = "blender"
ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "mesh-views"
ANGLES = (0, 5, 20)
BOTH_WAYS = (0, 5, -5, 20, -20)
OFF = 0.05
SHARES = "holes", "shards", "made up"
MADE = ("true", "half")
"""Depths that are no folder's: true depth, and that at half size."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py benchmark mesh_views", description=__doc__.split(":")[0] + ".")
    parser.add_argument("--scene", default="courtyard", help="of the rendered clips (default: courtyard)")
    parser.add_argument("--at", type=float, default=0.5, metavar="SHARE", help="of the clip's length")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--soft", action="store_true", help="depth maps of half the size, averaged")
    parser.add_argument("--against", metavar="DIR", help="another checkout, whose mesh is rendered as well")
    parser.add_argument("--picture", metavar="JPG", type=Path, help="a sheet of the views, also with Background 0")
    estimates = parser.add_argument_group("of estimates")
    estimates.add_argument("--depth", metavar="DIR", action="append", default=[], help="of the clip: inverse depth")
    estimates.add_argument("--clip", metavar="DIR", type=Path, help="folder of a rendered clip")
    estimates.add_argument("--frames", metavar="N", type=int, default=3, help="evenly over the clip (default: 3)")
    parser.add_argument("--phase", choices=["truth", "mesh", "cases"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--checkout", default=str(ROOT), help=argparse.SUPPRESS)
    parser.add_argument("--name", default="new", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = OUTPUT / f"{options.scene}-{options.width}-{round(100 * options.at)}"
    if options.phase:
        sys.path[:0] = [options.checkout, str(Path(options.checkout) / "tests")]
        from development import in_blender

        in_blender.enable_checkout()
        {"truth": _truth, "mesh": _mesh, "cases": _cases}[options.phase](options, options.folder or folder)
        return
    if bool(options.depth) != bool(options.clip):
        parser.error("--depth and --clip belong together: estimates, and the rendered clip that they are of.")
    if options.depth:
        _estimates(options)
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
    command += ["--folder", str(options.folder)] if options.folder else []
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
    views = dict(np.load(folder / "views.npz"))
    inverse = np.where(views["z"] < 1e6, 1 / views["z"], 0.0)
    if options.soft:
        height, width = inverse.shape
        inverse = inverse.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    found = {}
    with _built(views, inverse, is_open=options.name == "open") as (scene, second, place):
        for angle in ANGLES:
            found[f"image{angle}"], found[f"z{angle}"] = _render(
                scene, second, place @ _beside(angle, float(views["near"])), folder
            )
    np.savez_compressed(folder / f"{options.name}{'-soft' if options.soft else ''}.npz", **found)


@contextmanager
def _built(views: dict[str, Any], inverse: Any, *, is_open: bool = False) -> Iterator[tuple[Any, Any, Any]]:
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
        _set_up(scene, width, height)
        scene.cycles.samples = 4
        second = bpy.data.objects.new("Second", eye.data.copy())
        second.data.clip_end = 1e6
        scene.collection.objects.link(second)
        yield scene, second, eye.matrix_world.copy()


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


# -------------------------------------------------------------------------------------------------------- estimates


def _estimates(options: argparse.Namespace) -> None:
    """Draw the meshes of estimates as renders have them, and print the shares of holes and shards."""
    sys.path[:0] = [str(ROOT)]
    options.clip = options.clip.absolute()
    options.folder = OUTPUT / f"{options.clip.name}-estimates"
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    camera = json.loads((options.clip / "camera.json").read_text())
    given = [Path(depth) for depth in options.depth if depth not in MADE]
    numbers = [entry["frame"] for entry in camera["frames"]]
    numbers = [n for n in numbers if all((depth / f"disparity.{n:04d}.exr").exists() for depth in given)]
    if not numbers:
        sys.exit(f"{' and '.join(options.depth)} have no frame in common.")
    count = min(options.frames, len(numbers))
    chosen = [numbers[round((i + 0.5) * len(numbers) / count - 0.5)] for i in range(count)]
    labels = [Path(depth).name for depth in options.depth]
    for label, depth in zip(labels, options.depth):
        for number in chosen:
            np.savez_compressed(options.folder / f"case-{label}-{number}.npz", **_case(options.clip, depth, number))
    checkouts = {**({"old": options.against} if options.against else {}), "new": str(ROOT)}
    for name, checkout in checkouts.items():
        _run("cases", checkout, name, options)
    print(f"{options.clip.name}, frames {', '.join(map(str, chosen))}: percent of the image")
    print(f"{'mesh':>5} {'depth':24}" + "".join(f" {f'{name} {a}':>10}" for a in ANGLES for name in SHARES))
    for name in checkouts:
        for label in labels:
            found = [_seen(options.folder, name, label, number) for number in chosen]
            shares = 100 * np.mean(found, axis=0)
            print(f"{name:>5} {label:24}" + "".join(f" {share:10.2f}" for share in shares), flush=True)
    place = os.path.relpath(options.folder)
    print(f"Images, with holes in blue, shards in red and what is made up so in orange, are in {place}.")


def _case(clip: Path, depth: str, number: int) -> dict[str, Any]:
    """What a mesh is built of: image, map, lens and pose of a frame, and 1 / Z of the scene in the map's unit."""
    from development.benchmark_scenes import images

    camera = json.loads((clip / "camera.json").read_text())
    lens = np.array([[camera["fx"], 0, camera["cx"]], [0, camera["fy"], camera["cy"]], [0, 0, 1.0]])
    image = images.read_png(next((clip / "rgb").glob(f"{number:05d}.*")))
    exact = clip / "depth_exact" / f"{number:05d}.exr"
    z = _channel(exact) if exact.exists() else images.read_gray16(clip / "depth" / f"{number:05d}.png") / 1000.0
    true = np.where((z > 0) & np.isfinite(z), 1 / np.maximum(z, 1e-9), 0.0)
    if depth in MADE:
        inverse = true if depth == "true" else true[1::2, 1::2]
    else:
        described = json.loads((Path(depth) / "depth.json").read_text())
        if described["quantity"] != "inverse_depth":
            sys.exit(f"{depth} has no distances but {described['quantity']}: choose inverse depth.")
        inverse = _channel(Path(depth) / f"disparity.{number:04d}.exr")
        shot = next(s for s in described["shots"] if s["first_frame"] <= number <= s["last_frame"])
        if shot.get("camera"):
            lens[0, 0] = lens[1, 1] = shot["camera"]["focal_length"] * image.shape[1] / shot["camera"]["width"]
    rows, columns = (np.arange(n) * m // n for n, m in zip(true.shape, inverse.shape))
    known = true > 0
    scale = np.median((inverse[rows][:, columns] / np.where(known, true, 1.0))[known])
    true = true * scale
    near = 1 / np.quantile(true[known], 0.7)
    return {"image": image, "inverse": inverse, "true": true, "lens": lens, "pose": np.eye(4), "near": near}


def _channel(file: Path) -> Any:
    import OpenEXR

    with OpenEXR.File(str(file), separate_channels=True) as exr:
        return next(np.array(channel.pixels) for part in exr.parts for channel in part.channels.values())


def _cases(options: argparse.Namespace, folder: Path) -> None:
    """Build the checkout's mesh of each case; written are its points, in the taking camera's axes, and triangles."""
    import bpy

    got: dict[str, Any] = {}

    class Engine(bpy.types.RenderEngine):
        """Is given the meshes as renders have them."""

        bl_idname, bl_label = "FATHOM_MEASURE", "Measure"

        def render(self, depsgraph: Any) -> None:
            points, triangles, plate, count = [], [], [], 0
            for each in depsgraph.object_instances:
                if each.object.type != "MESH":
                    continue
                mesh = each.object.data
                mesh.calc_loop_triangles()
                flat = np.empty(3 * len(mesh.vertices), np.float32)
                mesh.vertices.foreach_get("co", flat)
                world = np.array(each.matrix_world)
                points.append(flat.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3])
                corners = np.empty(3 * len(mesh.loop_triangles), np.int32)
                mesh.loop_triangles.foreach_get("vertices", corners)
                triangles.append(corners.reshape(-1, 3) + count)
                flat = np.empty_like(flat)
                mesh.attributes["plate"].data.foreach_get("vector", flat)
                plate.append(flat.reshape(-1, 3))
                count += len(mesh.vertices)
            got.update(points=np.concatenate(points), triangles=np.concatenate(triangles), plate=np.concatenate(plate))

    bpy.utils.register_class(Engine)
    for file in sorted(folder.glob("case-*.npz")):
        case = dict(np.load(file))
        with _built(case, case["inverse"]) as (scene, second, place):
            scene.camera = second
            scene.render.engine = "FATHOM_MEASURE"
            bpy.ops.render.render()
            back = np.array(place.inverted())
            got["points"] = (got["points"] @ back[:3, :3].T + back[:3, 3]) * (1, -1, -1)
            np.savez(folder / f"{options.name}-{file.stem[5:]}.npz", **got)


def _seen(folder: Path, name: str, label: str, number: int) -> list[float]:
    """`SHARES` of the views of a frame: through the camera, and the mean of both sides."""
    from development.benchmarks import _shards

    case = dict(np.load(folder / f"case-{label}-{number}.npz"))
    mesh = dict(np.load(folder / f"{name}-{label}-{number}.npz"))
    image, lens, triangles = case["image"], case["lens"], mesh["triangles"]
    height, width = image.shape[:2]
    shares: dict[int, list[list[float]]] = {angle: [] for angle in ANGLES}
    front: Any = None
    for angle in BOTH_WAYS:
        there = _turned(angle, float(case["near"]))
        back = np.linalg.inv(there)
        points = mesh["points"] @ back[:3, :3].T + back[:3, 3]
        z, triangle, weights = _shards.view(points, triangles, lens, (width, height))
        a, b, c = (points[triangles[triangle, i]] for i in range(3))
        normal = np.cross(b - a, c - a)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-30)
        u, v, w = np.einsum("hwi,hwij->jhw", weights, mesh["plate"][triangles[triangle]])
        w = np.where(triangle < 0, 1.0, w)
        column = (np.clip(u / w, 0, 1 - 1e-6) * width).astype(int)
        row = ((1 - np.clip(v / w, 1e-6, 1)) * height).astype(int)
        seen = np.where((triangle < 0)[..., None], 0, image[row, column]).astype(np.uint8)
        hole = (z > 1e6) & _inside(z)
        shard = _shards.shards(z, normal, case["true"], lens, there)
        front = z if angle == 0 else front
        hidden = shard & _shards.made_up(z, front, lens, there)
        shard &= ~hidden
        shares[abs(angle)].append([float(each.mean()) for each in (hole, shard, hidden)])
        _save(folder / f"{name}-{label}-{number}-{angle}.png", seen)
        marked = seen // 2 + 64
        marked[hole], marked[shard], marked[hidden] = (40, 90, 255), (255, 40, 40), (255, 180, 60)
        _save(folder / f"{name}-{label}-{number}-{angle}-marked.png", marked)
    return [share for angle in ANGLES for share in np.mean(shares[angle], axis=0)]


def _turned(degrees: float, distance: float) -> Any:
    """`_beside` with OpenCV's axes, as NumPy's matrix."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(4)
    turn[:3, :3] = (c, 0, -s), (0, 1, 0), (s, 0, c)
    ahead, back = np.eye(4), np.eye(4)
    ahead[2, 3], back[2, 3] = distance, -distance
    return ahead @ turn @ back


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
