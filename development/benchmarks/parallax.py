"""Time and memory of the parallax estimator.

    python development/benchmarks/parallax.py rgb/             a folder of images
    python development/benchmarks/parallax.py --frames 1000 --width 640 --height 480      a synthetic dolly shot

The synthetic clip is made frame by frame, so it takes hardly any memory. Prints seconds a frame by stage and the peak
resident memory of the estimator and of the camera solve's process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from inference.contract.camera import Camera
from inference.estimators import parallax
from inference.estimators.base import Shot

FOCAL = 0.9
"""In image widths, of the synthetic clip; the solve uses it, since flat walls do not determine it."""


class Dolly:
    """A camera that glides past three textured walls at different depths; frames are made when they are read."""

    def __init__(self, *, count: int, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.numbers = range(1, count + 1)
        generator = np.random.default_rng(0)
        self._layers = []
        for top, depth in ((0.0, 8.0), (0.45, 4.0), (0.75, 2.0)):
            total = np.zeros((1024, 1024, 3), np.float32)
            for size in (16, 64, 256, 1024):
                small = generator.standard_normal((size, size, 3)).astype(np.float32)
                total += cv2.resize(small, (1024, 1024), interpolation=cv2.INTER_CUBIC)
            self._layers.append((round(top * height), depth, np.clip(128 + 40 * total, 0, 255).astype(np.uint8)))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> np.ndarray:
        focal = FOCAL * self.width
        image = np.empty((self.height, self.width, 3), np.uint8)
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        for top, depth, texture in self._layers:
            u = x[top:] + 0.03 * index * focal / depth
            image[top:] = cv2.remap(texture, u.astype(np.float32) % 1023, y[top:] % 1023, cv2.INTER_LINEAR)
        return image


class Folder:
    """The images of a folder, read on demand."""

    def __init__(self, folder: Path, count: int) -> None:
        self.files = sorted(folder.iterdir())[:count]
        self.numbers = range(1, len(self.files) + 1)
        self.height, self.width = self[0].shape[:2]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> np.ndarray:
        return cv2.cvtColor(cv2.imread(str(self.files[index])), cv2.COLOR_BGR2RGB)


class Stopwatch:
    """Seconds between reports of progress, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._label, self._since = "Starting", time.perf_counter()

    def __call__(self, stage: str, label: str, done: float, total: float) -> None:
        now = time.perf_counter()
        self.seconds[label] = self.seconds.get(label, 0.0) + now - self._since
        self._since = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="?", type=Path, help="folder of images; a synthetic dolly without one")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    options = parser.parse_args()
    if options.images:
        frames = Folder(options.images, options.frames)
    else:
        frames = Dolly(count=options.frames, width=options.width, height=options.height)
    camera = None
    if not options.images:
        middle = ((frames.width - 1) / 2, (frames.height - 1) / 2)
        camera = Camera(
            width=frames.width, height=frames.height, focal_length=FOCAL * frames.width, principal_point=middle
        )
    watch = Stopwatch()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fathom-benchmark-") as folder:
        shot = Shot(
            frames=frames,
            parameters={each.name: each.default for each in parallax.INFO.parameters} | {"mattes": "off"},
            seed=0,
            camera=camera,
            mattes=None,
            scratch=Path(folder),
            finished=frozenset(),
            write=lambda index, disparity, confidence=None: None,
            progress=watch,
            check=lambda: None,
        )
        result = parallax.estimate(shot)
        scratch_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    seconds = time.perf_counter() - start
    print(f"{len(frames)} frames of {frames.width}x{frames.height}: {seconds / len(frames):.2f} s a frame")
    for label, passed in watch.seconds.items():
        print(f"  {label:32s} {passed / len(frames):.3f} s a frame")
    own, child = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    spent = [usage.ru_utime + usage.ru_stime for usage in (own, child)]
    print(f"  CPU time            {spent[0] / len(frames):.2f} s a frame, camera solve {spent[1] / len(frames):.2f}")
    mebi = 1024 if sys.platform != "darwin" else 1024**2  # ru_maxrss counts kibibytes, on macOS bytes
    print(f"  peak memory, estimator    {own.ru_maxrss / mebi:.0f} MiB")
    print(f"  peak memory, camera solve {child.ru_maxrss / mebi:.0f} MiB")
    print(f"  on disk until the end {scratch_bytes / 2**20:.0f} MiB")
    if result.camera:
        print(f"  focal length {result.camera.focal_length / frames.width:.3f} image widths")


if __name__ == "__main__":
    main()
