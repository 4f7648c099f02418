"""How fast clips are read and how flat memory stays: ``.venv-inference/bin/python development/benchmarks/media.py``.

Reads a short and a ten times longer clip that it makes itself, each in a process of its own, through
`inference.media.working.prepare`, and prints seconds per frame and peak memory. It ends with exit code 1 when the
longer clip takes noticeably more memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

ALLOWED_MB = 40
"""How much more memory ten times the frames may take."""


def measure(path: str, size: int) -> None:
    """Prepare a clip in this process and print seconds per frame and peak memory."""
    from inference.media import processing_size
    from inference.media.clip import open_clip
    from inference.media.source import describe

    with open_clip(describe(path)) as clip, tempfile.TemporaryDirectory() as folder:
        wanted = processing_size.working_size(clip.width, clip.height, size, 8)
        start = time.perf_counter()
        prepared = processing_size.prepare(clip, clip.first_frame, clip.last_frame, wanted, folder)
        frames = prepared.frames(clip.first_frame, clip.last_frame)
        for index in range(len(frames)):
            frames[index].mean()
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(frames)} {seconds / len(frames):.4f} {peak:.0f}")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--frames", type=int, default=60, help="of the short clip; the long one has ten times as many")
    parser.add_argument("--size", type=int, default=640, help="working size, long side")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.size)
        return 0

    from tests.footage_maker import movie

    size = (arguments.width, arguments.height)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (size[1] // 8 + 1, size[0] // 8 + 80, 3)).astype(np.uint8)
    wide = coarse.repeat(8, 0).repeat(8, 1)
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in (arguments.frames, arguments.frames * 10):
            views = Panning(wide, size)
            path = movie(Path(folder) / "clip.mp4", range(frames), size=size, options={"crf": "18"}, images=views)
            command = [sys.executable, __file__, "--measure", str(path), "--size", str(arguments.size)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            print(f"{out[0]} frames of {size[0]} x {size[1]}: {float(out[1]) * 1000:.1f} ms a frame, peak {out[2]} MB")
            peaks.append(float(out[2]))
    growth = peaks[1] - peaks[0]
    print(f"ten times the frames take {growth:.0f} MB more (allowed: {ALLOWED_MB})")
    return 0 if growth <= ALLOWED_MB else 1


class Panning:
    """Views of a wide image, made one at a time."""

    def __init__(self, wide: np.ndarray, size: tuple[int, int]) -> None:
        self.wide, self.size = wide, size

    def __getitem__(self, index: int) -> np.ndarray:
        """The `index`-th view; the pan swings to and fro."""
        left = abs((index + 600) % 1200 - 600)
        return np.ascontiguousarray(self.wide[: self.size[1], left : left + self.size[0]])


if __name__ == "__main__":
    sys.exit(main())
