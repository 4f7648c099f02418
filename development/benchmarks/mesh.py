"""How long the depth mesh takes for a frame: ``dev.py benchmark mesh [--sizes 960x540 …] [--against CHECKOUT]``.

Depth maps of boxes before a room, with soft edges, are written for each size, and the timeline is stepped through them
twice: the first time Blender reads each map from disk, the second it has it in memory. Both at each map pixel (full)
and at the detail that the viewport starts with (default). With another checkout of the project, both are measured in
turn, and the last columns are how many times as long the other one takes. CPU seconds, of all threads together, depend
little on what else the machine does: on two idle cores a frame takes between half of them and all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development.benchmarks import _meshes

PACKAGES = "blender"
SIZES = ("512x288", "960x540", "1920x1080", "3840x2160")


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py benchmark mesh", description=__doc__.split(":")[0] + ".")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WxH", help="of the depth maps")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2, help="the best round counts")
    parser.add_argument("--against", metavar="DIR", help="another checkout, measured in turn")
    parser.add_argument("--distortion", type=float, default=0.0, metavar="K1", help="of the lens")
    parser.add_argument("--measure", metavar="SIZE", help=argparse.SUPPRESS)
    parser.add_argument("--checkout", default=str(_meshes.ROOT), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print("RESULT", json.dumps(_measure(options)))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        f"{'maps':>10} {'detail':>8} {'points':>9} {'first':>8} {'again':>8} {'CPU':>8}"
        + ("  old / new: again, CPU" if options.against else "")
    )
    for size in options.sizes:
        checkouts = [str(_meshes.ROOT), *([options.against] if options.against else [])]
        best: dict[str, dict[str, list[float]]] = {each: {} for each in checkouts}
        for _ in range(options.rounds):
            for each in checkouts:
                for name, values in _run(each, size, options).items():
                    old = best[each].get(name, values)
                    best[each][name] = [values[0], *map(min, zip(old[1:], values[1:]))]
        for name, (points, first, again, busy) in best[str(_meshes.ROOT)].items():
            line = f"{size:>10} {name:>8} {points:>9.0f} {first:7.3f}s {again:7.3f}s {busy:7.3f}s"
            if options.against:
                other = best[options.against].get(name) or best[options.against]["full"]
                line += f" {other[2] / again:5.2f} {other[3] / busy:5.2f}"
            print(f"{line}   load {os.getloadavg()[0]:.1f}", flush=True)


def _run(checkout: str, size: str, options: argparse.Namespace) -> dict[str, list[float]]:
    command = [sys.executable, __file__, "--measure", size, "--checkout", checkout, "--frames", str(options.frames)]
    command += ["--distortion", str(options.distortion)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    sys.exit(f"{checkout} could not be measured:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Points, and seconds a frame the first time and again, by detail."""
    _meshes.enable(options.checkout)
    import bpy
    import depth_maker
    from bl_ext.dev.fathom.scene import camera, mesh, nodes
    from bl_ext.dev.fathom.scene import depth as depths

    width, height = map(int, options.measure.split("x"))
    frames = range(1, options.frames + 1)

    def filmed(numbers):
        lens = {"focal_length": 0.9 * width, "distortion": (options.distortion, 0.0)}
        return depth_maker.dolly(numbers, width=width, height=height, **lens)

    result = {}
    with tempfile.TemporaryDirectory() as folder:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        scene = bpy.context.scene
        made = depth_maker.make(
            Path(folder) / "a", size=(width, height), plate_size=(64, 36), frames=frames, camera=filmed, disparity=_room
        )
        depth = depths.load(made)
        shot = depth.sequence.shots[0]
        built = mesh.build_mesh(depth, shot, camera.build_camera(depth, shot, scene=scene, plate=False), plate=False)
        modifier = built.modifiers[0]
        names = nodes.interface_identifiers(modifier.node_group)
        start = nodes.modifier_input(modifier, "Viewport Detail" if "Viewport Detail" in names else "Detail")
        image = next(image for image in bpy.data.images if image.get("fathom_kind") == "disparity")
        for name, detail in (("full", 1.0), ("default", start)):
            for each in ("Detail", "Viewport Detail"):
                if each in names:
                    nodes.set_modifier_input(modifier, each, detail)
            scene.frame_set(1)
            image.buffers_free()
            image.reload()
            seconds = []
            for _ in range(2):
                times, busy = [], []
                for frame in frames:
                    began, used = time.perf_counter(), time.process_time()
                    scene.frame_set(frame)
                    times.append(time.perf_counter() - began)
                    busy.append(time.process_time() - used)
                seconds.append(sorted(times)[len(times) // 2])
            seconds.append(sorted(busy)[len(busy) // 2])
            points = round(width * detail) * round(height * detail)
            result[name] = [points, *seconds]
    return result


def _room(frame: int, width: int, height: int):
    """1/Z of a room with boxes that move, its edges two pixels of 960 soft."""
    import numpy as np

    y, x = np.mgrid[0:height, 0:width]
    u, v = (x + 0.5) / width, (y + 0.5) / height
    inverse = np.maximum(0.08 + 0.02 * u, 0.3 * (v - 0.45))
    soft = 2 / 960
    for i in range(6):
        left, top, near = (0.13 * i + 0.02 * frame) % 0.9, 0.2 + 0.08 * i, 0.25 + 0.05 * i
        inside = np.minimum.reduce([u - left, left + 0.1 - u, v - top, top + 0.35 - v])
        share = np.clip(inside / soft + 0.5, 0, 1)
        inverse = inverse + share * np.maximum(near - inverse, 0)
    return inverse


if __name__ == "__main__":
    main()
