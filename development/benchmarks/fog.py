"""Fog against Cycles' own: the plate in Fathom's fog by true depth, beside the same rendered scene in real fog.

Printed are the structural similarity to real fog and the mean difference of what is shown: of the plate without fog, of
the compositor's fog, of the fog volume with its own light, and of the fog volume lit by the scene's lamps. Images go to
``build/fog/``. With ``--pictures DIR``, the image of docs/fog.md is made, or that of the panel where a Blender that
opens windows is given: ``--window PROGRAM``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development import in_blender

PACKAGES = "blender"
OUTPUT = Path(__file__).resolve().parents[2] / "build" / "fog"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; the exit status is 0 on success."""
    parser = argparse.ArgumentParser(
        prog="python3 dev.py benchmark fog", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--scene", default="courtyard", help="of the rendered clips (default: courtyard)")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--samples", type=int, default=64, metavar="N", help="of fog that is lit by lamps")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="make the page's image there, and nothing else")
    parser.add_argument("--window", metavar="PROGRAM", help="with --pictures, make the panel's image by this Blender")
    options = parser.parse_args(arguments)
    in_blender.enable_checkout()
    from development.benchmark_scenes import effects, fog_panel, fogs

    if options.pictures and options.window:
        options.pictures.mkdir(parents=True, exist_ok=True)
        fog_panel.make(options.window, options.pictures.absolute() / "fog-panel.jpg", OUTPUT / "panel")
        return 0
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        effects.write_sheet(
            options.pictures / "fog.jpg",
            list(fogs.looks(OUTPUT / "looks", options.scene, 400, samples=4).values()),
            width=800,
        )
        return 0
    found = fogs.against_real(OUTPUT / options.scene, options.scene, options.width, samples=16, real=options.samples)
    print(f"{options.scene} in real fog of {fogs.DENSITY} per meter, {options.width} pixels wide")
    print(f"{'':>12} {'similarity':>11} {'difference':>11}")
    for name, (similarity, difference) in found.items():
        print(f"{name:>12} {similarity:11.4f} {difference:11.4f}")
    print(f"Images are in {OUTPUT / options.scene}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
