"""Sky and blank walls: a whitewashed house under a clear sky, a balloon that rises, a camera on a crane.

Nearly nothing of it has texture to follow: walls, sky, pool and terrace are one color each, told apart by light
alone. Depths from 3 m to 60 m.
"""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from . import light, materials, rigs, shapes


def build(*, frames: int, path: rigs.CameraPath | None = None) -> bpy.types.Scene:
    """Empty Blender's file and build the scene in it, animated over frames 1 to `frames`; see `rigs.camera`."""
    scene = rigs.begin(frames)
    white = materials.plain("Whitewash", (0.80, 0.78, 0.74), roughness=0.9)
    _house(white)
    _terrace(white)
    _stairs(white)
    _few_things()
    _coast()
    _balloon(frames)
    light.sky(
        scene,
        [(0.0, (0.66, 0.76, 0.84)), (0.14, (0.34, 0.54, 0.80)), (0.7, (0.08, 0.24, 0.58))],
        clouds=None,
        strength=0.8,
    )
    light.sun(scene, turn=(50, 0, -74), energy=4.6, color=(1.0, 0.90, 0.76))
    scene.view_settings.exposure = -0.15
    rigs.camera(scene, frames, path or _crane, lens=28.0)
    return scene


def _crane(t: float) -> tuple[Vector, Vector]:
    position = Vector((-2.3 + 2.2 * t, -7.2 + 0.7 * t, 1.5 + 0.9 * t))
    return position, Vector((0.5 + 0.4 * t, 3.0, 2.35))


def _house(white: bpy.types.Material) -> None:
    blue = materials.plain("Blue door", (0.03, 0.16, 0.36), roughness=0.5)
    dark = materials.plain("Window panes", (0.03, 0.04, 0.05), roughness=0.15)
    for center, size in (
        ((3.4, 4.0, 1.6), (5.2, 5.0, 3.2)),
        ((4.6, 5.2, 4.1), (3.4, 3.4, 2.0)),
        ((-4.6, 5.2, 1.3), (4.2, 5.4, 2.6)),
        ((0.0, 6.6, 1.9), (2.4, 2.6, 3.8)),
    ):
        shapes.box("Walls", white, center=center, size=size, bevel=0.05)
    shapes.box("Door", blue, center=(1.9, 1.49, 1.05), size=(0.95, 0.08, 2.1), bevel=0.01)
    shapes.box("Door step", white, center=(1.9, 1.3, 0.06), size=(1.3, 0.5, 0.12), bevel=0.02)
    for x, y, z, wide, tall in ((4.3, 1.5, 1.75, 0.7, 0.9), (-4.3, 2.5, 1.5, 0.7, 0.8), (4.7, 3.5, 4.2, 0.8, 0.8)):
        shapes.box("Pane", dark, center=(x, y + 0.03, z), size=(wide, 0.08, tall))
        shapes.box("Sill", white, center=(x, y - 0.04, z - tall / 2 - 0.04), size=(wide + 0.24, 0.2, 0.08), bevel=0.015)
        for side in (-1, 1):
            shapes.box(
                "Shutter",
                blue,
                center=(x + side * wide * 0.76, y - 0.02, z),
                size=(wide * 0.48, 0.05, tall),
                bevel=0.008,
            )
    shapes.turned(
        "Dome",
        white,
        foot=(0.0, 6.6, 3.8),
        profile=[(1.1 * math.cos(a), 1.1 * math.sin(a)) for a in np.linspace(0, 1.5, 14)],
        sides=48,
    )
    shapes.turned(
        "Chimney", white, foot=(5.5, 5.6, 5.1), profile=[(0.22, 0.0), (0.2, 0.9), (0.3, 0.92), (0.3, 1.02), (0.1, 1.12)]
    )


def _terrace(white: bpy.types.Material) -> None:
    floor = materials.plain("Terrace", (0.40, 0.32, 0.24), roughness=0.85)
    pool = materials.plain("Pool", (0.02, 0.24, 0.30), roughness=0.08)
    shapes.box("Terrace", floor, center=(0.0, 0.0, -0.1), size=(26.0, 22.0, 0.2))
    for x, y, wide, deep in (
        (-2.0, -1.3, 5.2, 0.24),
        (-2.0, 1.5, 5.2, 0.24),
        (-4.5, 0.1, 0.24, 2.6),
        (0.5, 0.1, 0.24, 2.6),
    ):
        shapes.box("Pool rim", white, center=(x, y, 0.05), size=(wide, deep, 0.12), bevel=0.02)
    shapes.box("Water", pool, center=(-2.0, 0.1, 0.02), size=(4.9, 2.7, 0.04))
    shapes.box("Parapet", white, center=(-9.6, 3.0, 1.0), size=(0.3, 15.0, 2.0), bevel=0.04)
    shapes.box("Parapet", white, center=(11.6, 3.0, 1.0), size=(0.3, 15.0, 2.0), bevel=0.04)
    shapes.box("Parapet", white, center=(0.0, 10.6, 1.0), size=(26.0, 0.3, 2.0), bevel=0.04)


