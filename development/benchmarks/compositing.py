"""Depth of field: its time beside Blender's Defocus at the same look, and its likeness to what Cycles' lens renders.

With ``--pictures DIR``, the images of docs/compositing.md and the previews of the asset library are made as well.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development import in_blender

PACKAGES = "blender"

_HD = (1920, 1080)
_BLURS = (16, 32, 58)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; the exit status is 0 on success."""
    parser = argparse.ArgumentParser(
        prog="python3 dev.py benchmark compositing", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--size", nargs=2, type=int, default=_HD, metavar=("W", "H"), help="(default: 1920 1080)")
    parser.add_argument("--max-blur", nargs="*", type=int, default=_BLURS, metavar="N", help="largest radii in pixels")
    parser.add_argument("--samples", type=int, default=128, metavar="N", help="of Cycles' lens; 0: not rendered")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="make the pages' images there, and nothing else")
    options = parser.parse_args(arguments)
    in_blender.enable_checkout()
    from development.benchmark_scenes import effects

    if options.pictures:
        effects.make(options.pictures)
        return 0
    with tempfile.TemporaryDirectory(prefix=in_blender.PREFIX) as folder:
        _times(Path(folder), tuple(options.size), options.max_blur)
        if options.samples:
            _likeness(Path(folder), options.samples)
    return 0


def _times(folder: Path, size: tuple[int, int], radii: Sequence[int]) -> None:
    """CPU seconds a frame of either depth of field, without those of the plate alone."""
    from development.benchmark_scenes import effects

    shot = effects.still(folder / "time", size, samples=1)
    print(f"CPU seconds a frame at {size[0]}x{size[1]}, over all cores, without the plate's own")
    plate = _seconds(lambda: effects.composited(shot, folder))
    print(f"{'max blur':>9} {'Fathom':>8} {'Defocus':>8}   (plate alone: {plate:.2f})")
    for radius in radii:
        row = []
        for add in (effects.add_lens, effects.add_defocus):
            added = add(shot, focus=6.0, f_stop=effects.f_stop_for(radius, size[0]), max_blur=radius)
            row.append(_seconds(lambda: effects.composited(shot, folder)) - plate)
            effects.take_out(shot, added)
        print(f"{radius:9d} {row[0]:8.2f} {row[1]:8.2f}", flush=True)


def _likeness(folder: Path, samples: int) -> None:
    """Structural similarity to Cycles' own depth of field, of the same scene, of either and of the sharp plate."""
    from development.benchmark_scenes import effects

    print(f"{'max blur':>9} {'Fathom':>8} {'Defocus':>8} {'sharp':>8}   structural similarity at 640x360")
    for radius in (8, 16):
        found = effects.against_cycles(folder / f"likeness {radius}", (640, 360), radius, samples)
        print(f"{radius:9d} {found['lens']:8.4f} {found['defocus']:8.4f} {found['sharp']:8.4f}", flush=True)


def _seconds(render: Callable[[], Any]) -> float:
    """Of CPU time, which other programs change less than the time that passes; the second of two runs."""
    render()
    started = time.process_time()
    render()
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(main())
