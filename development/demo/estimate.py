"""Estimating a clip in Blender by the operator ``fathom.estimate_video_depth``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import bpy


@dataclass(frozen=True)
class Result:
    """A finished estimate.

    Attributes
    ----------
    scene : Scene
        Its depth list has the result; its frames are the clip's.
    folder : Path
        The depth sequence.
    seconds : float
        The worker's time.
    """

    scene: bpy.types.Scene
    folder: Path
    seconds: float


def estimate(clip: Path, output: Path, options: argparse.Namespace) -> Result | None:
    """Estimate a clip into a folder below `output`; None where it fails, with the reason printed."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    path = next(iter(sorted(p for p in clip.iterdir() if p.is_file())), clip) if clip.is_dir() else clip
    try:
        bpy.ops.fathom.estimate_video_depth(
            filepath=str(path), output=str(output / "depth"), estimator=options.estimator, frames=options.frames
        )
    except RuntimeError:  # an operator's error report, which Blender has printed already
        return None
    known = scene.fathom.depths[scene.fathom.active_depth]
    folder = Path(bpy.path.abspath(known.folder))
    return Result(scene, folder, _sidecar(folder).seconds)


def _sidecar(folder: Path):
    from bl_ext.dev.fathom.inference.contract import depth_sequence

    return depth_sequence.load(folder)
