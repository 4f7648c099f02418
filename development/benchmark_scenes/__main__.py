"""Render the benchmark: several clips with true depth, camera, flow and moving objects.

``python3 dev.py render-benchmark`` leaves a folder for each clip in ``build/benchmark/``; a clip that was rendered
from the same scene before is left alone. ``render`` says what is in a folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path


def main() -> int:
    """Render what the command line asks for; the exit status is 0 if all of it is there."""
    from development import in_blender

    in_blender.enable_checkout()  # which also keeps the user's own Blender settings out of the images
    from . import overview, render
    from .clips import CLIPS, QUICK

    names = "\n".join(f"  {clip.name:10} {clip.frames:3} frames, {clip.about}" for clip in CLIPS.values())
    parser = argparse.ArgumentParser(
        prog="python3 dev.py render-benchmark",
        description=f"{__doc__.splitlines()[0]} All of it takes 2 cores\nabout 6 minutes.\n\nscenes:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scene", action="append", choices=CLIPS, help="only this one (may be given again)")
    parser.add_argument("--quick", action="store_true", help="few and small frames, for tests")
    parser.add_argument("--output", metavar="DIR", type=Path, help="default: build/benchmark, or build/benchmark-quick")
    parser.add_argument("--threads", metavar="N", type=int, default=0, help="CPU threads; default: all")
    options = parser.parse_args()
    if options.threads < 0:
        parser.error(f"--threads {options.threads} is no number of threads; give 1 or more, or leave it out")
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
    print(f"All of it took {time.monotonic() - started:.0f} s; see {os.path.relpath(folder / 'contact_sheet.png')}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
