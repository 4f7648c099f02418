"""The main job from a clip to images: ``python3 dev.py demo [--clip CLIP]``.

Estimates the clip's depth with the artist's operators, evaluates it, builds camera, depth mesh, fog and compositing,
and writes images of all to ``demo-output/``. The default clip is one that the project renders itself, with ground
truth; for any other, temporal stability is measured instead of accuracy.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from development import in_blender
from development.environments import ROOT

OUTPUT = ROOT / "demo-output"


def main() -> int:
    """Run the demo; the exit status is 0 if the clip got depth."""
    parser = argparse.ArgumentParser(prog="python3 dev.py demo", description=__doc__.split(":")[0] + ".")
    parser.add_argument("--clip", metavar="CLIP", help="a movie, a folder of frames or one frame of a sequence")
    parser.add_argument("--frames", metavar="A-B", default="", help="the clip's frames to use (default: all)")
    parser.add_argument("--estimator", metavar="NAME", default="parallax", help="default: parallax")
    parser.add_argument(
        "--focal-length", metavar="MM", type=float, default=0.0, help="on a sensor 36 mm wide, if the camera is known"
    )
    parser.add_argument("--pictures", metavar="DIR", type=Path, help="write the documentation's images there, too")
    options = parser.parse_args()
    clip = Path(options.clip or "courtyard").resolve()
    if options.clip and not clip.exists():
        parser.error(f"there is no {options.clip}")
    folder = OUTPUT / clip.stem
    if options.clip and (clip.is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(clip)):
        parser.error(f"{options.clip} holds {folder}, which the results replace, or lies in it: move it elsewhere")
    in_blender.enable_checkout()
    from development.benchmark_scenes import clips, render

    from . import gallery

    started = time.monotonic()
    truth = None
    if not options.clip:
        truth = render.rendered(clips.CLIPS["courtyard"], render.OUTPUT)
        clip = truth / "rgb"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not _estimate(clip, folder / "depth", options):
        return 1
    sheet, depth = gallery.make(folder, truth=truth, focal_length=options.focal_length)
    if options.pictures:
        gallery.write_pictures(folder, options.pictures)
    figures = _evaluate(depth, truth, folder / "report")
    (folder / ("accuracy.txt" if truth else "steadiness.txt")).write_text(figures, encoding="utf-8")
    print("\nAgainst the ground truth:" if truth else "\nTemporal stability, in percent of the value range:")
    print(figures)
    print(f"The whole demo took {time.monotonic() - started:.0f} s.")
    print(f"See {os.path.relpath(sheet)}, report/index.html beside it for the quality of the depth, and")
    print("scene.blend, to open in Blender.")
    return 0


def _estimate(clip: Path, output: Path, options: argparse.Namespace) -> bool:
    """Whether the artist's operator, in a new file, has put a clip's depth on the scene's list; it prints why not."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    path = next(iter(sorted(p for p in clip.iterdir() if p.is_file())), clip) if clip.is_dir() else clip
    try:
        bpy.ops.fathom.estimate_video_depth(
            filepath=str(path), output=str(output), estimator=options.estimator, frames=options.frames
        )
    except RuntimeError:  # an operator's error report, which Blender has printed already
        return False
    return True


def _evaluate(depth: Path, truth: Path | None, report: Path) -> str:
    """The figures of the worker's evaluation, whose report is written to a folder."""
    print("Measuring the depth", flush=True)
    command = [os.environ["FATHOM_PYTHON"], "-m", "inference", "evaluate", str(depth), "--report", str(report)]
    command += ["--truth", str(truth)] if truth else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the evaluation failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
