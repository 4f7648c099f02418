"""Shards of depth meshes of estimates, from beside the camera: ``dev.py benchmark mesh_shards CLIP --depth DIR ...``.

    python3 dev.py benchmark mesh_shards build/benchmark/courtyard --depth true --depth depth/v001 \
        --depth depth/v001_refined --against ../an-earlier-checkout

A depth is a folder with inverse depth of a rendered clip, ``true``, or ``half`` for true depth at half the size. The
meshes of some of its frames are drawn as renders have them, through the camera that took them and from 5 and 20 degrees
to both sides. Of an estimate, a surface that is off may be the depth's error (of true depth see `mesh_views`). So
shards are faces that are drawn out from beside the camera where the scene's surface is not, see `_shards`. Faces like
that which the camera itself does not see, as of the background that is made up, are counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development.benchmarks import _meshes, _shards

PACKAGES = "blender"
SHARES = "holes", "shards", "made up"
MADE = ("true", "half")
"""Depths that are no folder's: true depth, and that at half size."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py benchmark mesh_shards", description=__doc__.split(":")[0] + ".")
    parser.add_argument("clip", metavar="CLIP", type=Path, nargs="?", help="folder of a rendered clip")
    parser.add_argument("--depth", metavar="DIR", action="append", default=[], help="of the clip: inverse depth")
    parser.add_argument("--frames", metavar="N", type=int, default=3, help="evenly over the clip (default: 3)")
    _meshes.add_arguments(parser)
    options = parser.parse_args()
    if options.phase:
        _meshes.enable(options.checkout)
        _cases(Path(options.folder), options.name)
    elif not options.clip or not options.depth:
        parser.error("the folder of a rendered clip and at least one --depth are needed.")
    else:
        _estimates(options, _meshes.OUTPUT / f"{options.clip.resolve().name}-estimates")


def _estimates(options: argparse.Namespace, folder: Path) -> None:
    """Draw the meshes of estimates as renders have them, and print the shares of holes and shards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
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
            np.savez_compressed(folder / f"case-{label}-{number}.npz", **_case(options.clip, depth, number))
    checkouts = {**({"old": options.against} if options.against else {}), "new": str(_meshes.ROOT)}
    for name, checkout in checkouts.items():
        _meshes.run(__file__, "cases", folder, name=name, checkout=checkout)
    print(f"{options.clip.name}, frames {', '.join(map(str, chosen))}: percent of the image")
    columns = [f" {f'{name} {angle}':>10}" for angle in _meshes.ANGLES for name in SHARES]
    print(f"{'mesh':>5} {'depth':24}" + "".join(columns))
    for name in checkouts:
        for label in labels:
            found = [_seen(folder, name, label, number) for number in chosen]
            shares = 100 * np.mean(found, axis=0)
            print(f"{name:>5} {label:24}" + "".join(f" {share:10.2f}" for share in shares), flush=True)
    place = os.path.relpath(folder)
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


def _cases(folder: Path, checkout: str) -> None:
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
        with _meshes.built(case, case["inverse"]) as (scene, second, place):
            scene.camera = second
            scene.render.engine = "FATHOM_MEASURE"
            bpy.ops.render.render()
            back = np.array(place.inverted())
            got["points"] = (got["points"] @ back[:3, :3].T + back[:3, 3]) * (1, -1, -1)
            np.savez(folder / f"{checkout}-{file.stem[5:]}.npz", **got)


def _seen(folder: Path, name: str, label: str, number: int) -> list[float]:
    """`SHARES` of the views of a frame: through the camera, and the mean of both sides."""
    case = dict(np.load(folder / f"case-{label}-{number}.npz"))
    mesh = dict(np.load(folder / f"{name}-{label}-{number}.npz"))
    image, lens, triangles = case["image"], case["lens"], mesh["triangles"]
    height, width = image.shape[:2]
    shares: dict[int, list[list[float]]] = {angle: [] for angle in _meshes.ANGLES}
    front: Any = None
    for angle in sorted({*_meshes.ANGLES, *(-angle for angle in _meshes.ANGLES)}, key=abs):  # the camera's own first
        there = _shards.turned(angle, float(case["near"]))
        z, triangle, weights, normal = _shards.seen(mesh["points"], triangles, lens, (width, height), there)
        u, v, w = np.einsum("hwi,hwij->jhw", weights, mesh["plate"][triangles[triangle]])
        w = np.where(triangle < 0, 1.0, w)
        column = (np.clip(u / w, 0, 1 - 1e-6) * width).astype(int)
        row = ((1 - np.clip(v / w, 1e-6, 1)) * height).astype(int)
        seen = np.where((triangle < 0)[..., None], 0, image[row, column]).astype(np.uint8)
        hole = (z > 1e6) & _meshes.inside(z)
        shard = _shards.shards(z, normal, case["true"], lens, there)
        front = z if angle == 0 else front
        hidden = shard & _shards.made_up(z, front, lens, there)
        shard &= ~hidden
        shares[abs(angle)].append([float(each.mean()) for each in (hole, shard, hidden)])
        _meshes.save(folder / f"{name}-{label}-{number}-{angle}.png", seen)
        marked = seen // 2 + 64
        marked[hole], marked[shard], marked[hidden] = (40, 90, 255), (255, 40, 40), (255, 180, 60)
        _meshes.save(folder / f"{name}-{label}-{number}-{angle}-marked.png", marked)
    return [share for angle in _meshes.ANGLES for share in np.mean(shares[angle], axis=0)]


if __name__ == "__main__":
    main()