def _stairs(white: bpy.types.Material) -> None:
    for i in range(10):
        rise = 0.32 * (i + 1)
        shapes.box("Step", white, center=(0.62, 5.0 - 0.34 * (9 - i), rise / 2), size=(0.9, 0.34, rise))
    shapes.box("Stair wall", white, center=(0.1, 3.4, 0.55), size=(0.14, 3.4, 1.1), bevel=0.02)


def _few_things() -> None:
    clay = materials.plain("Clay", (0.46, 0.17, 0.08))
    leaf = materials.mottled("Agave", (0.07, 0.16, 0.10), (0.18, 0.30, 0.20), scale=3.0, roughness=0.6)
    cypress = materials.mottled("Cypress", (0.02, 0.05, 0.02), (0.07, 0.13, 0.05), scale=6.0)
    canvas = materials.plain("Canvas", (0.78, 0.62, 0.34))
    pole = materials.plain("Parasol pole", (0.60, 0.56, 0.50))
    random = np.random.default_rng(5)
    for x, y, size in ((1.15, 1.0, 1.0), (3.0, 0.9, 0.8), (-2.9, 2.2, 1.1)):
        pot = [(0.2, 0.0), (0.3, 0.3), (0.34, 0.42), (0.34, 0.5), (0.28, 0.5)]
        shapes.turned("Pot", clay, foot=(x, y, 0.0), profile=[(r * size, z * size) for r, z in pot])
        lines = []
        for k in range(22):
            a, lean = 2.399 * k, 0.25 + 0.035 * k
            out = Vector((math.cos(a), math.sin(a), 0.0))
            foot = Vector((x, y, 0.46 * size))
            middle = foot + (out * 0.32 * lean + Vector((0.0, 0.0, 0.36 * (1.15 - 0.3 * lean)))) * size
            tip = foot + (out * 0.72 * lean + Vector((0.0, 0.0, 0.62 * (1.2 - 0.75 * lean)))) * size
            lines.append([(foot, 0.03 * size), (middle, 0.035 * size), (tip, 0.003)])
        shapes.tube("Agave", leaf, lines, sides=5)
    for x, y, tall in ((-7.0, 8.6, 5.2), (-7.9, 7.2, 4.3), (8.2, 8.8, 6.0)):
        up = random.random(2600)
        angle, out = random.uniform(0, 2 * math.pi, 2600), np.sqrt(random.random(2600))
        reach = 0.62 * np.sin(np.pi * np.clip(0.12 + 0.88 * up, 0, 1)) ** 0.7 * out
        crown = np.stack((x + reach * np.cos(angle), y + reach * np.sin(angle), 0.2 + tall * up), axis=1)
        shapes.leaves("Cypress", cypress, centers=crown, size=0.3, random=random)
    shapes.turned("Parasol pole", pole, foot=(-5.4, -0.6, 0.0), profile=[(0.03, 0.0), (0.03, 2.3)], sides=12)
    shapes.turned("Parasol", canvas, foot=(-5.4, -0.6, 1.95), profile=[(1.25, 0.0), (0.6, 0.26), (0.03, 0.42)], sides=8)


def _coast() -> None:
    rock = materials.mottled("Islands", (0.20, 0.24, 0.30), (0.30, 0.33, 0.38), scale=0.2)
    shapes.hills("Islands", rock, y=(30.0, 46.0), half_width=45.0, height=4.2)


def _balloon(frames: int) -> None:
    rubber = materials.plain("Balloon", (0.62, 0.02, 0.02), roughness=0.25)
    string = materials.plain("String", (0.75, 0.73, 0.70))
    profile = [
        (0.012, -0.3),
        (0.03, -0.27),
        (0.12, -0.18),
        (0.2, -0.04),
        (0.22, 0.06),
        (0.19, 0.17),
        (0.11, 0.24),
        (0.01, 0.262),
    ]
    balloon = shapes.turned("Balloon", rubber, foot=(0.0, 0.0, 0.0), profile=profile)
    balloon.data.set_sharp_from_angle(angle=math.pi)
    line = [((0.03 * math.sin(4.0 * u), 0.0, -0.3 - 1.0 * u), 0.006) for u in np.linspace(0.0, 1.0, 9)]
    shapes.tube("Balloon string", string, [line]).parent = balloon

    def position(t: float) -> Matrix:
        where = Vector((-1.7 + 1.5 * t, -1.2 + 0.3 * t, 1.65 + 1.45 * t))
        turn = Euler((0.12 * math.sin(5.0 * t), 0.16 * math.cos(4.0 * t), 0.5 * t))
        return Matrix.Translation(where) @ turn.to_matrix().to_4x4()

    rigs.animate(balloon, frames, position)
