"""Render the benchmark: several clips with ground truth of depth, camera, flow and moving objects.

``python3 dev.py render-benchmark`` makes a folder for each clip in ``build/benchmark/``; a clip that is rendered
already from the same scene is kept. ``render`` describes the folders.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path


def main() -> int:
    """Render the clips of the command line; the exit status is 0 on success."""
    from development import in_blender

    in_blender.enable_checkout()  # also isolates the images from the user's own Blender settings
    from . import overview, render
    from .clips import CLIPS, QUICK

    names = "\n".join(f"  {clip.name:10} {clip.frames:3} frames, {clip.about}" for clip in CLIPS.values())
    parser = argparse.ArgumentParser(
        prog="python3 dev.py render-benchmark",
        description=f"{__doc__.splitlines()[0]} All of it takes 2 cores\nabout 6 minutes.\n\nscenes:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scene", action="append", choices=CLIPS, help="only this one (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="few and small frames, for tests")
    parser.add_argument("--output", metavar="DIR", type=Path, help="default: build/benchmark, or build/benchmark-quick")
    parser.add_argument("--threads", metavar="N", type=int, default=0, help="CPU threads; default: all")
    options = parser.parse_args()
    if options.threads < 0:
        parser.error(f"--threads {options.threads} is not a number of threads; use 1 or more, or leave it out")
    clips = QUICK if options.quick else CLIPS
    folder = options.output or (render.OUTPUT_QUICK if options.quick else render.OUTPUT)
    started = time.monotonic()
    for name in options.scene or clips:
        begun = time.monotonic()
        clip_folder = render.rendered(clips[name], folder, threads=options.threads)
        print(
            f"{os.path.relpath(clip_folder)}: {clips[name].frames} frames, {time.monotonic() - begun:.0f} s", flush=True
        )
    done = [(clip, folder / name) for name, clip in clips.items() if render.is_rendered(clip, folder)]
    overview.write(folder / "contact_sheet.png", done)
    print(
        f"The benchmark took {time.monotonic() - started:.0f} s; see {os.path.relpath(folder / 'contact_sheet.png')}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
