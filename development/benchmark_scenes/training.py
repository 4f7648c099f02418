"""Render clips to train on: scenes by chance, with true depth, deterministic by their numbers.

``python3 dev.py render-training --clips 100`` makes a folder for each clip in ``build/training/``, and the list of them
that ``python -m inference train`` takes, ``clips.yaml``. A clip that is rendered already from the same scene is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np

_HELD = 10
"""One of so many clips is held back, to measure on."""
_NOT_NEEDED = ("depth_exact", "flow")
_SHOWN = 9


def main() -> int:
    """Render the clips of the command line; the exit status is 0 on success."""
    parser = argparse.ArgumentParser(
        prog="python3 dev.py render-training",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--clips", metavar="N", type=int, required=True, help="how many")
    parser.add_argument("--first", metavar="N", type=int, default=0, help="number of the first; each is another scene")
    parser.add_argument("--frames", metavar="N", type=int, default=48, help="frames of a clip")
    parser.add_argument("--width", metavar="PIXELS", type=int, default=320, help="of the images")
    parser.add_argument("--height", metavar="PIXELS", type=int, default=160, help="of the images")
    parser.add_argument("--samples", metavar="N", type=int, default=4, help="of a pixel")
    parser.add_argument("--output", metavar="DIR", type=Path, help="default: build/training")
    parser.add_argument("--threads", metavar="N", type=int, default=0, help="CPU threads; 0: all")
    options = parser.parse_args()
    for name, least in (("clips", 1), ("first", 0), ("frames", 1), ("width", 16), ("height", 16), ("samples", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}")
    from development import in_blender

    in_blender.enable_checkout()  # also isolates the images from the user's own Blender settings
    from . import render

    folder = options.output or render.OUTPUT.with_name("training")
    started, made = time.monotonic(), []
    for number in range(options.first, options.first + options.clips):
        made.append(
            rendered(
                number,
                folder,
                frames=options.frames,
                size=(options.width, options.height),
                samples=options.samples,
                threads=options.threads,
            )
        )
        left = (time.monotonic() - started) / len(made) * (options.clips - len(made))
        print(f"{os.path.relpath(made[-1])}: {len(made)} of {options.clips}, {left:.0f} s left", flush=True)
    write_list(folder)
    _write_sheet(folder / "contact_sheet.png", made[:_SHOWN])
    print(f"{options.clips} clips took {time.monotonic() - started:.0f} s; see {os.path.relpath(folder)}.")
    return 0


def rendered(
    number: int, folder: Path, *, frames: int, size: tuple[int, int], samples: int = 4, threads: int = 0
) -> Path:
    """The folder of the clip of a number, which is rendered unless it was; `render` has the layout, less flow."""
    from . import random_scene, render
    from .clips import Clip, Shot

    width, height = size
    clip = Clip(
        name=f"clip-{number:05d}",
        about="a scene by chance",
        shots=(Shot(build=random_scene.of(number), frames=frames),),
        width=width,
        height=height,
        samples=samples,
    )
    found = render.rendered(clip, folder, lambda line: None, threads=threads)
    for name in _NOT_NEEDED:
        shutil.rmtree(found / name, ignore_errors=True)
    return found


def write_list(folder: Path) -> None:
    """Write ``clips.yaml`` for all clips in the folder: one of ten, at least one of several, is held back."""
    names = sorted(path.name for path in folder.glob("clip-*") if (path / "camera.json").exists())
    held = names[_HELD - 1 :: _HELD] or names[1:][-1:]
    lines = [
        "name: my-depth  # what the trained weights are called",
        "license:  # under which they may be used; without a title nothing is estimated with them",
        "  title: ''",
        "train:",
        *_listed("renders", [name for name in names if name not in held]),
        *(["held:", *_listed("held-renders", held)] if held else []),
    ]
    (folder / "clips.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _listed(name: str, clips: list[str]) -> list[str]:
    lines = [f"  - name: {name}", "    folder: .", "    layout: folder", "    unknown: far", "    license: own renders"]
    return [*lines, f"    only: [{', '.join(clips)}]"]


def _write_sheet(path: Path, folders: list[Path]) -> None:
    """Images and depth of some clips."""
    from . import images, sheet

    cells = []
    for folder in folders:
        files = sorted((folder / "rgb").glob("*.png"))
        middle = files[len(files) // 2]
        depth = images.read_gray16(folder / "depth" / middle.name).astype(np.float64)
        near = np.where(depth > 0, 1000.0 / np.maximum(depth, 1.0), 0.0)
        cells.append(sheet.Cell(images.read_png(middle), folder.name))
        cells.append(sheet.Cell(images.color_depth(near / near.max()), f"true depth, from {1 / near.max():.1f} m"))
    sheet.write(path, cells, title="Clips to train on")


if __name__ == "__main__":
    sys.exit(main())
